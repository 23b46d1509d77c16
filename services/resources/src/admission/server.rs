//! The webhook: asks whether the user may decide, and answers. Where nobody can be asked, nobody decides.

use super::config::Config;
use super::metrics::{AnswerLabels, Metrics};
use super::review::{self, Finding};
use super::seal::Key;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::server::bind;
use immune_runtime::tls::{Listener, Protocols, Stream};
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::jiff;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where the API server asks.
pub const PATH: &str = "/admission/agentcases";
/// The verb on `agentcases` that lets somebody decide.
pub const VERB: &str = "decide";
/// The largest review: an object has 1.5 MiB at most, and comes twice.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections at the same time; API servers have few.
const CONNECTIONS_MAX: usize = 64;
/// Reviews at the same time over one connection.
const STREAMS_MAX: u32 = 64;
/// How long a connection may take for the head of a request, and rest between two.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// Reviews that are read and answered at the same time; more wait with their bodies unread.
const REVIEWS_MAX: usize = 32;
/// How long one review may take from its head to its answer; longer than any API server waits for us by default.
const REVIEW_MAX: Duration = Duration::from_secs(10);
/// How long asking who may decide may take; the API server waits five seconds for us.
const ASK_MAX: Duration = Duration::from_secs(3);
/// How long reviews under way may take to end when the process does.
const END_MAX: Duration = Duration::from_secs(3);

/// The webhook, bound and not served yet.
pub struct Webhook {
    listener: Listener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    client: kube::Client,
    key: Key,
    own_account: String,
    clock: SharedClock,
    metrics: Metrics,
    room: Semaphore,
}

impl Webhook {
    /// Binds the listener; `None` when none is configured.
    ///
    /// # Errors
    /// When the address is taken, or the certificate or the seal key cannot be used.
    pub async fn bind(
        config: &Config,
        client: kube::Client,
        clock: SharedClock,
        metrics: Metrics,
    ) -> io::Result<Option<Self>> {
        let Some(address) = config.address() else {
            return Ok(None);
        };
        let key = Key::read(&config.seal_key_file).map_err(io::Error::other)?;
        let tcp = bind(address, "the admission webhook (resources.webhook.listen)").await?;
        let address = tcp.local_addr()?;
        let files = config.files();
        let listener = Listener::for_door(tcp, Some(&files), Protocols::Either, &metrics.tls)
            .map_err(io::Error::other)?;
        let desk = Desk {
            client,
            key,
            own_account: config.service_account.clone(),
            clock,
            metrics,
            room: Semaphore::new(REVIEWS_MAX),
        };
        Ok(Some(Webhook {
            listener,
            address,
            desk: Arc::new(desk),
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the token is cancelled, and what is under way then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let router = Router::new()
            .route(PATH, post(reviewed))
            .route_layer(from_fn_with_state(self.desk.clone(), in_turn))
            .route("/livez", get(|| async { StatusCode::OK }))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.desk.clone());
        let mut open = JoinSet::new();
        loop {
            let has_room = open.len() < CONNECTIONS_MAX;
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = open.join_next() => {}
                accepted = self.listener.accept(), if has_room => {
                    open.spawn(connection(accepted.stream, router.clone(), shutdown.clone()));
                }
            }
        }
        drop(self.listener);
        let ended = tokio::time::timeout(END_MAX, async { while open.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::debug!(connections = open.len(), "reviews did not end in time");
        }
    }
}

async fn connection(stream: Stream, router: Router, shutdown: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(HEAD_MAX)
        .keep_alive_timeout(HEAD_MAX);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // How a connection fails is its caller's affair.
        _ = serving.as_mut() => return,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// Lets so many reviews in at a time, each for so long: a caller that sends its body byte by byte keeps nobody waiting.
async fn in_turn(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let answered = async {
        let _place = desk.room.acquire().await;
        next.run(request).await
    };
    match tokio::time::timeout(REVIEW_MAX, answered).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

async fn reviewed(
    State(desk): State<Arc<Desk>>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return Json(AdmissionResponse::invalid(error).into_review()),
    };
    let (answer, word) = desk.answer(&request).await;
    desk.metrics
        .answers
        .get_or_create(&AnswerLabels { answer: word })
        .inc();
    Json(answer.into_review())
}

impl Desk {
    async fn answer(&self, request: &AdmissionRequest<DynamicObject>) -> (AdmissionResponse, &'static str) {
        let response = AdmissionResponse::from(request);
        match review::look(request, &self.own_account) {
            Finding::Allow => return (response, "allowed"),
            Finding::Deny(why) => return (response.deny(why), "denied"),
            Finding::Decides => {}
        }
        let (Some(old), Some(object)) = (&request.old_object, &request.object) else {
            return (
                response.deny("a decision is made on a case that is there"),
                "denied",
            );
        };
        let by = request.user_info.username.clone().unwrap_or_default();
        if by.is_empty() {
            return (response.deny("the API server names no user"), "denied");
        }
        match self.may_decide(&request.user_info, object).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                tracing::info!(
                    user = by,
                    case = object.metadata.name,
                    why,
                    "a decision was refused"
                );
                return (response.deny(why), "denied");
            }
            Err(why) => {
                tracing::warn!(
                    user = by,
                    error = why,
                    "nobody can say who may decide; the decision was refused"
                );
                let words = format!(
                    "it cannot be asked now whether {by} may decide ({why}); try again, or use the dashboard"
                );
                return (response.deny(words), "unanswered");
            }
        }
        if request.dry_run {
            // A seal on what is not stored would lie around.
            return (response, "allowed");
        }
        let at = jiff::Timestamp::from_microsecond(self.clock.now().as_micros());
        let at = at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string();
        match response.with_patch(review::stamp(&self.key, old, object, &by, &at)) {
            Ok(response) => (response, "sealed"),
            Err(error) => (AdmissionResponse::invalid(error), "unanswered"),
        }
    }

    /// Whether RBAC lets the user decide on this object; `Err` when that cannot be said.
    async fn may_decide(
        &self,
        user: &UserInfo,
        object: &DynamicObject,
    ) -> Result<Result<(), String>, String> {
        let namespace = object.metadata.namespace.clone();
        let question = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username.clone(),
                uid: user.uid.clone(),
                groups: user.groups.clone(),
                extra: user.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(crate::GROUP.to_owned()),
                    version: Some(crate::VERSION.to_owned()),
                    resource: Some("agentcases".to_owned()),
                    verb: Some(VERB.to_owned()),
                    namespace: namespace.clone(),
                    name: object.metadata.name.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let asked = tokio::time::timeout(ASK_MAX, api.create(&params, &question)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {} s", ASK_MAX.as_secs())),
        };
        let status = answer.status.unwrap_or_default();
        if status.allowed && !status.denied.unwrap_or(false) {
            return Ok(Ok(()));
        }
        let by = user.username.as_deref().unwrap_or_default();
        let namespace = namespace.unwrap_or_default();
        Ok(Err(format!(
            "{by} may not decide in namespace {namespace}: it takes the verb {VERB} on agentcases.{}",
            crate::GROUP
        )))
    }
}
