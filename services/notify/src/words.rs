//! The same words for every receiver that people read.

use crate::kind::Kind;
use crate::news::{Digest, News};
use immune_domain::case::{Case, QuarantinePhase, State};
use immune_domain::healing::Plan;
use immune_domain::vitals::Metric;
use std::collections::BTreeSet;

/// The longest text of a part of a message, characters.
const PART_CHARS_MAX: usize = 600;
/// Cases that a digest names.
pub(crate) const DIGEST_LINES_MAX: usize = 10;

/// A text cut to a number of characters.
pub(crate) fn short(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// What happened, in a few words.
pub(crate) fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Opened => "Agent infected",
        Kind::Worsened => "Infection has become worse",
        Kind::Waiting => "A person must decide",
        Kind::Contained => "Quarantine confirmed",
        Kind::Decided => "A decision was taken",
        Kind::Healing => "Healing",
        Kind::Healed => "Agent healed",
        Kind::Failed => "A healing step failed",
        Kind::Breached => "Quarantine breached",
        Kind::Released => "Agent released",
        Kind::Test => "Test message",
    }
}

/// One line: what happened to whom, how severe.
pub(crate) fn headline(news: &News) -> String {
    if news.kind == Kind::Test {
        return "Test message: this target can be reached".to_owned();
    }
    let (agent, severity) = (short(news.event.key.agent.as_str(), 80), news.severity());
    format!(
        "{}: {agent}, severity {severity:.1}, {}",
        what(news.kind),
        news.diagnosis()
    )
}

/// Where the case stands now.
pub(crate) fn standing(case: &Case) -> String {
    let contained = match case.quarantine.phase {
        QuarantinePhase::NotWanted => "not quarantined",
        QuarantinePhase::Requested => "quarantine asked for, not confirmed yet",
        QuarantinePhase::Partial => "quarantine confirmed in part",
        QuarantinePhase::Confirmed => "quarantined",
        QuarantinePhase::Breached => "quarantine breached",
        QuarantinePhase::Probation => "runs under watch",
        QuarantinePhase::Releasing => "being released",
        QuarantinePhase::Released => "free",
    };
    let workflow = match &case.state {
        State::AwaitingApproval { reason, .. } => match &case.last_decision {
            Some(last) => format!(
                "waits for a person ({}); the last decision was {} by {}",
                reason.as_str(),
                last.decision.done(),
                short(&last.by.subject, 80)
            ),
            None => format!("waits for a person ({})", reason.as_str()),
        },
        State::Rejected { by, .. } => format!("rejected by {}; stays as it is", short(&by.subject, 80)),
        State::HealQueued { .. } => "will be healed".to_owned(),
        State::Healing { step: Some(step), .. } => format!("is being healed: {}", step.action),
        State::Healing { step: None, .. } => "is being healed".to_owned(),
        State::Probation { step, .. } => format!("healed by {}, to be proven", step.action),
        State::Healed { action, .. } => format!("healed by {action}"),
        State::Released { by, .. } => format!("released by {}", short(&by.subject, 80)),
    };
    let second = match (case.needs_second_person, &case.first_approval) {
        (true, Some(first)) => format!(
            "; {} by {} until {}, a second person is needed",
            first.decision.done(),
            short(&first.by.subject, 80),
            first.expires_at
        ),
        (true, None) => "; takes two people".to_owned(),
        (false, _) => String::new(),
    };
    format!("{workflow}{second}; {contained}")
}

/// What moved, and how far.
pub(crate) fn moved(case: &Case) -> Vec<String> {
    let (window, deviations) = (&case.infection.window, &case.infection.deviations);
    let of = |metric: Metric, deviation: Option<f64>| {
        let deviation = deviation?;
        let i = metric.index();
        let numbers = match (window.averages[i], window.means[i]) {
            (Some(average), Some(mean)) => format!(" ({} instead of {})", number(average), number(mean)),
            (Some(_), None) | (None, Some(_)) | (None, None) => String::new(),
        };
        Some(format!(
            "{}: {deviation:.1} standard deviations{numbers}",
            metric.as_str()
        ))
    };
    let per_metric = Metric::ALL
        .into_iter()
        .zip([deviations.latency, deviations.tokens, deviations.tools]);
    let mut lines: Vec<String> = per_metric
        .filter_map(|(metric, deviation)| of(metric, deviation))
        .collect();
    if deviations.retry_rate.is_some() {
        lines.push(format!(
            "{:.0} % of the executions had a retry",
            window.retry_share * 100.0
        ));
    }
    if lines.is_empty() {
        let words: Vec<&str> = case
            .infection
            .anomalies
            .iter()
            .map(|anomaly| anomaly.as_str())
            .collect();
        lines.push(words.join(", "));
    }
    lines
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// The diagnosis and why it has this name.
pub(crate) fn because(case: &Case) -> String {
    match case.infection.hypotheses.first() {
        Some(first) => short(&format!("{}: {}", first.diagnosis, first.because), PART_CHARS_MAX),
        None => "unknown: no rule says why".to_owned(),
    }
}

/// What would be done, in which order, and what is skipped.
pub(crate) fn plan(plan: &Plan) -> String {
    let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    let mut text = match steps.is_empty() {
        true => "no step is left".to_owned(),
        false => steps.join(", then "),
    };
    if !plan.skipped.is_empty() {
        text = format!("{text}. Skipped: {}", plan.skipped_in_words());
    }
    short(&text, PART_CHARS_MAX)
}

/// How many cases a digest is about, and its line.
pub(crate) fn digest_headline(digest: &Digest) -> String {
    let cases: BTreeSet<&str> = digest.news.iter().map(|news| news.event.case.as_str()).collect();
    match cases.len() {
        1 => "1 more case".to_owned(),
        n => format!("{n} more cases"),
    }
}

/// The last news of each case of a digest, the most severe first, and how many are not named.
pub(crate) fn digest_lines(digest: &Digest) -> (Vec<&News>, usize) {
    let mut lines: Vec<&News> = Vec::new();
    for news in digest.news.iter().rev() {
        if !lines.iter().any(|line| line.event.case == news.event.case) {
            lines.push(news);
        }
    }
    lines.sort_by(|a, b| b.severity().total_cmp(&a.severity()));
    let more = lines.len().saturating_sub(DIGEST_LINES_MAX);
    lines.truncate(DIGEST_LINES_MAX);
    (lines, more)
}
