//! What the dashboard shows and does: targets, dead letters, tests, buttons.

use crate::http::SetupError;
use crate::kind::TEST;
use crate::{Clicks, Config};
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};
use immune_store::NotificationStore;
use immune_store::cases::NewEvent;
use immune_store::error::Result;
use immune_store::notifications::Notification;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

/// What the dashboard works with.
#[derive(Clone)]
pub struct Front {
    /// Where notifications live.
    pub store: Arc<dyn NotificationStore>,
    /// Buttons that may be pressed.
    pub clicks: Clicks,
    /// Configured targets: name, and kind of receiver.
    pub targets: Vec<(String, &'static str)>,
}

impl Front {
    /// The front of a configuration.
    ///
    /// # Errors
    /// When a secret of a Slack app cannot be read.
    pub fn new(config: &Config, store: Arc<dyn NotificationStore>) -> std::result::Result<Self, SetupError> {
        Ok(Front {
            store,
            clicks: Clicks::new(config)?,
            targets: config
                .targets
                .iter()
                .map(|target| (target.name.clone(), target.receiver()))
                .collect(),
        })
    }

    /// Tells a target something that did not happen, to try whether it can be reached. Returns the id; `None` when no
    /// process has ever delivered to the target.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn test(
        &self,
        target: &str,
        run: &RunId,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<String>> {
        let id = format!("{target}.{TEST}-{}", Uuid::new_v4().simple());
        let event = NewEvent {
            kind: TEST.to_owned(),
            case: CaseId::from(id.clone()),
            key: AgentKey {
                run: run.clone(),
                agent: "no-agent".into(),
            },
            at: now,
            text: format!("{subject} tries whether this target can be reached"),
            payload: json!({ "severity": 0.0, "state": "test", "by": subject }),
        };
        let notification = Notification::new(id.clone(), target, 0, event, now);
        Ok(self.store.add(&notification).await?.then_some(id))
    }
}
