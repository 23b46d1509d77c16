//! The rights in the cluster that policies need; see [`crate::cases::rules`].

use crate::cases::rules::Rule;

/// What every role needs in each namespace whose policies count.
pub const WATCH: &[Rule] = &[Rule {
    group: "immune.io",
    resource: "immunepolicies",
    verbs: &["get", "list", "watch"],
}];

/// What the quarantine role needs besides.
pub const STATUS: &[Rule] = &[Rule {
    group: "immune.io",
    resource: "immunepolicies/status",
    verbs: &["patch"],
}];
