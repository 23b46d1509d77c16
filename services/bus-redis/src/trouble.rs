//! What goes wrong between this process and Redis.

use immune_bus::BusError;
use immune_domain::ErrorKind;
use redis::{RedisError, ServerErrorKind};
use std::time::Duration;

/// Why Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Its own word, or the network's.
    #[error("redis did not do it")]
    Redis(#[from] RedisError),
    /// No answer in time.
    #[error("redis did not answer within {after:?}")]
    Late {
        /// How long it had.
        after: Duration,
    },
    /// The bus was divided by another configuration.
    #[error("redis holds a vitals bus of {there} partitions, and {here} are configured")]
    Divided {
        /// The partitions that Redis knows of.
        there: u16,
        /// Those configured here.
        here: u16,
    },
    /// A file with certificates cannot be read.
    #[error("{file} cannot be read")]
    Certificate {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An answer that no version of Redis is known to give.
    #[error("redis answered what it was not asked: {what}")]
    Answer {
        /// In short.
        what: String,
    },
}

impl Trouble {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Trouble::Redis(error) if is_out_of_memory(error) => ErrorKind::Overloaded,
            Trouble::Redis(_) | Trouble::Divided { .. } | Trouble::Certificate { .. } => {
                ErrorKind::Unavailable
            }
            Trouble::Late { .. } => ErrorKind::Timeout,
            Trouble::Answer { .. } => ErrorKind::Internal,
        }
    }
}

impl From<Trouble> for BusError {
    fn from(trouble: Trouble) -> Self {
        match trouble.kind() {
            ErrorKind::Overloaded => BusError::Overloaded {
                reason: "redis is out of memory".to_owned(),
            },
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Internal
            | ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict => BusError::Away {
                source: Box::new(trouble),
            },
        }
    }
}

/// Whether Redis refuses for want of memory: the connection is well, and trying again at once does not help.
pub(crate) fn is_out_of_memory(error: &RedisError) -> bool {
    // Inside a script some versions put the code into the text.
    error.code() == Some("OOM")
        || error
            .detail()
            .is_some_and(|detail| detail.contains("OOM command not allowed"))
}

/// Whether Redis does not know the script, which it forgets when it restarts.
pub(crate) fn is_script_unknown(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}
