//! Who somebody is and what they may do, from verified claims.

use super::config::{Config, Grant};
use super::id_token::{Claims, id, text};
use crate::sessions::joined;
use immune_domain::RunId;
use immune_runtime::access::Role;
use serde_json::Value;

/// The longest name that is shown, characters.
const NAME_CHARS_MAX: usize = 200;

/// The groups of a person, as far as the claims say; `None` when they do not speak of groups at all.
pub(crate) fn groups(claims: &Claims, path: &str) -> Option<Vec<String>> {
    match find(claims, path)? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A claim of this very name (some are URLs, with dots), else the one that the dots lead to.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut steps = path.split('.');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// What members of these groups may do: the highest role that one of them gives, and the runs of all that give it.
pub(crate) fn granted(grants: &[Grant], groups: &[String]) -> Option<(Role, Vec<RunId>)> {
    let theirs = || grants.iter().filter(|grant| groups.contains(&grant.group));
    let role = theirs().map(|grant| grant.role).max_by_key(|role| rank(*role))?;
    let runs = theirs()
        .filter(|grant| grant.role == role)
        .map(|grant| grant.runs.iter().map(|run| RunId::new(run.as_str())).collect());
    Some((role, joined(runs)))
}

fn rank(role: Role) -> u8 {
    match role {
        Role::Ingest => 0,
        Role::Viewer => 1,
        Role::Operator => 2,
        Role::Admin => 3,
    }
}

/// Name in the action log and to policies. Two accounts never share one: an email counts only when the provider has
/// verified it, any other claim as it is, and `sub`, unique by definition, otherwise.
pub(crate) fn subject(config: &Config, claims: &Claims, sub: &str) -> String {
    let claim = config.subject_claim.as_str();
    if claim == "sub" {
        return sub.to_owned();
    }
    let Ok(Some(named)) = id(claims, claim) else {
        return sub.to_owned();
    };
    if claim != "email" {
        return named;
    }
    match claims.get("email_verified") {
        Some(Value::Bool(true)) => named.to_lowercase(),
        Some(_) | None => sub.to_owned(),
    }
}

/// Name to show; it decides nothing.
pub(crate) fn name(claims: &Claims, subject: &str) -> String {
    let given = ["name", "preferred_username"]
        .into_iter()
        .filter_map(|claim| text(claims, claim))
        .map(|name| {
            name.chars()
                .filter(|c| !c.is_control())
                .take(NAME_CHARS_MAX)
                .collect::<String>()
        })
        .find(|name| !name.trim().is_empty());
    given.unwrap_or_else(|| subject.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else {
            panic!("object")
        };
        claims
    }

    fn grant(group: &str, role: Role, runs: &[&str]) -> Grant {
        Grant {
            group: group.to_owned(),
            role,
            runs: runs.iter().map(|run| (*run).to_owned()).collect(),
        }
    }

    /// Guarantees: groups are found as list, as a single text, in an object, and under a name with dots.
    #[test]
    fn groups_are_found() {
        let claims = claims(json!({
            "groups": ["a", "b", 7],
            "role": "a",
            "realm_access": { "roles": ["c"] },
            "https://example.com/groups": ["d"],
            "none": null,
        }));
        let found = |path: &str| groups(&claims, path).map(|groups| groups.join(" "));
        assert_eq!(found("groups").as_deref(), Some("a b"));
        assert_eq!(found("role").as_deref(), Some("a"));
        assert_eq!(found("realm_access.roles").as_deref(), Some("c"));
        assert_eq!(found("https://example.com/groups").as_deref(), Some("d"));
        for path in [
            "none",
            "realm_access",
            "realm_access.groups",
            "groups.0",
            "missing",
            "",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    /// Guarantees: the highest role counts, with the runs of the groups that give it and no others; nothing without one.
    #[test]
    fn the_highest_role_counts() {
        let grants = [
            grant("view", Role::Viewer, &[]),
            grant("ops-a", Role::Operator, &["a"]),
            grant("ops-b", Role::Operator, &["b", "a"]),
            grant("ops", Role::Operator, &[]),
            grant("admins", Role::Admin, &["a"]),
        ];
        let of = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            granted(&grants, &groups).map(|(role, runs)| {
                let runs: Vec<String> = runs.iter().map(RunId::to_string).collect();
                format!("{role} {}", runs.join(","))
            })
        };
        assert_eq!(of(&["view"]).as_deref(), Some("viewer "));
        assert_eq!(of(&["view", "ops-a"]).as_deref(), Some("operator a"));
        assert_eq!(of(&["ops-b", "ops-a"]).as_deref(), Some("operator a,b"));
        assert_eq!(of(&["ops-a", "ops"]).as_deref(), Some("operator "));
        assert_eq!(of(&["admins", "ops"]).as_deref(), Some("admin a"));
        assert_eq!(of(&["Ops", "other"]), None);
        assert_eq!(of(&[]), None);
    }

    /// Guarantees: nobody becomes somebody else by an email that they merely claim.
    #[test]
    fn only_a_verified_email_names_a_person() {
        let mut config = Config::default();
        let of = |config: &Config, value: Value| subject(config, &claims(value), "s-1");
        let email = |verified: Value| json!({ "email": "Ada@Example.com", "email_verified": verified });
        assert_eq!(of(&config, email(json!(true))), "ada@example.com");
        for unverified in [json!(false), json!("true"), json!(1), Value::Null] {
            assert_eq!(of(&config, email(unverified)), "s-1");
        }
        assert_eq!(of(&config, json!({ "email": "ada@example.com" })), "s-1");
        config.subject_claim = "oid".to_owned();
        assert_eq!(of(&config, json!({ "oid": "o-1" })), "o-1");
        assert_eq!(of(&config, json!({ "oid": ["o-1"] })), "s-1");
    }

    /// Guarantees: a name to show is one line of some length.
    #[test]
    fn names_to_show() {
        let of = |value: Value| name(&claims(value), "s-1");
        assert_eq!(of(json!({ "name": "Ada\r\n L." })), "Ada L.");
        assert_eq!(of(json!({ "name": " ", "preferred_username": "ada" })), "ada");
        assert_eq!(of(json!({})), "s-1");
        assert_eq!(of(json!({ "name": "x".repeat(999) })).len(), NAME_CHARS_MAX);
    }
}
