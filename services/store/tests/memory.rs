//! The conformance suite on the in-memory stores.

use immune_store::{Stores, memory};

async fn fresh() -> (Stores, ()) {
    (memory::stores(), ())
}

immune_store::conformance!(vitals, fresh);
immune_store::conformance!(baselines, fresh);
immune_store::conformance!(cases, fresh);
immune_store::conformance!(healings, fresh);
immune_store::conformance!(client_records, fresh);
immune_store::conformance!(action_log, fresh);
