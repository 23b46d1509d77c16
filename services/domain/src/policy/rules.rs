//! Which rule holds for which agent.

use super::{Detector, Policy};
use crate::{AgentId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The list of rules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// What holds where no rule says otherwise.
    pub defaults: Policy,
    /// Rules, the first that matches applies.
    pub rules: Vec<Rule>,
}

/// One rule: whom it matches and what it changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// For people.
    pub name: String,
    /// Whom it matches; an absent part matches everyone.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Fields to change, as a partial [`Policy`]; validated when the configuration is loaded.
    pub set: BTreeMap<String, Value>,
}

/// Whom a rule matches. Texts may hold `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Run.
    pub run: Option<String>,
    /// Agent id.
    pub agent: Option<String>,
    /// Agent type.
    pub agent_type: Option<String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
}

impl Rule {
    /// What holds for those whom the rule matches; the defaults when it does not yield a policy.
    pub fn effective(&self, defaults: &Policy) -> Policy {
        self.over(defaults).unwrap_or_else(|_| defaults.clone())
    }

    /// The defaults with this rule's fields over them. Objects are merged field by field, so that one ladder can be
    /// changed and the others stay; everything else is replaced.
    pub(super) fn over(&self, defaults: &Policy) -> Result<Policy, serde_json::Error> {
        let mut tree = serde_json::to_value(defaults)?;
        for (field, value) in &self.set {
            match &mut tree {
                Value::Object(fields) => {
                    merge(fields.entry(field.clone()).or_insert(Value::Null), value);
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
            }
        }
        serde_json::from_value(tree)
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (field, value) in from {
                merge(into.entry(field.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

impl Match {
    fn holds(&self, run: &RunId, agent: &AgentId, agent_type: Option<&str>, namespace: Option<&str>) -> bool {
        let fits = |pattern: &Option<String>, text: Option<&str>| match (pattern, text) {
            (None, _) => true,
            (Some(pattern), Some(text)) => matches_pattern(pattern, text),
            // A rule for research agents does not hold for an agent whose type nobody knows.
            (Some(_), None) => false,
        };
        fits(&self.run, Some(run.as_str()))
            && fits(&self.agent, Some(agent.as_str()))
            && fits(&self.agent_type, agent_type)
            && fits(&self.namespace, namespace)
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters, also none.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    // The earliest place for each middle part leaves the most room for those after it.
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Policies {
    /// What holds for an agent: the first rule that matches over the defaults, else the defaults. A rule that does
    /// not yield a policy is passed over; [`Policies::check`] names it when the configuration is loaded.
    ///
    /// Merges anew at every call; use [`Policies::compile`] where that matters.
    pub fn resolve(
        &self,
        run: &RunId,
        agent: &AgentId,
        agent_type: Option<&str>,
        namespace: Option<&str>,
    ) -> Policy {
        self.rules
            .iter()
            .filter(|rule| rule.matches.holds(run, agent, agent_type, namespace))
            .find_map(|rule| rule.over(&self.defaults).ok())
            .unwrap_or_else(|| self.defaults.clone())
    }

    /// The place in the list of the rule that holds for an agent; `None` where the defaults do.
    pub fn rule_of(
        &self,
        run: &RunId,
        agent: &AgentId,
        agent_type: Option<&str>,
        namespace: Option<&str>,
    ) -> Option<usize> {
        self.rules
            .iter()
            .position(|rule| rule.matches.holds(run, agent, agent_type, namespace))
    }

    /// The same answers, merged once.
    pub fn compile(&self) -> Compiled {
        let merged = |rule: &Rule| Some((rule.matches.clone(), Arc::new(rule.over(&self.defaults).ok()?)));
        Compiled {
            defaults: Arc::new(self.defaults.clone()),
            rules: self.rules.iter().filter_map(merged).collect(),
        }
    }
}

/// Policies whose rules are merged with the defaults already.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    defaults: Arc<Policy>,
    rules: Vec<(Match, Arc<Policy>)>,
}

impl Compiled {
    /// Whether there is an agent that this detector could decide about.
    pub fn has_detector(&self, detector: Detector) -> bool {
        let policies = self.rules.iter().map(|(_, policy)| policy);
        policies
            .chain([&self.defaults])
            .any(|policy| policy.detector == detector)
    }

    /// Whether there is an agent whose cases may need two people.
    pub fn has_second_person(&self) -> bool {
        let policies = self.rules.iter().map(|(_, policy)| policy);
        policies
            .chain([&self.defaults])
            .any(|policy| policy.second_person_from_severity.is_some())
    }

    /// The longest window that any agent may have, seconds.
    pub fn window_seconds_max(&self) -> u32 {
        let policies = self.rules.iter().map(|(_, policy)| policy);
        policies
            .chain([&self.defaults])
            .map(|policy| policy.window_seconds)
            .max()
            .unwrap_or_default()
    }

    /// What holds for an agent, as [`Policies::resolve`] says.
    pub fn resolve(
        &self,
        run: &RunId,
        agent: &AgentId,
        agent_type: Option<&str>,
        namespace: Option<&str>,
    ) -> &Arc<Policy> {
        self.rules
            .iter()
            .find(|(matches, _)| matches.holds(run, agent, agent_type, namespace))
            .map_or(&self.defaults, |(_, policy)| policy)
    }
}
