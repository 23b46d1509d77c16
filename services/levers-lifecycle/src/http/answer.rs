//! One HTTP answer, and what can be read from it.

use crate::reply::{Reply, Word, words};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// An answer as it came.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) url: Url,
}

/// The body that the contract asks for.
#[derive(Deserialize)]
struct OutcomeBody {
    outcome: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    evidence: Value,
}

impl Answered {
    /// What the platform says, for people.
    pub(super) fn words(&self) -> String {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Problem {
            detail: Option<String>,
            title: Option<String>,
            error: Option<Value>,
            message: Option<String>,
        }
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = problem
            .error
            .map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned));
        let said = problem.detail.or(problem.title).or(problem.message).or(error);
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        words(&said, "no reason given")
    }

    /// Seconds only: a date would need a clock that agrees with the platform's.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self
            .headers
            .get(RETRY_AFTER)?
            .to_str()
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()?;
        Some(Duration::from_secs(seconds.into()))
    }

    pub(super) fn again(&self) -> Reply {
        Reply::Again {
            why: format!("{}: {}", self.status, self.words()),
            wait: self.retry_after(),
        }
    }

    /// The outcome that the body tells, `None` when it tells none.
    pub(super) fn outcome(&self) -> Option<Reply> {
        let body: OutcomeBody = serde_json::from_slice(&self.body).ok()?;
        let word = match body.outcome.as_str() {
            "done" => Word::Done,
            "failed" => Word::Failed,
            "unsupported" => Word::Unsupported,
            _ => return None,
        };
        let detail = words(body.detail.as_deref().unwrap_or_default(), &body.outcome);
        Some(Reply::Settled {
            word,
            detail,
            evidence: body.evidence,
        })
    }

    /// A final word that the status gives, whatever the body.
    pub(super) fn settled(&self, word: Word, detail: String) -> Reply {
        Reply::Settled {
            word,
            detail,
            evidence: json!({ "status": self.status.as_u16() }),
        }
    }

    /// Where an accepted operation is asked for: `poll` in the body, else the Location header; on the same origin,
    /// or our credentials would go to whomever the platform names.
    pub(super) fn place(&self, base: &Url) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Accepted {
            poll: String,
        }
        let told = serde_json::from_slice::<Accepted>(&self.body)
            .ok()
            .map(|body| body.poll);
        let header = || self.headers.get(LOCATION)?.to_str().ok().map(str::to_owned);
        let place = told
            .or_else(header)
            .ok_or("the platform accepted the order but names no place to ask for it")?;
        let url = self
            .url
            .join(&place)
            .map_err(|e| format!("the place to poll is no url: {e}"))?;
        if url.origin() != base.origin() {
            let origin = url.origin().ascii_serialization();
            return Err(format!(
                "the place to poll is on another origin, {origin}, which is not asked"
            ));
        }
        Ok(url.into())
    }
}
