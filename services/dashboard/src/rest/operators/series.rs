//! `/api/agents/{agent_id}/series`: an agent's vitals over time, in as many steps as a chart has room for, with all
//! that is marked on the same axis.

use crate::app::App;
use crate::bands;
use crate::problems::{Answer, field, no_agent, stored};
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::rest::read::path::AgentPath;
use crate::roles::CaseQuery;
use crate::view::series::{Anomaly, CaseSpan, Series, changes_between, changes_of, point};
use crate::view::vitals::VitalsView;
use axum::Json;
use axum::extract::State;
use immune_domain::Timestamp;
use immune_store::client_records::RecordKind;
use std::sync::Arc;
use std::time::Duration;

/// Steps when the caller names no number, and at most.
const BUCKETS_DEFAULT: u32 = 120;
const BUCKETS_MAX: u32 = 500;
/// Executions that are shown one by one.
const RAW_MAX: u32 = 500;
/// Cases of the agent that are looked at.
const CASES_MAX: u32 = 200;
/// The longest stretch of time: a year and a day.
const STRETCH_MAX: Duration = Duration::from_secs(366 * 86_400);
/// The stretch when the caller names no beginning.
const STRETCH_DEFAULT: Duration = Duration::from_secs(3_600);
/// Lengths of a step that people read easily, milliseconds.
const WIDTHS: [u64; 20] = [
    100,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    21_600_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

/// A stretch of time in steps.
struct Steps {
    from: Timestamp,
    to: Timestamp,
    width: Duration,
}

/// An agent's vitals over time.
#[utoipa::path(get, path = "/api/agents/{agent_id}/series", tag = "operators",
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded"),
           ("from" = Option<f64>, Query, description = "Beginning, epoch seconds; default an hour before the end"),
           ("to" = Option<f64>, Query, description = "End, epoch seconds; default now"),
           ("buckets" = Option<u32>, Query, description = "Steps at most; default 120, at most 500")),
    responses((status = 200, description = "Its vitals, its cases, its changes and what is normal", body = Series),
              (status = 404, description = "Nobody has seen or registered it")))]
pub async fn get(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
    AgentPath(agent): AgentPath,
) -> Answer<Json<Series>> {
    let steps = steps(&app, &params)?;
    let key = context.agent(agent);
    let of_agent = CaseQuery {
        agent: Some(key.agent.clone()),
        limit: CASES_MAX,
        ..CaseQuery::default()
    };
    let (buckets, raw, latest, profile, cases) = tokio::join!(
        app.vitals.buckets(&key, steps.from, steps.to, steps.width),
        app.vitals.between(&key, steps.from, steps.to, RAW_MAX + 1),
        app.vitals.latest(&key),
        app.roles.profile(&key),
        app.roles.cases(&key.run, of_agent),
    );
    let (buckets, raw, latest) = (
        buckets.map_err(stored)?,
        raw.map_err(stored)?,
        latest.map_err(stored)?,
    );
    if latest.is_none() {
        let registered = app.client_records.latest(&key, RecordKind::Registration).await;
        if registered.map_err(stored)?.is_none() {
            return Err(no_agent(&key.agent));
        }
    }
    let around = latest.as_ref().map(|latest| &latest.context);
    let threshold = app.bands.threshold(
        &key,
        around.and_then(|around| around.agent_type.as_deref()),
        around.and_then(|around| around.namespace()),
    );
    let overlaps = |span: &CaseSpan| span.overlaps(steps.from, steps.to);
    let cases = cases?;
    let is_raw = raw.len() <= RAW_MAX as usize;
    let changes = match is_raw {
        true => changes_of(&raw),
        false => changes_between(&buckets.buckets),
    };
    Ok(Json(Series {
        from: steps.from.as_epoch_seconds(),
        to: steps.to.as_epoch_seconds(),
        bucket_seconds: steps.width.as_secs_f64(),
        points: buckets.buckets.iter().map(point).collect(),
        truncated: buckets.is_truncated,
        executions: match is_raw {
            true => raw.into_iter().map(VitalsView::from).collect(),
            false => Vec::new(),
        },
        // What is normal is an addition: the lines are worth more than nothing without it.
        band: profile
            .ok()
            .flatten()
            .as_ref()
            .map(|profile| bands::all(profile, threshold))
            .unwrap_or_default(),
        threshold_stddev: threshold,
        anomalies: cases
            .iter()
            .flat_map(|case| Anomaly::of(case, steps.from, steps.to))
            .collect(),
        cases: cases.iter().map(CaseSpan::of).filter(overlaps).collect(),
        changes,
    }))
}

/// The stretch that is asked for; it begins where a step begins, so that steps stay where they are as time goes by.
fn steps(app: &App, params: &Params) -> Answer<Steps> {
    let time = |name: &str| -> Answer<Option<Timestamp>> {
        let Some(seconds) = params.parsed::<f64>(name, "epoch seconds")? else {
            return Ok(None);
        };
        let time = Timestamp::from_epoch_seconds(seconds);
        time.map(Some)
            .ok_or_else(|| field(name, format!("is {seconds}, not epoch seconds")))
    };
    let to = time("to")?.unwrap_or_else(|| app.clock.now());
    let from = time("from")?.unwrap_or_else(|| to.minus(STRETCH_DEFAULT));
    if to <= from {
        return Err(field("from", "is not before the end"));
    }
    let stretch = to.since(from);
    if stretch > STRETCH_MAX {
        let days = STRETCH_MAX.as_secs() / 86_400;
        return Err(field("from", format!("is more than {days} days before the end")));
    }
    let buckets = match params.parsed::<u32>("buckets", "an integer of at least 1")? {
        None => BUCKETS_DEFAULT,
        Some(0) => return Err(field("buckets", "is 0, not an integer of at least 1")),
        Some(buckets) => buckets.min(BUCKETS_MAX),
    };
    let least = (stretch / buckets).as_millis();
    let width = WIDTHS.into_iter().find(|width| u128::from(*width) >= least);
    // One that is longer than all of them is a few of the longest.
    let longest = WIDTHS[WIDTHS.len() - 1];
    let width = width.unwrap_or_else(|| {
        let times = least.div_ceil(u128::from(longest));
        u64::try_from(times).unwrap_or(u64::MAX).saturating_mul(longest)
    });
    let width_micros = i64::try_from(width.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let begin = from
        .as_micros()
        .div_euclid(width_micros)
        .saturating_mul(width_micros);
    Ok(Steps {
        from: Timestamp::from_micros(begin),
        to,
        width: Duration::from_millis(width),
    })
}
