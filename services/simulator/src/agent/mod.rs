//! One agent: its parts, its permission to execute, and the task that executes.

mod kind;
pub(crate) mod plan;
mod state;

pub use kind::AgentType;
pub use state::State;

use crate::infection::{Infection, Strength};
use crate::telemetry::Trace;
use immune_domain::healing::Action;
use immune_runtime::clock::SharedClock;
use opentelemetry_sdk::trace::SdkTracer;
use plan::Plan;
use rand::RngExt;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The longest time that an agent takes to stop once it is told to.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Error of an execution that containment cut short.
const CUT_SHORT: &str = "agent_quarantined";

/// Whether an agent may execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Free,
    /// It may under watch.
    Probation {
        /// How often still; `None` without limit.
        left: Option<u32>,
    },
    /// It may not.
    Contained,
}

/// An agent and its counters.
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) kind: AgentType,
    permit: watch::Sender<Permit>,
    /// Whether an execution is under way.
    busy: watch::Sender<bool>,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    started: u64,
    finished: u64,
    aborted: u64,
    effects: u64,
    /// Executions finished since the agent was last touched from outside.
    steady: u64,
}

/// An agent at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its type.
    pub agent_type: AgentType,
    /// Whether it may execute.
    pub permit: Permit,
    /// Executions begun.
    pub executions_started: u64,
    /// Executions that ran to their end.
    pub executions_finished: u64,
    /// Executions that containment cut short.
    pub executions_aborted: u64,
    /// Executions finished since it was last infected, treated, contained or released.
    pub executions_steady: u64,
    /// Orders that had an effect on it: containment, release and healing.
    pub effects: u64,
    /// What ails it.
    pub ailments: Vec<(Infection, Strength)>,
    /// Number of the deployed prompt version.
    pub prompt_version: u32,
    /// Entries of its memory.
    pub memory_notes: usize,
    /// Size of its memory.
    pub memory_bytes: u64,
    /// Its autonomy, 1 to 5; 3 is usual.
    pub autonomy: u8,
    /// The tools that it may use.
    pub tools: Vec<&'static str>,
    /// Which copy of the agent runs.
    pub instance: u32,
}

impl Snapshot {
    /// Whether it is kept from executing.
    pub fn is_contained(&self) -> bool {
        self.permit == Permit::Contained
    }

    /// Its state in one word.
    pub const fn state(&self) -> &'static str {
        match self.permit {
            Permit::Free => "running",
            Permit::Probation { .. } => "probation",
            Permit::Contained => "quarantined",
        }
    }
}

/// How an execution ended.
enum Ending {
    Finished,
    CutShort,
    Shutdown,
}

impl Agent {
    pub(crate) fn new(id: String, kind: AgentType) -> Self {
        let inner = Inner {
            state: State::new(kind),
            started: 0,
            finished: 0,
            aborted: 0,
            effects: 0,
            steady: 0,
        };
        Agent {
            id,
            kind,
            permit: watch::Sender::new(Permit::Free),
            busy: watch::Sender::new(false),
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let permit = *self.permit.borrow();
        let inner = self.inner();
        let state = &inner.state;
        Snapshot {
            id: self.id.clone(),
            agent_type: self.kind,
            permit,
            executions_started: inner.started,
            executions_finished: inner.finished,
            executions_aborted: inner.aborted,
            executions_steady: inner.steady,
            effects: inner.effects,
            ailments: state.ailments(),
            prompt_version: state.prompt().number,
            memory_notes: state.memory.len(),
            memory_bytes: state.memory_bytes(),
            autonomy: state.autonomy,
            tools: state
                .tools
                .iter()
                .filter(|tool| tool.in_use)
                .map(|tool| tool.name)
                .collect(),
            instance: state.instance,
        }
    }

    pub(crate) fn fall_ill(&self, infection: Infection, strength: Strength) {
        let mut inner = self.inner();
        inner.state.fall_ill(infection, strength);
        inner.steady = 0;
    }

    /// Does an action: the platform's words, and the infections that it cured.
    pub(crate) fn heal(&self, action: Action) -> Result<(String, Vec<Infection>), String> {
        let mut inner = self.inner();
        let before = inner.state.ailments();
        let detail = inner.state.act(action)?;
        let after = inner.state.ailments();
        inner.effects += 1;
        inner.steady = 0;
        let cured = before
            .into_iter()
            .filter(|ailment| !after.contains(ailment))
            .map(|(infection, _)| infection);
        Ok((detail, cured.collect()))
    }

    /// Keeps it from executing; returns when it has stopped, `false` when it has not in time.
    pub(crate) async fn contain(&self) -> bool {
        self.touch();
        self.permit.send_replace(Permit::Contained);
        let mut busy = self.busy.subscribe();
        tokio::time::timeout(STOP_WITHIN, busy.wait_for(|busy| !busy))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    /// Lets it execute. For good, it also gets back what was taken from it.
    pub(crate) fn release(&self, permit: Permit) {
        self.touch();
        match permit {
            Permit::Free => self.inner().state.give_back(),
            Permit::Probation { .. } | Permit::Contained => {}
        }
        self.permit.send_replace(permit);
    }

    fn touch(&self) {
        let mut inner = self.inner();
        inner.effects += 1;
        inner.steady = 0;
    }

    /// Executes until the simulation ends.
    pub(crate) async fn run(
        self: Arc<Self>,
        tracer: SdkTracer,
        mut rng: StdRng,
        pace: f64,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) {
        let mut permit = self.permit.subscribe();
        let pause_ms = self.kind.traits().pause_ms;
        // Agents that start together would execute in step.
        let mut pause = scaled(self.kind.traits().latency_ms * rng.random_range(0.0..1.0), pace);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = scaled(pause_ms, pace);
            tokio::select! {
                () = shutdown.cancelled() => return,
                allowed = permit.wait_for(|permit| permit.lets_execute()) => {
                    if allowed.is_err() {
                        return;
                    }
                }
            }
            let Some(plan) = self.begin(&mut rng) else {
                continue;
            };
            let mut trace = Trace::begin(&tracer, &self.id, self.kind, clock.now());
            let ending = self
                .execute(&plan, &mut trace, &mut permit, pace, &shutdown)
                .await;
            let is_over = match ending {
                Ending::Finished => {
                    trace.end(Duration::ZERO, plan.failure);
                    false
                }
                Ending::CutShort => {
                    trace.end(Duration::from_micros(1), Some(CUT_SHORT));
                    false
                }
                Ending::Shutdown => true,
            };
            self.finish(ending);
            if is_over {
                return;
            }
        }
    }

    /// Goes through the steps in their own time, unless it is contained meanwhile.
    async fn execute(
        &self,
        plan: &Plan,
        trace: &mut Trace<'_>,
        permit: &mut watch::Receiver<Permit>,
        pace: f64,
        shutdown: &CancellationToken,
    ) -> Ending {
        for step in &plan.steps {
            let took = scaled(step.ms(), pace);
            tokio::select! {
                () = tokio::time::sleep(took) => trace.step(step, took),
                _ = permit.wait_for(|permit| *permit == Permit::Contained) => return Ending::CutShort,
                () = shutdown.cancelled() => return Ending::Shutdown,
            }
        }
        Ending::Finished
    }

    /// Begins an execution if it may.
    fn begin(&self, rng: &mut StdRng) -> Option<Plan> {
        let mut may = false;
        self.permit.send_if_modified(|permit| {
            may = permit.lets_execute();
            if may {
                // Within the permit's own lock: whoever contains afterwards sees it busy and waits.
                self.busy.send_replace(true);
            }
            match permit {
                Permit::Probation { left: Some(left) } if may => {
                    *left -= 1;
                    true
                }
                Permit::Probation { .. } | Permit::Free | Permit::Contained => false,
            }
        });
        may.then(|| {
            let mut inner = self.inner();
            inner.started += 1;
            plan::plan(&inner.state, rng)
        })
    }

    fn finish(&self, ending: Ending) {
        {
            let mut inner = self.inner();
            match ending {
                Ending::Finished => {
                    inner.finished += 1;
                    inner.steady += 1;
                    inner.state.remember(240);
                }
                Ending::CutShort | Ending::Shutdown => inner.aborted += 1,
            }
        }
        self.busy.send_replace(false);
    }
}

impl Permit {
    const fn lets_execute(self) -> bool {
        match self {
            Permit::Free | Permit::Probation { left: None } => true,
            Permit::Probation { left: Some(left) } => left > 0,
            Permit::Contained => false,
        }
    }
}

fn scaled(ms: f64, pace: f64) -> Duration {
    Duration::from_secs_f64((ms * pace / 1e3).max(0.0))
}
