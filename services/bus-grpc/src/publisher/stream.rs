//! One stream to the one replica of a consumer, opened again whenever it breaks.

use super::link::{Incredible, Link, Obstacle};
use crate::metrics::{self, Metrics};
use immune_proto::v1::publish_request::{Entry, Open, Request};
use immune_proto::v1::vitals_bus_service_client::VitalsBusServiceClient;
use immune_proto::v1::{PublishRequest, PublishResponse};
use immune_runtime::grpc::Peer;
use prometheus_client::metrics::counter::Counter;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

/// Wait before a broken stream is opened again, doubled up to [`AGAIN_MAX`]; each wait is a random part of it, so
/// that the replicas of ingestion do not all come back at once.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// Entries between the link and HTTP/2's own flow control.
const OUTBOUND: usize = 4;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Status(Box<Status>),
    #[error("the consumer ended the stream")]
    Ended,
    #[error("the consumer said nothing for {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Incredible(#[from] Incredible),
    #[error("the replicas have changed")]
    Moved,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        End::Status(Box::new(status))
    }
}

pub(super) struct Stream {
    link: Arc<Link>,
    replicas: watch::Receiver<Arc<[Peer]>>,
    publisher_id: String,
    silence_max: Duration,
    sent: Counter,
    resent: Counter,
    reconnects: Counter,
}

impl Stream {
    pub(super) fn new(
        link: Arc<Link>,
        replicas: watch::Receiver<Arc<[Peer]>>,
        publisher_id: String,
        silence_max: Duration,
        metrics: &Metrics,
    ) -> Self {
        let labels = metrics::of(link.name());
        Stream {
            link,
            replicas,
            publisher_id,
            silence_max,
            sent: metrics.sent.get_or_create_owned(&labels),
            resent: metrics.resent.get_or_create_owned(&labels),
            reconnects: metrics.reconnects.get_or_create_owned(&labels),
        }
    }

    /// Keeps a stream open until the token is cancelled.
    pub(super) async fn run(mut self, stopped: CancellationToken) {
        // The token ends every wait below at once; nothing in here is left half done by that.
        stopped.run_until_cancelled(self.keep_open()).await;
    }

    async fn keep_open(&mut self) {
        let mut again = AGAIN;
        loop {
            let peer = self.only_replica().await;
            let mut was_open = false;
            let mut replicas = self.replicas.clone();
            let end = tokio::select! {
                end = self.converse(&peer, &mut was_open) => match end {
                    Ok(never) => match never {},
                    Err(end) => end,
                },
                () = moved(&mut replicas, &peer) => End::Moved,
            };
            if was_open {
                again = AGAIN;
                self.reconnects.inc();
            }
            tracing::warn!(consumer = self.link.name(), address = %peer.address, error = %end, "stream of vitals ended");
            self.refuse_entry(&end);
            let is_moved = matches!(end, End::Moved);
            self.link.close(Obstacle::Away(Arc::new(end)));
            if is_moved {
                continue;
            }
            tokio::time::sleep(again.mul_f64(rand::random_range(0.5..=1.0))).await;
            again = (again * 2).min(AGAIN_MAX);
        }
    }

    /// Waits until the consumer has one replica.
    async fn only_replica(&mut self) -> Peer {
        loop {
            let replicas = self.replicas.borrow_and_update().clone();
            match &*replicas {
                [peer] => return peer.clone(),
                [] => self
                    .link
                    .close(Obstacle::Away(Arc::from(Box::from("it has no replica")))),
                many => self.link.close(Obstacle::Undivided(many.len())),
            }
            changed(&mut self.replicas).await;
        }
    }

    /// An entry that the consumer cannot read would end every stream that carries it.
    fn refuse_entry(&self, end: &End) {
        let End::Status(status) = end else { return };
        if !matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) {
            return;
        }
        let why: Arc<dyn Error + Send + Sync> = Arc::new((**status).clone());
        if let Some(sequence) = self.link.refuse(&why) {
            tracing::error!(consumer = self.link.name(), sequence, error = %why, "a batch of vitals is refused");
        }
    }

    async fn converse(&self, peer: &Peer, was_open: &mut bool) -> Result<std::convert::Infallible, End> {
        let (outbound, requests) = mpsc::channel(OUTBOUND);
        let open = Open {
            publisher_id: self.publisher_id.clone(),
        };
        // The channel is new and has room.
        let _ = outbound.send(request(Request::Open(open))).await;
        let mut client = VitalsBusServiceClient::new(peer.channel.clone());
        let opening = client.publish(ReceiverStream::new(requests));
        let silent = || End::Silent(self.silence_max);
        let stream = timeout(self.silence_max, opening).await.map_err(|_| silent())??;
        let mut answers = stream.into_inner();
        let first = timeout(self.silence_max, answer(&mut answers))
            .await
            .map_err(|_| silent())??;
        self.link.opened(&first)?;
        *was_open = true;
        let mut changes = self.link.changes();
        let mut is_sending = true;
        let silence = sleep_until(Instant::now() + self.silence_max);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                answered = answer(&mut answers) => {
                    self.link.answered(&answered?)?;
                    silence.as_mut().reset(Instant::now() + self.silence_max);
                }
                permit = outbound.reserve(), if is_sending && self.link.has_to_send() => match permit {
                    Ok(permit) => self.send(permit),
                    // The transport has given up on the requests; why, the answers will say.
                    Err(_) => is_sending = false,
                },
                _ = changes.changed() => {}
                () = &mut silence => return Err(silent()),
            }
        }
    }

    fn send(&self, permit: mpsc::Permit<'_, PublishRequest>) {
        let Some(next) = self.link.next_to_send() else {
            return;
        };
        match next.is_again {
            true => self.resent.inc(),
            false => self.sent.inc(),
        };
        permit.send(request(Request::Entry(Entry {
            sequence: next.sequence,
            batch: Some(Arc::unwrap_or_clone(next.batch)),
        })));
    }
}

fn request(request: Request) -> PublishRequest {
    PublishRequest {
        request: Some(request),
    }
}

async fn answer(answers: &mut Streaming<PublishResponse>) -> Result<PublishResponse, End> {
    answers.message().await?.ok_or(End::Ended)
}

/// Waits until a replica is not the only one any more.
async fn moved(replicas: &mut watch::Receiver<Arc<[Peer]>>, peer: &Peer) {
    while matches!(&**replicas.borrow_and_update(), [only] if only.address == peer.address) {
        changed(replicas).await;
    }
}

/// Waits for a change; for ever when there will be none.
async fn changed(replicas: &mut watch::Receiver<Arc<[Peer]>>) {
    if replicas.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
