//! Who may do what: rules for the client, and a table from which SubjectAccessReviews are answered.

use crate::refusal::Refusal;
use crate::request::Request;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A rule as a Role holds it; `*` in a list matches everything.
pub fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// A permission that a request needed: what a Role would have to grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// API group; empty for core.
    pub group: String,
    /// Plural of the resource, a subresource after a slash: `pods`, `deployments/status`.
    pub resource: String,
    /// Verb. An apply that makes a new object needs `patch` and `create`, as with the real server.
    pub verb: String,
}

/// What is asked of the rules.
#[derive(Debug, Clone, Copy)]
struct Question<'a> {
    group: &'a str,
    resource: &'a str,
    verb: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
}

/// A rule, everywhere or in one namespace.
#[derive(Debug, Clone)]
struct Grant {
    /// User or group that it is for; nobody: the client under test.
    subject: Option<String>,
    namespace: Option<String>,
    rule: PolicyRule,
}

impl Grant {
    fn allows(&self, asked: &Question<'_>) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|entry| entry == "*" || entry == word);
        let has_name = match self.rule.resource_names.as_deref().unwrap_or_default() {
            [] => true,
            names => asked
                .name
                .is_some_and(|name| names.iter().any(|entry| entry == name)),
        };
        let resources = self.rule.resources.as_deref().unwrap_or_default();
        // `*/status` matches the subresource of every resource.
        let of_any = asked
            .resource
            .split_once('/')
            .map(|(_, below)| format!("*/{below}"));
        has(self.rule.api_groups.as_deref().unwrap_or_default(), asked.group)
            && (has(resources, asked.resource) || of_any.is_some_and(|any| resources.contains(&any)))
            && has(&self.rule.verbs, asked.verb)
            && has_name
            && (self.namespace.is_none() || self.namespace.as_deref() == asked.namespace)
    }
}

/// Rules for reviews and, where set, for the client.
#[derive(Debug, Default)]
pub(crate) struct Access {
    reviews: Vec<Grant>,
    client: Option<Vec<Grant>>,
    used: BTreeSet<Permission>,
}

impl Access {
    pub(crate) fn set_client(&mut self, rules: Vec<PolicyRule>) {
        self.client = Some(Vec::new());
        self.grant_client(None, rules);
    }

    pub(crate) fn grant_client(&mut self, namespace: Option<&str>, rules: Vec<PolicyRule>) {
        let grants = rules.into_iter().map(|rule| Grant {
            subject: None,
            namespace: namespace.map(str::to_owned),
            rule,
        });
        self.client.get_or_insert_default().extend(grants);
    }

    pub(crate) fn open(&mut self) {
        self.client = None;
    }

    pub(crate) fn allow(&mut self, subject: &str, namespace: Option<&str>, rule: PolicyRule) {
        self.reviews.push(Grant {
            subject: Some(subject.to_owned()),
            namespace: namespace.map(str::to_owned),
            rule,
        });
    }

    pub(crate) fn used(&self) -> BTreeSet<Permission> {
        self.used.clone()
    }

    pub(crate) fn forget_used(&mut self) {
        self.used.clear();
    }

    /// Whether the client may make this request, under this verb.
    pub(crate) fn check(&mut self, request: &Request, verb: &str) -> Result<(), Refusal> {
        let resource = request.resource_path();
        self.used.insert(Permission {
            group: request.group.clone(),
            resource: resource.clone(),
            verb: verb.to_owned(),
        });
        let Some(grants) = &self.client else { return Ok(()) };
        let is_namespace = request.group.is_empty() && request.resource == "namespaces";
        let asked = Question {
            group: &request.group,
            resource: &resource,
            verb,
            // A namespace counts as being in itself, so that a Role in it may grant reading it.
            namespace: match is_namespace {
                true => request.name.as_deref(),
                false => request.namespace.as_deref(),
            },
            // A create names its object in the body, which authorization does not see.
            name: request.name.as_deref().filter(|_| verb != "create"),
        };
        match grants.iter().any(|grant| grant.allows(&asked)) {
            true => Ok(()),
            false => Err(forbidden(request, verb)),
        }
    }

    /// The answer to a SubjectAccessReview.
    pub(crate) fn review(&self, review: &Value) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let spec = &review["spec"];
        let wanted = &spec["resourceAttributes"];
        let (group, verb, mut resource) = (
            text(&wanted["group"]),
            text(&wanted["verb"]),
            text(&wanted["resource"]),
        );
        if let Some(subresource) = wanted["subresource"].as_str().filter(|name| !name.is_empty()) {
            resource = format!("{resource}/{subresource}");
        }
        let asked = Question {
            group: &group,
            resource: &resource,
            verb: &verb,
            namespace: wanted["namespace"].as_str().filter(|ns| !ns.is_empty()),
            name: wanted["name"].as_str().filter(|name| !name.is_empty()),
        };
        let is_of = |subject: &str| {
            let groups = spec["groups"].as_array().into_iter().flatten();
            spec["user"] == subject || groups.into_iter().any(|group| group == subject)
        };
        let is_allowed = self
            .reviews
            .iter()
            .any(|grant| grant.subject.as_deref().is_some_and(is_of) && grant.allows(&asked));
        let mut answer = review.clone();
        answer["status"] = json!({ "allowed": is_allowed });
        answer
    }
}

/// 403, in the words of the RBAC authorizer.
pub(crate) fn forbidden(request: &Request, verb: &str) -> Refusal {
    let (resource, group) = (request.resource_path(), &request.group);
    let qualified = match group.is_empty() {
        true => request.resource.clone(),
        false => format!("{}.{group}", request.resource),
    };
    let what = match &request.name {
        Some(name) => format!("{qualified} \"{name}\" is forbidden"),
        None => format!("{qualified} is forbidden"),
    };
    let place = match &request.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let user = "system:serviceaccount:immune:immune";
    let message = format!(
        "{what}: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
    );
    Refusal::new(403, "Forbidden", message)
}
