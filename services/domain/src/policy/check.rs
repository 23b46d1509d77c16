//! What makes a policy one that can hold.

use super::{Policies, Policy};

/// The most patterns of approvers.
const APPROVERS_MAX: usize = 1_000;

impl Policies {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        self.defaults.check(&format!("{path}.defaults"), mistakes);
        for (i, rule) in self.rules.iter().enumerate() {
            let path = format!("{path}.rules[{i}] ({:?})", rule.name);
            match rule.over(&self.defaults) {
                Ok(policy) => policy.check(&format!("{path}.set"), mistakes),
                Err(e) => mistakes.push(format!("{path}.set: {e}")),
            }
        }
    }
}

impl Policy {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |field: &str, value: f64, low: f64, high: f64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{field} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within(
            "severity_requiring_approval",
            self.severity_requiring_approval,
            0.0,
            10.0,
        );
        if let Some(from) = self.second_person_from_severity {
            within("second_person_from_severity", from, 0.0, 10.0);
        }
        let seconds = f64::from(self.second_person_within_seconds);
        within("second_person_within_seconds", seconds, 60.0, 604_800.0);
        within("threshold_stddev", self.threshold_stddev, 0.1, 1_000.0);
        within("window_seconds", f64::from(self.window_seconds), 1.0, 3_600.0);
        within(
            "baseline_samples_min",
            f64::from(self.baseline_samples_min),
            2.0,
            100_000.0,
        );
        within("high_retry_share", self.high_retry_share, 0.0, 1.0);
        within(
            "probation.executions",
            f64::from(self.probation.executions),
            1.0,
            1_000.0,
        );
        within(
            "probation.seconds",
            f64::from(self.probation.seconds),
            1.0,
            86_400.0,
        );
        within(
            "probation.silence_seconds_max",
            f64::from(self.probation.silence_seconds_max),
            1.0,
            604_800.0,
        );
        within(
            "blast_radius.agents",
            f64::from(self.blast_radius.agents),
            0.0,
            1e6,
        );
        within("blast_radius.share", self.blast_radius.share, 0.0, 1.0);
        within(
            "cooldown_seconds",
            f64::from(self.cooldown_seconds),
            0.0,
            86_400.0,
        );
        within("attempts_max", f64::from(self.attempts_max), 1.0, 100.0);
        let escalates = f64::from(self.approval_escalates_after_seconds);
        within("approval_escalates_after_seconds", escalates, 1.0, 604_800.0);
        within(
            "silence.after_seconds",
            f64::from(self.silence.after_seconds),
            10.0,
            604_800.0,
        );
        within("silence.factor", self.silence.factor, 1.0, 1_000.0);
        within(
            "silence.forget_after_seconds",
            f64::from(self.silence.forget_after_seconds),
            60.0,
            31_536_000.0,
        );
        if self.probation.silence_seconds_max < self.probation.seconds {
            mistakes.push(format!(
                "{path}.probation.silence_seconds_max = {}: must not be below probation.seconds = {}",
                self.probation.silence_seconds_max, self.probation.seconds
            ));
        }
        if let Some(from) = self.second_person_from_severity
            && from < self.severity_requiring_approval
        {
            mistakes.push(format!(
                "{path}.second_person_from_severity = {from}: must not be below severity_requiring_approval = {}, \
                 where the first person is asked",
                self.severity_requiring_approval
            ));
        }
        if self.approvers.len() > APPROVERS_MAX {
            mistakes.push(format!(
                "{path}.approvers has {} entries: must be at most {APPROVERS_MAX}",
                self.approvers.len()
            ));
        }
        for (i, pattern) in self.approvers.iter().enumerate() {
            if pattern.trim().is_empty() {
                mistakes.push(format!(
                    "{path}.approvers[{i}] = {pattern:?}: must be a subject, `*` for any run of characters"
                ));
            }
        }
        if self.levers.is_empty() {
            mistakes.push(format!(
                "{path}.levers = []: needs one, or nothing could be contained or healed"
            ));
        }
        for (i, lever) in self.levers.iter().enumerate() {
            if lever.is_empty() || self.levers[..i].contains(lever) {
                mistakes.push(format!(
                    "{path}.levers[{i}] = {lever:?}: must be a name, named once"
                ));
            }
        }
        for (diagnosis, ladder) in &self.ladders {
            for (i, action) in ladder.iter().enumerate() {
                if ladder[..i].contains(action) {
                    mistakes.push(format!(
                        "{path}.ladders.{diagnosis}[{i}] = {action}: is named twice"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::Diagnosis;
    use crate::healing::Action;
    use crate::policy::{Detector, Match, Mode, Policies, Policy, Rule, matches_pattern};
    use crate::{AgentId, RunId};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn rule(matches: Match, set: &[(&str, serde_json::Value)]) -> Rule {
        let set = set
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect::<BTreeMap<_, _>>();
        Rule {
            name: "test".into(),
            matches,
            set,
        }
    }

    fn resolve(policies: &Policies, agent: &str, agent_type: Option<&str>) -> Policy {
        let (run, agent) = (RunId::default(), AgentId::from(agent));
        let policy = policies.resolve(&run, &agent, agent_type, None);
        assert_eq!(
            policy,
            **policies.compile().resolve(&run, &agent, agent_type, None),
            "both ways agree"
        );
        policy
    }

    /// Guarantees: `*` stands for any run of characters, anything else for itself.
    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*a", "ab", false),
            ("ab*ba", "aba", false),
            ("plain", "plain", true),
            ("plain", "plainer", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), fits, "{pattern:?} {text:?}");
        }
    }

    /// Scenario: two rules match an agent, each setting a part.
    /// Guarantees: the first alone applies, what it leaves out comes from the defaults, nested fields are merged.
    #[test]
    fn the_first_rule_wins_over_defaults() {
        let research = Match {
            agent_type: Some("research*".into()),
            ..Match::default()
        };
        let policies = Policies {
            defaults: Policy {
                cooldown_seconds: 9,
                ..Policy::default()
            },
            rules: vec![
                rule(
                    research,
                    &[
                        ("mode", json!("observe")),
                        ("detector", json!("specified")),
                        ("probation", json!({ "executions": 2 })),
                        ("ladders", json!({ "unknown": ["clone_agent"] })),
                    ],
                ),
                rule(Match::default(), &[("cooldown_seconds", json!(1))]),
            ],
        };
        let policy = resolve(&policies, "a", Some("research-web"));
        assert_eq!((policy.mode, policy.cooldown_seconds), (Mode::Observe, 9));
        assert_eq!((policy.probation.executions, policy.probation.seconds), (2, 60));
        assert_eq!(policy.detector, Detector::Specified);
        assert!(policies.compile().has_detector(Detector::Specified));
        assert!(!Policies::default().compile().has_detector(Detector::Specified));
        assert_eq!(policy.ladder(Diagnosis::Unknown), [Action::CloneAgent]);
        assert_eq!(
            policy.ladder(Diagnosis::MemoryCorruption),
            [Action::ResetMemory, Action::CloneAgent]
        );
        let other = resolve(&policies, "a", None);
        assert_eq!((other.mode, other.cooldown_seconds), (Mode::Enforce, 1));
    }

    /// Scenario: a policy with mistakes of every kind, in the defaults and in rules.
    /// Guarantees: each is reported, with its path; the defaults themselves have none.
    #[test]
    fn mistakes_are_all_reported() {
        let mut none = Vec::new();
        Policies::default().check("policy", &mut none);
        assert_eq!(none, [""; 0]);
        let policies = Policies {
            defaults: Policy {
                severity_requiring_approval: f64::NAN,
                levers: vec![],
                ..Policy::default()
            },
            rules: vec![
                rule(
                    Match::default(),
                    &[
                        ("levers", json!(["x"])),
                        ("severity_requiring_approval", json!(11)),
                    ],
                ),
                rule(Match::default(), &[("no_such_field", json!(1))]),
            ],
        };
        let mut mistakes = Vec::new();
        policies.check("policy", &mut mistakes);
        assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
        assert!(
            mistakes[0].starts_with("policy.defaults.severity_requiring_approval = NaN"),
            "{mistakes:#?}"
        );
        assert!(mistakes[2].contains("rules[0]"), "{mistakes:#?}");
        assert!(mistakes[3].contains("no_such_field"), "{mistakes:#?}");
    }
}
