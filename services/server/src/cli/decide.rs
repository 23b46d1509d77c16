//! `immune approve | reject | heal-now | release CASE... --reason TEXT`: a person's decision on cases.

use super::client::{Client, Output, Server, segment};
use super::failure::Failure;
use super::{out, pick};
use immune_domain::case::Decision;
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;

/// Arguments of a decision.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Cases to decide; `immune get cases` lists them.
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<String>,
    /// Why, for the record.
    #[arg(short, long, value_name = "TEXT")]
    #[arg(value_parser = reason)]
    reason: String,
    #[command(flatten)]
    server: Server,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("must say why; it goes into the action log".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Sends the decision on each case in turn. One refusal does not keep the others from being decided; the exit
/// status is 1 when any was refused.
///
/// # Errors
/// When standard output cannot be written.
pub async fn run(decision: Decision, args: Args) -> anyhow::Result<ExitCode> {
    let client = match Client::new(&args.server) {
        Ok(client) => client,
        Err(failure) => return Ok(failure.report(args.server.output)?),
    };
    let mut answers = Vec::with_capacity(args.cases.len());
    let mut refused = false;
    for case in &args.cases {
        let answer = decide(&client, decision, case, &args.reason).await;
        refused |= answer.is_err();
        match args.server.output {
            Output::Table => say(decision, case, &answer)?,
            Output::Json => answers.push(to_json(case, answer)),
        }
    }
    if args.server.output == Output::Json {
        out::line(&serde_json::to_string_pretty(&answers)?)?;
    }
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn decide(client: &Client, decision: Decision, case: &str, reason: &str) -> Result<Value, Failure> {
    // The contract's paths have a hyphen where the word has an underscore.
    let word = decision.as_str().replace('_', "-");
    client
        .post(
            &format!("/api/cases/{}/{word}", segment(case)),
            &json!({ "reason": reason }),
        )
        .await
}

fn say(decision: Decision, case: &str, answer: &Result<Value, Failure>) -> io::Result<()> {
    match answer {
        Ok(answer) => out::line(&format!("{case}: {}", outcome(decision, answer))),
        Err(failure) => {
            eprintln!("{case}: {failure}");
            Ok(())
        }
    }
}

/// What became of a decision. Where it is the first of two, the case still holds it as such.
fn outcome(decision: Decision, answer: &Value) -> String {
    let state = pick::state(answer, "/state").text;
    match answer.pointer("/first_approval/by").and_then(Value::as_str) {
        Some(by) if decision != Decision::Reject => format!(
            "{} by {by} as the first of two, still {state}; somebody else must decide the same",
            decision.done()
        ),
        _ => format!("{}, now {state}", decision.done()),
    }
}

fn to_json(case: &str, answer: Result<Value, Failure>) -> Value {
    match answer {
        Ok(answer) => json!({ "case_id": case, "ok": true, "case": answer }),
        Err(failure) => json!({ "case_id": case, "ok": false, "problem": failure.to_json() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: whoever decides first of two is told that somebody else is needed, and does not read "now".
    #[test]
    fn a_first_of_two_is_told() {
        let first = json!({ "state": "awaiting_approval", "first_approval": { "by": "ada" } });
        let said = outcome(Decision::Approve, &first);
        assert!(
            said.starts_with("approved by ada as the first of two, still "),
            "{said}"
        );
        assert!(said.ends_with("somebody else must decide the same"), "{said}");
        let done = json!({ "state": "heal_queued", "first_approval": null });
        assert!(outcome(Decision::Approve, &done).starts_with("approved, now "));
    }
}
