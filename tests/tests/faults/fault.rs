//! The faults, and how each is done and mended.

use crate::world::World;
use immune_tests::proxy::Line;
use std::time::Duration;

/// How long a fault that lasts does so.
const LASTS: Duration = Duration::from_secs(4);
/// How long certificates are looked at again, with a margin.
const RELOADED: Duration = Duration::from_secs(7);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the first replica of a role, and a start anew.
    Kill(&'static str),
    /// SIGTERM of the first replica of a role: it drains, and its others take over; then it starts anew.
    Leave(&'static str),
    /// SIGKILL of PostgreSQL, and a start anew.
    Postgres,
    /// SIGKILL of Redis, which keeps an append-only file, and a start anew.
    Redis,
    /// SIGKILL of InfluxDB, and a start anew.
    Influx,
    /// Every connection to PostgreSQL is cut, and new ones refused.
    CutPostgres,
    /// Everything from and to PostgreSQL takes longer.
    SlowPostgres,
    /// Connections to Redis stay and nothing passes.
    SilentRedis,
    /// Every connection to InfluxDB is cut, and new ones refused.
    CutInflux,
    /// InfluxDB's writes fail, because its disk is full.
    FullDisk,
    /// The certificate of quarantine ends, and healers have to connect anew.
    ExpiredCertificate,
}

impl Fault {
    /// Every fault, in the order of the run.
    pub const ALL: [Fault; 18] = [
        Fault::Kill("ingestion"),
        Fault::Kill("baseline"),
        Fault::Kill("sentinel"),
        Fault::Kill("quarantine"),
        Fault::Kill("healer"),
        Fault::Kill("dashboard"),
        Fault::Leave("sentinel"),
        Fault::Leave("baseline"),
        Fault::Leave("quarantine"),
        Fault::Postgres,
        Fault::Redis,
        Fault::Influx,
        Fault::CutPostgres,
        Fault::SlowPostgres,
        Fault::SilentRedis,
        Fault::CutInflux,
        Fault::FullDisk,
        Fault::ExpiredCertificate,
    ];

    /// The faults of this run: all, or those whose names have a word of `IMMUNE_FAULTS` (separated by commas).
    pub fn chosen() -> Vec<Fault> {
        let words = std::env::var("IMMUNE_FAULTS").unwrap_or_default();
        let words: Vec<&str> = words.split(',').map(str::trim).collect();
        let is_chosen = |fault: &Fault| words.iter().any(|word| fault.name().contains(word));
        Fault::ALL.into_iter().filter(is_chosen).collect()
    }

    /// What the table calls it.
    pub fn name(self) -> String {
        match self {
            Fault::Kill(role) => format!("kill -9 {role}"),
            Fault::Leave(role) => format!("{role} leaves and comes back"),
            Fault::Postgres => "kill -9 PostgreSQL".to_owned(),
            Fault::Redis => "kill -9 Redis".to_owned(),
            Fault::Influx => "kill -9 InfluxDB".to_owned(),
            Fault::CutPostgres => "connections to PostgreSQL cut".to_owned(),
            Fault::SlowPostgres => "PostgreSQL slow (100 ms)".to_owned(),
            Fault::SilentRedis => "Redis silent".to_owned(),
            Fault::CutInflux => "connections to InfluxDB cut".to_owned(),
            Fault::FullDisk => "InfluxDB's disk full".to_owned(),
            Fault::ExpiredCertificate => "quarantine's certificate expired".to_owned(),
        }
    }

    /// Does it, lets agents fall ill meanwhile, and mends it.
    pub async fn happen(self, world: &mut World) {
        match self {
            Fault::Kill(role) => {
                let place = world.cluster.place(role, 0);
                world.cluster.nodes[place].kill();
                world.infect_some();
                tokio::time::sleep(LASTS / 2).await;
                world.cluster.nodes[place].start();
                world.cluster.node_ready(place).await;
            }
            Fault::Leave(role) => {
                let place = world.cluster.place(role, 0);
                world.cluster.nodes[place].terminate();
                world.infect_some();
                world.drained(place).await;
                world.cluster.nodes[place].start();
                world.cluster.node_ready(place).await;
            }
            Fault::Postgres => {
                world.servers().postgres.kill().await;
                world.last(LASTS).await;
                world.servers().postgres.start_again().await;
            }
            Fault::Redis => {
                world.servers().redis.kill().await;
                world.last(LASTS).await;
                world.servers().redis.start_again().await;
            }
            Fault::Influx => {
                world.servers().influx.kill().await;
                world.last(LASTS).await;
                world.servers().influx.start_again().await;
            }
            Fault::CutPostgres => world.line(0, Line::Cut, LASTS).await,
            Fault::SlowPostgres => {
                world
                    .line(0, Line::Slow(Duration::from_millis(100)), LASTS * 2)
                    .await
            }
            Fault::SilentRedis => world.line(1, Line::Silent, LASTS).await,
            Fault::CutInflux => world.line(2, Line::Cut, LASTS).await,
            Fault::FullDisk => {
                world.servers().influx.fill_disk(true).await;
                world.last(LASTS).await;
                // InfluxDB 1.x goes on failing once a write to its log has failed; an operator starts it anew.
                world.servers().influx.fill_disk(false).await;
                world.servers().influx.kill().await;
                world.servers().influx.start_again().await;
            }
            Fault::ExpiredCertificate => {
                world.certificate("quarantine", -60);
                // Healers connect anew when their own certificate changes, and then see that this one has ended.
                world.certificate("healer", 86_400);
                world.last(RELOADED).await;
                world.certificate("quarantine", 86_400);
            }
        }
    }
}
