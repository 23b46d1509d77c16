//! A call to another process: deadline, the choice of a replica, and repetitions.

use super::answer::{self, Says, Whole};
use super::connect::words;
use super::pool::Pool;
use super::repeatable;
use super::replica::Chosen;
use crate::grpc::{deadline, methods};
use crate::metrics::{CallLabels, RoleLabels};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::body::Body;

/// How often a call that could not even be sent is given to another replica.
const UNSENT_MAX: u32 = 10;
/// Wait before the first repetition; twice as long before the next.
const PAUSE: Duration = Duration::from_millis(20);

/// How sending to one replica went.
enum Sent {
    Answered(Response<Body>),
    /// The replica says that it cannot do its part now.
    Unavailable(Response<Body>),
    /// It never began; here is what was to be sent, if it can be had back.
    Unsent(Option<Request<Body>>, String),
    /// Nobody knows whether it was done.
    Lost(String),
    Late,
}

/// What is sent: whole, so that it can be sent again, or a stream.
enum Message {
    Whole(Bytes),
    Stream(Option<Box<Request<Body>>>),
}

struct Call {
    pool: Pool,
    head: Parts,
    message: Message,
    is_unary: bool,
    is_repeatable: bool,
    /// When the caller wants to know.
    deadline: Option<Instant>,
    /// How long a replica is waited for.
    patience: Instant,
}

pub(super) async fn call(pool: Pool, request: Request<Body>) -> Result<Response<Body>, Status> {
    let shared = pool.shared.clone();
    let role = shared.role.as_str();
    shared.budget.deposit();
    let answer = match Call::new(pool, request).await {
        Ok(mut call) => call.run().await,
        Err(status) => Err(status),
    };
    let outcome = if answer.is_ok() { "ok" } else { "failed" };
    shared
        .metrics
        .calls
        .get_or_create(&CallLabels { role, outcome })
        .inc();
    answer
}

impl Call {
    async fn new(pool: Pool, request: Request<Body>) -> Result<Self, Status> {
        let method = methods::find(request.uri().path());
        let is_unary = method.is_some_and(|method| method.is_unary);
        let is_repeatable = method.is_some_and(|method| method.is_repeatable);
        let default = pool.shared.options.deadline();
        let now = Instant::now();
        let wait = deadline::read(request.headers()).or(is_unary.then_some(default));
        let deadline = wait.map(|wait| now + wait);
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = Uri::builder()
            .scheme("http")
            .authority(pool.shared.role.as_str())
            .path_and_query(path)
            .build()
            .map_err(|error| Status::internal(format!("the path of a call: {error}")))?;
        head.headers.extend(pool.shared.credentials.clone());
        head.headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("immune/", env!("CARGO_PKG_VERSION"))),
        );
        let message = match is_unary {
            true => Message::Whole(body.collect().await?.to_bytes()),
            false => Message::Stream(Some(Box::new(Request::from_parts(head.clone(), body)))),
        };
        Ok(Call {
            pool,
            head,
            message,
            is_unary,
            is_repeatable: is_repeatable && is_unary,
            deadline,
            patience: deadline.unwrap_or(now + default),
        })
    }

    async fn run(&mut self) -> Result<Response<Body>, Status> {
        let attempts_max = self.pool.shared.options.attempts_max;
        let (mut attempts, mut unsent) = (0, 0);
        let mut tried = Vec::new();
        loop {
            let chosen = self.pool.choose(&tried, self.patience).await?;
            tried.push(chosen.replica.id);
            let from = format!("{} at {}", self.pool.shared.role, chosen.replica.address);
            let is_last = attempts + 1 >= attempts_max;
            let until = self.until(&tried, is_last);
            let Some(request) = self.request() else {
                return Err(Status::unavailable(format!(
                    "{from} broke off before the call was taken"
                )));
            };
            let failure = match attempt(chosen, request, self.is_unary, until, &from).await {
                Sent::Answered(response) => return Ok(response),
                Sent::Unsent(request, because) => {
                    let can_again = self.take_back(request);
                    unsent += 1;
                    let status = Status::unavailable(format!("{from} was not reached: {because}"));
                    if !can_again || unsent >= UNSENT_MAX || Instant::now() >= self.patience {
                        return Err(repeatable(status));
                    }
                    continue;
                }
                Sent::Unavailable(response) => Ok(response),
                Sent::Lost(because) => Err(Status::unavailable(format!("{from} did not answer: {because}"))),
                Sent::Late => Err(Status::deadline_exceeded(format!(
                    "{from} gave no answer in time"
                ))),
            };
            attempts += 1;
            let pause = match self.is_repeatable && !is_last {
                true => self.pause(attempts),
                false => None,
            };
            match (pause, failure) {
                (Some(pause), _) => sleep(pause).await,
                (None, Err(status)) if self.is_repeatable => return Err(repeatable(status)),
                (None, failure) => return failure,
            }
        }
    }

    /// Until when an attempt may take. While there is another replica to ask, one that does not answer must not use
    /// up the time of both.
    fn until(&self, tried: &[u32], is_last: bool) -> Option<Instant> {
        let deadline = self.deadline?;
        if !self.is_repeatable || is_last || !self.pool.has_other(tried) {
            return Some(deadline);
        }
        let now = Instant::now();
        Some(now + deadline.saturating_duration_since(now) / 2)
    }

    /// What is sent. The replica is told the deadline of the call, not of the attempt: it ends its work when the
    /// attempt is given up, and its word that time is over is the last.
    fn request(&mut self) -> Option<Request<Body>> {
        let mut request = match &mut self.message {
            Message::Whole(bytes) => {
                Request::from_parts(self.head.clone(), Body::new(Full::new(bytes.clone())))
            }
            Message::Stream(request) => *request.take()?,
        };
        if let Some(deadline) = self.deadline {
            deadline::write(
                request.headers_mut(),
                deadline.saturating_duration_since(Instant::now()),
            );
        }
        Some(request)
    }

    /// Whether the call can be sent again though it is not marked so: it never began.
    fn take_back(&mut self, back: Option<Request<Body>>) -> bool {
        match &mut self.message {
            Message::Whole(_) => true,
            Message::Stream(request) => {
                *request = back.map(Box::new);
                request.is_some()
            }
        }
    }

    /// The pause before another attempt, where the budget and the time allow one.
    fn pause(&self, attempts: u32) -> Option<Duration> {
        let shared = &self.pool.shared;
        let longest = PAUSE.saturating_mul(1 << attempts.min(8));
        let pause = longest.mul_f64(0.5 + 0.5 * rand::random::<f64>());
        if Instant::now() + pause >= self.patience {
            return None;
        }
        let labels = RoleLabels::from(shared.role);
        if !shared.budget.withdraw() {
            shared.metrics.retries_withheld.get_or_create(&labels).inc();
            return None;
        }
        shared.metrics.retries.get_or_create(&labels).inc();
        Some(pause)
    }
}

async fn attempt(
    chosen: Chosen,
    request: Request<Body>,
    is_unary: bool,
    until: Option<Instant>,
    from: &str,
) -> Sent {
    let Chosen {
        mut sender,
        mut ticket,
        ..
    } = chosen;
    let exchange = async {
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => {
                let request = failed.take_message();
                let error = failed.into_error();
                return match request.is_some() || is_refused(&error) {
                    true => Exchange::Unsent(request, words(&error)),
                    false => Exchange::Lost(words(&error)),
                };
            }
        };
        if !is_unary {
            return Exchange::Stream(response);
        }
        match answer::whole(response).await {
            Ok(whole) => Exchange::Whole(whole),
            Err(because) => Exchange::Lost(because),
        }
    };
    let exchanged = match until {
        Some(until) => match timeout_at(until, exchange).await {
            Ok(exchanged) => exchanged,
            Err(_) => {
                ticket.failed();
                return Sent::Late;
            }
        },
        None => exchange.await,
    };
    match exchanged {
        Exchange::Whole(Whole {
            response,
            says: Says::Answer,
        }) => {
            ticket.answered();
            Sent::Answered(response)
        }
        Exchange::Whole(Whole {
            response,
            says: Says::Unavailable,
        }) => {
            ticket.failed();
            Sent::Unavailable(response)
        }
        Exchange::Whole(Whole {
            response,
            says: Says::Late,
        }) => {
            ticket.failed();
            Sent::Answered(response)
        }
        Exchange::Stream(response) => {
            match Says::of(response.headers()) {
                Says::Unavailable | Says::Late => ticket.failed(),
                Says::Answer => ticket.answered(),
            }
            Sent::Answered(answer::streamed(response, ticket, from.to_owned()))
        }
        Exchange::Unsent(request, because) => Sent::Unsent(request, because),
        Exchange::Lost(because) => {
            ticket.failed();
            Sent::Lost(because)
        }
    }
}

enum Exchange {
    Whole(Whole),
    Stream(Response<hyper::body::Incoming>),
    Unsent(Option<Request<Body>>, String),
    Lost(String),
}

/// The replica refused the stream before looking at it (RFC 9113, section 8.7): it is going away.
fn is_refused(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return h2.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        source = cause.source();
    }
    false
}
