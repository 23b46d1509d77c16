//! The chaos injector: healthy agents fall ill, by a schedule that comes from the seed.

use crate::agent::{Permit, Snapshot};
use crate::event::SimEvent;
use crate::infection::{Infection, Strength};
use crate::platform::Platform;
use rand::RngExt;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Executions that an agent must have behind it since it was last touched: its baseline needs 15, and its window of
/// 10 s should be full, so that an infection shows as strong as it is.
const STEADY_EXECUTIONS_MIN: u64 = 26;
/// How long to wait before looking again when no agent is ready.
const RETRY: Duration = Duration::from_millis(250);
/// One infection in this many is severe.
const SEVERE_ONE_IN: u32 = 3;

/// Infects until the simulation ends.
pub(crate) async fn run(
    platform: Arc<Platform>,
    mut rng: StdRng,
    every: Duration,
    shutdown: CancellationToken,
) {
    let mut wait = every;
    // Drawn before it is known who is ready, so that the schedule depends on the seed alone.
    let mut next = draw(&mut rng);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let (infection, strength, lot) = next;
        let ready: Vec<_> = platform
            .agents
            .values()
            .filter(|agent| is_ready(&agent.snapshot()))
            .collect();
        if ready.is_empty() {
            wait = RETRY;
            continue;
        }
        let agent = ready[(lot * ready.len() as f64) as usize % ready.len()];
        agent.fall_ill(infection, strength);
        platform.tell(SimEvent::Infected {
            agent: agent.id.clone(),
            infection,
            strength,
        });
        next = draw(&mut rng);
        wait = every;
    }
}

fn draw(rng: &mut StdRng) -> (Infection, Strength, f64) {
    let infection = Infection::ALL[rng.random_range(0..Infection::ALL.len())];
    let strength = if rng.random_range(0..SEVERE_ONE_IN) == 0 {
        Strength::Severe
    } else {
        Strength::Mild
    };
    (infection, strength, rng.random_range(0.0..1.0))
}

fn is_ready(agent: &Snapshot) -> bool {
    let is_free = match agent.permit {
        Permit::Free => true,
        Permit::Probation { .. } | Permit::Contained => false,
    };
    is_free && agent.ailments.is_empty() && agent.executions_steady >= STEADY_EXECUTIONS_MIN
}
