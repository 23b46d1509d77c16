//! The suite that every bus passes, over sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod world;

use async_trait::async_trait;
use immune_bus::conformance::Bus;
use immune_bus::{Batch, BusError, Consumer, Publisher};
use immune_bus_grpc::{Config, GrpcPublisher};
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};
use world::{Life, anywhere, publisher, replicas};

/// The publisher of a whole system: when it closes, the consumers are told to drain as well.
struct Last {
    publisher: Arc<GrpcPublisher>,
    _closes: Vec<DropGuard>,
}

#[async_trait]
impl Publisher for Last {
    async fn publish(&self, batch: Batch) -> Result<(), BusError> {
        self.publisher.publish(batch).await
    }
}

async fn bus(names: &[&str], capacity: usize) -> Bus {
    let config = Config {
        queue_batches: capacity,
        ..Config::default()
    };
    let lives: Vec<Life> = names
        .iter()
        .map(|name| Life::start_unread(name, &config, anywhere()))
        .collect();
    let targets: Vec<_> = lives
        .iter()
        .map(|life| replicas(&[life.served.address]))
        .collect();
    let pairs: Vec<_> = names.iter().copied().zip(&targets).collect();
    let (publisher, _) = publisher(&pairs, &config);
    let closes = lives
        .iter()
        .map(|life| CancellationToken::drop_guard(life.shutdown.clone()));
    let closes = closes.collect();
    let (consumers, served): (Vec<_>, Vec<_>) = lives
        .into_iter()
        .map(|life| (Box::new(life.consumer) as Box<dyn Consumer>, life.served))
        .unzip();
    Bus {
        publisher: Arc::new(Last {
            publisher,
            _closes: closes,
        }),
        consumers,
        keeps: Box::new((served, targets)),
    }
}

immune_bus::conformance!(bus);
immune_bus::conformance!(direct: bus);
