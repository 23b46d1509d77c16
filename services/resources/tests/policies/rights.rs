//! The rights that policies have are those that they need.

use crate::world::granted;
use immune_resources::policies::rules::{STATUS, WATCH};
use k8s_openapi::api::rbac::v1::PolicyRule;
use std::collections::BTreeSet;

fn file(name: &str) -> BTreeSet<String> {
    let path = format!(
        "{}/../../helm/immune/files/rbac/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    flat(serde_norway::from_str(&text).unwrap())
}

/// One line for each verb on each resource.
fn flat(rules: Vec<PolicyRule>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                lines.extend(rule.verbs.iter().map(|verb| format!("{verb} {resource}.{group}")));
            }
        }
    }
    lines
}

/// Guarantees: the chart grants what is listed, and nothing else. That what is listed is enough, the other tests show:
/// they have nothing else.
#[test]
fn the_chart_grants_what_is_listed() {
    assert_eq!(file("policies"), flat(granted(WATCH)));
    assert_eq!(file("policies-status"), flat(granted(STATUS)));
}
