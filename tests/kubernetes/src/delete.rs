//! Deletes: at once, or marked where finalizers hold the object, and what it owned after it.

use crate::cluster::{Cluster, Key, now};
use crate::kinds;
use crate::read;
use crate::refusal::Refusal;
use crate::write::Write;
use serde_json::{Value, json};

impl Write<'_> {
    /// One object, now or once its finalizers are gone.
    pub(crate) fn delete(self, options: &Value) -> Result<Value, Refusal> {
        let live = self.live()?;
        let wanted = &options["preconditions"];
        for field in ["uid", "resourceVersion"] {
            let (wanted, live) = (&wanted[field], &live["metadata"][field]);
            if !wanted.is_null() && wanted != live {
                let what = if field == "uid" { "UID" } else { "ResourceVersion" };
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let why = format!(
                    "Precondition failed: {what} in precondition: {}, {what} in object meta: {}",
                    text(wanted),
                    text(live)
                );
                return Err(Refusal::conflict(
                    &self.kind.plural,
                    &self.kind.group,
                    self.name(),
                    &why,
                ));
            }
        }
        let is_dry = self.is_dry() || !options["dryRun"].is_null();
        let key = self.key(self.name());
        if !is_dry {
            let propagation = self.propagation(options);
            self.cluster.end(&key, &propagation);
        }
        if let Some(marked) = self.cluster.objects.get(&key).filter(|_| !is_dry) {
            return Ok(self.shown(marked.clone()));
        }
        Ok(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {
                "name": self.name(), "group": self.kind.group, "kind": self.kind.plural,
                "uid": live["metadata"]["uid"],
            },
        }))
    }

    /// Every object that the selectors choose.
    pub(crate) fn delete_collection(self, options: &Value) -> Result<Value, Refusal> {
        let chosen = read::list(self.cluster, self.kind, self.target, self.query)?;
        if self.is_dry() {
            return Ok(chosen);
        }
        let propagation = self.propagation(options);
        for object in chosen["items"].as_array().into_iter().flatten() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let key = Key::of(self.kind, object["metadata"]["namespace"].as_str(), name);
            self.cluster.end(&key, &propagation);
        }
        Ok(chosen)
    }

    fn propagation(&self, options: &Value) -> String {
        let said = options["propagationPolicy"]
            .as_str()
            .or(self.query.get("propagationPolicy"));
        said.unwrap_or("Background").to_owned()
    }
}

impl Cluster {
    /// Deletes an object: at once, or marks it where finalizers hold it.
    pub(crate) fn end(&mut self, key: &Key, propagation: &str) {
        let Some(live) = self.objects.get(key) else {
            return;
        };
        let finalizers = live["metadata"]["finalizers"].as_array();
        if finalizers.is_none_or(Vec::is_empty) {
            self.forget(key, propagation);
        } else if live["metadata"]["deletionTimestamp"].is_null() {
            let mut marked = live.clone();
            marked["metadata"]["deletionTimestamp"] = json!(now());
            self.store(key.clone(), marked);
        }
    }

    /// Takes an object away, and, unless they shall be orphans, what it owns; a namespace takes all that is in it, a
    /// definition its kind and all objects of it.
    pub(crate) fn forget(&mut self, key: &Key, propagation: &str) {
        let Some(gone) = self.remove(key) else { return };
        let uid = &gone["metadata"]["uid"];
        let is_namespace = key.group.is_empty() && key.plural == "namespaces";
        let declared = match key.plural == kinds::DEFINITIONS {
            true => kinds::declared(&gone),
            false => None,
        };
        let is_inside = |other: &Key| {
            (is_namespace && other.namespace == key.name)
                || declared.as_ref().is_some_and(|kind| other.is_of(kind))
        };
        let below: Vec<(Key, Value, bool)> = self
            .objects
            .iter()
            .filter_map(|(other, object)| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                let is_owned = owners.is_some_and(|list| list.iter().any(|owner| owner["uid"] == *uid));
                let is_inside = is_inside(other);
                (is_owned || is_inside).then(|| (other.clone(), object.clone(), is_inside))
            })
            .collect();
        if let Some(kind) = &declared {
            self.drop_kind(kind);
        }
        for (other, mut object, is_inside) in below {
            let others_own = |owner: &Value| owner["uid"] != *uid;
            let owners = object["metadata"]["ownerReferences"].as_array_mut();
            let has_another = owners.as_ref().is_some_and(|list| list.iter().any(others_own));
            // Who has another owner stays with that one.
            if is_inside || !(propagation == "Orphan" || has_another) {
                self.end(&other, "Background");
            } else if let Some(owners) = owners {
                owners.retain(others_own);
                self.store(other, object);
            }
        }
    }
}
