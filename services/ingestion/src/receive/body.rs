//! Reading a body within the limits: as it comes, and while it is inflated, so that no bomb goes off.

use super::admission::{Admission, Full, Ticket};
use super::weight;
use crate::metrics::Signal;
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use std::io::Read;
use std::time::Duration;

/// The largest window of a zstd frame, as a power of two: 16 MiB. A frame may ask for much more, at no cost to its
/// sender; what compressors up to level 19 make asks for 8 MiB at most.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// How long the rest of a refused body is read.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    Deflate,
}

impl Encoding {
    /// From `Content-Encoding` or `grpc-encoding`; `None` when it is one we do not read.
    pub(crate) fn of(header: &str) -> Option<Self> {
        match header.trim() {
            "" | "identity" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            "deflate" => Some(Encoding::Deflate),
            _ => None,
        }
    }
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request is larger than {max} bytes; send smaller batches")]
    TooLarge { max: usize },
    #[error("the request would take more than {max} bytes in memory; send smaller batches")]
    TooHeavy { max: usize },
    #[error("too many bytes are under way; repeat the request later")]
    Full,
    #[error("the body took longer than {seconds} seconds")]
    Slow { seconds: u64 },
    #[error("the body ended early")]
    Broken,
    #[error("the body cannot be decompressed")]
    Compression,
    #[error("the body is not one message of gRPC")]
    Frame,
}

impl BodyError {
    /// A word of a closed list, for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            BodyError::TooLarge { .. } | BodyError::TooHeavy { .. } => "too_large",
            BodyError::Full => "overloaded",
            BodyError::Slow { .. } => "slow",
            BodyError::Broken | BodyError::Compression | BodyError::Frame => "undecodable",
        }
    }
}

impl From<Full> for BodyError {
    fn from(Full: Full) -> Self {
        BodyError::Full
    }
}

/// Reads a whole body as it travels.
pub(crate) async fn read(
    body: &mut Body,
    admission: &Admission,
    ticket: &mut Ticket,
) -> Result<Bytes, BodyError> {
    tokio::time::timeout(
        admission.body_time_max,
        collect(body, admission.body_bytes_max, ticket),
    )
    .await
    .map_err(|_| BodyError::Slow {
        seconds: admission.body_time_max.as_secs(),
    })?
}

/// Inflates what was read.
pub(crate) fn inflated(
    whole: Bytes,
    encoding: Encoding,
    admission: &Admission,
    ticket: &mut Ticket,
) -> Result<Bytes, BodyError> {
    let max = admission.body_bytes_max;
    match encoding {
        Encoding::Identity => Ok(whole),
        Encoding::Gzip => inflate(MultiGzDecoder::new(&whole[..]), max, ticket),
        Encoding::Deflate => inflate(ZlibDecoder::new(&whole[..]), max, ticket),
        Encoding::Zstd => {
            let mut reader = zstd::Decoder::new(&whole[..]).map_err(|_| BodyError::Compression)?;
            reader
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|_| BodyError::Compression)?;
            inflate(reader, max, ticket)
        }
    }
}

/// The two forms of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Protobuf,
    Json,
}

/// Takes room for what decoding will allocate.
pub(crate) fn weigh(
    body: &[u8],
    form: Form,
    signal: Signal,
    admission: &Admission,
    ticket: &mut Ticket,
) -> Result<(), BodyError> {
    let max = admission.decoded_bytes_max;
    let weight = match form {
        Form::Protobuf => weight::protobuf(signal, body, max),
        Form::Json => weight::json(signal, body, max),
    };
    if weight > max {
        return Err(BodyError::TooHeavy { max });
    }
    Ok(ticket.take(weight)?)
}

async fn collect(body: &mut Body, max: usize, ticket: &mut Ticket) -> Result<Bytes, BodyError> {
    // What a sender announces is refused before it has sent it.
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge { max });
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if whole.len() + chunk.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        ticket.take(chunk.len())?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// Reads what is left of a refused body and forgets it, within limits. Closing the connection on a sender that
/// still writes would destroy the answer on its way, and the sender would repeat what it should not.
pub(crate) async fn discard(mut body: Body, admission: &Admission) {
    let reading = async {
        let mut left = admission.body_bytes_max.saturating_mul(2);
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    // Whether it came to its end makes no difference to the answer.
    let _ = tokio::time::timeout(admission.body_time_max.min(DISCARD_TIME_MAX), reading).await;
}

/// Inflates block by block; at 16 MiB this takes some tens of milliseconds at most.
fn inflate(mut reader: impl Read, max: usize, ticket: &mut Ticket) -> Result<Bytes, BodyError> {
    const BLOCK: usize = 64 * 1024;
    let mut whole = Vec::new();
    loop {
        let before = whole.len();
        let read = reader
            .by_ref()
            .take(BLOCK as u64)
            .read_to_end(&mut whole)
            .map_err(|_| BodyError::Compression)?;
        if whole.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        ticket.take(whole.len() - before)?;
        if read == 0 {
            return Ok(whole.into());
        }
    }
}
