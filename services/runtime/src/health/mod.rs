//! Whether this process can do its part: conditions by name, each ok or not with the reason.
//!
//! Readiness is all conditions together; `/readyz` and gRPC health tell it ([`serve`], [`Readiness::keep_health`]).
//! Liveness (`/livez`) asks none of them: a process that waits for its database must not be restarted for that.

mod http;
mod metrics;

pub use http::serve;

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The conditions of a process. Clones share them.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<State>>,
}

/// A handle to one condition. A new one is not ok, with the reason "starting".
#[derive(Debug, Clone)]
pub struct Condition {
    name: Arc<str>,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    /// `None`: ok.
    conditions: BTreeMap<Arc<str>, Option<String>>,
    /// What is to be said of conditions that hold.
    remarks: BTreeMap<Arc<str>, String>,
    is_draining: bool,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether calls should come here.
    pub ready: bool,
    /// Each condition, by name.
    pub conditions: BTreeMap<Arc<str>, Standing>,
}

/// How one condition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether it holds.
    pub ok: bool,
    /// Why not; or what deserves a word though it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Readiness {
    /// Without conditions: ready.
    pub fn new() -> Self {
        Readiness {
            state: Arc::new(watch::channel(State::default()).0),
        }
    }

    /// The condition of a name, made when there is none.
    pub fn condition(&self, name: impl Into<Arc<str>>) -> Condition {
        let name = name.into();
        self.state.send_if_modified(|state| {
            if state.conditions.contains_key(&name) {
                return false;
            }
            state.conditions.insert(name.clone(), Some("starting".to_owned()));
            true
        });
        Condition {
            name,
            state: self.state.clone(),
        }
    }

    /// The process drains: not ready from now on, whatever the conditions say.
    pub fn drain(&self) {
        self.state.send_if_modified(|state| {
            let is_news = !state.is_draining;
            state.is_draining = true;
            is_news
        });
    }

    /// Whether every condition holds.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_ready()
    }

    /// All conditions as they are now.
    pub fn report(&self) -> Report {
        let state = self.state.borrow();
        let mut conditions: BTreeMap<_, _> = state
            .conditions
            .iter()
            .map(|(name, reason)| (name.clone(), Standing::of(reason.clone())))
            .collect();
        for (name, remark) in &state.remarks {
            if let Some(standing) = conditions.get_mut(name).filter(|standing| standing.ok) {
                standing.reason = Some(remark.clone());
            }
        }
        if state.is_draining {
            conditions.insert(
                Arc::from("process"),
                Standing::of(Some("stopping: finishing what is under way".to_owned())),
            );
        }
        Report {
            ready: state.is_ready(),
            conditions,
        }
    }

    /// Keeps gRPC health as the conditions say, for the whole server (the empty name) and for `services`, until the
    /// token is cancelled.
    pub async fn keep_health(
        &self,
        reporter: HealthReporter,
        services: &[&str],
        shutdown: CancellationToken,
    ) {
        let mut changes = self.state.subscribe();
        loop {
            let status = match changes.borrow_and_update().is_ready() {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            for service in services.iter().copied().chain([""]) {
                reporter.set_service_status(service, status).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                // The sender is ours.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness::new()
    }
}

impl Condition {
    /// It holds.
    pub fn ok(&self) {
        self.set(None, None);
    }

    /// It holds, and calls should come here; but something deserves a word.
    pub fn ok_but(&self, remark: impl Into<String>) {
        self.set(None, Some(remark.into()));
    }

    /// It does not hold.
    pub fn not(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()), None);
    }

    /// As a result says.
    pub fn set_result<E: std::fmt::Display>(&self, result: &Result<(), E>) {
        match result {
            Ok(()) => self.ok(),
            Err(error) => self.not(error.to_string()),
        }
    }

    fn set(&self, reason: Option<String>, remark: Option<String>) {
        self.state.send_if_modified(|state| {
            let remark_before = match &remark {
                Some(remark) => state.remarks.insert(self.name.clone(), remark.clone()),
                None => state.remarks.remove(&self.name),
            };
            let before = state
                .conditions
                .insert(self.name.clone(), reason.clone())
                .flatten();
            match (&before, &reason) {
                (None, Some(reason)) => {
                    tracing::warn!(condition = %self.name, %reason, "not ready");
                }
                (Some(_), None) => tracing::info!(condition = %self.name, "ready"),
                (Some(_), Some(_)) | (None, None) => {}
            }
            before != reason || remark_before != remark
        });
    }
}

impl State {
    fn is_ready(&self) -> bool {
        !self.is_draining && self.conditions.values().all(Option::is_none)
    }
}

impl Standing {
    fn of(reason: Option<String>) -> Self {
        Standing {
            ok: reason.is_none(),
            reason,
        }
    }
}
