//! What the process was put together from, for people to see.

/// What the process was put together from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// The vitals bus: `local`, `grpc`, `redis`.
    pub bus: &'static str,
    /// Store of cases, profiles and memory: `memory`, `sqlite`, `postgres`.
    pub workflow: &'static str,
    /// Store of vitals: `memory`, `sqlite`, `postgres`, `influx`.
    pub vitals: &'static str,
}
