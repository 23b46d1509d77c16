//! Removing what was received too long ago. 1.x and 2.x delete; 3.x cannot, and leaves age to the retention of its
//! database.
//!
//! InfluxDB deletes by tags and time, and the contract goes by reception. So the bulk, which lies so far back that it
//! must have been received early, is deleted as one range; only records that came late enough to be kept stand in
//! the way, and are spared series by series. What lies near the limit, or in the future of an agent whose clock is
//! ahead, no longer counts from now on ([`record::tombstone`]) and is deleted with the bulk of a later sweep.

use crate::answer::Series;
use crate::deliver;
use crate::lines::tag_text;
use crate::place::{self, GROUP};
use crate::plan::is;
use crate::record::{self, DISPLACED, SIGHTING, VITALS};
use crate::server::Server;
use crate::trouble::Trouble;
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use immune_store::error::Result;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::warn;

/// Statements in one request at most.
const STATEMENTS_MAX: usize = 200;
/// Points that are listed at once, unless more lie in one millisecond.
const POINTS_MAX: u64 = 50_000;
/// Late records that are spared one by one within a series; with more, deleting stops at the first.
const SPARED_MAX: usize = 100;
/// Lines in one request at most.
const LINES_MAX: usize = 5_000;

/// The first and the last place there can be.
const FIRST: i64 = i64::MIN + 2;
const LAST: i64 = i64::MAX - 1;

static TOLD: AtomicBool = AtomicBool::new(false);

/// Removes records received before a time; how many that still counted.
pub(crate) async fn purge(server: &Server, before: Timestamp) -> Result<u64> {
    let removed = async {
        if !server.version().await?.deletes() {
            if !TOLD.swap(true, Ordering::Relaxed) {
                warn!(
                    "InfluxDB 3 keeps vitals for as long as the retention of its database says; the sweeper cannot"
                );
            }
            return Ok(0);
        }
        let sweep = Sweep { server, before };
        let near = sweep.count(VITALS, &sweep.old(), FIRST, sweep.near_end()).await?;
        let removed = near + sweep.ahead().await?;
        sweep.bulk().await?;
        sweep.rest().await?;
        sweep.entries().await?;
        Ok(removed)
    };
    removed
        .await
        .map_err(|trouble: Trouble| trouble.while_doing("purging vitals"))
}

struct Sweep<'a> {
    server: &'a Server,
    before: Timestamp,
}

/// Whose series it is, when the statement groups by both tags.
fn key_of(series: &Series) -> Option<AgentKey> {
    let tag = |name: &str| tag_text(series.tags.get(name)?);
    Some(AgentKey::new(tag("run_id")?, tag("agent_id")?))
}

fn whose(key: &AgentKey) -> String {
    format!(
        "{} AND {}",
        is("run_id", key.run.as_str()),
        is("agent_id", key.agent.as_str())
    )
}

const BY_SERIES: &str = "GROUP BY \"run_id\", \"agent_id\"";

impl Sweep<'_> {
    /// Before this place only a late record can be young.
    fn bulk_end(&self) -> i64 {
        record::earliest_near(self.before)
    }

    /// After this place only the record of a clock that is ahead can be old.
    fn near_end(&self) -> i64 {
        record::latest_near(self.before)
    }

    fn old(&self) -> String {
        format!("\"received_at\" < {}", self.before.as_micros())
    }

    async fn ask(&self, statement: String) -> std::result::Result<Vec<Series>, Trouble> {
        Ok(self.server.query(&[statement]).await?.pop().unwrap_or_default())
    }

    async fn delete(&self, statements: &[String]) -> std::result::Result<(), Trouble> {
        for some in statements.chunks(STATEMENTS_MAX) {
            self.server.query(some).await?;
        }
        Ok(())
    }

    async fn write(&self, lines: &[String]) -> std::result::Result<(), Trouble> {
        for some in lines.chunks(LINES_MAX) {
            let refused = deliver::write(self.server, some, String::as_str).await?;
            if let Some((_, why)) = refused.into_iter().next() {
                return Err(Trouble::odd(format!("a tombstone is refused: {why}")));
            }
        }
        Ok(())
    }

    /// Cuts a range of places into ones with few enough points that count and fit a condition, and leaves out those
    /// without any.
    async fn ranges(
        &self,
        measurement: &str,
        condition: &str,
        from: i64,
        to: i64,
    ) -> std::result::Result<Vec<(i64, i64)>, Trouble> {
        let (mut ranges, mut waiting) = (Vec::new(), vec![(from, to)]);
        while let Some((from, to)) = waiting.pop() {
            let points = self.count(measurement, condition, from, to).await?;
            if points > POINTS_MAX && to.saturating_sub(from) > GROUP {
                let middle = from.midpoint(to);
                waiting.extend([(middle + 1, to), (from, middle)]);
            } else if points > 0 {
                ranges.push((from, to));
            }
        }
        Ok(ranges)
    }

    /// Points that count in a range of places.
    async fn count(
        &self,
        measurement: &str,
        condition: &str,
        from: i64,
        to: i64,
    ) -> std::result::Result<u64, Trouble> {
        let counted = format!(
            "SELECT SUM(\"live\") AS \"executions\" FROM {measurement} WHERE {condition} AND time >= {from} AND \
             time <= {to}"
        );
        let series = self.ask(counted).await?;
        let sum = series
            .iter()
            .flat_map(Series::rows)
            .find_map(|row| row.int("executions"));
        Ok(sum.map_or(0, |sum| u64::try_from(sum).unwrap_or(0)))
    }

    /// Deletes everything far enough back, but for what came late.
    async fn bulk(&self) -> std::result::Result<(), Trouble> {
        let end = self.bulk_end();
        let late = format!(
            "\"live\" = 1 AND \"received_at\" >= {} AND \"place\" < {end}",
            self.before.as_micros()
        );
        let mut spared: BTreeMap<AgentKey, Vec<i64>> = BTreeMap::new();
        let from = place::earliest(self.before);
        for range in self.ranges(DISPLACED, &late, from, LAST).await? {
            for series in &self.list("\"place\"", DISPLACED, &late, range).await? {
                let Some(key) = key_of(series) else { continue };
                let places = series.rows().filter_map(|row| row.int("place"));
                spared.entry(key).or_default().extend(places);
            }
        }
        if spared.is_empty() {
            return self
                .delete(&[format!("DELETE FROM {VITALS} WHERE time < {end}")])
                .await;
        }
        let any = format!("SELECT \"live\" FROM {VITALS} WHERE time < {end} {BY_SERIES} LIMIT 1");
        let mut statements = Vec::new();
        for key in self.ask(any).await?.iter().filter_map(key_of) {
            let whose = whose(&key);
            let mut places = spared.remove(&key).unwrap_or_default();
            places.sort_unstable();
            if places.len() > SPARED_MAX {
                places.truncate(1);
            } else {
                places.push(end);
            }
            let mut from = i64::MIN;
            for place in places {
                let after = match from {
                    i64::MIN => String::new(),
                    from => format!(" AND time > {from}"),
                };
                statements.push(format!(
                    "DELETE FROM {VITALS} WHERE {whose}{after} AND time < {place}"
                ));
                from = place;
            }
        }
        self.delete(&statements).await
    }

    async fn list(
        &self,
        columns: &str,
        measurement: &str,
        condition: &str,
        (from, to): (i64, i64),
    ) -> std::result::Result<Vec<Series>, Trouble> {
        self.ask(format!(
            "SELECT {columns} FROM {measurement} WHERE {condition} AND time >= {from} AND time <= {to} {BY_SERIES}"
        ))
        .await
    }

    /// Lets old records that were not deleted count no more.
    async fn rest(&self) -> std::result::Result<(), Trouble> {
        let old = format!("\"live\" = 1 AND {}", self.old());
        for range in self.ranges(VITALS, &old, FIRST, self.near_end()).await? {
            let series = self.list(SIGHTING, VITALS, &old, range).await?;
            let lines: Vec<String> = series.iter().flat_map(tombstones).collect();
            self.write(&lines).await?;
        }
        Ok(())
    }

    /// Lets old records of clocks that were ahead count no more; how many.
    async fn ahead(&self) -> std::result::Result<u64, Trouble> {
        let old = format!(
            "\"live\" = 1 AND {} AND \"place\" > {}",
            self.old(),
            self.near_end()
        );
        let mut removed = 0;
        let to = place::latest(self.before);
        for range in self.ranges(DISPLACED, &old, FIRST, to).await? {
            let mut statements = Vec::new();
            for series in &self.list("\"place\"", DISPLACED, &old, range).await? {
                let Some(key) = key_of(series) else { continue };
                for place in series.rows().filter_map(|row| row.int("place")) {
                    statements.push(format!(
                        "SELECT {SIGHTING} FROM {VITALS} WHERE {} AND \"live\" = 1 AND time = {place} {BY_SERIES}",
                        whose(&key)
                    ));
                }
            }
            for some in statements.chunks(STATEMENTS_MAX) {
                let answers = self.server.query(some).await?;
                let lines: Vec<String> = answers.iter().flatten().flat_map(tombstones).collect();
                removed += lines.len() as u64;
                self.write(&lines).await?;
            }
        }
        Ok(removed)
    }

    /// Removes the entries by reception.
    async fn entries(&self) -> std::result::Result<(), Trouble> {
        let end = place::earliest(self.before);
        self.delete(&[format!("DELETE FROM {DISPLACED} WHERE time < {end}")])
            .await?;
        // Those of the millisecond that the limit cuts.
        let old = format!("\"live\" = 1 AND {}", self.old());
        let cut = (end, place::latest(self.before));
        let series = self.list("\"place\"", DISPLACED, &old, cut).await?;
        let lines = series.iter().flat_map(|series| {
            let times: Vec<i64> = series.rows().filter_map(|row| row.int("time")).collect();
            key_of(series).into_iter().flat_map(move |key| {
                times
                    .clone()
                    .into_iter()
                    .map(move |at| record::displaced_tombstone(&key, at))
            })
        });
        let lines: Vec<String> = lines.collect();
        self.write(&lines).await
    }
}

/// What takes the place of the points of a series.
fn tombstones(series: &Series) -> Vec<String> {
    let Some(key) = key_of(series) else {
        return Vec::new();
    };
    let rows = series.rows().filter_map(|row| {
        let (_, known) = record::sighting(row, &key)?;
        let execution = ExecutionId::new(tag_text(row.text("execution_id")?)?);
        Some(record::tombstone(&key, &execution, &known, None))
    });
    rows.collect()
}
