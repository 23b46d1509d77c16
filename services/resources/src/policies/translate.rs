//! From custom resources to the rules that hold.

use super::kind::{ImmunePolicy, ImmunePolicySpec, ImmunePolicyStatus};
use super::limits;
use immune_domain::policy::{Match, Policies, Rule};
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Whose word counts how far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// The plane's own namespace: policies in it match as they say.
    pub own: String,
    /// Whether the file's rules come before those of custom resources.
    pub is_file_first: bool,
}

/// A policy as it was read, or why it could not be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub generation: Option<i64>,
    pub created: Option<Timestamp>,
    /// Its status, as the cluster has it.
    pub told: Option<ImmunePolicyStatus>,
    pub spec: Result<ImmunePolicySpec, String>,
}

impl Written {
    pub(super) fn of(object: &DynamicObject) -> Self {
        let parsed: Result<ImmunePolicy, _> = serde_json::to_value(object).and_then(serde_json::from_value);
        Written {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation,
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            told: object
                .data
                .get("status")
                .and_then(|status| ImmunePolicyStatus::deserialize(status).ok()),
            spec: parsed
                .map(|policy| policy.spec)
                .map_err(|error| error.to_string()),
        }
    }
}

/// A rule and the place that its policy has among the others.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub priority: i32,
    pub rule: Rule,
}

/// What came of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which object of that name: another one may take its place.
    pub uid: String,
    /// What its status says at the moment.
    pub told: Option<ImmunePolicyStatus>,
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// Why it does not hold as it is; `None` when it does.
    pub error: Option<String>,
    /// Where it stands in the list of rules; `None` when no version of it holds.
    pub rule: Option<usize>,
}

/// The rules of all policies and of the file. `accepted` is what was accepted of each policy before, by uid: a policy
/// that is wrong now goes on as it was, for a slip of the pen must not loosen a guard.
pub(super) fn combine(
    written: &[Written],
    file: &Policies,
    order: &Order,
    accepted: &mut BTreeMap<String, Placed>,
) -> (Policies, Vec<Verdict>) {
    let there: BTreeSet<&str> = written.iter().map(|policy| policy.uid.as_str()).collect();
    accepted.retain(|uid, _| there.contains(uid.as_str()));
    let mut placed: Vec<(&Written, Option<Placed>, Option<String>)> = Vec::new();
    for (policy, counts) in written.iter().zip(limits::counts(written, &order.own)) {
        if !counts {
            accepted.remove(&policy.uid);
            placed.push((policy, None, Some(limits::sentence(&order.own))));
            continue;
        }
        let error = match place(policy, file, order) {
            Ok(now) => {
                accepted.insert(policy.uid.clone(), now);
                None
            }
            Err(error) => Some(error),
        };
        placed.push((policy, accepted.get(&policy.uid).cloned(), error));
    }
    placed.sort_by(|(a, one, _), (b, other, _)| {
        let priority = |placed: &Option<Placed>| placed.as_ref().map_or(0, |placed| placed.priority);
        let by_priority = priority(other).cmp(&priority(one));
        by_priority.then_with(|| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)))
    });
    let mut rules = if order.is_file_first {
        file.rules.clone()
    } else {
        Vec::new()
    };
    let mut verdicts = Vec::new();
    for (policy, holds, error) in placed {
        let rule = holds.map(|placed| {
            rules.push(placed.rule);
            rules.len() - 1
        });
        verdicts.push(Verdict {
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            uid: policy.uid.clone(),
            told: policy.told.clone(),
            generation: policy.generation,
            error,
            rule,
        });
    }
    if !order.is_file_first {
        rules.extend(file.rules.iter().cloned());
    }
    let policies = Policies {
        defaults: file.defaults.clone(),
        rules,
    };
    (policies, verdicts)
}

fn place(policy: &Written, file: &Policies, order: &Order) -> Result<Placed, String> {
    let spec = policy.spec.as_ref().map_err(Clone::clone)?;
    let mut matches = Match {
        run: spec.matches.run.clone(),
        agent: spec.matches.agent.clone(),
        agent_type: spec.matches.agent_type.clone(),
        namespace: spec.matches.namespace.clone(),
    };
    if policy.namespace != order.own {
        if let Some(other) = matches.namespace.filter(|other| *other != policy.namespace) {
            return Err(format!(
                "match.namespace is {other:?}: a policy in namespace {} can match agents of that namespace alone; \
                 put it into {}",
                policy.namespace, order.own
            ));
        }
        matches.namespace = Some(policy.namespace.clone());
    }
    let rule = Rule {
        name: format!("{}/{}", policy.namespace, policy.name),
        matches,
        set: settings(spec)?,
    };
    if rule.set.is_empty() {
        return Err("set is empty: it would change nothing".to_owned());
    }
    // As the file's rules are checked, over the file's defaults.
    let mut mistakes = Vec::new();
    let alone = Policies {
        defaults: file.defaults.clone(),
        rules: vec![rule.clone()],
    };
    alone.check("policy", &mut mistakes);
    match mistakes.is_empty() {
        true => Ok(Placed {
            priority: spec.priority,
            rule,
        }),
        false => Err(mistakes.join("; ")),
    }
}

/// The settings by the names that the policy has in files.
fn settings(spec: &ImmunePolicySpec) -> Result<BTreeMap<String, Value>, String> {
    let tree = serde_json::to_value(&spec.set).map_err(|error| error.to_string())?;
    let Value::Object(fields) = tree else {
        return Ok(BTreeMap::new());
    };
    let named = fields.into_iter().map(|(field, value)| {
        let value = match (field.as_str(), value) {
            // Its keys are diagnoses.
            ("ladders", ladders) => ladders,
            (_, Value::Object(inner)) => inner
                .into_iter()
                .map(|(field, value)| (snake(&field), value))
                .collect(),
            (_, value) => value,
        };
        (snake(&field), value)
    });
    Ok(named.collect())
}

/// `windowSeconds` is `window_seconds`.
fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
