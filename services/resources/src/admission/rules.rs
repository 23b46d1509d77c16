//! The rights in the cluster that the webhook needs; see [`crate::cases::rules`].

use crate::cases::rules::Rule;

/// What the quarantine role needs in the whole cluster: to ask whether somebody may decide.
pub const REVIEWS: &[Rule] = &[Rule {
    group: "authorization.k8s.io",
    resource: "subjectaccessreviews",
    verbs: &["create"],
}];
