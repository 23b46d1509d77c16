//! What can go wrong between a command and a server: one sentence with what to do next.

use super::client::Output;
use super::out;
use immune_runtime::http::problem::Problem;
use reqwest::Url;
use serde_json::{Value, json};
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("cannot reach {server} ({cause}); start it with `immune serve`, or name another with --server")]
    Unreachable {
        /// Base URL.
        server: String,
        /// The innermost reason.
        cause: String,
    },
    /// Connected, but no answer in time, or the connection broke.
    #[error("{server} did not answer ({cause}); look at its log, or ask again")]
    NoAnswer {
        /// Base URL.
        server: String,
        /// The innermost reason.
        cause: String,
    },
    /// The server said no and why.
    #[error("{}; {}", detail(.0), advice(.0))]
    Refused(Box<Problem>),
    /// Something else answers there.
    #[error("{server} answered with status {status}, but not as an immune server does; check --server")]
    NotOurs {
        /// Base URL.
        server: String,
        /// HTTP status.
        status: u16,
    },
    /// More than a command can show.
    #[error("the answer has more than {bytes_max} bytes; ask for fewer with --limit")]
    TooLarge {
        /// The most that is read.
        bytes_max: usize,
    },
    /// Nothing could be sent.
    #[error("cannot make requests ({what}); this is a defect of the installation")]
    Unusable {
        /// The innermost reason.
        what: String,
    },
}

impl Failure {
    /// A failure to send or to read.
    pub(super) fn of_transport(server: &Url, error: &reqwest::Error) -> Self {
        let (server, cause) = (shown(server), innermost(error));
        if error.is_connect() {
            Failure::Unreachable { server, cause }
        } else {
            Failure::NoAnswer { server, cause }
        }
    }

    /// An answer that is no success.
    pub(super) fn of_answer(server: &Url, status: u16, retry_after: Option<u32>, body: &[u8]) -> Self {
        match serde_json::from_slice::<Problem>(body) {
            Ok(mut problem) => {
                problem.retry_after_seconds = problem.retry_after_seconds.or(retry_after);
                Failure::Refused(Box::new(problem))
            }
            Err(_) => Failure::NotOurs {
                server: shown(server),
                status,
            },
        }
    }

    /// The failure for programs: the server's own problem, else one of the same shape.
    pub fn to_json(&self) -> Value {
        let ours = |word: &str| {
            let (type_, detail) = (format!("urn:immune:problem:client.{word}"), self.to_string());
            json!({ "type": type_, "title": "Failed before the server decided", "detail": detail })
        };
        match self {
            Failure::Refused(problem) => serde_json::to_value(problem).unwrap_or_else(|_| ours("refused")),
            Failure::Unreachable { .. } => ours("unreachable"),
            Failure::NoAnswer { .. } => ours("no_answer"),
            Failure::NotOurs { .. } => ours("not_an_immune_server"),
            Failure::TooLarge { .. } => ours("answer_too_large"),
            Failure::Unusable { .. } => ours("unusable"),
        }
    }
}

impl Failure {
    /// Says it: one sentence on standard error, or the problem as JSON on standard output. The exit status is 1.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn report(&self, output: Output) -> io::Result<ExitCode> {
        match output {
            Output::Table => eprintln!("{self}"),
            Output::Json => out::line(&format!("{:#}", self.to_json()))?,
        }
        Ok(ExitCode::FAILURE)
    }
}

/// A base URL as people write it.
pub(super) fn shown(server: &Url) -> String {
    server.as_str().trim_end_matches('/').to_owned()
}

/// The innermost cause, which is the one that says something ("connection refused").
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    // The operating system's number says nothing to people.
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn detail(problem: &Problem) -> String {
    let said = if problem.detail.is_empty() {
        &problem.title
    } else {
        &problem.detail
    };
    let said = said.trim_end_matches(['.', ';', ' ']);
    // One wrong field is in the detail already.
    let fields: Vec<String> = match problem.errors.as_slice() {
        [] | [_] => Vec::new(),
        many => many
            .iter()
            .map(|error| format!("{} {}", error.field, error.problem))
            .collect(),
    };
    if fields.is_empty() {
        said.to_owned()
    } else {
        format!("{said} ({})", fields.join(", "))
    }
}

fn advice(problem: &Problem) -> String {
    let is_of_keys = problem.type_.starts_with("urn:immune:problem:keys.");
    match problem.status {
        404 | 409 if is_of_keys => "see what there is with `immune keys list`".to_owned(),
        401 => "give a key of this server in IMMUNE_API_KEY".to_owned(),
        403 => "ask for a key with a role that may, or for this run".to_owned(),
        404 => "see what there is with `immune get cases` or `immune get agents`".to_owned(),
        409 => "see where it stands with `immune get case CASE`".to_owned(),
        400..=499 if problem.retry_after_seconds.is_none() => "correct it and send it again".to_owned(),
        _ => match problem.retry_after_seconds {
            Some(seconds) => format!("try again in {seconds} s"),
            None => "the server's log has the details".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::ErrorKind;

    use immune_runtime::http::problem::FieldError;

    fn refused(problem: &Problem) -> Failure {
        let server = Url::parse("http://127.0.0.1:8090").unwrap();
        Failure::of_answer(
            &server,
            problem.status,
            None,
            &serde_json::to_vec(problem).unwrap(),
        )
    }

    /// Guarantees: the server's own words come first, then what to do next, in one sentence.
    #[test]
    fn a_problem_is_one_sentence_with_what_to_do_next() {
        let decided = Problem::new(
            ErrorKind::Conflict,
            "case.already_decided",
            "case c-1 was approved by ann",
        );
        let sentence = "case c-1 was approved by ann; see where it stands with `immune get case CASE`";
        assert_eq!(refused(&decided).to_string(), sentence);
        let busy = Problem::new(ErrorKind::Overloaded, "x", "too many requests.");
        assert_eq!(refused(&busy).to_string(), "too many requests; try again in 1 s");
        let field = |name: &str| FieldError {
            field: name.to_owned(),
            problem: "is missing".to_owned(),
        };
        let two = Problem::fields(vec![field("reason"), field("by")]);
        let sentence = "2 fields are wrong (reason is missing, by is missing); correct it and send it again";
        assert_eq!(refused(&two).to_string(), sentence);
        assert_eq!(refused(&two).to_json()["errors"][0]["field"], "reason");
    }

    /// Guarantees: another program on that port is not taken for ours.
    #[test]
    fn a_stranger_is_recognised() {
        let server = Url::parse("http://127.0.0.1:80").unwrap();
        let failure = Failure::of_answer(&server, 404, None, b"<html>nginx</html>");
        assert!(
            matches!(failure, Failure::NotOurs { status: 404, .. }),
            "{failure}"
        );
    }
}
