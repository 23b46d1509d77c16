//! The conformance suite on a SQLite file.

use immune_store::Stores;
use immune_store_sqlite::SqliteStore;

async fn fresh() -> (Stores, (SqliteStore, tempfile::TempDir)) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = SqliteStore::open(folder.path().join("immune.db"))
        .await
        .expect("a new database");
    (store.stores(), (store, folder))
}

immune_store::conformance!(vitals, fresh);
immune_store::conformance!(baselines, fresh);
immune_store::conformance!(cases, fresh);
immune_store::conformance!(healings, fresh);
immune_store::conformance!(client_records, fresh);
immune_store::conformance!(action_log, fresh);
immune_store::conformance!(notifications, fresh);
immune_store::conformance!(access, fresh);
