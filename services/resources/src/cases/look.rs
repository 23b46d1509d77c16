//! What the one who leads reads of the store besides the cases: events to tell, and cases of objects that nobody wants.

use super::events::{News, Waiting};
use super::mirror::{Office, within};
use super::view::View;
use immune_domain::CaseId;
use immune_store::error::Result;
use std::collections::HashSet;

/// Events read at a time.
const PAGE: u32 = 500;
/// Pages of events read per look; what is left is read at the next.
const PAGES_MAX: usize = 20;
/// Objects without a known case that are looked up at a time.
const STRAYS_MAX: usize = 500;

/// Reads events after `seen` and adds what is to be told; returns the last one read, and whether there may be more.
pub(crate) async fn news(
    office: &Office,
    view: &View,
    seen: u64,
    waiting: &mut Waiting,
) -> Result<(u64, bool)> {
    let mut seen = seen;
    if view.take_anew() {
        // A store that was restored from a copy has fewer events than were seen.
        seen = seen.min(within(office.cases.last_event()).await?);
    }
    for _ in 0..PAGES_MAX {
        let events = within(office.cases.events_after(seen, PAGE)).await?;
        let dropped = waiting.add(events.iter().filter_map(News::of));
        office.metrics.told("dropped", dropped);
        if let Some(last) = events.last() {
            seen = last.sequence;
        }
        if events.len() < PAGE as usize {
            office
                .metrics
                .told("dropped", waiting.forget_old(office.timestamp()));
            return Ok((seen, false));
        }
    }
    Ok((seen, true))
}

/// Finds the cases of objects that nobody wants: those that are there are shown, objects of the others are removed.
pub(crate) async fn strays(office: &Office, view: &View) -> Result<()> {
    let strays = view.table().strays(STRAYS_MAX);
    if strays.is_empty() || !view.was_whole() {
        return Ok(());
    }
    let ids: HashSet<CaseId> = strays.iter().map(|(_, case)| case.clone()).collect();
    let ids: Vec<CaseId> = ids.into_iter().collect();
    let cases = within(office.cases.cases(&ids)).await?;
    let mut table = view.table();
    for case in &cases {
        table.want(case, office.timestamp());
    }
    for (place, case) in strays {
        // One that shows its case in its place is wanted by now, and stays.
        tracing::debug!(%case, %place, "an AgentCase of which it was not known whether there is a case");
        table.condemn(place);
    }
    Ok(())
}
