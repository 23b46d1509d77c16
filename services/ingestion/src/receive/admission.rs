//! How much may be under way: shed at the door, before memory is spent.

use crate::Config;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests and bytes under way, bounded.
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// The largest request after decompression.
    pub(crate) body_bytes_max: usize,
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
    _request: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        Admission {
            requests: Arc::new(Semaphore::new(config.requests_max)),
            bytes: Arc::new(Semaphore::new(config.bytes_under_way_max)),
            body_bytes_max: config.body_bytes_max,
            body_time_max: std::time::Duration::from_secs(config.body_seconds_max),
        }
    }

    /// Lets a request in, without any bytes yet.
    pub(crate) fn enter(&self) -> Result<Ticket, Full> {
        let request = self.requests.clone().try_acquire_owned().map_err(|_| Full)?;
        Ok(Ticket {
            bytes: self.bytes.clone(),
            held: None,
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
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}
