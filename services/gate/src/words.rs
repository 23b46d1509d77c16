//! What an answer says to gateways and to whoever is denied; the same over both protocols.

use crate::check::{Answer, Denial};
use crate::identity::{Headers, Identity};
use immune_domain::ErrorKind;
use immune_runtime::http::problem::Problem;
use serde::Serialize;

/// The case that keeps an agent out.
pub(crate) const CASE: &str = "x-immune-case";
/// Why a request may not pass.
pub(crate) const REASON: &str = "x-immune-reason";
/// What all our headers begin with. What is behind the gateway may believe that they are ours.
const OURS: &str = "x-immune-";
/// The type of the body of a denial (RFC 9457).
pub(crate) const PROBLEM: &str = "application/problem+json";
/// Bytes of a header's value.
const VALUE_BYTES_MAX: usize = 512;
/// Headers that are removed from one request.
const REMOVED_MAX: usize = 64;

/// The body of a denial: a problem with what is known of the case.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    problem: Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    case_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<&'a str>,
}

/// The body of a denial as JSON.
pub(crate) fn body(denial: &Denial) -> String {
    let held = denial.held.as_deref();
    let body = Body {
        problem: Problem::new(ErrorKind::Forbidden, denial.word.code(), &denial.reason),
        agent_id: held.map(|held| held.agent.as_str()),
        run_id: held.map(|held| held.run.as_str()),
        case_id: held.map(|held| held.case.as_str()),
        severity: held
            .map(|held| held.severity)
            .filter(|severity| severity.is_finite()),
        diagnosis: held.map(|held| held.diagnosis.as_str()),
    };
    serde_json::to_string(&body).expect("names are texts, numbers are finite")
}

/// The headers of a denial.
pub(crate) fn headers(denial: &Denial) -> Vec<(&'static str, String)> {
    let case = denial.held.as_ref().map(|held| (CASE, value(held.case.as_str())));
    let reason = (REASON, value(&denial.reason));
    [("content-type", PROBLEM.to_owned()), reason]
        .into_iter()
        .chain(case)
        .collect()
}

/// What is answered while nothing is known.
pub(crate) fn starting() -> Problem {
    Problem::new(
        ErrorKind::Unavailable,
        "gate.starting",
        "the cases have not been read yet: nobody can say whether the agent may act",
    )
}

/// A text as the value of a header: visible ASCII, not too long.
fn value(text: &str) -> String {
    let visible = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    text.chars().take(VALUE_BYTES_MAX).map(visible).collect()
}

/// Headers that must not reach what is behind the gateway: ours, as nobody but us may write them. Those that name the
/// agent may.
pub(crate) fn forged(headers: Headers<'_>, identity: &Identity) -> Vec<String> {
    let mut names = headers.names_with(OURS);
    names.retain(|name| identity.headers().all(|own| own != name));
    names.extend([CASE, REASON].map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names.truncate(REMOVED_MAX);
    names
}

/// Fields for a gateway's log.
pub(crate) fn metadata(answer: &Answer) -> Vec<(&'static str, Datum)> {
    let mut fields = vec![("answer", Datum::Text(answer.label().to_owned()))];
    if let Answer::Denied(denial) = answer {
        fields.push(("reason", Datum::Text(denial.reason.clone())));
        if let Some(held) = &denial.held {
            fields.extend([
                ("case_id", Datum::Text(held.case.to_string())),
                ("severity", Datum::Number(held.severity)),
                ("diagnosis", Datum::Text(held.diagnosis.clone())),
            ]);
        }
    }
    fields
}

/// A value for a gateway's log.
pub(crate) enum Datum {
    Text(String),
    Number(f64),
}
