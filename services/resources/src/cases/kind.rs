//! The type `AgentCase`: one case as `kubectl get acase` shows it. Nobody writes it but the mirror; people decide on
//! it through annotations ([`super::seal`]).

#![allow(
    clippy::duplicated_attributes,
    reason = "several columns have the same type, each within its own printcolumn"
)]

use crate::{GROUP, VERSION};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose case it is. Never changes.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "immune.io",
    version = "v1alpha1",
    kind = "AgentCase",
    plural = "agentcases",
    shortname = "acase",
    category = "immune",
    namespaced,
    status = "AgentCaseStatus",
    derive = "PartialEq",
    doc = "One infection of an AI agent, from detection to release. Written by the immune system; decide on it with \
           the annotation immune.io/decision (approve, reject, heal-now, release) and immune.io/reason.",
    printcolumn(name = "Agent", type_ = "string", json_path = ".spec.agent"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Quarantine", type_ = "string", json_path = ".status.quarantine"),
    printcolumn(name = "Severity", type_ = "number", json_path = ".status.severity"),
    printcolumn(name = "Diagnosis", type_ = "string", json_path = ".status.diagnosis"),
    printcolumn(
        name = "Summary",
        type_ = "string",
        json_path = ".status.summary",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".status.openedAt")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentCaseSpec {
    /// The run that the agent belongs to.
    pub run: String,
    /// The agent within the run.
    pub agent: String,
    /// Identity of the case; what the dashboard and the API call it.
    pub case_id: String,
}

/// Where the case stands. Every field may be missing: the status of a fresh object is not there yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCaseStatus {
    /// Where the workflow stands: awaiting_approval, rejected, heal_queued, healing, probation, healed, released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How far the containment is: not_wanted, requested, partial, confirmed, breached, probation, releasing,
    /// released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// 0 to 10, one decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<f64>,
    /// The most confident diagnosis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<String>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When the case was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Time>,
    /// When something happened to it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// When waiting for a person ends as it is: it escalates then, or the first of two approvals lapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// What each lever was asked and has answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levers: Vec<LeverStatus>,
    /// The healing action under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What became of the last decision made on this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionStatus>,
    /// Contained, ApprovalRequired, Healing, Released.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One lever's part in the containment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LeverStatus {
    /// Name of the lever.
    pub name: String,
    /// What it was asked for: contained, probation, free.
    pub wanted: String,
    /// Its answer: requested, confirmed, failed, unsupported.
    pub status: String,
    /// Its receipt, or its last error.
    pub detail: String,
}

/// What became of a decision made on this object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DecisionStatus {
    /// approve, reject, heal-now, release.
    pub what: String,
    /// Who decided, as the API server has verified it.
    pub by: String,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// pending, done, first_of_two (somebody else must say so, too), refused, expired.
    pub outcome: String,
    /// Why it was refused, or what it waits for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Names the decision, so that it is handed over once whoever continues.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Version of the case that the decision was handed over for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_version: Option<u64>,
}

/// The definition of the type, as `immune crds` prints it.
pub fn crd() -> CustomResourceDefinition {
    let crd = crate::schema::tidy(AgentCase::crd());
    debug_assert_eq!(
        (crd.spec.group.as_str(), crd.spec.versions[0].name.as_str()),
        (GROUP, VERSION)
    );
    crd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the names that people type, the columns they see, and a status of its own.
    #[test]
    fn people_can_type_and_see_it() {
        let crd = serde_json::to_value(crd()).unwrap();
        assert_eq!(crd["metadata"]["name"], "agentcases.immune.io");
        let names = &crd["spec"]["names"];
        assert_eq!(names["shortNames"][0], "acase");
        assert_eq!(names["categories"][0], "immune");
        assert_eq!(crd["spec"]["scope"], "Namespaced");
        let version = &crd["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_object());
        let columns: Vec<&str> = version["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|column| column["priority"].is_null())
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            columns,
            ["Agent", "State", "Quarantine", "Severity", "Diagnosis", "Age"]
        );
    }

    /// Guarantees: every property has a type, so that the API server accepts the schema as structural, and no field of
    /// the status is required, so that an object may exist before its status.
    #[test]
    fn the_schema_is_structural() {
        let crd = serde_json::to_value(crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut waiting = vec![schema];
        while let Some(schema) = waiting.pop() {
            assert!(schema["type"].is_string(), "no type: {schema}");
            if let Some(properties) = schema["properties"].as_object() {
                waiting.extend(
                    properties
                        .iter()
                        .filter(|(name, _)| *name != "metadata")
                        .map(|(_, s)| s),
                );
            }
            if schema["items"].is_object() {
                waiting.push(&schema["items"]);
            }
        }
        let status = &schema["properties"]["status"];
        assert!(status["required"].is_null(), "{status}");
        let conditions = &status["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-map-keys"][0], "type");
    }
}
