//! What calls to another role go through: one replica or all of them, in this process or in others.
//!
//! - `replica`: one replica: connected or not, left alone or not. `connect`, `io`: making a connection.
//! - `pool`: the replicas of a role and the choice between them. `call`: a call, and when it is repeated.
//! - `breaker`, `budget`: when a replica is left alone; how much may be repeated. `in_process`: no socket.

mod answer;
mod breaker;
mod budget;
mod call;
mod connect;
mod in_process;
mod io;
pub(super) mod pool;
pub(super) mod replica;

use super::trace;
use http::{Request, Response};
use pool::Pool;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service;

/// Metadata of a status that this side made: the call was never sent, or may be sent again.
const REPEATABLE: &str = "x-immune-may-repeat";

/// Calls to a role, for its generated client. In another process the calls are spread over the replicas that are
/// connected; a call waits for one no longer than its deadline. Cloning is cheap.
#[derive(Clone)]
pub struct RoleChannel(Way);

#[derive(Clone)]
enum Way {
    InProcess(Channel),
    Pool(Pool),
}

impl RoleChannel {
    pub(super) fn of(pool: Pool) -> Self {
        RoleChannel(Way::Pool(pool))
    }

    /// The same replicas; a call does not wait for one that is not connected.
    pub(super) fn unwaiting(&self) -> Self {
        match &self.0 {
            Way::InProcess(_) => self.clone(),
            Way::Pool(pool) => RoleChannel(Way::Pool(pool.unwaiting())),
        }
    }
}

impl From<Channel> for RoleChannel {
    fn from(channel: Channel) -> Self {
        RoleChannel(Way::InProcess(channel))
    }
}

impl fmt::Debug for RoleChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::InProcess(_) => f.write_str("RoleChannel(in process)"),
            Way::Pool(pool) => write!(f, "RoleChannel({pool:?})"),
        }
    }
}

/// A call under way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

impl Service<Request<Body>> for RoleChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Waiting belongs to the call, which has the deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Answering {
        trace::inject(request.headers_mut());
        match &self.0 {
            Way::InProcess(channel) => Box::pin(in_process::call(channel.clone(), request)),
            Way::Pool(pool) => Box::pin(call::call(pool.clone(), request)),
        }
    }
}

/// Marks a status: asking another replica cannot do anything twice.
fn repeatable(mut status: Status) -> Status {
    status
        .metadata_mut()
        .insert(REPEATABLE, tonic::metadata::MetadataValue::from_static("1"));
    status
}

/// Whether another replica may be asked after this status.
pub(super) fn may_repeat(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.metadata().contains_key(REPEATABLE)
}
