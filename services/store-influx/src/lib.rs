//! Vitals in InfluxDB 1.x, 2.x or 3.x: the vitals store of a cluster, and a mirror of what happens beside them.
//!
//! Written with line protocol, read with InfluxQL over `/query`, which all three generations have. Workflow state
//! never lives here.
//!
//! # How a record is stored
//!
//! One point of `agent_vitals` with the tags `run_id` and `agent_id` and nothing else, so that there are as many
//! series as agents; ids of executions and traces, models and all numbers are fields. The point's time is the record's
//! with a hash of the execution below it (`place.rs`), so a correction lands on what it corrects; where it moves in
//! time, the old point stays with `live=0`. A retraction is `live=0` too, which needs no deleting and so works in 3.x.
//! Whatever counts has `live=1`, and a count is a sum.
//!
//! A lower or equal revision changes nothing: recent revisions are remembered (`recall.rs`); what is not remembered is
//! looked up, one request per batch (`plan.rs`). What a process remembers it does not look up, so two processes that
//! correct the same execution in turn can leave two points that count: readers then take the later revision, sums
//! count both. Ingestion replicas avoid that, as the spans of a trace reach one of them.
//!
//! Records whose own time is more than a minute from their reception (late telemetry, wrong clocks) have an entry in
//! `agent_vitals_displaced` too, so that nothing has to read all of an agent to know what was received lately.
//!
//! # What "stored" means
//!
//! [`append`](immune_store::VitalsStore::append) returns when InfluxDB has said 204, or when the batch is synced to
//! the spill folder (`spill.rs`) because InfluxDB is away; with both unavailable it is refused as unavailable. The
//! spill is brought over in its order, across restarts; until then readers do not see it.
//!
//! # What InfluxDB cannot do
//!
//! - Purging by reception deletes on 1.x and 2.x; the last minute before the limit stops counting at once and is
//!   deleted by the next purge. 3.x cannot delete points: set the retention of the database; the sweeper removes
//!   nothing there, and says so once.
//! - After a purge, `first_received_at` of an agent is that of the first record that is left, where other stores keep
//!   that of the first ever.
//! - InfluxDB 1.6.7 itself may lose what it acknowledged: after a crash in the middle of a write it cuts the torn
//!   end off its log, goes on writing behind the gap, and stops reading at the gap after the next restart. A small
//!   `cache-snapshot-memory-size` in its configuration (64 KiB) closes the log soon enough.
//! - An agent has room for 1,000 executions in one microsecond (1,000,000 in a whole millisecond); more are refused.
//! - Counts read the one field `live` of every record of an agent or run (about ten million a second on one core).
//! - A record older than the retention policy of the database is accepted and dropped, as the sweeper would.
//!
//! To add a field: `record.rs`, with a bit of `known` if it may be unknown. To add a mirrored measurement:
//! `mirror/points.rs`.

mod answer;
mod config;
mod deliver;
mod lines;
mod metrics;
mod mirror;
mod op;
mod place;
mod plan;
mod purge;
mod reads;
mod recall;
mod record;
mod secret;
mod server;
mod spill;
mod store;
mod trouble;
mod version;
mod writer;

pub use config::Config;
pub use metrics::Metrics;
pub use secret::Secret;
pub use store::{InfluxStore, OpenError};
pub use version::Version;
