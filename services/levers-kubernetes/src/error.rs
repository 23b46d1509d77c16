//! What can go wrong, and what the lever says of it.

use immune_levers::{Answer, Outcome};
use serde_json::json;

/// Why an order was not carried out, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The API server said no, an admission webhook maybe: its own words.
    #[error("{doing}: {message}")]
    Refused { doing: String, message: String },
    /// Somebody else changed the object meanwhile; to be read and tried again.
    #[error("{doing}: somebody else keeps changing it: {message}")]
    Conflict { doing: String, message: String },
    /// There is no such object.
    #[error("{doing}: {message}")]
    Missing { doing: String, message: String },
    /// No answer, or none that says whether it was done.
    #[error("{doing}: {message}")]
    Away { doing: String, message: String },
    /// It was asked for and has not come about yet.
    #[error("{0}")]
    Pending(String),
    /// It did not come about, with what to do.
    #[error("{0}")]
    Failed(String),
    /// It cannot be done for this agent.
    #[error("{0}")]
    Unsupported(String),
}

pub(crate) type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    /// What the client's error means.
    pub(crate) fn of(doing: impl Into<String>, error: kube::Error) -> Self {
        let doing = doing.into();
        let kube::Error::Api(status) = error else {
            let message = format!("the API server did not answer: {error}");
            return Trouble::Away { doing, message };
        };
        let message = match status.message.is_empty() {
            true => format!("status {}", status.code),
            false => status.message.clone(),
        };
        match (status.code, status.reason.as_str()) {
            (404, _) => Trouble::Missing { doing, message },
            // An admission webhook may answer 409 as well; it says so in other words.
            (409, "Conflict" | "AlreadyExists") => Trouble::Conflict { doing, message },
            (408 | 429 | 500..=599, _) => Trouble::Away { doing, message },
            _ => Trouble::Refused { doing, message },
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        let outcome = match self {
            Trouble::Away { .. } | Trouble::Pending(_) => Outcome::Unknown,
            Trouble::Unsupported(_) => Outcome::Unsupported,
            Trouble::Refused { .. }
            | Trouble::Conflict { .. }
            | Trouble::Missing { .. }
            | Trouble::Failed(_) => Outcome::Failed,
        };
        Answer {
            outcome,
            detail: self.to_string(),
            evidence: json!({ "platform": "kubernetes" }),
        }
    }
}
