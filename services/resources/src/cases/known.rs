//! Objects as they should be and as they are, and when the two differ.

use super::conditions::CONDITIONS;
use super::kind::AgentCase;
use super::translate::{LABELS, PLANE};
use immune_domain::{CaseId, Timestamp};
use kube::api::DynamicObject;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Equal when nothing that the mirror writes differs.
pub(crate) type Print = [u8; 32];

/// What an object should be.
pub(crate) struct Wanted {
    pub case: CaseId,
    pub object: Arc<AgentCase>,
    pub main: Print,
    pub status: Print,
    pub ends_at: Option<Timestamp>,
}

/// What an object is.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub uid: String,
    pub case: CaseId,
    /// Whether it shows a case of another plane.
    pub is_foreign: bool,
    /// Whether it is being deleted.
    pub is_going: bool,
    pub main: Print,
    pub status: Print,
}

/// What to do about an object.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Apply(Arc<AgentCase>),
    Status(Arc<AgentCase>),
    Delete { uid: String },
}

/// Whether a case's object is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    As { place: Place, uid: String },
    NotYet,
    Never,
}

impl Known {
    pub fn of(object: &DynamicObject, own: &str) -> Self {
        let metadata = &object.metadata;
        let label = |name: &str| metadata.labels.as_ref().and_then(|labels| labels.get(name));
        let case = object.data["spec"]["caseId"].as_str().unwrap_or_default();
        // What cannot be read differs from everything, and is written anew.
        let read: Option<AgentCase> = object.clone().try_parse().ok();
        let (main, status) = read.map_or(([0; 32], [0; 32]), |read| prints(&read));
        Known {
            uid: metadata.uid.clone().unwrap_or_default(),
            case: CaseId::from(case),
            is_foreign: label(PLANE).is_some_and(|plane| plane != own),
            is_going: metadata.deletion_timestamp.is_some(),
            main,
            status,
        }
    }
}

/// Where an object is.
pub(crate) fn place_of(object: &impl kube::ResourceExt) -> Place {
    Place {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// What the mirror writes of an object: labels and spec; status without decisions, which are written by whoever hands
/// them over, and without conditions that others have added.
pub(crate) fn prints(object: &AgentCase) -> (Print, Print) {
    let labels = object.metadata.labels.as_ref();
    let labels: BTreeMap<&str, Option<&String>> = LABELS
        .iter()
        .map(|label| (*label, labels.and_then(|labels| labels.get(*label))))
        .collect();
    let status = object.status.clone().map(|mut status| {
        status.decision = None;
        status
            .conditions
            .retain(|condition| CONDITIONS.contains(&condition.type_.as_str()));
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        status
    });
    (print(&(labels, &object.spec)), print(&status))
}

fn print(value: &impl serde::Serialize) -> Print {
    let json = serde_json::to_vec(value).expect("plain structs with text keys can be written as JSON");
    Sha256::digest(json).into()
}
