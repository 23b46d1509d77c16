//! The decision: from who asks and what is known to an answer. No I/O, nothing to wait for.

use crate::config::{Answer as Setting, Config, WhenBlind};
use crate::identity::{Asked, Identified, Identity};
use crate::metrics::Metrics;
use crate::table::{Held, Table};
use immune_domain::policy::{LivePolicies, Mode, matches_pattern};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Allowed(Because),
    Denied(Denial),
    /// Nothing is known yet, and the setting is to say what is known.
    Starting,
}

/// Why an agent may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// Nothing keeps it out.
    Free,
    /// It was contained, and policy only observes it now.
    Observed,
    /// Nobody knows whose request it is.
    Unidentified,
    /// Nobody can say how its case stands.
    Blind,
}

/// Why not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Denial {
    pub(crate) word: Word,
    /// One sentence for whoever is denied.
    pub(crate) reason: String,
    /// The case that keeps the agent out; only where that is the reason.
    pub(crate) held: Option<Arc<Held>>,
}

/// The kind of denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Contained,
    Unidentified,
    Malformed,
    Unknown,
    Blind,
}

impl Word {
    /// The code word of the problem that it is.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Word::Contained => "gate.contained",
            Word::Unidentified => "gate.unidentified",
            Word::Malformed => "gate.malformed",
            Word::Unknown => "gate.unknown",
            Word::Blind => "gate.blind",
        }
    }
}

impl Answer {
    /// The label in metrics, and the word in a gateway's log.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Answer::Allowed(Because::Free) => "allowed",
            Answer::Allowed(Because::Observed) => "allowed_observed",
            Answer::Allowed(Because::Unidentified) => "allowed_unidentified",
            Answer::Allowed(Because::Blind) => "allowed_blind",
            Answer::Denied(denial) => match denial.word {
                Word::Contained => "denied_contained",
                Word::Unidentified => "denied_unidentified",
                Word::Malformed => "denied_malformed",
                Word::Unknown => "denied_unknown",
                Word::Blind => "denied_blind",
            },
            Answer::Starting => "unavailable",
        }
    }
}

/// Everything that a decision needs.
pub(crate) struct Checker {
    pub(crate) config: Config,
    pub(crate) table: Table,
    pub(crate) metrics: Metrics,
    pub(crate) identity: Identity,
    policies: LivePolicies,
    blind_after: Duration,
}

/// How much is known.
enum Sight {
    Clear,
    /// The last news are so old.
    Old(Duration),
    /// Not all contained agents had room.
    Partial,
    None,
}

impl Sight {
    fn remark(&self) -> Option<Cow<'static, str>> {
        match self {
            Sight::Clear => None,
            Sight::Old(age) => {
                Some(format!("the store of cases has not answered for {} s", age.as_secs()).into())
            }
            Sight::Partial => Some("more agents are quarantined than this process keeps".into()),
            Sight::None => Some("the cases have not been read yet".into()),
        }
    }
}

impl Checker {
    pub(crate) fn new(config: Config, policies: LivePolicies, metrics: Metrics) -> Self {
        Checker {
            table: Table::new(config.agents_max),
            identity: Identity::new(&config),
            blind_after: config.blind_after(),
            policies,
            metrics,
            config,
        }
    }

    /// Whose request it is, and whether it may pass; counted.
    pub(crate) fn answer(&self, asked: Asked<'_>) -> (Identified, Answer) {
        let who = self.identity.of(asked);
        let answer = self.check(&who);
        self.metrics.answered(answer.label());
        if let (Identified::Agent { run, agent }, Answer::Denied(denial)) = (&who, &answer) {
            let case = denial.held.as_ref().map(|held| held.case.as_str());
            tracing::debug!(%run, %agent, case, word = denial.word.code(), "denied");
        }
        (who, answer)
    }

    /// Whether what is known is not to be relied on.
    pub(crate) fn is_blind(&self) -> bool {
        match self.sight() {
            Sight::Clear => false,
            Sight::Old(_) | Sight::Partial | Sight::None => true,
        }
    }

    fn sight(&self) -> Sight {
        match self.table.age() {
            None => Sight::None,
            Some(age) if age > self.blind_after => Sight::Old(age),
            Some(_) if self.table.beyond() > 0 => Sight::Partial,
            Some(_) => Sight::Clear,
        }
    }

    /// May it pass?
    pub(crate) fn check(&self, who: &Identified) -> Answer {
        let (run, agent) = match who {
            Identified::Agent { run, agent } => (run, agent),
            Identified::Nobody => {
                return match self.config.unidentified {
                    Setting::Allow => Answer::Allowed(Because::Unidentified),
                    Setting::Deny => denied(Word::Unidentified, "the request does not say whose it is"),
                };
            }
            Identified::Unclear(problem) => {
                return denied(
                    Word::Malformed,
                    format!("it is not clear whose request it is: {problem}"),
                );
            }
        };
        let known = &self.config.known_agents;
        if !known.is_empty() && !known.iter().any(|pattern| matches_pattern(pattern, agent)) {
            return denied(Word::Unknown, "the agent is not one of those that may act here");
        }
        let sight = self.sight();
        let remark = sight.remark();
        if remark.is_some() && self.config.when_blind == WhenBlind::Allow {
            return Answer::Allowed(Because::Blind);
        }
        match (self.table.get(run, agent), remark) {
            (Some(held), _) if self.is_observed(&held) => Answer::Allowed(Because::Observed),
            (Some(held), remark) => Answer::Denied(Denial {
                word: Word::Contained,
                reason: match remark {
                    // Of this one agent all is known.
                    None => held.reason.clone(),
                    Some(_) if matches!(sight, Sight::Partial) => held.reason.clone(),
                    Some(remark) => format!("{}, as last known: {remark}", held.reason),
                },
                held: Some(held),
            }),
            (None, None) => Answer::Allowed(Because::Free),
            (None, Some(remark)) => match (self.config.when_blind, sight) {
                (WhenBlind::Deny, _) => {
                    denied(Word::Blind, format!("not quarantined as last known: {remark}"))
                }
                (WhenBlind::LastKnown | WhenBlind::Allow, Sight::None) => Answer::Starting,
                (WhenBlind::LastKnown | WhenBlind::Allow, Sight::Clear | Sight::Old(_) | Sight::Partial) => {
                    Answer::Allowed(Because::Blind)
                }
            },
        }
    }

    /// Whether policy, as it is now, only observes the agent.
    fn is_observed(&self, held: &Held) -> bool {
        let (agent_type, namespace) = (held.agent_type.as_deref(), held.namespace.as_deref());
        let policy = self
            .policies
            .resolve(&held.run, &held.agent, agent_type, namespace);
        match policy.mode {
            Mode::Observe => true,
            Mode::Enforce => false,
        }
    }
}

fn denied(word: Word, reason: impl Into<String>) -> Answer {
    Answer::Denied(Denial {
        word,
        reason: reason.into(),
        held: None,
    })
}

#[cfg(test)]
mod tests;
