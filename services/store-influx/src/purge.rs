//! Removing what was received too long ago. 1.x and 2.x delete; 3.x cannot, and leaves age to the retention of its
//! database.
//!
//! Deleting goes by tags and time only, and the contract goes by reception. So series by series: where everything up
//! to a time was received early enough, that range goes in one statement; what lies between younger records goes
//! point by point; and what lies far from its reception is found by [`DISPLACED`].

use crate::answer::Series;
use crate::lines::tag_text;
use crate::place;
use crate::plan::is;
use crate::record::{self, DISPLACED, VITALS};
use crate::server::Server;
use crate::trouble::Trouble;
use immune_domain::Timestamp;
use immune_store::error::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::warn;

/// Statements in one request at most.
const STATEMENTS_MAX: usize = 200;
/// Points that are listed at once.
const POINTS_MAX: usize = 10_000;

static TOLD: AtomicBool = AtomicBool::new(false);

pub(crate) async fn purge(server: &Server, before: Timestamp) -> Result<u64> {
    let removed = async {
        if !server.version().await?.deletes() {
            if !TOLD.swap(true, Ordering::Relaxed) {
                warn!("InfluxDB 3 keeps vitals for as long as the retention of its database says; the sweeper cannot");
            }
            return Ok(0);
        }
        let near = near(server, before).await?;
        Ok(near + displaced(server, before).await?)
    };
    removed.await.map_err(|trouble: Trouble| trouble.while_doing("purging vitals"))
}

/// A series by its tags, as a condition.
fn series_is(series: &Series) -> Option<String> {
    let tag = |name: &str| Some(is(name, &tag_text(series.tags.get(name)?)?));
    Some(format!("{} AND {}", tag("run_id")?, tag("agent_id")?))
}

/// Removes the records whose own time is near their reception, or before it.
async fn near(server: &Server, before: Timestamp) -> std::result::Result<u64, Trouble> {
    let end = record::latest_near(before);
    let old = format!("\"received_at\" < {}", before.as_micros());
    let counted = format!(
        "SELECT SUM(\"live\") AS \"executions\" FROM {VITALS} WHERE {old} AND time <= {end} GROUP BY \"run_id\", \
         \"agent_id\""
    );
    let answers = server.query(&[counted]).await?;
    let mut removed = 0;
    for series in answers.iter().flatten() {
        let Some(whose) = series_is(series) else { continue };
        let live = series.rows().next().and_then(|row| row.int("executions")).unwrap_or(0);
        removed += u64::try_from(live).unwrap_or(0);
        let young = format!(
            "SELECT \"received_at\" FROM {VITALS} WHERE {whose} AND \"received_at\" >= {} AND time <= {end} \
             ORDER BY time LIMIT 1",
            before.as_micros()
        );
        let young = server.query(&[young]).await?;
        let young = young.iter().flatten().flat_map(Series::rows).find_map(|row| row.int("time"));
        let Some(young) = young else {
            delete(server, vec![format!("DELETE FROM {VITALS} WHERE {whose} AND time <= {end}")]).await?;
            continue;
        };
        delete(server, vec![format!("DELETE FROM {VITALS} WHERE {whose} AND time < {young}")]).await?;
        loop {
            let between = format!(
                "SELECT \"received_at\" FROM {VITALS} WHERE {whose} AND {old} AND time <= {end} LIMIT {POINTS_MAX}"
            );
            let between = times(&server.query(&[between]).await?);
            let count = between.len();
            delete(server, points(VITALS, &whose, between)).await?;
            if count < POINTS_MAX {
                break;
            }
        }
    }
    Ok(removed)
}

/// Removes the records of clocks that were ahead, and the entries by reception.
async fn displaced(server: &Server, before: Timestamp) -> std::result::Result<u64, Trouble> {
    let end = place::latest(before);
    let near_end = record::latest_near(before);
    let entries = format!(
        "SELECT \"place\", \"live\", \"received_at\" FROM {DISPLACED} WHERE time <= {end} GROUP BY \"run_id\", \"agent_id\""
    );
    let answers = server.query(&[entries]).await?;
    let mut removed = 0;
    for series in answers.iter().flatten() {
        let Some(whose) = series_is(series) else { continue };
        let (mut records, mut entries) = (Vec::new(), Vec::new());
        for row in series.rows() {
            let Some(time) = row.int("time") else { continue };
            let is_live = row.int("live") == Some(1);
            if is_live && row.int("received_at").is_some_and(|at| at >= before.as_micros()) {
                continue;
            }
            entries.push(time);
            // Those before are gone already.
            if let Some(place) = row.int("place").filter(|place| is_live && *place > near_end) {
                records.push(place);
            }
        }
        removed += records.len() as u64;
        delete(server, points(VITALS, &whose, records)).await?;
        delete(server, points(DISPLACED, &whose, entries)).await?;
    }
    Ok(removed)
}

fn times(answers: &[Vec<Series>]) -> Vec<i64> {
    let rows = answers.iter().flatten().flat_map(Series::rows);
    rows.filter_map(|row| row.int("time")).collect()
}

fn points(measurement: &str, whose: &str, times: Vec<i64>) -> Vec<String> {
    times
        .into_iter()
        .map(|time| format!("DELETE FROM {measurement} WHERE {whose} AND time = {time}"))
        .collect()
}

async fn delete(server: &Server, statements: Vec<String>) -> std::result::Result<(), Trouble> {
    for some in statements.chunks(STATEMENTS_MAX) {
        server.query(some).await?;
    }
    Ok(())
}
