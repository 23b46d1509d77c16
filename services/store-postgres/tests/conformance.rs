//! The conformance suite on a PostgreSQL server.

use immune_store::Stores;
use immune_store_postgres::{Options, PostgresStore, migrate};
use immune_test_servers::Postgres;

async fn fresh() -> (Stores, PostgresStore) {
    let url = Postgres::shared().await.database().await;
    migrate(&url).await.expect("a new database");
    let store = PostgresStore::open(Options::new(url)).expect("a good URL");
    (store.stores(), store)
}

immune_store::conformance!(vitals, fresh);
immune_store::conformance!(baselines, fresh);
immune_store::conformance!(cases, fresh);
immune_store::conformance!(healings, fresh);
immune_store::conformance!(client_records, fresh);
immune_store::conformance!(action_log, fresh);
immune_store::conformance!(notifications, fresh);
immune_store::conformance!(access, fresh);
