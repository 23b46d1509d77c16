//! The gateway check. Runs where quarantine does, whose cases it answers from.

use crate::config::Config;
use anyhow::Context;
use immune_domain::policy::LivePolicies;
use immune_gate::config::WhenBlind;
use immune_gate::{Dependencies, Gate, Metrics};
use immune_runtime::health::Readiness;
use immune_store::Stores;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

/// Binds the check; `None` where it is switched off.
///
/// # Errors
/// When its address is taken or its certificate cannot be used.
pub async fn bind(
    config: &Config,
    policies: &LivePolicies,
    stores: &Stores,
    registry: &mut Registry,
) -> anyhow::Result<Option<Gate>> {
    if config.gate.listen.is_empty() {
        return Ok(None);
    }
    let dependencies = Dependencies {
        cases: stores.cases.clone(),
        policies: policies.clone(),
        metrics: Metrics::register(registry),
    };
    Gate::bind(config.gate.clone(), dependencies)
        .await
        .context("the gateway check")
}

/// Keeps readiness as the check's state says. While it is blind it stays ready: it answers as it was told to, and a
/// gateway that reaches nobody would answer otherwise.
pub fn stand(readiness: &Readiness, gate: &Gate, when_blind: WhenBlind, shutdown: &CancellationToken) {
    let (condition, mut state, shutdown) = (
        readiness.condition("gateway check"),
        gate.state(),
        shutdown.clone(),
    );
    let answers = match when_blind {
        WhenBlind::LastKnown => "as last known",
        WhenBlind::Deny => "no to everyone",
        WhenBlind::Allow => "yes to everyone",
    };
    tokio::spawn(async move {
        loop {
            let now = state.borrow_and_update().clone();
            let cause = now
                .store_error
                .unwrap_or_else(|| "not all of them have room".to_owned());
            match (now.is_loaded, now.is_blind) {
                (true, false) => condition.ok(),
                (true, true) => {
                    condition.ok_but(format!(
                        "does not see all contained agents and answers {answers}: {cause}"
                    ));
                }
                (false, _) => condition.not("contained agents have not been read yet"),
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    });
}
