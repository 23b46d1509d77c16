//! From an object as it was to the object as it shall be: the part that the path names, checked, counted and kept.

use crate::cluster::Key;
use crate::fields::{self, Owned};
use crate::kinds;
use crate::read;
use crate::refusal::Refusal;
use crate::validate;
use crate::write::Write;
use serde_json::{Value, json};

/// What no write changes.
const FIXED: &[&str] = &[
    "name",
    "namespace",
    "generateName",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
];

impl Write<'_> {
    /// Keeps what `object` changes of `live`; `who` did it, where that is not yet in the managed fields.
    pub(crate) fn commit(mut self, live: Value, object: Value, who: Option<Owned>) -> Result<Value, Refusal> {
        let name = self.name().to_owned();
        for field in ["resourceVersion", "uid"] {
            let given = &object["metadata"][field];
            if !given.is_null() && *given != "" && *given != live["metadata"][field] {
                return Err(Refusal::modified(&self.kind.plural, &self.kind.group, &name));
            }
        }
        let mut object = self.merged(&live, object)?;
        for field in FIXED {
            let fixed = live["metadata"][*field].clone();
            set_or_remove(&mut object["metadata"], field, &fixed);
        }
        object["kind"] = live["kind"].clone();
        let mut object = self.shaped(object)?;
        validate::check(self.kind, Some(&live), &object)?;
        if let Some(who) = who {
            object["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
            fields::updated(Some(&live), &mut object, who);
        }
        if is_same(&live, &object) {
            return Ok(self.shown(live));
        }
        if self.kind.has_generation() && is_other(&live, &object, self.kind.has_status) {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let key = self.key(&name);
        let finalizers = object["metadata"]["finalizers"].as_array();
        let is_leaving = !object["metadata"]["deletionTimestamp"].is_null();
        if is_leaving && finalizers.is_none_or(Vec::is_empty) && !self.is_dry() {
            let last = self.cluster.store(key.clone(), object);
            self.cluster.forget(&key, "Background");
            return Ok(self.shown(last));
        }
        Ok(self.keep(key, object))
    }

    /// The live object, with the part of the other that the path is for.
    fn merged(&self, live: &Value, mut object: Value) -> Result<Value, Refusal> {
        match self.target.subresource.as_deref() {
            Some("status") => {
                let (status, owners) = (&object["status"], &object["metadata"]["managedFields"]);
                let mut merged = live.clone();
                set_or_remove(&mut merged, "status", status);
                set_or_remove(&mut merged["metadata"], "managedFields", owners);
                Ok(merged)
            }
            Some("scale") => {
                let replicas = object["spec"]["replicas"].as_u64().ok_or_else(|| {
                    let why = format!(
                        "Invalid value: {}: must be a number from 0",
                        object["spec"]["replicas"]
                    );
                    Refusal::invalid("Scale", "autoscaling", self.name(), "spec.replicas", &why)
                })?;
                let mut merged = live.clone();
                merged["spec"]["replicas"] = json!(replicas);
                Ok(merged)
            }
            _ => {
                if self.kind.has_status {
                    set_or_remove(&mut object, "status", &live["status"]);
                }
                Ok(object)
            }
        }
    }

    /// Stores an object that is as it shall be.
    pub(crate) fn keep(&mut self, key: Key, mut object: Value) -> Value {
        if self.is_dry() {
            return self.shown(object);
        }
        if kinds::is_definition(self.kind)
            && let Some(kind) = kinds::declared(&object)
        {
            self.cluster.add_kind(kind);
            kinds::establish(&mut object);
        }
        let stored = self.cluster.store(key, object);
        self.shown(stored)
    }

    /// An object as the path asks for it.
    pub(crate) fn shown(&self, object: Value) -> Value {
        match self.target.subresource.as_deref() {
            Some("scale") => read::scale(&object),
            _ => read::as_version(self.kind, &self.target.version, object),
        }
    }
}

fn set_or_remove(object: &mut Value, field: &str, value: &Value) {
    if !value.is_null() {
        object[field] = value.clone();
    } else if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

/// Whether something differs that a controller would have to act on.
fn is_other(before: &Value, after: &Value, has_status: bool) -> bool {
    let counts =
        |field: &str| field != "metadata" && field != "apiVersion" && !(has_status && field == "status");
    let names = |object: &Value| -> Vec<String> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .map(|(field, _)| field.clone())
            .filter(|field| counts(field))
            .collect()
    };
    names(before)
        .into_iter()
        .chain(names(after))
        .any(|field| before[&field] != after[&field])
}

/// Whether nothing but times of managed fields differs: such a write is none.
fn is_same(before: &Value, after: &Value) -> bool {
    let plain = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = Value::Null;
        for entry in object["metadata"]["managedFields"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            entry["time"] = Value::Null;
        }
        if object["metadata"]["managedFields"]
            .as_array()
            .is_some_and(Vec::is_empty)
        {
            object["metadata"]["managedFields"] = Value::Null;
        }
        object
    };
    plain(before) == plain(after)
}
