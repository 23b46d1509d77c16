//! The rights that cases need, against what is used and what the chart grants.

use crate::world::World;
use immune_resources::cases::rules::RULES;
use immune_test_kubernetes::{Permission, PolicyRule, rule};
use std::collections::BTreeSet;
use std::time::Duration;

/// Granted for Events of the API server's own clients, which repeat one by a patch; ours are written once.
const UNUSED: (&str, &str) = ("patch", "events");

fn granted() -> Vec<PolicyRule> {
    RULES
        .iter()
        .map(|one| rule(&[one.group], &[one.resource], one.verbs))
        .collect()
}

/// Scenario: the account has the rights that are listed and no others; a case goes through its whole life.
/// Guarantees: they are enough, and none is more than is used.
#[tokio::test]
async fn the_rights_are_enough_and_needed() {
    let world = World::new().await;
    world.server.set_access(granted());
    let _mirror = world.leading("one").await;
    let id = world.contained("a", 8.0).await;
    world
        .until_shown(&id, "shown", |object| object["status"]["state"].is_string())
        .await;
    world.annotate(&id, "release", "false alarm", "ada");
    world
        .until_shown(&id, "released", |object| {
            object["status"]["decision"]["outcome"] == "done"
        })
        .await;
    world.until("told", async || world.events(&id).len() >= 5).await;
    world.clock.advance(Duration::from_secs(3_601));
    world.until("removed", async || world.shown(&id).is_null()).await;

    let listed: BTreeSet<Permission> = RULES
        .iter()
        .flat_map(|rule| rule.verbs.iter().map(move |verb| (rule, verb)))
        .filter(|(rule, verb)| (**verb, rule.resource) != UNUSED)
        .map(|(rule, verb)| Permission {
            group: rule.group.to_owned(),
            resource: rule.resource.to_owned(),
            verb: (*verb).to_owned(),
        })
        .collect();
    assert_eq!(world.server.permissions_used(), listed);
}

/// Guarantees: the chart grants what is listed, word for word.
#[test]
fn the_chart_grants_what_is_listed() {
    let path = format!(
        "{}/../../helm/immune/files/rbac/cases.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let in_chart: Vec<PolicyRule> = serde_norway::from_str(&text).unwrap();
    assert_eq!(in_chart, granted());
}
