//! Calls to a role of this process.

use crate::grpc::options::Options;
use crate::grpc::{deadline, methods};
use http::{Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

/// Calls, with the same deadlines as between processes.
pub(super) async fn call(mut channel: Channel, mut request: Request<Body>) -> Result<Response<Body>, Status> {
    let path = request.uri().path();
    let is_unary = methods::find(path).is_some_and(|method| method.is_unary);
    let wait = deadline::read(request.headers()).or(is_unary.then(|| Options::default().deadline()));
    let Some(wait) = wait else {
        return answer(&mut channel, request).await;
    };
    deadline::write(request.headers_mut(), wait);
    let at = Instant::now() + wait;
    match timeout_at(at, answer(&mut channel, request)).await {
        // The channel looks at the deadline too, and has another word for it.
        Ok(Err(status)) if status.code() == Code::Cancelled && Instant::now() >= at => Err(late(wait)),
        Ok(answer) => answer,
        Err(_) => Err(late(wait)),
    }
}

fn late(wait: std::time::Duration) -> Status {
    Status::deadline_exceeded(format!("no answer in {wait:?}"))
}

async fn answer(channel: &mut Channel, request: Request<Body>) -> Result<Response<Body>, Status> {
    let failed = |error: tonic::transport::Error| Status::from_error(Box::new(error));
    let ready = channel.ready().await.map_err(failed)?;
    ready.call(request).await.map_err(failed)
}
