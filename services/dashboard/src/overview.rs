//! The whole fleet of a run as one document, written agent by agent: it is held once, as what is sent.

use crate::app::App;
use crate::fleet::{Pages, Walk, held_by_clients};
use crate::problems::Answer;
use crate::view::brief::Brief;
use immune_domain::{AgentId, RunId};
use serde::Serialize;
use std::io::Write;
use utoipa::ToSchema;

/// Agents in the document at most.
pub(crate) const AGENTS_MAX: usize = 50_000;
/// Bytes that an agent takes, about, so that the document grows seldom.
const AGENT_BYTES: usize = 380;

/// Every agent of a run in brief.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `collect` writes for OpenAPI")]
pub struct Overview {
    /// When this was true, epoch seconds.
    at: f64,
    /// The event up to which cases are told: events after it follow.
    sequence: u64,
    /// Agents, ordered by id.
    agents: Vec<Brief>,
    /// Whether there are more agents than are listed: the first 50,000.
    truncated: bool,
    /// Agents in all.
    total: u64,
}

/// Writes the fleet of a run as JSON, see [`Overview`].
pub(crate) async fn collect(app: &App, run: &RunId) -> Answer<Vec<u8>> {
    let at = app.clock.now().as_epoch_seconds();
    let (open, suspects, held, walk) = tokio::join!(
        app.roles.open_cases(run),
        app.roles.suspects(run),
        held_by_clients(app, run),
        Walk::start(app, run, None, Pages::Brief),
    );
    let (open, mut suspects, held, mut walk) = (open?, suspects?, held?, walk?);
    let mut document = format!("{{\"at\":{at},\"sequence\":{},\"agents\":[", open.sequence).into_bytes();
    let mut count = 0;
    let mut is_truncated = false;
    while let Some(mut state) = walk.next().await? {
        if count == AGENTS_MAX {
            is_truncated = true;
            break;
        }
        let id = state
            .key
            .as_ref()
            .map(|key| key.agent_id.as_str())
            .unwrap_or_default();
        // The replica that tells the fleet speaks for those that it judges; of others it does not know it.
        if let Some(judged) = suspects.remove(id).filter(|_| !state.live) {
            (state.suspect, state.severity) = (judged.suspect, judged.severity);
            (state.telemetry, state.silent_seconds) = (judged.telemetry, judged.silent_seconds);
        }
        let id = AgentId::from(id);
        let brief = Brief::new(state, open.cases.get(&id), held.contains(&id))?;
        if count % 1_000 == 0 {
            document.reserve(1_000 * AGENT_BYTES);
        }
        if count > 0 {
            document.push(b',');
        }
        write_json(&mut document, &brief);
        count += 1;
    }
    let total = match is_truncated {
        true => app.roles.agents_total(run).await?,
        false => count as u64,
    };
    let end = write!(document, "],\"truncated\":{is_truncated},\"total\":{total}}}");
    end.expect("writing to memory does not fail");
    Ok(document)
}

/// Appends a value as JSON.
pub(crate) fn write_json(document: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(document, value)
        .expect("a view has text keys, and writing to memory does not fail");
}
