//! Load on a server of spans: as much as it takes, or so much per second.

use super::client::{Answer, Client, Wire};
use super::requests::{Requests, SPANS};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections, as of a few collectors or many agents behind a proxy.
const CONNECTIONS: usize = 4;

/// Requests that may be under way at a fixed rate before further ones are not sent, per connection.
const OUTSTANDING: usize = 16;

/// What came of it.
#[derive(Debug, Default)]
pub struct Done {
    pub spans: u64,
    pub executions: u64,
    /// Spans refused in partial success.
    pub refused: u64,
    /// Requests that the server put off, or that were not sent because too many were under way.
    pub shed: u64,
    /// Of every request that was taken, from when it was due to its answer.
    pub took: Vec<Duration>,
}

impl Done {
    fn count(&mut self, answer: Answer, executions: u64, took: Duration) {
        match answer {
            Answer::Taken { refused } => {
                self.took.push(took);
                self.spans += SPANS as u64 - refused;
                self.executions += executions;
                self.refused += refused;
            }
            Answer::Shed => self.shed += 1,
        }
    }

    /// Milliseconds within which a share of the requests was answered.
    pub fn at(&mut self, share: f64) -> f64 {
        self.took.sort_unstable();
        let place = (self.took.len().saturating_sub(1)) as f64 * share;
        self.took
            .get(place.round() as usize)
            .map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }
}

/// Each connection sends its next request when the last was answered.
pub async fn closed(wire: Wire, port: u16, requests: &Arc<Mutex<Requests>>, lasts: Duration) -> Done {
    let done = Arc::new(Mutex::new(Done::default()));
    let until = Instant::now() + lasts;
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (requests, done) = (requests.clone(), done.clone());
        senders.spawn(async move {
            let mut client = Client::connect(wire, port).await;
            while Instant::now() < until {
                let request = requests.lock().expect("nobody panics").next();
                let started = Instant::now();
                let answer = client.send(&request).await;
                let mut done = done.lock().expect("nobody panics");
                done.count(answer, request.executions, started.elapsed());
            }
        });
    }
    senders.join_all().await;
    std::mem::take(&mut *done.lock().expect("nobody panics"))
}

/// So many spans per second over gRPC, whatever the server does; the time of a request counts from when it was due.
pub async fn open(port: u16, requests: &Arc<Mutex<Requests>>, rate: f64, lasts: Duration) -> Done {
    let done = Arc::new(Mutex::new(Done::default()));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = Client::connect(Wire::Grpc, port).await;
        connections.push((client, Arc::new(Semaphore::new(OUTSTANDING))));
    }
    let step = Duration::from_secs_f64(SPANS as f64 / rate);
    let start = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for n in 0..(lasts.as_secs_f64() / step.as_secs_f64()) as u32 {
        let due = start + step * n;
        tokio::time::sleep_until(due).await;
        let (client, permits) = &connections[n as usize % CONNECTIONS];
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            done.lock().expect("nobody panics").shed += 1;
            continue;
        };
        let Client::Grpc(sender, uri) = client else {
            unreachable!("connected over gRPC");
        };
        let mut client = Client::Grpc(sender.clone(), uri.clone());
        let request = requests.lock().expect("nobody panics").next();
        let done = done.clone();
        calls.spawn(async move {
            let answer = client.send(&request).await;
            drop(permit);
            let mut done = done.lock().expect("nobody panics");
            done.count(answer, request.executions, due.elapsed());
        });
    }
    calls.join_all().await;
    std::mem::take(&mut *done.lock().expect("nobody panics"))
}
