//! The stores of vitals: PostgreSQL and InfluxDB, by the number of agents, each through our own store for it: what is
//! compared is our choice between them, and not what the servers could do. Records have no context.

use super::pinned::{cpu_seconds_of, started_on_server_core};
use super::table::{Row, Table};
use super::{Settings, smallest};
use immune_domain::AgentKey;
use immune_domain::Timestamp;
use immune_domain::vitals::Vitals;
use immune_store::VitalsStore;
use immune_store_influx::{Config, InfluxStore, Metrics, Secret};
use immune_store_postgres::{Options, PostgresStore, migrate};
use immune_test_servers::{Influx, Postgres};
use std::sync::Arc;

/// Records of one call, and of one measurement.
const BATCH: usize = 1_000;
const RECORDS: usize = 50_000;

/// Numbers of agents.
const FLEETS: [usize; 3] = [100, 10_000, 100_000];

pub async fn measure(settings: &Settings, rows: &mut Table) {
    let (postgres, influx) =
        started_on_server_core(async { tokio::join!(Postgres::start_with(&[]), Influx::start_as_shipped()) })
            .await;
    // Stores grow with every round; three are enough to see what one costs.
    let rounds = settings.rounds.min(3);
    let mut costs: [[Vec<f64>; FLEETS.len()]; 2] = Default::default();
    let mut next = 0;
    for round in 0..rounds {
        eprintln!("stores of vitals: round {} of {rounds}", round + 1);
        for (n, agents) in FLEETS.into_iter().enumerate() {
            let records: Vec<Vitals> = (0..RECORDS).map(|_| record(&mut next, agents)).collect();
            let url = postgres.database().await;
            migrate(&url).await.expect("an empty database can be migrated");
            let store = PostgresStore::open(Options::new(url)).expect("a store");
            costs[0][n].push(cost("postgres", store.vitals(), &records).await);
            store.close().await;
            let store = influx_store(&influx, &format!("fleet_{agents}")).await;
            costs[1][n].push(cost("influxd", store.vitals(), &records).await);
            store.close().await;
        }
    }
    let [ours, influx] = costs.map(|of| of.map(|costs| smallest(&costs)));
    rows.push(
        Row::new(
            "vitals in PostgreSQL, 10,000 agents",
            "CPU s of the server per million records",
            ours[1],
        )
        .beside("ours in InfluxDB", influx[1])
        .at_most_times(0.5, "ours in InfluxDB"),
    );
    rows.push(
        Row::new(
            "vitals in PostgreSQL, 100,000 agents over 100",
            "times as dear",
            ours[2] / ours[0],
        )
        .beside("100 agents", ours[0])
        .beside("100,000 agents", ours[2])
        .beside("InfluxDB at 100", influx[0])
        .beside("InfluxDB at 100,000", influx[2])
        .at_most("half as much again", 1.5),
    );
}

async fn influx_store(server: &Influx, database: &str) -> InfluxStore {
    let (user, password) = server.user();
    let config = Config {
        url: server.url(),
        database: database.to_owned(),
        user: Some(user.to_owned()),
        password: Some(Secret::new(password)),
        ..Config::default()
    };
    let store = InfluxStore::open(config, Metrics::default())
        .await
        .expect("a store");
    store.create_database().await.expect("a database can be made");
    store
}

async fn cost(server: &str, store: Arc<dyn VitalsStore>, records: &[Vitals]) -> f64 {
    let before = cpu_seconds_of(server);
    for batch in records.chunks(BATCH) {
        store.append(batch).await.expect("records are stored");
    }
    (cpu_seconds_of(server) - before) / records.len() as f64 * 1e6
}

/// A record that no other is like, of the next agent.
fn record(next: &mut usize, agents: usize) -> Vitals {
    *next += 1;
    let mut record = immune_bus::conformance::vitals("agent", *next as i64);
    record.key = AgentKey::new("default", format!("agent-{}", *next * 7_919 % agents));
    record.received_at = Timestamp::from_micros(1_795_000_000_000_000 + *next as i64 * 500);
    record.timestamp = record.received_at;
    record.started_at = Timestamp::from_micros(record.timestamp.as_micros() - 900_000);
    record
}
