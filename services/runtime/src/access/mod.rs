//! Who is calling: API keys, roles, and how a verified identity travels between roles.
//!
//! The door that verified a person (`dashboard`) hands the identity on as gRPC metadata. Only the in-process
//! channel (and, between processes, mutual TLS) is believed: the gRPC listener of a role strips these names from
//! what arrives over TCP, see [`crate::grpc::server`].

mod keys;
mod role;

pub use keys::{ApiKey, Caller, KeyRing};
pub use role::Role;

use immune_domain::case::Person;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

/// Metadata name of the subject, percent-encoded.
pub const SUBJECT: &str = "x-immune-subject";
/// Metadata name of how the subject was verified.
pub const VIA: &str = "x-immune-via";

/// Where a gRPC call came from; an extension of every request that a role receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Over the in-process channel: identity metadata is believed.
    InProcess,
    /// Over a loopback listener that is open by configuration: the caller is whoever is on this machine.
    Loopback,
}

/// Puts a verified person on a call to another role.
pub fn with_person<T>(message: T, person: &Person) -> Request<T> {
    let mut request = Request::new(message);
    let encoded = |text: &str| {
        MetadataValue::try_from(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string())
            .expect("percent-encoded text is ASCII")
    };
    request.metadata_mut().insert(SUBJECT, encoded(&person.subject));
    request.metadata_mut().insert(VIA, encoded(&person.via));
    request
}

/// The verified person who makes this call.
///
/// # Errors
/// `Unauthenticated` when nobody was verified.
#[allow(
    clippy::result_large_err,
    reason = "tonic's own type at the edge of a handler"
)]
pub fn person_of<T>(request: &Request<T>) -> Result<Person, Status> {
    let read = |name: &str| {
        let text = request.metadata().get(name)?.to_str().ok()?;
        percent_decode_str(text)
            .decode_utf8()
            .ok()
            .map(|text| text.into_owned())
    };
    match request.extensions().get::<Origin>() {
        Some(Origin::InProcess) => match (read(SUBJECT), read(VIA)) {
            (Some(subject), Some(via)) => Ok(Person { subject, via }),
            _ => Err(Status::unauthenticated("this call needs a verified person")),
        },
        Some(Origin::Loopback) => Ok(Person {
            subject: "loopback".to_owned(),
            via: "loopback".to_owned(),
        }),
        None => Err(Status::unauthenticated("this call needs a verified person")),
    }
}
