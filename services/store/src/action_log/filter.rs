//! Which rows to list.

use super::{LogRow, StoredRow};
use immune_domain::{AgentId, RunId, Timestamp};

/// Which rows of a run to list; what is left out matches everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogFilter {
    /// Only by this one.
    pub actor: Option<String>,
    /// Only of these kinds; empty: all.
    pub kinds: Vec<String>,
    /// Only about this agent.
    pub agent: Option<AgentId>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Not from before this time.
    pub from: Option<Timestamp>,
    /// Only from before this time.
    pub to: Option<Timestamp>,
    /// Only rows in whose kind, agent, actor or details this stands; ASCII letters match in either case.
    pub text: Option<String>,
    /// Only older than this place in the order, for paging.
    pub before: Option<u64>,
    /// At most this many; 0 means 100.
    pub limit: u32,
}

impl LogFilter {
    /// The text as it would stand in the JSON of the details: a quotation mark is escaped there.
    pub fn needle(&self) -> Option<String> {
        let text = self.text.as_ref().filter(|text| !text.is_empty())?;
        let quoted = serde_json::Value::from(text.as_str()).to_string();
        Some(quoted[1..quoted.len() - 1].to_owned())
    }

    /// [`LogFilter::needle`] as a pattern of SQL's LIKE with `\` as the escape character.
    pub fn like(&self) -> Option<String> {
        let needle = self.needle()?;
        let escaped = needle
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        Some(format!("%{escaped}%"))
    }

    /// Whether a row matches, for backends that look at each. A caller with several rows to look at makes the needle
    /// once ([`LogFilter::needle`]).
    pub(crate) fn matches(&self, run: &RunId, needle: Option<&str>, stored: &StoredRow) -> bool {
        let row = &stored.row;
        row.run == *run
            && self.before.is_none_or(|before| stored.sequence < before)
            && self.actor.as_ref().is_none_or(|actor| row.actor == *actor)
            && (self.kinds.is_empty() || self.kinds.contains(&row.kind))
            && self
                .agent
                .as_ref()
                .is_none_or(|agent| row.agent.as_ref() == Some(agent))
            && self
                .outcome
                .as_ref()
                .is_none_or(|outcome| row.outcome == *outcome)
            && self.from.is_none_or(|from| row.at >= from)
            && self.to.is_none_or(|to| row.at < to)
            && needle.is_none_or(|needle| has_text(row, needle))
    }
}

fn has_text(row: &LogRow, needle: &str) -> bool {
    let needle = needle.to_ascii_lowercase();
    let has = |text: &str| text.to_ascii_lowercase().contains(&needle);
    has(&row.kind)
        || has(&row.actor)
        || row.agent.as_ref().is_some_and(|agent| has(agent.as_str()))
        || has(&row.payload.to_string())
}
