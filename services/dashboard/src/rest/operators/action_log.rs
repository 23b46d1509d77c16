//! `/api/action-log`: who did what, to what, when, why, with what outcome.

use crate::app::App;
use crate::problems::{Answer, field, stored};
use crate::rest::read::LIMIT_DEFAULT;
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::rest::store::action_log::short;
use axum::Json;
use axum::extract::State;
use immune_domain::Timestamp;
use immune_store::PAGE_MAX;
use immune_store::action_log::{LogFilter, StoredRow};
use serde_json::{Value, json};
use std::sync::Arc;

/// The most kinds that one filter names.
const KINDS_MAX: usize = 32;

/// Rows of the action log, newest first.
#[utoipa::path(get, path = "/api/action-log", tag = "operators",
    params(("actor" = Option<String>, Query, description = "Only by this subject or role"),
           ("type" = Option<String>, Query, description = "Only of this kind; several with commas between"),
           ("agent_id" = Option<String>, Query, description = "Only about this agent"),
           ("outcome" = Option<String>, Query, description = "`done` or `refused`"),
           ("from" = Option<f64>, Query, description = "Not from before, epoch seconds"),
           ("to" = Option<f64>, Query, description = "Only from before, epoch seconds"),
           ("text" = Option<String>, Query, description = "Only rows in whose kind, agent, actor or details this \
                stands; ASCII letters match in either case"),
           ("before" = Option<u64>, Query, description = "Only rows older than the one with this sequence"),
           ("limit" = Option<u32>, Query, description = "How many; default 100, at most 10,000")),
    responses((status = 200, description = "Each with sequence, type, agent_id, actor, outcome, timestamp, reason, \
        payload, chained and hash; `chained` is false for the moment until a new row has its hash",
        body = Vec<Object>)))]
pub async fn list(State(app): State<Arc<App>>, context: Context, params: Params) -> Answer<Json<Vec<Value>>> {
    let filter = filter(&params)?;
    let rows = app.action_log.list(&context.run, &filter).await.map_err(stored)?;
    Ok(Json(rows.iter().map(whole).collect()))
}

fn filter(params: &Params) -> Answer<LogFilter> {
    let kinds: Vec<String> = params
        .text("type")?
        .iter()
        .flat_map(|kinds| kinds.split(','))
        .map(|kind| kind.trim().to_owned())
        .filter(|kind| !kind.is_empty())
        .collect();
    if kinds.len() > KINDS_MAX {
        return Err(field(
            "type",
            format!("names {} kinds, the most is {KINDS_MAX}", kinds.len()),
        ));
    }
    Ok(LogFilter {
        actor: params.text("actor")?,
        kinds,
        agent: params.agent("agent_id")?,
        outcome: outcome(params)?,
        from: time(params, "from")?,
        to: time(params, "to")?,
        text: params.text("text")?,
        before: params.parsed("before", "the sequence of a row")?,
        limit: params.limit(LIMIT_DEFAULT, PAGE_MAX)?,
    })
}

fn outcome(params: &Params) -> Answer<Option<String>> {
    match params.text("outcome")?.as_deref() {
        None => Ok(None),
        Some(known @ ("done" | "refused")) => Ok(Some(known.to_owned())),
        Some(other) => Err(field("outcome", format!("is {other:?}, not `done` or `refused`"))),
    }
}

fn time(params: &Params, name: &str) -> Answer<Option<Timestamp>> {
    let Some(seconds) = params.parsed::<f64>(name, "a time in epoch seconds")? else {
        return Ok(None);
    };
    let time = Timestamp::from_epoch_seconds(seconds);
    time.map(Some)
        .ok_or_else(|| field(name, format!("is {seconds}, not a time in epoch seconds")))
}

fn whole(stored: &StoredRow) -> Value {
    let row = &stored.row;
    let mut whole = short(stored);
    whole["sequence"] = json!(stored.sequence);
    whole["actor"] = json!(row.actor);
    whole["outcome"] = json!(row.outcome);
    whole["reason"] = row.payload.get("reason").cloned().unwrap_or(Value::Null);
    whole["payload"] = row.payload.clone();
    whole["chained"] = json!(stored.hash.is_some());
    whole["hash"] = json!(stored.hash);
    whole
}
