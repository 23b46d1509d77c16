//! How much may be under way: shed at the door, before memory is spent.

use crate::{Config, Metrics};
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests and bytes under way, bounded.
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_gauge: Gauge,
    requests_gauge: Gauge,
    /// The largest request after decompression.
    pub(crate) body_bytes_max: usize,
    /// What a request may weigh once it is decoded: half of all that may be under way, so that it finds room.
    pub(crate) decoded_bytes_max: usize,
    /// How long a sender may take to send a body.
    pub(crate) body_time_max: std::time::Duration,
}

/// The limits are reached; the sender should come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full;

/// A request's share of the limits; given back when dropped.
pub(crate) struct Ticket {
    bytes: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes_gauge: Gauge,
    requests_gauge: Gauge,
    _request: OwnedSemaphorePermit,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.bytes_gauge.dec_by(held as i64);
        self.requests_gauge.dec();
    }
}

impl Admission {
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Self {
        Admission {
            requests: Arc::new(Semaphore::new(config.requests_max)),
            bytes: Arc::new(Semaphore::new(config.bytes_under_way_max)),
            bytes_gauge: metrics.bytes_under_way.clone(),
            requests_gauge: metrics.requests_under_way.clone(),
            body_bytes_max: config.body_bytes_max,
            decoded_bytes_max: config.bytes_under_way_max / 2,
            body_time_max: std::time::Duration::from_secs(config.body_seconds_max),
        }
    }

    /// Lets a request in, without any bytes yet.
    pub(crate) fn enter(&self) -> Result<Ticket, Full> {
        let request = self.requests.clone().try_acquire_owned().map_err(|_| Full)?;
        self.requests_gauge.inc();
        Ok(Ticket {
            bytes: self.bytes.clone(),
            held: None,
            bytes_gauge: self.bytes_gauge.clone(),
            requests_gauge: self.requests_gauge.clone(),
            _request: request,
        })
    }
}

impl Ticket {
    /// Takes room for more bytes; it is held as long as the ticket.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        let more = self
            .bytes
            .clone()
            .try_acquire_many_owned(bytes)
            .map_err(|_| Full)?;
        self.bytes_gauge.inc_by(i64::from(bytes));
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}
