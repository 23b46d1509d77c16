//! The conformance suite on a real InfluxDB 1.x.

mod world;

use immune_store::Stores;
use world::World;

async fn fresh() -> (Stores, World) {
    let world = World::new().await;
    let stores = Stores {
        vitals: world.store().vitals(),
        ..immune_store::memory::stores()
    };
    (stores, world)
}

immune_store::conformance!(vitals, fresh);
