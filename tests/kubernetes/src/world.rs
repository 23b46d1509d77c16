//! The world before and beside the test: objects put there, looked at and changed without a request.

use crate::cluster::{Cluster, Key, now};
use crate::kinds::{self, Kind};
use crate::server::ApiServer;
use crate::{schema, validate};
use serde_json::{Value, json};

impl ApiServer {
    /// Declares a type, as a CustomResourceDefinition would (creating one over the API does as well).
    pub fn register(&self, kind: Kind) {
        self.cluster(|cluster| cluster.add_kind(kind));
    }

    /// Puts an object there, status included, without a request: the world before the test. Replaces the one of
    /// the same name; creates the namespace. Returns it as the server has it, after controllers have acted.
    ///
    /// # Panics
    /// When the type is unknown or the object is not valid.
    pub fn put(&self, object: Value) -> Value {
        self.cluster(|cluster| {
            let (kind, _) = cluster
                .kind_of(&object)
                .unwrap_or_else(|| panic!("unknown type {} {}", object["apiVersion"], object["kind"]));
            let object = placed(cluster, &kind, object);
            let namespace = object["metadata"]["namespace"].as_str();
            let key = Key::of(
                &kind,
                namespace,
                object["metadata"]["name"].as_str().unwrap_or_default(),
            );
            let mut object = schema::typed(&kind, object).expect("the object is of its type");
            schema::default(&kind, &mut object);
            validate::check(&kind, None, &object).expect("the object is valid");
            if kinds::is_definition(&kind)
                && let Some(declared) = kinds::declared(&object)
            {
                cluster.add_kind(declared);
                kinds::establish(&mut object);
            }
            let before = cluster.objects.get(&key);
            if kind.has_generation() && before.is_some_and(|before| before["spec"] != object["spec"]) {
                let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
                object["metadata"]["generation"] = json!(generation + 1);
            }
            cluster.store(key.clone(), object);
            self.state.settle(cluster);
            cluster.objects[&key].clone()
        })
    }

    /// An object, by kind, namespace (empty for what lives in none) and name. The kind may be qualified by its
    /// group (`Event.events.k8s.io`).
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.cluster(|cluster| {
            let kind = find(cluster, kind);
            let key = Key::of(&kind, Some(namespace), name);
            cluster.objects.get(&key).cloned()
        })
    }

    /// Objects of a kind; of one namespace, or of all if it is empty.
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        self.cluster(|cluster| {
            let kind = find(cluster, kind);
            cluster.listed(
                &kind.group,
                &kind.plural,
                Some(namespace).filter(|ns| !ns.is_empty()),
            )
        })
    }

    /// Deletes an object without a request, as somebody else would; controllers act.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        self.cluster(|cluster| {
            let kind = find(cluster, kind);
            let key = Key::of(&kind, Some(namespace), name);
            cluster.end(&key, "Background");
            self.state.settle(cluster);
        });
    }

    /// Changes an object without a request, as somebody else would; controllers act.
    ///
    /// # Panics
    /// When it is not there.
    pub fn change(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        self.cluster(|cluster| {
            let kind = find(cluster, kind);
            let key = Key::of(&kind, Some(namespace), name);
            let live = cluster.objects.get(&key).cloned();
            let live = live.unwrap_or_else(|| panic!("{} {namespace}/{name} is not there", kind.kind));
            let mut object = live.clone();
            change(&mut object);
            if kind.has_generation() && object["spec"] != live["spec"] {
                let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
                object["metadata"]["generation"] = json!(generation + 1);
            }
            cluster.store(key, object);
            self.state.settle(cluster);
        });
    }
}

/// An object with what the server gives it: its namespace, identity and age.
fn placed(cluster: &mut Cluster, kind: &Kind, mut object: Value) -> Value {
    let name = object["metadata"]["name"]
        .as_str()
        .expect("an object has a name")
        .to_owned();
    let mut namespace = None;
    if kind.is_namespaced {
        let own = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default")
            .to_owned();
        object["metadata"]["namespace"] = json!(own);
        cluster.add_namespace(&own);
        namespace = Some(own);
    }
    let before = cluster
        .objects
        .get(&Key::of(kind, namespace.as_deref(), &name))
        .cloned();
    let kept = before
        .map(|mut object| object["metadata"].take())
        .unwrap_or_default();
    object["metadata"]["uid"] = match &kept["uid"] {
        Value::Null => json!(cluster.uid()),
        uid => uid.clone(),
    };
    object["metadata"]["creationTimestamp"] = match &kept["creationTimestamp"] {
        Value::Null => json!(now()),
        time => time.clone(),
    };
    if kind.has_generation() {
        let generation = kept["generation"].as_i64().unwrap_or(1);
        object["metadata"]["generation"] = json!(generation);
    }
    object
}

fn find(cluster: &Cluster, name: &str) -> Kind {
    let (kind, group) = name.split_once('.').unwrap_or((name, ""));
    cluster
        .kinds
        .iter()
        .find(|k| k.kind == kind && (group.is_empty() || k.group == group))
        .cloned()
        .unwrap_or_else(|| panic!("unknown kind {name}"))
}
