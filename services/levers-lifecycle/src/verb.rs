//! What the API can be asked for, and how our orders translate into it.

use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::Order;
use immune_proto::v1::LifecycleAction;

/// An action of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Heal(Action),
    Quarantine,
    /// Free, or under watch.
    Release {
        is_probation: bool,
    },
}

impl Verb {
    pub(crate) fn of(order: Order) -> Self {
        match order {
            Order::Heal(action) => Verb::Heal(action),
            Order::Contain(Containment::Contained) => Verb::Quarantine,
            Order::Contain(Containment::Probation) => Verb::Release { is_probation: true },
            Order::Contain(Containment::Free) => Verb::Release { is_probation: false },
        }
    }

    /// Name in the HTTP form.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Verb::Heal(action) => action.as_str(),
            Verb::Quarantine => "quarantine",
            Verb::Release { .. } => "release",
        }
    }

    /// Number in the gRPC form.
    pub(crate) const fn number(self) -> LifecycleAction {
        match self {
            Verb::Heal(Action::ResetMemory) => LifecycleAction::ResetMemory,
            Verb::Heal(Action::RollbackPrompt) => LifecycleAction::RollbackPrompt,
            Verb::Heal(Action::ReduceAutonomy) => LifecycleAction::ReduceAutonomy,
            Verb::Heal(Action::CloneAgent) => LifecycleAction::CloneAgent,
            Verb::Heal(Action::RevokeTools) => LifecycleAction::RevokeTools,
            Verb::Heal(Action::ResetAgent) => LifecycleAction::ResetAgent,
            Verb::Quarantine => LifecycleAction::Quarantine,
            Verb::Release { .. } => LifecycleAction::Release,
        }
    }

    /// Whether the agent must be contained afterwards; `None` where the action does not say.
    pub(crate) const fn wants_contained(self) -> Option<bool> {
        match self {
            Verb::Heal(_) => None,
            Verb::Quarantine => Some(true),
            Verb::Release { .. } => Some(false),
        }
    }
}
