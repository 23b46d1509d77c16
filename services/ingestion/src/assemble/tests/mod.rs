//! Spans as they arrive, one behaviour a test.

mod arrival;
mod limits;
mod random;
mod running;
pub(crate) mod world;
