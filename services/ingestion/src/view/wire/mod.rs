//! The view over the bytes of a request as they came, without decoding them.
//!
//! Two steps. [`check`] reads the whole request once and proves that prost would take it, with every text UTF-8;
//! nothing is allocated. The walk then lends the rules what they ask for, straight from the bytes. Requests
//! that no encoder writes ([`Unusual`]) are prost's to refuse or to decode, so that there is one opinion of what a
//! request is: `tests/wire` and `make fuzz` hold the two readers against each other.
//!
//! - `fields`: the encoding. `check`: the first step, by the messages of OTLP 1.9. `walk`: the second.

mod check;
mod fields;
mod walk;

pub use fields::Unusual;
pub(super) use walk::Items;
pub use walk::{Attribute, Request, Resource, Scope, Span};

use bytes::Bytes;

/// A request that was checked.
#[derive(Debug, Clone)]
pub struct Checked {
    body: Bytes,
    weight: usize,
}

/// Checks the bytes of an `ExportTraceServiceRequest`.
///
/// # Errors
/// When prost would refuse them, when they are in a form that is left to it, and when what it would make of them is
/// above `weight_max` bytes ([`Checked::weight`]).
pub fn check(body: Bytes, weight_max: usize) -> Result<Checked, Unusual> {
    let weight = check::request(&body, weight_max)?;
    Ok(Checked { body, weight })
}

impl Checked {
    /// What the structs in the lists of the decoded request would take, bytes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The view.
    pub fn view(&self) -> Request<'_> {
        Request(&self.body)
    }
}
