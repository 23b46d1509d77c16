//! The type `ImmunePolicy`: one rule of the policy as `kubectl get impol` shows it. Bounds are those of
//! `immune_domain::policy`, so that the API server refuses what would be refused here.
#![allow(
    clippy::duplicated_attributes,
    reason = "several columns have the same type, each within its own printcolumn"
)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One rule: whom it matches and what holds for them. The first rule that matches an agent applies, in the order of
/// priority, then of namespace and name; what it leaves out comes from the defaults.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "immune.io",
    version = "v1alpha1",
    kind = "ImmunePolicy",
    plural = "immunepolicies",
    shortname = "impol",
    category = "immune",
    namespaced,
    status = "ImmunePolicyStatus",
    derive = "PartialEq",
    doc = "What holds for the AI agents that it matches. One in the immune system's own namespace matches as it says; \
           one in any other namespace matches only agents of that namespace.",
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Agents", type_ = "integer", json_path = ".status.matchedAgents"),
    printcolumn(
        name = "Error",
        type_ = "string",
        json_path = ".status.lastError",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ImmunePolicySpec {
    /// Rules of a higher number are asked first; default 0.
    #[serde(default)]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: i32,
    /// Whom it matches; an absent part matches everyone.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// What holds for them.
    #[schemars(extend("minProperties" = 1))]
    pub set: Settings,
}

/// Whom a policy matches. `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// Run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub run: Option<String>,
    /// Agent id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub agent: Option<String>,
    /// Agent type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub agent_type: Option<String>,
    /// Kubernetes namespace of the agent. Outside the immune system's own namespace it may only be the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub namespace: Option<String>,
}

/// What may be set; whatever is absent comes from the defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.secondPersonFromSeverity) || !has(self.severityRequiringApproval) || \
     double(self.secondPersonFromSeverity) >= double(self.severityRequiringApproval)"
).message("secondPersonFromSeverity must not be below severityRequiringApproval, where the first person is asked"))]
pub struct Settings {
    /// `observe`: detect and show, never contain or heal without a person's order; `enforce`: contain and heal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// From this severity on a person decides; 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub severity_requiring_approval: Option<f64>,
    /// From this severity on it takes two people to let the agent act again; 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub second_person_from_severity: Option<f64>,
    /// How long the first of two people's words counts, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 604_800))]
    pub second_person_within_seconds: Option<u32>,
    /// Who may decide: verified subjects, `*` for any run of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000), inner(length(min = 1, max = 512)))]
    pub approvers: Option<Vec<String>>,
    /// Who decides that an agent is infected: `specified` (the rule alone) or `guarded` (the evidence as well).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<Detector>,
    /// Deviation above which a metric is an anomaly, standard deviations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1_000.0))]
    pub threshold_stddev: Option<f64>,
    /// Length of the recent window, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600))]
    pub window_seconds: Option<u32>,
    /// Samples before a baseline may judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100_000))]
    pub baseline_samples_min: Option<u32>,
    /// Whether a high retry rate is an anomaly of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_retry_rate: Option<bool>,
    /// Share of recent executions with a retry above which the rate is high.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub high_retry_share: Option<f64>,
    /// Whether vitals that platforms post are judged here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge_posted_vitals: Option<bool>,
    /// Order of healing actions per diagnosis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "ladders")]
    pub ladders: Option<BTreeMap<String, Vec<String>>>,
    /// How a healing is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probation: Option<Probation>,
    /// Automatic quarantines per run at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<BlastRadius>,
    /// Wait between two steps of a ladder, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub cooldown_seconds: Option<u32>,
    /// Steps per case before a person is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts_max: Option<u32>,
    /// Time until a waiting approval escalates, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub approval_escalates_after_seconds: Option<u32>,
    /// When the telemetry of an agent has stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
    /// Names of the levers that contain and heal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 64)))]
    pub levers: Option<Vec<String>>,
}

/// Whether levers are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "told at the field, as kubectl explain shows it")]
pub enum Mode {
    Observe,
    Enforce,
}

/// Who decides that an agent is infected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "told at the field, as kubectl explain shows it")]
pub enum Detector {
    Specified,
    Guarded,
}

/// How a healing is proven.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.silenceSecondsMax) || !has(self.seconds) || self.silenceSecondsMax >= self.seconds"
).message("silenceSecondsMax must not be below seconds"))]
pub struct Probation {
    /// Executions that must lie within the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub executions: Option<u32>,
    /// After this time fewer executions are enough, as long as there is one; seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub seconds: Option<u32>,
    /// After this time without any execution a person is asked; seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub silence_seconds_max: Option<u32>,
}

/// The cap on automatic quarantines at the same time: the larger of the two.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BlastRadius {
    /// Agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub agents: Option<u32>,
    /// Share of the agents seen in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: Option<f64>,
}

/// When the telemetry of an agent has stopped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Silence {
    /// An agent is not silent before this time without telemetry, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 604_800))]
    pub after_seconds: Option<u32>,
    /// Nor before so many times its usual gap between two executions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = 1_000.0))]
    pub factor: Option<f64>,
    /// After so much time of silence it is gone, and no longer alarmed; seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub forget_after_seconds: Option<u32>,
}

/// What came of a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImmunePolicyStatus {
    /// The generation that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Known agents for whom it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_agents: Option<u32>,
    /// Why the present generation does not hold; the last one that was accepted does meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Diagnoses by name, each with its actions by name.
fn ladders(_: &mut SchemaGenerator) -> Schema {
    use immune_domain::diagnosis::Diagnosis;
    use immune_domain::healing::Action;
    let actions: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    let ladder = serde_json::json!({
        "type": "array", "maxItems": actions.len(), "items": { "type": "string", "enum": actions },
    });
    let each: serde_json::Map<String, serde_json::Value> = Diagnosis::ALL
        .iter()
        .map(|diagnosis| (diagnosis.to_string(), ladder.clone()))
        .collect();
    json_schema!({
        "description": "Order of healing actions per diagnosis.",
        "type": "object", "properties": each,
    })
}

/// The definition of the resource, as `immune crds` prints it.
pub fn crd() -> CustomResourceDefinition {
    crate::schema::tidy(ImmunePolicy::crd())
}
