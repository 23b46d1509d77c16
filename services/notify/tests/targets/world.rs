//! Stores with cases that change as quarantine changes them, and notifiers over them.

use immune_domain::case::{Case, Command, Context, Effect, Person, decide, open};
use immune_domain::policy::{LivePolicies, Policy};
use immune_domain::{AgentKey, CaseId, Timestamp};
use immune_notify::{Config, Dependencies, Metrics, Notifier};
use immune_runtime::clock::{self, Clock};
use immune_store::Stores;
use immune_store::cases::{Alongside, NewEvent, Opened, Saved};
use immune_store::conformance::samples;
use immune_store::notifications::TargetState;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until a condition is true.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub fn now() -> Timestamp {
    clock::System.now()
}

/// A configuration with quick retries; `targets` are objects with name and receiver.
pub fn config(targets: Value) -> Config {
    let mut config = json!({
        "external_url": "https://immune.example.com/", "interval_ms": 20, "lease_seconds": 1, "targets": targets,
    });
    for target in config["targets"].as_array_mut().unwrap() {
        if target["retry"].is_null() {
            target["retry"] = json!({ "first_ms": 20, "wait_seconds_max": 1, "request_seconds": 1 });
        }
    }
    let config: Config = serde_json::from_value(config).unwrap();
    let mut mistakes = Vec::new();
    config.check("notify", &mut mistakes);
    assert_eq!(mistakes, Vec::<String>::new());
    config
}

/// A notifier that runs; it stops in order when it is dropped.
pub struct Running {
    _stop: DropGuard,
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Running {
    /// Stops in order.
    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}

/// Starts a notifier over stores, and waits until it or another one holds every target.
pub async fn start(stores: &Stores, config: &Config) -> Running {
    let running = start_at_once(stores, config);
    until("every target is held", async || {
        let held = stores.notifications.targets().await.unwrap();
        config
            .targets
            .iter()
            .all(|target| held.iter().any(|held| held.name == target.name))
    })
    .await;
    running
}

pub fn start_at_once(stores: &Stores, config: &Config) -> Running {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dependencies = Dependencies {
        notifications: stores.notifications.clone(),
        cases: stores.cases.clone(),
        healings: stores.healings.clone(),
        policies: LivePolicies::default(),
        clock: clock::system(),
        metrics: Metrics::default(),
    };
    let notifier = Notifier::new(config, dependencies).unwrap();
    let stop = CancellationToken::new();
    Running {
        _stop: stop.clone().drop_guard(),
        task: tokio::spawn(notifier.run(stop.clone())),
        stop,
    }
}

/// Opens a case as quarantine does: above severity 7 it waits for a person.
pub async fn open_case(stores: &Stores, agent: &str, severity: f64) -> Case {
    let key = AgentKey::new("prod", agent);
    let mut infection = samples::infection(&key, &format!("infection-of-{agent}"));
    infection.severity = severity;
    let id = CaseId::from(format!("case-{agent}"));
    let (case, effects) = open(id, infection, &Policy::default(), Context::default(), now());
    let opened = stores
        .cases
        .open_case(&case, u32::MAX, &alongside(&case, effects))
        .await
        .unwrap();
    assert_eq!(opened, Opened::New);
    case
}

/// Changes a case as quarantine does.
pub async fn change(stores: &Stores, id: &CaseId, command: Command) -> Case {
    let case = stores.cases.get(id).await.unwrap().unwrap();
    let version = case.version;
    let (case, effects) = decide(case, command, &Policy::default(), now()).unwrap();
    let saved = stores
        .cases
        .save_case(&case, version, &alongside(&case, effects))
        .await
        .unwrap();
    assert_eq!(saved, Saved::Done);
    case
}

fn alongside(case: &Case, effects: Vec<Effect>) -> Alongside {
    let event = |effect: Effect| match effect {
        Effect::Announce(said) => Some(NewEvent {
            kind: said.kind.as_str().to_owned(),
            case: case.id.clone(),
            key: case.key.clone(),
            at: now(),
            text: said.text,
            payload: said.payload,
        }),
        Effect::Log(_) | Effect::AskLever { .. } => None,
    };
    Alongside {
        log: Vec::new(),
        events: effects.into_iter().filter_map(event).collect(),
    }
}

pub fn ada() -> Person {
    Person {
        subject: "ada@example.com".to_owned(),
        via: "oidc".to_owned(),
    }
}

pub fn approve() -> Command {
    Command::Approve {
        by: ada(),
        reason: "looks right".to_owned(),
    }
}

pub fn release() -> Command {
    Command::Release {
        by: ada(),
        reason: "false alarm".to_owned(),
    }
}

pub async fn target(stores: &Stores, name: &str) -> TargetState {
    let targets = stores.notifications.targets().await.unwrap();
    targets.into_iter().find(|target| target.name == name).unwrap()
}
