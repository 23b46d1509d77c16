//! A consumer of vitals behind gRPC, as baseline and sentinel are in a cluster without Redis: it can be killed and
//! started again.

use super::DEADLINE;
use immune_bus::Record;
use immune_bus::conformance::delivery;
use immune_bus_grpc::{Config, GrpcConsumer, GrpcPublisher, Metrics, server};
use immune_domain::vitals::Vitals;
use immune_runtime::grpc::Peers;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};

/// One life of a consumer.
pub struct Life {
    pub address: SocketAddr,
    pub consumer: GrpcConsumer,
    /// Served in a runtime of its own: shutting that down is what kill -9 is to the other side.
    runtime: Option<Runtime>,
}

/// A port that nobody listens on, until somebody does.
pub fn nowhere() -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    std::net::TcpListener::bind(any)
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// A publisher to consumers, which waits one second for them.
pub fn publisher(consumers: &[(&str, SocketAddr)]) -> Arc<GrpcPublisher> {
    let peers = |address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        Peers::one(endpoint.connect_lazy())
    };
    let consumers = consumers
        .iter()
        .map(|(name, address)| ((*name).to_owned(), peers(address)));
    let config = Config {
        publish_seconds_max: 1,
        ..Config::default()
    };
    Arc::new(GrpcPublisher::new(
        consumers.collect(),
        &config,
        Metrics::default(),
    ))
}

impl Life {
    /// Starts a consumer with room for so many batches.
    pub fn start(name: &str, address: SocketAddr, queue_batches: usize) -> Life {
        let config = Config {
            queue_batches,
            ..Config::default()
        };
        let (service, consumer) = server(name, &config, &Metrics::default(), CancellationToken::new());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        {
            let _context = runtime.enter();
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("an option");
            socket.bind(address).expect("a free port");
            let listener = socket.listen(64).expect("a listener");
            let incoming = TcpListenerStream::new(listener).map(|connection| {
                connection.inspect(|connection| connection.set_nodelay(true).expect("an option"))
            });
            tokio::spawn(
                Server::builder()
                    .add_service(service)
                    .serve_with_incoming(incoming),
            );
        }
        Life {
            address,
            consumer,
            runtime: Some(runtime),
        }
    }

    /// The vitals of the next delivery, acknowledged.
    pub async fn vitals(&mut self) -> Vec<Vitals> {
        let delivery = tokio::time::timeout(DEADLINE, delivery(&mut self.consumer))
            .await
            .expect("a delivery in time")
            .expect("the bus is open");
        let vitals = delivery.batch.iter().map(|record| match record {
            Record::Vitals(vitals) => vitals.clone(),
            Record::Retracted(key, execution) => panic!("{key:?} {execution:?} was taken back"),
        });
        let vitals = vitals.collect();
        delivery.ack();
        vitals
    }

    /// Ends its connections and forgets its state.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // In a thread, since it waits, for the port to be free again.
            let ending = std::thread::spawn(|| runtime.shutdown_timeout(DEADLINE));
            ending.join().expect("the runtime ends");
        }
    }
}
