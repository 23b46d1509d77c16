//! HTTP: problems (RFC 9457).

pub mod problem;
