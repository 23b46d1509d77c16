//! A policy in numbers and in words.

use immune_domain::policy::{Detector, Mode, Policy};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A policy in numbers and in words.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyView {
    /// Every setting by its name in the configuration.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// What they mean, a sentence for each matter.
    pub words: Vec<String>,
}

impl PolicyView {
    pub(crate) fn of(policy: &Policy) -> Self {
        PolicyView {
            settings: serde_json::to_value(policy).expect("a policy has text keys"),
            words: words(policy),
        }
    }
}

fn words(policy: &Policy) -> Vec<String> {
    let mut words = vec![
        match policy.mode {
            Mode::Enforce => format!(
                "Infected agents are contained and healed, by: {}.",
                list(&policy.levers)
            ),
            Mode::Observe => {
                "Agents are watched only: nobody is contained or healed without a person's order.".to_owned()
            }
        },
        format!(
            "From severity {} on a person decides; below, healing is automatic.",
            policy.severity_requiring_approval
        ),
        format!(
            "An average over {} s that is more than {} standard deviations from the baseline is an anomaly.",
            policy.window_seconds, policy.threshold_stddev
        ),
        match policy.detector {
            Detector::Specified => "Any anomaly is an infection.".to_owned(),
            Detector::Guarded => {
                "An anomaly makes an agent suspect; it is infected when the evidence says so, too.".to_owned()
            }
        },
        format!(
            "A baseline judges after {} executions.",
            policy.baseline_samples_min
        ),
    ];
    if policy.high_retry_rate {
        words.push(format!(
            "More than {:.0} % of recent executions with a retry are an anomaly of their own.",
            policy.high_retry_share * 100.0
        ));
    }
    if policy.judge_posted_vitals {
        words.push("Vitals that platforms post are judged, too.".to_owned());
    }
    words.push(format!(
        "Automatic quarantines at the same time: {} agents or {:.0} % of those seen in the last hour, whichever is \
         more; beyond, a person decides.",
        policy.blast_radius.agents,
        policy.blast_radius.share * 100.0
    ));
    words.push(format!(
        "A healing is proven by {} executions within the baseline, or by fewer after {} s; after {} s of silence a \
         person is asked.",
        policy.probation.executions, policy.probation.seconds, policy.probation.silence_seconds_max
    ));
    words.push(format!(
        "Its telemetry has stopped when nothing comes for {} s, or for {} times its usual gap, whichever is more; {} s \
         later it counts as gone.",
        policy.silence.after_seconds, policy.silence.factor, policy.silence.forget_after_seconds
    ));
    words.push(format!(
        "At most {} steps are tried for a case, {} s apart; then a person is asked.",
        policy.attempts_max, policy.cooldown_seconds
    ));
    words.push(format!(
        "A case that waits for a person escalates after {} s.",
        policy.approval_escalates_after_seconds
    ));
    words
}

fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => "no lever".to_owned(),
        false => names.join(", "),
    }
}
