//! What happened to a case, in order.

use super::Case;
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// The most entries a timeline keeps. Beyond it, the oldest entry that has a later one of its kind is folded into
/// that one's count.
pub const TIMELINE_MAX: usize = 200;

/// The longest text kept of what a lever, a verification or a person said, bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Machine word (`opened`, `approved`, `healing_started`, `lever_confirmed`, `breached`, ...).
    pub kind: String,
    /// Who caused it: a person's subject, or a role's name.
    pub actor: String,
    /// One sentence for people.
    pub text: String,
    /// How many times it happened in a row.
    pub count: u32,
}

/// Adds an entry; one that repeats the last entry's kind and actor of a repetitive kind is counted there.
pub(super) fn add(case: &mut Case, entry: Entry) {
    if let Some(last) = case.timeline.last_mut()
        && is_repetitive(&entry.kind)
        && last.kind == entry.kind
        && last.actor == entry.actor
    {
        last.at = entry.at;
        last.text = entry.text;
        last.count = last.count.saturating_add(1);
        return;
    }
    if case.timeline.len() >= TIMELINE_MAX {
        fold_oldest_repeat(&mut case.timeline);
    }
    case.timeline.push(entry);
}

/// Kinds that a broken lever or a lively agent produces without end.
fn is_repetitive(kind: &str) -> bool {
    matches!(
        kind,
        "reported_again" | "breached" | "lever_failed" | "lever_unknown" | "escalated"
    )
}

fn fold_oldest_repeat(timeline: &mut Vec<Entry>) {
    // The first entry tells how the case began and stays. There are far fewer kinds than entries, so a repeat exists.
    let repeat = (1..timeline.len()).find_map(|i| {
        let later = (i + 1..timeline.len()).find(|&j| timeline[j].kind == timeline[i].kind)?;
        Some((i, later))
    });
    if let Some((oldest, later)) = repeat {
        timeline[later].count = timeline[later].count.saturating_add(timeline[oldest].count);
        timeline.remove(oldest);
    }
}

/// The text, cut at [`TEXT_BYTES_MAX`].
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let cut = (0..=TEXT_BYTES_MAX - 3)
            .rev()
            .find(|&i| text.is_char_boundary(i))
            .unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}
