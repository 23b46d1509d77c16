//! Faults: a cluster of real processes on real servers, under load, with agents falling ill, while processes are
//! killed, servers restarted, connections cut, a disk filled and a certificate expires.
//!
//! `IMMUNE_SEED` replays the choices, `IMMUNE_FAULTS=disk,certificate` runs only the faults with such a word in their
//! names; `IMMUNE_FAULTS_RATE` and `IMMUNE_FAULTS_AGENTS` set the load.

mod fault;
mod table;
mod world;

use fault::Fault;
use world::World;

/// Scenario: agents execute without pause; before each fault and while it lasts some of them fall severely ill, and a
/// person approves what waits. Then the fault is mended.
/// Guarantees: after each fault every infected agent is healed and free again. In the end every infection has had
/// exactly one case and no healthy agent any; every approved case exactly one effective healing; every execution that
/// was accepted is counted once; nobody is contained without an open case, nobody was released ill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_doubled() {
    let mut world = World::start().await;
    for fault in Fault::chosen() {
        world.meet(fault).await;
    }
    world.settle().await;
    world.print();
    world.hold_accounts().await;
    world.stop().await;
}
