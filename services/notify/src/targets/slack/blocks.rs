//! Messages in Block Kit (<https://docs.slack.dev/reference/block-kit/blocks>). Whatever comes from agents or people is
//! escaped, so that it cannot name, call or link anyone.

use crate::news::{Digest, News, is_waiting};
use crate::words;
use immune_domain::case::{Case, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The buttons' ids.
pub(crate) const APPROVE: &str = "immune_approve";
pub(crate) const REJECT: &str = "immune_reject";
const OPEN: &str = "immune_open";

/// The longest header and section, characters.
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 2_900;
/// Traces that are named.
const TRACES_MAX: usize = 3;

/// What a button says when it is pressed: which case, as the message showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pressed {
    /// Name of the target.
    pub t: String,
    /// Case.
    pub c: String,
    /// Version of the case that the message showed.
    pub v: u64,
    /// [`stamp`] of it.
    pub s: String,
}

/// What a person decides upon, in short: two versions of a case with the same stamp differ in nothing that bears on
/// the decision (a lever that was asked once more, a lease).
pub fn stamp(case: &Case) -> String {
    let since = match &case.state {
        State::AwaitingApproval { since, .. } => since.as_micros(),
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => 0,
    };
    let seen = json!([
        case.id,
        case.key,
        case.state.as_str(),
        since,
        case.infection.severity.to_bits(),
        case.infection.id,
        case.infection.anomalies,
        case.diagnosis(),
        case.attempts.len(),
        case.ladder_from,
        case.first_approval,
    ]);
    hex::encode(&Sha256::digest(seen.to_string())[..12])
}

/// Slack's three special characters: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Escaped, and without the signs that format: they would only mislead here.
fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if "*_~`".contains(c) { '\u{2217}' } else { c })
        .collect();
    escaped(&text)
}

fn section(title: &str, text: &str) -> Value {
    let text = words::short(text, SECTION_CHARS_MAX / 5);
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("*{title}*\n{text}") } })
}

fn header(text: &str) -> Value {
    let text = words::short(text, HEADER_CHARS_MAX);
    json!({ "type": "header", "text": { "type": "plain_text", "text": text, "emoji": false } })
}

/// The message of one piece of news; with the target's name, it has buttons where a person can decide.
pub(crate) fn of_news(news: &News, buttons_of: Option<&str>) -> Value {
    let mut blocks = vec![header(&words::headline(news))];
    blocks.push(section("What happened", &plain(&news.event.text)));
    if let Some(case) = &news.case {
        blocks.extend(of_case(case));
        if let Some(plan) = &news.plan {
            blocks.push(section("What would be done", &plain(&words::plan(plan))));
        }
    }
    let actions = actions(news, buttons_of);
    if !actions.is_empty() {
        blocks.push(json!({ "type": "actions", "block_id": "immune_actions", "elements": actions }));
    }
    let context = format!(
        "run {}, case {}",
        plain(news.event.key.run.as_str()),
        plain(news.event.case.as_str())
    );
    blocks.push(
        json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": words::short(&context, 600) }] }),
    );
    json!(blocks)
}

fn of_case(case: &Case) -> Vec<Value> {
    let mut blocks = vec![
        section("Now", &plain(&words::standing(case))),
        section("What moved", &plain(&words::moved(case).join("\n"))),
        section("Why", &plain(&words::because(case))),
    ];
    let traces: Vec<&str> = case
        .infection
        .evidence
        .iter()
        .rev()
        .filter_map(|e| e.trace_id.as_deref())
        .take(TRACES_MAX)
        .collect();
    if !traces.is_empty() {
        blocks.push(section("Traces", &plain(&traces.join(", "))));
    }
    if let Some(last) = &case.last_decision {
        let why = if last.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", last.reason)
        };
        let said = format!(
            "{} by {} at {}{why}",
            last.decision.done(),
            last.by.subject,
            last.at
        );
        blocks.push(section("Last decision", &plain(&said)));
    }
    blocks
}

fn actions(news: &News, buttons_of: Option<&str>) -> Vec<Value> {
    let mut elements = Vec::new();
    if let (Some(target), Some(case)) = (
        buttons_of,
        news.case.as_ref().filter(|case| is_waiting(&case.state)),
    ) {
        let pressed = Pressed {
            t: target.to_owned(),
            c: case.id.to_string(),
            v: case.version,
            s: stamp(case),
        };
        let agent = words::short(case.key.agent.as_str(), 80);
        let then = match (case.needs_second_person, &case.first_approval) {
            (true, None) => "A second person has to approve, too.",
            (true, Some(_)) | (false, _) => "The plan above is carried out at once.",
        };
        let approve = format!("Approve healing of {agent}? {then}");
        elements.push(button(APPROVE, "Approve", "primary", &approve, &pressed));
        let reject =
            format!("Reject healing of {agent}? It stays as it is until somebody decides otherwise.");
        elements.push(button(REJECT, "Reject", "danger", &reject, &pressed));
    }
    if let Some(url) = &news.url {
        elements.push(json!({
            "type": "button", "action_id": OPEN, "url": url,
            "text": { "type": "plain_text", "text": "Open the case", "emoji": false },
        }));
    }
    elements
}

fn button(id: &str, text: &str, style: &str, question: &str, pressed: &Pressed) -> Value {
    let plain_text = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    json!({
        "type": "button", "action_id": id, "style": style, "text": plain_text(text),
        "value": json!(pressed).to_string(),
        "confirm": {
            "title": plain_text("Are you sure?"), "text": plain_text(&words::short(question, 300)),
            "confirm": plain_text(text), "deny": plain_text("Cancel"),
        },
    })
}

/// The message for what the rate did not allow one by one.
pub(crate) fn of_digest(digest: &Digest) -> Value {
    let (lines, more) = words::digest_lines(digest);
    let line = |news: &&News| match &news.url {
        Some(url) => format!("• <{url}|{}>", plain(&words::headline(news)).replace('|', "¦")),
        None => format!("• {}", plain(&words::headline(news))),
    };
    let mut text: Vec<String> = lines.iter().map(line).collect();
    if more > 0 {
        text.push(format!("• and {more} more"));
    }
    let mut blocks = vec![header(&words::digest_headline(digest))];
    for chunk in text.chunks(4) {
        let text = words::short(&chunk.join("\n"), SECTION_CHARS_MAX);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    if let Some(url) = &digest.url {
        let elements = json!([{
            "type": "button", "action_id": OPEN, "url": url,
            "text": { "type": "plain_text", "text": "Look and decide", "emoji": false },
        }]);
        blocks.push(json!({ "type": "actions", "block_id": "immune_actions", "elements": elements }));
    }
    json!(blocks)
}
