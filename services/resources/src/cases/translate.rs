//! A case as the object that shows it. Pure: the same case gives the same object, so that a difference means news.

use super::conditions::conditions;
use super::config::Scope;
use super::kind::{AgentCase, AgentCaseSpec, AgentCaseStatus, LeverStatus};
use super::summary::summary;
use immune_domain::case::{Case, State};
use immune_domain::{CaseId, Timestamp};
use immune_store::cases::closed_at;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Label: who manages the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: the namespace of the plane whose case it is. Two planes in one cluster leave each other's cases alone.
pub const PLANE: &str = "immune.io/plane";
/// Label: the run, where it is a valid label value.
pub const RUN: &str = "immune.io/run";
/// Label: the agent, where it is a valid label value.
pub const AGENT_ID: &str = "immune.io/agent-id";
/// Label: the state, to select by.
pub const STATE: &str = "immune.io/state";
/// The labels that the mirror writes.
pub(crate) const LABELS: [&str; 5] = [MANAGED_BY, PLANE, RUN, AGENT_ID, STATE];

/// The longest name: a DNS label, so that it may be the value of a label, too.
const NAME_MAX: usize = 63;
/// Hex digits of the hash in a name that had to be changed.
const HASH_DIGITS: usize = 10;
/// The longest detail of a lever, bytes.
const DETAIL_MAX: usize = 400;
/// The most levers shown.
const LEVERS_MAX: usize = 20;

/// Where a namespace is told in the hints of a report.
const NAMESPACE_HINT: &str = "namespace.name";

/// The object that shows a case, without what only the API server knows. `is_displaced`: the agent's namespace does not
/// take objects (it is gone or going), so the case is shown in the plane's own.
pub fn object(case: &Case, scope: &Scope, is_displaced: bool) -> AgentCase {
    let (spec, status) = (spec(case), status(case));
    let mut labels = BTreeMap::from([
        (MANAGED_BY.to_owned(), "immune".to_owned()),
        (STATE.to_owned(), case.state.as_str().to_owned()),
    ]);
    let optional = [(PLANE, &scope.own), (RUN, &spec.run), (AGENT_ID, &spec.agent)];
    for (label, value) in optional {
        if is_label_value(value) {
            labels.insert(label.to_owned(), value.clone());
        }
    }
    let namespace = match is_displaced {
        true => scope.own.clone(),
        false => namespace(case, scope),
    };
    AgentCase {
        metadata: ObjectMeta {
            name: Some(name(&case.id)),
            namespace: Some(namespace),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec,
        status: Some(status),
    }
}

/// The name of a case's object: its id if that is a DNS label, else what can be kept of it and a hash.
pub fn name(id: &CaseId) -> String {
    let is_name_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let text = id.as_str();
    let is_name = text.len() <= NAME_MAX
        && text.chars().all(is_name_char)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_name && !text.is_empty() {
        return text.to_owned();
    }
    let kept: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if is_name_char(c) { c } else { '-' })
        .take(NAME_MAX - HASH_DIGITS - 1)
        .collect();
    let hash = hex(&Sha256::digest(text), HASH_DIGITS);
    match kept.trim_matches('-') {
        "" => format!("case-{hash}"),
        kept => format!("{kept}-{hash}"),
    }
}

/// The namespace in which a case is shown: the agent's, as far as known and allowed, else the plane's own.
pub fn namespace(case: &Case, scope: &Scope) -> String {
    let hinted = case.infection.workload.get(NAMESPACE_HINT);
    hinted
        .filter(|namespace| is_namespace(namespace) && scope.allows(namespace))
        .unwrap_or(&scope.own)
        .clone()
}

fn spec(case: &Case) -> AgentCaseSpec {
    AgentCaseSpec {
        run: case.key.run.to_string(),
        agent: case.key.agent.to_string(),
        case_id: case.id.to_string(),
    }
}

fn status(case: &Case) -> AgentCaseStatus {
    // Not `updated_at` of the case: that moves with every renewal of a healer's lease, which is no news.
    let updated_at = case.timeline.last().map_or(case.opened_at, |entry| entry.at);
    let lever = |lever: &immune_domain::case::LeverState| LeverStatus {
        name: lever.lever.clone(),
        wanted: lever.wanted.as_str().to_owned(),
        status: lever.status.as_str().to_owned(),
        detail: shortened(&lever.detail, DETAIL_MAX),
    };
    AgentCaseStatus {
        state: Some(case.state.as_str().to_owned()),
        quarantine: Some(case.quarantine.phase.as_str().to_owned()),
        severity: Some((case.infection.severity * 10.0).round() / 10.0),
        diagnosis: Some(case.diagnosis().as_str().to_owned()),
        summary: Some(summary(case)),
        opened_at: Some(time(case.opened_at)),
        updated_at: Some(time(updated_at)),
        closed_at: closed_at(case).map(time),
        expires_at: expires_at(case).map(time),
        levers: case
            .quarantine
            .levers
            .iter()
            .take(LEVERS_MAX)
            .map(lever)
            .collect(),
        next: action(case).map(|action| action.as_str().to_owned()),
        decision: None,
        conditions: conditions(case),
    }
}

/// The healing action under way.
pub(super) fn action(case: &Case) -> Option<immune_domain::healing::Action> {
    match &case.state {
        State::Healing { step, .. } => step.as_ref().map(|step| step.action),
        State::Probation { step, .. } => Some(step.action),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => None,
    }
}

fn expires_at(case: &Case) -> Option<Timestamp> {
    if case.state.is_closed() {
        return None;
    }
    let lapses = case.first_approval.as_ref().map(|first| first.expires_at);
    let escalates = match &case.state {
        State::AwaitingApproval { escalates_at, .. } => Some(*escalates_at),
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => None,
    };
    lapses.into_iter().chain(escalates).min()
}

/// A time as Kubernetes writes it, whole seconds.
pub(crate) fn time(at: Timestamp) -> Time {
    let seconds = at.as_micros().div_euclid(1_000_000);
    Time(jiff::Timestamp::from_second(seconds).unwrap_or_default())
}

/// The text, cut at so many bytes; what is cut is marked.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub('…'.len_utf8());
    let cut = (0..=room).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}…", &text[..cut])
}

/// The first hex digits of a hash.
pub(crate) fn hex(hash: &[u8], digits: usize) -> String {
    let mut text: String = hash
        .iter()
        .take(digits.div_ceil(2))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    text.truncate(digits);
    text
}

/// Whether a text may be a label's value: at most 63 of letters, digits, `-_.`, with a letter or digit at both ends.
fn is_label_value(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(is_inner)
        && is_end(text.chars().next())
        && is_end(text.chars().next_back())
}

/// Whether a text may be a namespace's name: a DNS label.
fn is_namespace(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    is_label_value(text) && text.chars().all(is_inner)
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
