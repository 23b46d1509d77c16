//! Healing: the four actions, each done once per order.
//!
//! What is done leaves the mark of its order on the object, in the same write as the change and only if the object is
//! still as it was read. So whoever repeats an order, after a crash or at the same time, finds the mark and only waits
//! for the effect.
//!
//! Unlike a quarantine, a healing stays when the agent is released: what was proven in probation is what runs on.

mod clone;
mod previous;
mod restart;
mod rollout;
mod value;

use crate::Kubernetes;
use crate::api::annotation;
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds;
use crate::names::{HEALING, ORDERS, PROMPT, PROMPT_PREVIOUS, REDUCED_AUTONOMY, remember, remembers, short};
use immune_domain::healing::Action;
use immune_levers::{Answer, Ask, Outcome};
use kube::api::DynamicObject;
use serde_json::json;

impl Kubernetes {
    /// Carries out a healing action, and says so once its effect was seen.
    pub(crate) async fn heal(&self, ask: &Ask, action: Action) -> Result<Answer> {
        let workload = self.find(&ask.key, &ask.workload).await?;
        if annotation(&workload.object, HEALING) == Some("off") {
            return Err(Trouble::Unsupported(format!(
                "the annotation {HEALING} of {workload} says off"
            )));
        }
        let order = short(&ask.idempotency_key);
        let detail = match action {
            Action::ResetMemory => self.restart(&workload, &order).await?,
            Action::RollbackPrompt => self.roll_back(&workload, &order).await?,
            Action::ReduceAutonomy => self.reduce_autonomy(&workload, &order).await?,
            Action::CloneAgent => self.clone_agent(&workload, ask, &order).await?,
            Action::RevokeTools | Action::ResetAgent => {
                return Err(Trouble::Unsupported(format!(
                    "Kubernetes knows nothing that would be {action}"
                )));
            }
        };
        let note = format!("{action}: {detail}; {}, case {}", ask.reason, ask.case);
        self.tell(&workload, "Healed", &note).await;
        let evidence = json!({ "platform": "kubernetes", "workload": workload.to_string(), "order": order });
        Ok(Answer {
            outcome: Outcome::Done,
            detail,
            evidence,
        })
    }

    /// The prompt before: the value that annotations name, else the revision before.
    async fn roll_back(&self, workload: &Workload, order: &str) -> Result<String> {
        let named = (
            self.asked(workload, PROMPT).await?,
            self.asked(workload, PROMPT_PREVIOUS).await?,
        );
        match named {
            (Some(prompt), Some(previous)) => {
                let prompt = value::Target::read(workload, PROMPT, &prompt)?;
                let previous = value::Target::read(workload, PROMPT_PREVIOUS, &previous)?;
                let text = self.value_of(workload, &previous).await?;
                self.set(workload, &prompt, &text, order).await?;
                Ok(format!("{workload}: {prompt} is what {previous} says"))
            }
            (Some(_), None) | (None, Some(_)) => Err(Trouble::Unsupported(format!(
                "{workload} has one of the annotations {PROMPT} and {PROMPT_PREVIOUS}; it takes both"
            ))),
            (None, None) => self.previous_revision(workload, order).await,
        }
    }

    async fn reduce_autonomy(&self, workload: &Workload, order: &str) -> Result<String> {
        let Some(text) = self.asked(workload, REDUCED_AUTONOMY).await? else {
            return Err(Trouble::Unsupported(format!(
                "{workload} has no annotation {REDUCED_AUTONOMY}, as configmap/NAME/KEY=VALUE or \
                 env/CONTAINER/VARIABLE=VALUE"
            )));
        };
        let (target, reduced) = text.split_once('=').ok_or_else(|| {
            Trouble::Unsupported(format!(
                "annotation {REDUCED_AUTONOMY} of {workload} is {text:?}, without =VALUE"
            ))
        })?;
        let target = value::Target::read(workload, REDUCED_AUTONOMY, target)?;
        self.set(workload, &target, reduced, order).await?;
        Ok(format!("{workload}: {target} is {reduced:?}"))
    }

    /// What people wrote on the workload for us, or on the kagent Agent that owns it.
    async fn asked(&self, workload: &Workload, key: &str) -> Result<Option<String>> {
        if let Some(text) = annotation(&workload.object, key) {
            return Ok(Some(text.to_owned()));
        }
        let Some(("Agent", name)) = workload.controller().filter(|_| self.config.kagent) else {
            return Ok(None);
        };
        let at = crate::api::Place {
            namespace: workload.place().namespace,
            name: name.to_owned(),
        };
        let agent = self.server.get(&kinds::kagent_agents(), &at).await?;
        Ok(agent.and_then(|agent| annotation(&agent, key).map(str::to_owned)))
    }
}

/// Whether an object says that the order was carried out on it.
fn was_done(object: &DynamicObject, order: &str) -> bool {
    remembers(annotation(object, ORDERS), order)
}

/// The orders of an object once this one is carried out too.
fn done_with(object: &DynamicObject, order: &str) -> String {
    remember(annotation(object, ORDERS), order)
}
