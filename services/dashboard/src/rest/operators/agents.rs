//! `/api/agents`: the fleet, and one agent in full.

use crate::app::App;
use crate::approvals;
use crate::bands;
use crate::fleet::{self, Filter};
use crate::healings;
use crate::problems::{Answer, field, no_agent, stored};
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::rest::read::path::AgentPath;
use crate::roles::CaseQuery;
use crate::view::agent::{AgentView, Beside, MemoryView, WholeAgent};
use crate::view::case::CaseView;
use crate::view::vitals::VitalsView;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use immune_domain::Timestamp;
use std::sync::Arc;

/// Agents on a page when the caller names no number; scripts of the original expect all.
const PAGE_DEFAULT: u32 = 1_000;
/// Agents on a page at most.
const PAGE_MAX: u32 = 10_000;
/// Executions, cases, healings and memories shown of one agent.
const SHOWN: u32 = 100;

/// Agents of the run, ordered by id.
#[utoipa::path(get, path = "/api/agents", tag = "operators",
    params(("after" = Option<String>, Query, description = "The page begins after this id"),
           ("limit" = Option<u32>, Query, description = "How many; default 1,000, at most 10,000"),
           ("status" = Option<String>, Query, description = "Only `healthy` (and heard), `infected`, `quarantined`, `suspect`, `silent` or `gone` ones"),
           ("q" = Option<String>, Query, description = "Only with this text in id, type or model")),
    responses((status = 200, description = "Agents; `X-Total-Count` says how many match (absent when there are too \
        many to look at each), `X-Next-After` where the next page begins", body = Vec<AgentView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<impl IntoResponse> {
    let after = params.agent("after")?;
    let limit = params.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let status = params.text("status")?;
    if let Some(status) = &status {
        let known = ["healthy", "infected", "quarantined", "suspect", "silent", "gone"];
        if !known.contains(&status.as_str()) {
            return Err(field(
                "status",
                format!("is {status:?}, not one of {}", known.join(", ")),
            ));
        }
    }
    let filter = Filter {
        status,
        text: params.text("q")?.map(|text| text.to_lowercase()),
    };
    let page = fleet::page(&app, &context.run, after.as_ref(), limit, &filter).await?;
    let mut headers = HeaderMap::new();
    if let Some(total) = page.total {
        headers.insert("x-total-count", HeaderValue::from(total));
    }
    if let Some(last) = page.agents.last().filter(|_| page.has_more) {
        // Ids of any script: the bytes go as they are, and are read back as UTF-8.
        if let Ok(next) = HeaderValue::from_bytes(last.id.as_bytes()) {
            headers.insert("x-next-after", next);
        }
    }
    Ok((headers, Json(page.agents)))
}

/// One agent: its latest executions beside its baseline, its cases, its healings and its memory.
#[utoipa::path(get, path = "/api/agents/{agent_id}", tag = "operators",
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "The agent", body = WholeAgent),
              (status = 404, description = "Nobody has seen or registered it")))]
pub async fn get(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
) -> Answer<Json<WholeAgent>> {
    let key = context.agent(agent);
    let Some(state) = fleet::find(&app, &key).await? else {
        return Err(no_agent(&key.agent));
    };
    let cases = CaseQuery {
        agent: Some(key.agent.clone()),
        limit: SHOWN,
        ..CaseQuery::default()
    };
    let (vitals, profile, cases, healings, memory, approval, held) = tokio::join!(
        app.vitals.recent(&key, Timestamp::EPOCH, SHOWN),
        app.roles.profile(&key),
        app.roles.cases(&key.run, cases),
        healings::recent(&app, &key.run, Some(&key.agent), None, SHOWN),
        app.roles.memories(&key.run, Some(&key.agent), "", SHOWN),
        approvals::latest(&app, &key),
        fleet::held_by_clients(&app, &key.run),
    );
    let (vitals, cases, approval) = (vitals.map_err(stored)?, cases?, approval?);
    let around = vitals.last().map(|latest| &latest.context);
    let (kind, namespace) = (
        around.and_then(|a| a.agent_type.as_deref()),
        around.and_then(|a| a.namespace()),
    );
    let threshold = app.bands.threshold(&key, kind, namespace);
    let beside = Beside {
        case: cases.iter().find(|case| !case.state.is_closed()),
        decision: approval.as_ref().map(|approval| approval.decision.as_str()),
        held_by_client: held?.contains(&key.agent),
    };
    Ok(Json(WholeAgent {
        agent: AgentView::new(state, beside)?,
        vitals: vitals.into_iter().map(VitalsView::from).collect(),
        band: profile?
            .as_ref()
            .map(|profile| bands::all(profile, threshold))
            .unwrap_or_default(),
        threshold_stddev: threshold,
        cases: cases.iter().map(CaseView::from).collect(),
        healings: healings?,
        memory: memory?.iter().map(MemoryView::from).collect(),
    }))
}
