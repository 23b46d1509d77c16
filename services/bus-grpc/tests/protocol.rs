//! What a consumer says to publishers that do not keep to the contract.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod world;

use immune_bus_grpc::Config;
use immune_proto::convert::bus::encode;
use immune_proto::v1::publish_request::{Entry, Open, Request};
use immune_proto::v1::vitals_bus_service_client::VitalsBusServiceClient;
use immune_proto::v1::{BusBatch, BusRecord, PublishRequest, PublishResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use world::*;

/// A publisher that says what a test wants.
struct Speaker {
    requests: mpsc::Sender<PublishRequest>,
    answers: Streaming<PublishResponse>,
}

impl Speaker {
    async fn connect(life: &Life) -> Self {
        let (requests, stream) = mpsc::channel(64);
        let mut client = VitalsBusServiceClient::new(peer(life.served.address).channel);
        let answers = client
            .publish(ReceiverStream::new(stream))
            .await
            .unwrap()
            .into_inner();
        Speaker { requests, answers }
    }

    async fn open(life: &Life, publisher_id: &str) -> Self {
        let mut speaker = Speaker::connect(life).await;
        speaker.say(Some(open(publisher_id))).await;
        speaker.answer().await.unwrap();
        speaker
    }

    async fn say(&mut self, request: Option<Request>) {
        self.requests.send(PublishRequest { request }).await.unwrap();
    }

    async fn answer(&mut self) -> Result<PublishResponse, Status> {
        let answer = soon("an answer", self.answers.message()).await?;
        Ok(answer.expect("an answer or a status"))
    }

    /// The status that ends the stream.
    async fn refusal(&mut self) -> (Code, String) {
        loop {
            if let Err(status) = self.answer().await {
                return (status.code(), status.message().to_owned());
            }
        }
    }
}

fn open(publisher_id: &str) -> Request {
    Request::Open(Open {
        publisher_id: publisher_id.to_owned(),
    })
}

fn entry(sequence: u64, n: i64) -> Request {
    Request::Entry(Entry {
        sequence,
        batch: Some(encode(&one(n))),
    })
}

/// Scenario: first requests and entries that the contract does not allow.
/// Guarantees: each ends its stream with a status that names the field and the problem, and delivers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_are_refused_by_name() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let hollow = Request::Entry(Entry {
        sequence: 1,
        batch: None,
    });
    let unknown = Request::Entry(Entry {
        sequence: 1,
        batch: Some(BusBatch {
            records: vec![BusRecord { record: None }],
        }),
    });
    let cases = [
        (vec![None], "open: must be the first request"),
        (vec![Some(entry(1, 0))], "open: must be the first request"),
        (vec![Some(open(""))], "open.publisher_id: is not an id"),
        (vec![Some(open("p")), None], "request: is missing"),
        (vec![Some(open("p")), Some(open("p"))], "open: came a second time"),
        (
            vec![Some(open("p")), Some(entry(0, 0))],
            "entry.sequence: 0 is not above 0, the one before",
        ),
        (vec![Some(open("p")), Some(hollow)], "entry.batch: is missing"),
        (
            vec![Some(open("p")), Some(unknown)],
            "entry.batch.records[0].record: is missing",
        ),
    ];
    for (requests, problem) in cases {
        let mut speaker = Speaker::connect(&life).await;
        for request in requests {
            speaker.say(request).await;
        }
        assert_eq!(
            speaker.refusal().await,
            (Code::InvalidArgument, problem.to_owned())
        );
    }
    let mut speaker = Speaker::open(&life, "good").await;
    speaker.say(Some(entry(1, 7))).await;
    assert_eq!(life.receive(1).await, many(7..8));
}

/// Scenario: a publisher sends more than it was allowed.
/// Guarantees: it is told so, and what it was allowed arrives.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_was_allowed_is_refused() {
    let small = Config {
        queue_batches: 2,
        ..config()
    };
    let mut life = Life::start("sentinel", &small, anywhere()).await;
    let mut speaker = Speaker::open(&life, "eager").await;
    for n in 1..=3 {
        speaker.say(Some(entry(n, n as i64))).await;
    }
    let problem = "entry 3 is one more than the 2 that were allowed".to_owned();
    assert_eq!(speaker.refusal().await, (Code::ResourceExhausted, problem));
    assert_eq!(life.receive(2).await, many(1..3));
}

/// Scenario: a publisher opens a second stream while its first one is still there, and repeats an entry.
/// Guarantees: the first is cut off; the second learns what was received; the repetition is dropped and counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_takes_over() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let mut first = Speaker::open(&life, "p").await;
    first.say(Some(entry(1, 1))).await;
    first.say(Some(entry(2, 2))).await;
    while first.answer().await.unwrap().received < 2 {}
    let mut second = Speaker::connect(&life).await;
    second.say(Some(open("p"))).await;
    let answer = second.answer().await.unwrap();
    assert_eq!((answer.received, answer.settled), (2, 0));
    assert_eq!(first.refusal().await.0, Code::Aborted);
    second.say(Some(entry(2, 2))).await;
    second.say(Some(entry(3, 3))).await;
    assert_eq!(life.receive(3).await, many(1..4));
    while second.answer().await.unwrap().settled < 3 {}
    let labels = immune_bus_grpc::metrics::ConsumerLabels {
        consumer: "sentinel".to_owned(),
    };
    assert_eq!(life.metrics.repeated.get_or_create_owned(&labels).get(), 1);
    assert_eq!(life.metrics.received.get_or_create_owned(&labels).get(), 3);
}

/// Scenario: more publishers than a consumer serves, of which one leaves.
/// Guarantees: one too many is told so; a place that is left is given away.
#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_bounded() {
    let small = Config {
        publishers_max: 2,
        ..config()
    };
    let life = Life::start("sentinel", &small, anywhere()).await;
    let _first = Speaker::open(&life, "first").await;
    let second = Speaker::open(&life, "second").await;
    let mut third = Speaker::connect(&life).await;
    third.say(Some(open("third"))).await;
    let problem = "this consumer serves 2 publishers, the most that it may".to_owned();
    assert_eq!(third.refusal().await, (Code::ResourceExhausted, problem));
    drop(second);
    let labels = immune_bus_grpc::metrics::ConsumerLabels {
        consumer: "sentinel".to_owned(),
    };
    let publishers = life.metrics.publishers.get_or_create_owned(&labels);
    until("the second has left", || publishers.get() == 1).await;
    Speaker::open(&life, "third").await;
}

/// Scenario: entries that together exceed the memory of the queue, while the role reads nothing.
/// Guarantees: what has no memory is not received; heartbeats and room go on, and everything arrives in order.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded_in_bytes() {
    let small = Config {
        queue_bytes_max: 900,
        ..config()
    };
    let mut life = Life::start("sentinel", &small, anywhere()).await;
    let mut speaker = Speaker::open(&life, "p").await;
    for n in 1..=6 {
        speaker.say(Some(entry(n, n as i64))).await;
    }
    let mut received = 0;
    // Between the second heartbeat and the first nothing has changed.
    let mut answers = 0;
    while answers < 2 {
        let answer = speaker.answer().await.unwrap();
        answers = if answer.received == received {
            answers + 1
        } else {
            0
        };
        received = answer.received;
    }
    assert!((1..6).contains(&received), "{received} entries in 900 bytes");
    assert_eq!(life.receive(6).await, many(1..7));
}
