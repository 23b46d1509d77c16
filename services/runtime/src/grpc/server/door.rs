//! Who the caller of each call is, and whether it may call the method. Everything that a role is asked comes through
//! here.

use super::{Strangers, stream};
use crate::access::{Origin, RoleToken, Roles, SUBJECT, TOKEN, TOKEN_ROLES, VIA, calls};
use crate::grpc::{deadline, methods, trace};
use crate::metrics::{Metrics, RefusalLabels};
use crate::tls::certificate::Facts;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use immune_domain::ErrorKind;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt;
use tracing::Instrument;

/// How calls come in.
pub(super) enum Way {
    InProcess,
    Loopback {
        token: Option<RoleToken>,
        strangers: Strangers,
    },
    MutualTls,
}

/// The services of a role behind their door.
#[derive(Clone)]
pub(super) struct Door(Arc<Inner>);

struct Inner {
    router: Router,
    way: Way,
    metrics: Metrics,
    /// Streams of answers end with it.
    streams_end: Option<CancellationToken>,
}

impl Door {
    pub(super) fn new(
        routes: Routes,
        way: Way,
        metrics: Metrics,
        streams_end: Option<CancellationToken>,
    ) -> Self {
        let router = routes.prepare().into_axum_router();
        Door(Arc::new(Inner {
            router,
            way,
            metrics,
            streams_end,
        }))
    }

    /// Answers a call; `certificate` is what the connection's client has shown.
    pub(super) async fn answer(
        self,
        certificate: Option<Facts>,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let inner = &*self.0;
        let path = request.uri().path().to_owned();
        let origin = match inner.admit(certificate, &path, request.headers_mut()) {
            Ok(origin) => origin,
            Err(status) => return status.into_http(),
        };
        request.extensions_mut().insert(origin);
        let wait = deadline::read(request.headers());
        let span = trace::span(&path, request.headers());
        let answering = inner.router.clone().oneshot(request).instrument(span);
        let answered = match wait {
            None => answering.await,
            Some(wait) => match tokio::time::timeout(wait, answering).await {
                Ok(answered) => answered,
                Err(_) => return Status::deadline_exceeded("the caller's deadline has passed").into_http(),
            },
        };
        let response = match answered {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let is_unary = methods::find(&path).is_some_and(|method| method.is_unary);
        match &inner.streams_end {
            Some(end) if !is_unary => response.map(|body| stream::until(body, end)),
            Some(_) | None => response,
        }
    }
}

impl Inner {
    /// Who calls; removes from the metadata what is not to be believed.
    fn admit(
        &self,
        certificate: Option<Facts>,
        path: &str,
        headers: &mut HeaderMap,
    ) -> Result<Origin, Box<Status>> {
        let origin = match &self.way {
            Way::InProcess => Origin::InProcess,
            Way::MutualTls => Origin::Role(certificate.map_or(Roles::NONE, |facts| facts.roles)),
            Way::Loopback { token, strangers } => match RoleToken::verify(token.as_ref(), headers) {
                Ok(Some(roles)) => Origin::Role(roles),
                Ok(None) if strangers.may_call() || calls::is_for_all(path) => Origin::Loopback,
                Ok(None) => {
                    self.refuse("a stranger".to_owned(), path, "stranger");
                    tracing::warn!(path, "a call of a stranger was refused");
                    let message = "callers of this server are told apart, and gRPC takes no API keys: use REST, or \
                                   call as a role (grpc.token)";
                    let kind = ErrorKind::Unauthenticated;
                    return Err(Box::new(crate::grpc::status(kind, "access.stranger", message)));
                }
                Err(error) => {
                    self.refuse("unknown".to_owned(), path, "token");
                    tracing::warn!(path, %error, "a call was refused");
                    let kind = ErrorKind::Unauthenticated;
                    return Err(Box::new(crate::grpc::status(
                        kind,
                        "access.token",
                        error.to_string(),
                    )));
                }
            },
        };
        headers.remove(TOKEN);
        headers.remove(TOKEN_ROLES);
        if !origin.is_believed() {
            headers.remove(SUBJECT);
            headers.remove(VIA);
        }
        if calls::may_call(origin, path) {
            return Ok(origin);
        }
        let roles = match origin {
            Origin::Role(roles) => roles,
            Origin::InProcess | Origin::Loopback => Roles::NONE,
        };
        self.refuse(format!("role {roles}"), path, "role");
        tracing::warn!(path, %roles, "a role called what it may not");
        let method = path.strip_prefix('/').unwrap_or(path);
        let message = format!("role {roles} may not call {method}");
        Err(Box::new(crate::grpc::status(
            ErrorKind::Forbidden,
            "access.role",
            message,
        )))
    }

    fn refuse(&self, caller: String, path: &str, reason: &'static str) {
        self.metrics.teller.tell(caller, path, reason);
        self.metrics
            .calls_refused
            .get_or_create(&RefusalLabels { reason })
            .inc();
    }
}
