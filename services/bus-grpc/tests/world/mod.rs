//! A consumer behind a real socket that can be killed and started again, and publishers to it.
#![allow(dead_code, reason = "each test file uses its own part")]

use futures::StreamExt;
use immune_bus::conformance::vitals;
use immune_bus::{Arrival, Batch, Begin, Consumer, Delivery, Record};
use immune_bus_grpc::{Config, GrpcConsumer, GrpcPublisher, Metrics, server};
use immune_runtime::grpc::{Peer, RoleChannel};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, event)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Short waits and small limits.
pub fn config() -> Config {
    Config {
        publish_seconds_max: 1,
        ..Config::default()
    }
}

/// Serves a service of gRPC on an address, in a runtime of its own: shutting that down is what kill -9 is to the
/// other side.
pub struct Served {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    pub fn start<F>(address: SocketAddr, serve: impl FnOnce(tokio::net::TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (address, serving) = {
            let _context = runtime.enter();
            let socket = match address.is_ipv4() {
                true => tokio::net::TcpSocket::new_v4().unwrap(),
                false => tokio::net::TcpSocket::new_v6().unwrap(),
            };
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            let listener = socket.listen(64).unwrap();
            (listener.local_addr().unwrap(), serve(listener))
        };
        runtime.spawn(serving);
        Served {
            address,
            runtime: Some(runtime),
        }
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // In a thread, since it waits, for the port to be free again.
            let ending = std::thread::spawn(|| runtime.shutdown_timeout(DEADLINE));
            ending.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// One life of a consumer.
pub struct Life {
    pub consumer: GrpcConsumer,
    pub shutdown: CancellationToken,
    pub metrics: Metrics,
    pub served: Served,
}

/// Any free port.
pub fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A port that nobody listens on, until somebody does.
pub fn nowhere() -> SocketAddr {
    TcpListener::bind(anywhere()).unwrap().local_addr().unwrap()
}

impl Life {
    /// Starts a consumer; its role has begun.
    pub async fn start(name: &str, config: &Config, address: SocketAddr) -> Self {
        let mut life = Life::start_unread(name, config, address);
        begin(&mut life.consumer).await;
        life
    }

    /// Starts a consumer that nobody reads yet.
    pub fn start_unread(name: &str, config: &Config, address: SocketAddr) -> Self {
        let metrics = Metrics::default();
        let shutdown = CancellationToken::new();
        let (service, consumer) = server(name, config, &metrics, shutdown.clone());
        let served = Served::start(address, |listener| async {
            // Without it an answer waits for the acknowledgement of the one before, which the other side delays.
            let incoming = TcpListenerStream::new(listener).inspect(|connection| {
                if let Ok(connection) = connection {
                    connection.set_nodelay(true).unwrap();
                }
            });
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Life {
            consumer,
            shutdown,
            metrics,
            served,
        }
    }

    /// Ends its connections and forgets its state. Where it was.
    pub fn kill(mut self) -> SocketAddr {
        self.served.end();
        self.served.address
    }

    /// The next delivery.
    pub async fn delivery(&mut self) -> Delivery {
        match soon("a delivery", self.consumer.next()).await {
            Some(Arrival::Batch(delivery)) => delivery,
            Some(Arrival::Gained(_) | Arrival::Lost(_)) | None => panic!("no delivery"),
        }
    }

    /// Receives so many batches and acknowledges them.
    pub async fn receive(&mut self, count: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        while batches.len() < count {
            let delivery = self.delivery().await;
            batches.push(delivery.batch.clone());
            delivery.ack();
        }
        batches
    }
}

/// Gains the partition and begins.
pub async fn begin(consumer: &mut GrpcConsumer) {
    match soon("the partition", consumer.next()).await {
        Some(Arrival::Gained(partition)) => consumer.begin(partition, Begin::After(None)).await,
        Some(Arrival::Lost(_) | Arrival::Batch(_)) | None => panic!("the partition comes first"),
    }
}

/// A replica at an address.
pub fn peer(address: SocketAddr) -> Peer {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel: RoleChannel = endpoint
        .connect_timeout(Duration::from_secs(5))
        .connect_lazy()
        .into();
    Peer {
        address: Arc::from(address.to_string()),
        channel,
    }
}

/// The replicas of a consumer, which a test may change.
pub type Replicas = watch::Sender<Arc<[Peer]>>;

pub fn replicas(addresses: &[SocketAddr]) -> Replicas {
    watch::Sender::new(addresses.iter().copied().map(peer).collect())
}

/// A publisher to consumers, and where it counts.
pub fn publisher(consumers: &[(&str, &Replicas)], config: &Config) -> (Arc<GrpcPublisher>, Metrics) {
    let metrics = Metrics::default();
    let consumers = consumers
        .iter()
        .map(|(name, replicas)| ((*name).to_owned(), replicas.subscribe()));
    let publisher = GrpcPublisher::to_replicas(consumers.collect(), config, metrics.clone());
    (Arc::new(publisher), metrics)
}

/// A batch of one record.
pub fn one(n: i64) -> Batch {
    Arc::from([Record::Vitals(vitals("a", n))])
}

/// Batches of one record each.
pub fn many(range: std::ops::Range<i64>) -> Vec<Batch> {
    range.map(one).collect()
}

/// Waits until a metric of a consumer has a value.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Forwards connections to another address until it is dropped.
pub fn proxy(address: SocketAddr, to: SocketAddr) -> Served {
    Served::start(address, move |listener| async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut far) = tokio::net::TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    })
}
