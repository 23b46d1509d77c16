//! Large JSON answers are compressed; nothing else is. Live events are sent as they happen, files of the page are
//! compressed when the product is built, and small answers are not worth it. No answer holds a secret beside text that
//! somebody else chose, so that its compressed length gives none away: what holds one (`/api/me`) is small.

use axum::http::{HeaderMap, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};

/// Answers below are sent as they are, bytes.
const BYTES_MIN: u64 = 2_048;

/// Which answers are compressed by their headers.
type IsJson = fn(StatusCode, Version, &HeaderMap, &axum::http::Extensions) -> bool;

/// The layer; gzip, the fastest: a fleet of 10,000 takes a tenth of its length and a few milliseconds.
pub(super) fn layer() -> CompressionLayer<And<SizeAbove, IsJson>> {
    let is_json: IsJson = is_json;
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(BYTES_MIN).and(is_json))
}

fn is_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &axum::http::Extensions) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
