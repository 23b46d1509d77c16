use super::*;
use crate::policies::kind::Settings;
use immune_domain::policy::{Mode, Policy};
use immune_domain::{AgentId, RunId};
use serde_json::json;

fn written(namespace: &str, name: &str, spec: Value) -> Written {
    let object = json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "ImmunePolicy",
        "metadata": { "namespace": namespace, "name": name, "uid": format!("{namespace}-{name}"), "generation": 1 },
        "spec": spec,
    });
    Written::of(&serde_json::from_value(object).expect("an object"))
}

fn order() -> Order {
    Order {
        own: "immune".to_owned(),
        is_file_first: false,
    }
}

fn file() -> Policies {
    let rule = json!({ "name": "file", "match": { "agent": "a*" }, "set": { "attempts_max": 3 } });
    Policies {
        defaults: Policy::default(),
        rules: vec![serde_json::from_value(rule).expect("a rule")],
    }
}

fn resolved(policies: &Policies, agent: &str, namespace: &str) -> Policy {
    policies.resolve(&RunId::default(), &AgentId::new(agent), None, Some(namespace))
}

/// Guarantees: every field of a policy can be set by a custom resource, under its own name.
#[test]
fn no_field_is_missing() {
    let policy = serde_json::to_value(Policy {
        second_person_from_severity: Some(9.0),
        ..Policy::default()
    })
    .expect("a policy");
    let schema = serde_json::to_value(crate::policies::crd()).expect("a definition");
    let properties = schema
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/set/properties")
        .and_then(Value::as_object)
        .expect("properties of set");
    let settable: Vec<String> = properties.keys().map(|key| snake(key)).collect();
    for (field, value) in policy.as_object().expect("an object") {
        assert!(settable.contains(field), "{field} cannot be set");
        for inner in value
            .as_object()
            .filter(|_| field != "ladders")
            .into_iter()
            .flatten()
        {
            let of = properties
                .iter()
                .find(|(key, _)| snake(key) == *field)
                .and_then(|(_, schema)| schema["properties"].as_object())
                .expect("an inner object");
            assert!(
                of.keys().any(|key| snake(key) == *inner.0),
                "{field}.{} cannot be set",
                inner.0
            );
        }
    }
    assert_eq!(settable.len(), policy.as_object().expect("an object").len());
}

/// Scenario: policies of several priorities and names, and the file's rules.
/// Guarantees: higher priorities first, then by namespace and name; then the file's rules; or those first where the
/// file is protected.
#[test]
fn rules_are_in_order() {
    let set = |attempts: u32| json!({ "set": { "attemptsMax": attempts } });
    let mut high = set(9);
    high["priority"] = json!(10);
    high["match"] = json!({ "agent": "ab*" });
    let policies = [
        written("immune", "b", set(5)),
        written("immune", "a", set(4)),
        written("immune", "z", high),
    ];
    let (combined, verdicts) = combine(&policies, &file(), &order(), &mut BTreeMap::new());
    let names: Vec<&str> = combined.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["immune/z", "immune/a", "immune/b", "file"]);
    assert!(verdicts.iter().all(|verdict| verdict.error.is_none()));
    assert_eq!(resolved(&combined, "abc", "x").attempts_max, 9);
    assert_eq!(resolved(&combined, "a", "x").attempts_max, 4);
    let first = Order {
        is_file_first: true,
        ..order()
    };
    let (combined, _) = combine(&policies, &file(), &first, &mut BTreeMap::new());
    assert_eq!(resolved(&combined, "abc", "x").attempts_max, 3);
}

/// Scenario: a policy outside the plane's namespace that matches everyone, and one that names another namespace.
/// Guarantees: the first holds for agents of its namespace alone; the second for nobody, and says why.
#[test]
fn a_foreign_namespace_speaks_for_itself() {
    let observe = json!({ "match": {}, "set": { "mode": "observe" } });
    let other = json!({ "match": { "namespace": "team-b" }, "set": { "mode": "observe" } });
    let policies = [
        written("team-a", "mine", observe),
        written("team-a", "theirs", other),
    ];
    let (combined, verdicts) = combine(&policies, &Policies::default(), &order(), &mut BTreeMap::new());
    assert_eq!(resolved(&combined, "a", "team-a").mode, Mode::Observe);
    for namespace in ["team-b", "immune"] {
        assert_eq!(resolved(&combined, "a", namespace).mode, Mode::Enforce);
    }
    let unknown = combined.resolve(&RunId::default(), &AgentId::new("a"), None, None);
    assert_eq!(
        unknown.mode,
        Mode::Enforce,
        "an agent of no known namespace is not theirs"
    );
    assert!(
        verdicts[1]
            .error
            .as_deref()
            .is_some_and(|error| error.contains("put it into immune"))
    );
    assert_eq!((verdicts[0].rule, verdicts[1].rule), (Some(0), None));
}

/// Scenario: an accepted policy is changed to one that cannot hold, then deleted; another was never right.
/// Guarantees: the last accepted version goes on until the policy is gone; what was never right holds for nobody; each
/// is named with what is wrong.
#[test]
fn a_slip_loosens_nothing() {
    let mut accepted = BTreeMap::new();
    let good = [written(
        "immune",
        "p",
        json!({ "set": { "thresholdStddev": 2.0 } }),
    )];
    combine(&good, &Policies::default(), &order(), &mut accepted);
    for wrong in [
        json!({ "set": { "thresholdStddev": 0.0 } }),
        json!({ "set": { "secondPersonFromSeverity": 5.0 } }),
        json!({ "set": { "levers": [] } }),
        json!({ "set": { "mode": "sleep" } }),
        json!({ "set": {} }),
        json!({}),
    ] {
        let bad = [
            written("immune", "p", wrong.clone()),
            written("immune", "never", wrong.clone()),
        ];
        let (combined, verdicts) = combine(&bad, &Policies::default(), &order(), &mut accepted);
        assert_eq!(resolved(&combined, "a", "x").threshold_stddev, 2.0, "{wrong}");
        assert!(
            verdicts.iter().all(|verdict| verdict.error.is_some()),
            "{wrong}: {verdicts:?}"
        );
        assert_eq!(combined.rules.len(), 1);
    }
    let (combined, _) = combine(&[], &Policies::default(), &order(), &mut accepted);
    assert!(combined.rules.is_empty() && accepted.is_empty());
}

/// Guarantees: nested settings and ladders arrive under the names of the file, and the rest of them stays.
#[test]
fn nested_settings_are_merged() {
    let spec = json!({ "set": {
        "probation": { "silenceSecondsMax": 900 }, "blastRadius": { "share": 0.5 },
        "ladders": { "prompt_drift": ["clone_agent"] },
    } });
    let (combined, verdicts) = combine(
        &[written("immune", "p", spec)],
        &Policies::default(),
        &order(),
        &mut BTreeMap::new(),
    );
    assert_eq!(verdicts[0].error, None);
    let policy = resolved(&combined, "a", "x");
    assert_eq!(
        (policy.probation.silence_seconds_max, policy.probation.executions),
        (900, 5)
    );
    assert_eq!((policy.blast_radius.share, policy.blast_radius.agents), (0.5, 5));
    assert_eq!(
        policy
            .ladder(immune_domain::diagnosis::Diagnosis::PromptDrift)
            .len(),
        1
    );
    assert!(
        policy
            .ladder(immune_domain::diagnosis::Diagnosis::InfiniteLoop)
            .len()
            > 1
    );
    assert_eq!(
        Settings::default(),
        serde_json::from_value(json!({})).expect("nothing set")
    );
}
