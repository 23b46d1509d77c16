//! The roles around the sentinel, scripted; every call that no test expects is refused.

pub mod baseline;
pub mod quarantine;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type WatchStream<T> = ReceiverStream<Result<T, Status>>;

fn unexpected<T>() -> Answer<T> {
    Err(Status::unimplemented("no test expects this call"))
}

fn ok<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

/// The messages of a watch: first some, then those that are sent.
fn stream<T: Send + 'static>(first: Vec<T>) -> (WatchStream<T>, mpsc::Sender<Result<T, Status>>) {
    let (sender, receiver) = mpsc::channel(first.len() + 64);
    first
        .into_iter()
        .for_each(|message| sender.try_send(Ok(message)).expect("room for all"));
    (ReceiverStream::new(receiver), sender)
}
