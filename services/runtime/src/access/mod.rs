//! Who is calling: API keys, roles, and how a verified identity travels between roles.
//!
//! The door that verified a person (`dashboard`) hands the identity on as gRPC metadata. It is believed from the
//! same process and from one that has proven, by certificate or token, to be `dashboard`; from any other [`Origin`]
//! the gRPC listener removes it, see [`crate::grpc::server`]. Which role may call what stands in [`calls`].

pub mod calls;
mod keys;
mod origin;
mod refused;
mod role;
mod token;

pub use keys::{ApiKey, Caller, KeyRing};
pub use origin::{Origin, RoleName, Roles};
pub use refused::RefusedCall;
pub(crate) use refused::Teller;
pub use role::Role;
pub use token::{ROLES as TOKEN_ROLES, RoleToken, TOKEN, TokenError};

use immune_domain::case::Person;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

/// Metadata name of the subject, percent-encoded.
pub const SUBJECT: &str = "x-immune-subject";
/// Metadata name of how the subject was verified.
pub const VIA: &str = "x-immune-via";

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
        Some(origin) if origin.is_believed() => match (read(SUBJECT), read(VIA)) {
            (Some(subject), Some(via)) => Ok(Person { subject, via }),
            (None, _) | (_, None) => Err(Status::unauthenticated("this call needs a verified person")),
        },
        Some(Origin::Loopback) => Ok(Person {
            subject: "loopback".to_owned(),
            via: "loopback".to_owned(),
        }),
        Some(Origin::InProcess | Origin::Role(_)) | None => {
            Err(Status::unauthenticated("this call needs a verified person"))
        }
    }
}

/// Whether two hashes are the same; the time taken tells nothing about where they differ.
pub fn same_hash(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0u8, |acc, (a, b)| acc | (a ^ b)) == 0
}
