//! The door of a process: built from the configuration and the store, kept up to date, with a first key where nobody
//! could come in otherwise.

use crate::config::Checked;
use crate::roles::Role;
use crate::tasks::spawn;
use immune_door::keys::{Bootstrap, Bootstrapped};
use immune_door::{Door, Keys, Logins, Metrics, Setup};
use immune_runtime::clock::SharedClock;
use immune_store::Stores;
use prometheus_client::registry::Registry;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long the start waits for the stored keys. A process whose database is away starts without them, and lets in
/// whoever has a configured key.
const FIRST_READING_MAX: Duration = Duration::from_secs(2);
/// Time between two attempts to make the first key.
const ATTEMPT_EVERY: Duration = Duration::from_secs(2);

/// Builds the door of this process.
///
/// # Errors
/// When the OpenID provider's settings cannot be used; the provider itself may be away.
pub(crate) fn build(checked: &Checked, stores: &Stores, registry: &mut Registry) -> anyhow::Result<Door> {
    let config = &checked.config;
    let metrics = Metrics::register(registry);
    let store = config.has_key_store().then(|| stores.access.clone());
    let keys = Keys::new(checked.keys.clone(), store, metrics.clone());
    let is_loopback = |prefix: &str| {
        let exposed = config.exposed();
        !exposed.iter().any(|(name, _)| name.starts_with(prefix))
    };
    let setup = Setup {
        rest_is_loopback: is_loopback("dashboard."),
        otlp_is_loopback: is_loopback("ingestion."),
        has_login: config.access.has_login(),
    };
    let door = Door::new(&config.access, keys, setup, metrics);
    if !config.has(Role::Dashboard) {
        return Ok(door);
    }
    let logins = Logins::new(
        config.access.sessions.clone(),
        config.access.oidc.clone(),
        config.dashboard.tls.is_some(),
        stores.access.clone(),
        stores.action_log.clone(),
    );
    let logins = logins.map_err(|error| anyhow::anyhow!("access.oidc: {error}"))?;
    Ok(door.with_logins(logins))
}

/// Reads the stored keys and keeps them up to date; makes the first one where that is wanted.
pub(crate) async fn keep(
    door: &Door,
    checked: &Checked,
    clock: &SharedClock,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let config = &checked.config;
    if !config.has_key_store() {
        return;
    }
    let keys = door.keys();
    let bootstrap = config.wants_bootstrap().then(|| keys.bootstrap(clock.now()));
    match timeout(FIRST_READING_MAX, keys.refresh()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "stored keys cannot be read yet"),
        Err(_elapsed) => tracing::warn!("stored keys cannot be read yet: the store does not answer"),
    }
    if let Some(bootstrap) = bootstrap {
        let stop = stop.clone();
        spawn(tasks, async move {
            make_first(bootstrap, &stop).await;
            // A part that ends before the process does counts as failed.
            stop.cancelled().await;
        });
    } else if config.has(Role::Dashboard) && door.is_open() {
        tracing::warn!(
            "no API keys: everybody on this machine may do everything (immune keys create, access.api_keys)"
        );
    } else if config.has(Role::Ingestion) && door.is_open_for_telemetry() {
        tracing::info!(
            "no API keys for telemetry: everybody on this machine may send it (immune keys create --role ingest)"
        );
    }
    spawn(tasks, keys.clone().run(config.access.refresh(), stop.clone()));
}

/// Makes the first key, as soon as the store answers.
async fn make_first(bootstrap: Bootstrap, stop: &CancellationToken) {
    let mut is_told = false;
    loop {
        match bootstrap.attempt().await {
            Ok(Some(first)) => return show(&first),
            Ok(None) => return,
            Err(error) if is_told => tracing::debug!(%error, "the first key cannot be made yet"),
            Err(error) => {
                tracing::warn!(%error, "the first key cannot be made yet; trying again");
                is_told = true;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(ATTEMPT_EVERY) => {}
        }
    }
}

/// Tells the operator the first key: past the log, which others read and keep.
fn show(first: &Bootstrapped) {
    let line = "=".repeat(78);
    eprintln!(
        "{line}\n\
         The first admin key, named {name:?}. It is shown once and kept nowhere:\n\n    \
         {secret}\n\n\
         Create keys for people and programs with it, then revoke it:\n\n    \
         export IMMUNE_API_KEY=...\n    \
         immune keys create --name ada --role admin\n    \
         immune keys list\n\
         {line}",
        name = first.name,
        secret = first.secret.expose(),
    );
    tracing::info!(
        key = first.name,
        "the first admin key was made; it was printed once on stderr"
    );
}
