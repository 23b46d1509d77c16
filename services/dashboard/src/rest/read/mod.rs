//! Reading requests: bodies, queries, paths, and who asks for which run. What is wrong is named, all at once.

pub mod body;
pub mod context;
pub mod fields;
pub mod params;
pub mod path;

/// Rows of a listing when the caller names no number.
pub const LIMIT_DEFAULT: u32 = 100;
