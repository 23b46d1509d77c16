use super::*;
use immune_domain::AgentKey;
use immune_store::conformance::samples;
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

fn table() -> Table {
    let scope = Scope {
        own: "immune".to_owned(),
        namespaces: vec!["prod".to_owned()],
        all: false,
    };
    Table::new(scope, Duration::from_secs(60))
}

fn case(id: &str) -> Case {
    samples::case(&AgentKey::new("default", format!("agent of {id}")), id, at(0))
}

/// An object as the API server would have it.
fn stored(object: &AgentCase, change: impl FnOnce(&mut Value)) -> DynamicObject {
    let mut value = serde_json::to_value(object).unwrap();
    value["metadata"]["uid"] = json!(format!("uid of {}", object.metadata.name.as_deref().unwrap()));
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn apply(table: &mut Table) -> (Place, Arc<AgentCase>) {
    match table.next(Instant::now()) {
        Some((place, Work::Apply(object))) => (place, object),
        other => panic!("not an apply: {other:?}"),
    }
}

/// Scenario: a case is wanted, applied, its status written; it changes many times before the next look.
/// Guarantees: two writes, then none; then one for all changes.
#[test]
fn only_differences_are_written() {
    let mut table = table();
    let mut case = case("a");
    table.want(&case, at(0));
    let (place, object) = apply(&mut table);
    assert_eq!(place.namespace, "prod");
    let now = Instant::now();
    let bare = stored(&object, |value| value["status"] = Value::Null);
    assert!(table.written(&Work::Apply(object.clone()), &bare, now));
    let Some((_, work @ Work::Status(_))) = table.next(now) else {
        panic!("no status")
    };
    assert!(table.written(&work, &stored(&object, |_| {}), now));
    assert!(table.next(now).is_none());
    table.want(&case, at(0));
    assert!(table.next(now).is_none(), "nothing has changed");
    for severity in [5.0, 6.0, 9.0] {
        case.infection.severity = severity;
        table.want(&case, at(1));
    }
    let Some((_, Work::Status(object))) = table.next(now) else {
        panic!("no status")
    };
    assert_eq!(object.status.as_ref().unwrap().severity, Some(9.0));
    assert!(table.next(now).is_none());
}

/// Scenario: people edit the spec, a label, the status, the decision; one object cannot even be read.
/// Guarantees: what is ours is put right; the decision, which others write, is left alone.
#[test]
fn edits_are_put_right() {
    let mut table = table();
    table.want(&case("a"), at(0));
    let (_, object) = apply(&mut table);
    type Edit = (&'static str, fn(&mut Value), &'static str);
    let edits: [Edit; 6] = [
        ("none", |_| {}, "nothing"),
        ("spec", |value| value["spec"]["agent"] = json!("other"), "apply"),
        (
            "label",
            |value| value["metadata"]["labels"]["immune.io/plane"] = json!("other"),
            "apply",
        ),
        (
            "own label",
            |value| value["metadata"]["labels"]["team"] = json!("ai"),
            "nothing",
        ),
        (
            "status",
            |value| value["status"]["state"] = json!("healed"),
            "status",
        ),
        (
            "decision",
            |value| value["status"]["decision"] = json!({ "outcome": "done" }),
            "nothing",
        ),
    ];
    let seen = |table: &mut Table, change: fn(&mut Value)| {
        table.see(&stored(&object, change));
        match table.next(Instant::now()) {
            None => "nothing",
            Some((_, Work::Apply(_))) => "apply",
            Some((_, Work::Status(_))) => "status",
            Some((_, Work::Delete { .. })) => "delete",
        }
    };
    for (what, change, expected) in edits {
        assert_eq!(seen(&mut table, change), expected, "{what}");
    }
    assert_eq!(
        seen(&mut table, |value| value["status"]["levers"] = json!("garbled")),
        "apply"
    );
    assert_eq!(
        seen(&mut table, |value| value["metadata"]["deletionTimestamp"] =
            json!("2026-01-01T00:00:00Z")),
        "nothing"
    );
}

/// Scenario: an object disappears; a case is gone; one was closed; one moved; one is of nobody, one of another plane.
/// Guarantees: what is wanted is made again, what is not is deleted, and what is not ours is left alone.
#[test]
fn what_is_not_wanted_goes() {
    let mut table = table();
    let now = Instant::now();
    let open = case("a");
    table.want(&open, at(0));
    let (place, object) = apply(&mut table);
    table.see(&stored(&object, |_| {}));
    assert!(table.next(now).is_none());
    table.lose(&place);
    assert_eq!(apply(&mut table).0, place);
    table.see(&stored(&object, |_| {}));

    let closed = samples::released(&open, at(10));
    table.want(&closed, at(10));
    let (_, shown) = apply(&mut table);
    table.see(&stored(&shown, |_| {}));
    table.expire(at(69));
    assert!(table.next(now).is_none());
    table.expire(at(70));
    let Some((_, work @ Work::Delete { .. })) = table.next(now) else {
        panic!("no delete")
    };
    assert!(format!("{work:?}").contains("uid of a"));
    table.lose(&place);
    table.want(&closed, at(70));
    assert!(table.next(now).is_none() && table.len() == 0);

    let stray = stored(&shown, |value| value["metadata"]["name"] = json!("stray"));
    let stray = table.see(&stray);
    let foreign = stored(&shown, |value| {
        value["metadata"]["name"] = json!("foreign");
        value["metadata"]["labels"]["immune.io/plane"] = json!("elsewhere");
    });
    table.see(&foreign);
    assert!(
        table.next(now).is_none(),
        "it is not known whether there are cases"
    );
    assert_eq!(table.strays(9), [(stray.clone(), CaseId::from("a"))]);
    table.condemn(stray.clone());
    let deleted = table.next(now).unwrap();
    assert!(matches!(deleted.1, Work::Delete { .. }) && deleted.0 == stray);
    assert!(table.next(now).is_none());
}

/// Scenario: the API server refuses an object, or takes it and keeps something else; then the case changes.
/// Guarantees: it is left for a while, longer each time; a change is tried at once.
#[test]
fn what_is_not_taken_is_left_for_a_while() {
    let mut table = table();
    let mut case = case("a");
    table.want(&case, at(0));
    let (place, _) = apply(&mut table);
    let mut now = Instant::now();
    assert!(table.put_off(place.clone(), now));
    assert!(table.next(now).is_none());
    table.mark(place);
    assert!(table.next(now).is_none(), "news of it is no reason");
    now += RETRY_FIRST;
    let Some((_, work @ Work::Apply(_))) = table.next(now) else {
        panic!("not tried again")
    };
    let Work::Apply(object) = &work else {
        unreachable!()
    };
    let other = stored(object, |value| value["spec"]["agent"] = Value::Null);
    assert!(!table.written(&work, &other, now));
    now += RETRY_FIRST;
    assert!(table.next(now).is_none(), "twice as long");
    now += RETRY_FIRST;
    let Some((place, Work::Apply(_))) = table.next(now) else {
        panic!("not tried again")
    };
    assert!(!table.put_off(place, now), "no news");
    case.infection.severity = 9.0;
    table.want(&case, at(1));
    assert!(matches!(table.next(now), Some((_, Work::Apply(_)))));
}

/// Scenario: the agent's namespace is gone; its case changes and ends.
/// Guarantees: it is shown in the plane's own namespace from then on, and once only.
#[test]
fn cases_without_a_namespace_come_home() {
    let mut table = table();
    let mut case = case("a");
    table.want(&case, at(0));
    let (place, _) = apply(&mut table);
    assert!(table.displace(&place));
    let (home, _) = apply(&mut table);
    assert_eq!(home.namespace, "immune");
    case.infection.severity = 9.0;
    table.want(&case, at(1));
    assert_eq!(apply(&mut table).0, home);
    assert!(!table.displace(&home), "there is nowhere else to go");
    assert_eq!((table.len(), table.shown(&case.id)), (1, Shown::NotYet));
    table.unwant(&case.id);
    assert_eq!(table.shown(&case.id), Shown::Never);
}

/// Scenario: a listing of one namespace no longer has an object; another namespace was not listed.
/// Guarantees: only what should have been listed is taken for gone.
#[test]
fn only_what_was_listed_can_be_missing() {
    let mut table = table();
    let (mut here, there) = (case("a"), case("b"));
    here.infection.workload.clear();
    for case in [&here, &there] {
        table.want(case, at(0));
        let (_, object) = apply(&mut table);
        table.see(&stored(&object, |_| {}));
    }
    assert!(table.next(Instant::now()).is_none());
    let gone = table.lose_all_but(Some("immune"), &HashSet::new());
    assert_eq!(gone.len(), 1);
    assert_eq!(apply(&mut table).0, gone[0]);
    assert!(table.next(Instant::now()).is_none());
}
