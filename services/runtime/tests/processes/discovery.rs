//! Replicas that come and go behind a name.

use super::fake::{Replica, client, connected, get, quick, until};
use immune_runtime::access::RoleName;
use immune_runtime::grpc::{ClientSecurity, Names, Peers, Target};
use immune_runtime::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// A name server that says what it is told.
struct Told(Mutex<Result<Vec<SocketAddr>, String>>);

#[async_trait::async_trait]
impl Names for Told {
    async fn look_up(&self, host: &str, _: u16) -> Result<Vec<SocketAddr>, String> {
        assert_eq!(host, "immune-baseline");
        self.0.lock().unwrap().clone()
    }
}

impl Default for Told {
    fn default() -> Self {
        Told(Mutex::new(Ok(Vec::new())))
    }
}

impl Told {
    fn say(&self, what: Result<Vec<SocketAddr>, String>) {
        *self.0.lock().unwrap() = what;
    }
}

fn resolve(names: Arc<Told>) -> Peers {
    let target = Target::parse(RoleName::Baseline, "immune-baseline:50052").unwrap();
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    Peers::resolve_by(names, &target, ClientSecurity::Stranger, &quick(), &metrics, stop)
}

/// Scenario: a name stands for one replica, then two, then the other alone; then the name server is away.
/// Guarantees: calls follow the list, `each` shows it with names, and an outage of the name server removes nobody.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_follows_the_name() {
    let (a, b) = (Replica::start(), Replica::start());
    let names = Arc::new(Told::default());
    let peers = resolve(names.clone());
    assert!(peers.problem().unwrap().contains("immune-baseline:50052"));

    names.say(Ok(vec![a.address]));
    connected(&peers, 1).await;
    let address = peers.each().borrow()[0].address.clone();
    assert_eq!(&*address, format!("{} (immune-baseline)", a.address));
    get(&client(&peers)).await.unwrap();

    let mut each = peers.each();
    each.mark_unchanged();
    names.say(Ok(vec![a.address, b.address]));
    each.changed().await.unwrap();
    connected(&peers, 2).await;

    names.say(Ok(vec![b.address]));
    connected(&peers, 1).await;
    let before = a.fake.calls();
    for _ in 0..20 {
        get(&client(&peers)).await.unwrap();
    }
    assert_eq!(a.fake.calls(), before, "who is gone gets no calls");

    names.say(Err("the name server is away".to_owned()));
    let looked = b.fake.calls();
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        get(&client(&peers)).await.unwrap();
    }
    assert_eq!(b.fake.calls(), looked + 20);
}

/// Scenario: a replica is killed and its successor has another address, as in a cluster.
/// Guarantees: the name is looked up at once, long before its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_replica_is_looked_up_at_once() {
    let mut a = Replica::start();
    let b = Replica::start();
    let names = Arc::new(Told::default());
    names.say(Ok(vec![a.address]));
    let target = Target::parse(RoleName::Baseline, "immune-baseline:50052").unwrap();
    let options = immune_runtime::grpc::Options {
        resolve_ms: 3_600_000,
        ..quick()
    };
    let peers = Peers::resolve_by(
        names.clone(),
        &target,
        ClientSecurity::Stranger,
        &options,
        &Metrics::default(),
        CancellationToken::new(),
    );
    connected(&peers, 1).await;
    names.say(Ok(vec![b.address]));
    a.kill();
    until("the successor is called", async || {
        get(&client(&peers)).await.is_ok() && b.fake.calls() > 0
    })
    .await;
}
