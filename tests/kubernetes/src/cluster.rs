//! The objects, their history, and the numbers that are given out.

use crate::kinds::{self, Kind};
use crate::path::Target;
use crate::refusal::Refusal;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Changes that are kept for watches; who is further behind gets 410.
const HISTORY_MAX: usize = 10_000;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Key {
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn of(kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        Key::new(&kind.group, &kind.plural, namespace.unwrap_or_default(), name)
    }

    pub(crate) fn of_namespace(name: &str) -> Self {
        Key::new("", "namespaces", "", name)
    }

    pub(crate) fn is_of(&self, kind: &Kind) -> bool {
        self.group == kind.group && self.plural == kind.plural
    }
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// Everything that the server remembers.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) objects: BTreeMap<Key, Value>,
    pub(crate) history: VecDeque<Change>,
    pub(crate) revision: u64,
    /// Nothing before this revision can be watched.
    pub(crate) compacted: u64,
    pub(crate) has_controllers: bool,
    given: u64,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let mut cluster = Cluster {
            kinds: kinds::built_in(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            revision: 1,
            compacted: 1,
            has_controllers: true,
            given: 0,
        };
        cluster.add_namespace("default");
        cluster
    }

    /// Creates a namespace that is not there yet.
    pub(crate) fn add_namespace(&mut self, name: &str) {
        let key = Key::of_namespace(name);
        if self.objects.contains_key(&key) {
            return;
        }
        let uid = self.uid();
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": name, "uid": uid, "creationTimestamp": now(),
                "labels": { "kubernetes.io/metadata.name": name },
            },
            "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
        });
        self.store(key, namespace);
    }

    /// The type that a path names.
    pub(crate) fn kind(&self, target: &Target) -> Result<Kind, Refusal> {
        self.kinds
            .iter()
            .find(|kind| {
                kind.group == target.group
                    && kind.plural == target.plural
                    && kind.versions.contains(&target.version)
            })
            .cloned()
            .ok_or_else(Refusal::no_such_path)
    }

    /// The type of an object, by its apiVersion and kind.
    pub(crate) fn kind_of(&self, object: &Value) -> Option<(Kind, String)> {
        let api_version = object["apiVersion"].as_str()?;
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let kind = self
            .kinds
            .iter()
            .find(|kind| kind.group == group && object["kind"] == kind.kind)?;
        Some((kind.clone(), version.to_owned()))
    }

    pub(crate) fn add_kind(&mut self, kind: Kind) {
        self.drop_kind(&kind);
        self.kinds.push(kind);
    }

    pub(crate) fn drop_kind(&mut self, kind: &Kind) {
        self.kinds
            .retain(|other| (&other.group, &other.plural) != (&kind.group, &kind.plural));
    }

    /// Objects of a type, of one namespace or all.
    pub(crate) fn listed(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Value> {
        self.objects
            .iter()
            .filter(|(key, _)| {
                key.group == group && key.plural == plural && namespace.is_none_or(|ns| ns == key.namespace)
            })
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Writes an object under the next resource version, and returns it as it is now.
    pub(crate) fn store(&mut self, key: Key, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let before = self.objects.insert(key.clone(), object.clone());
        self.remember(key, before, Some(object.clone()));
        object
    }

    /// Takes an object away for good.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Value> {
        let before = self.objects.remove(key)?;
        self.revision += 1;
        self.remember(key.clone(), Some(before.clone()), None);
        Some(before)
    }

    fn remember(&mut self, key: Key, before: Option<Value>, after: Option<Value>) {
        self.history.push_back(Change {
            revision: self.revision,
            key,
            before,
            after,
        });
        if self.history.len() > HISTORY_MAX
            && let Some(oldest) = self.history.pop_front()
        {
            self.compacted = oldest.revision;
        }
    }

    /// Forgets all history, as a compaction of etcd does.
    pub(crate) fn compact(&mut self) {
        // An empty write, so that even who has seen everything so far is behind.
        self.revision += 1;
        self.compacted = self.revision;
        self.history.clear();
    }

    /// A uid that nobody has had.
    pub(crate) fn uid(&mut self) -> String {
        self.given += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.given)
    }

    /// How many numbers were given out so far.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// Five letters for generated names.
    pub(crate) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.given += 1;
        let mut n = self.given.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..5)
            .map(|_| {
                let letter = LETTERS[(n % LETTERS.len() as u64) as usize];
                n /= LETTERS.len() as u64;
                char::from(letter)
            })
            .collect()
    }
}

/// The time, as the API writes it.
pub(crate) fn now() -> String {
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds)
        .expect("the present is within range")
        .to_string()
}
