//! Server-side apply: to an object that is there, and of one that is not.

use crate::apply;
use crate::refusal::Refusal;
use crate::validate;
use crate::write::Write;
use serde_json::{Value, json};

impl Write<'_> {
    /// Server-side apply to an object that is there.
    pub(crate) fn apply(self, config: Value) -> Result<Value, Refusal> {
        let live = self.live()?;
        let config = self.applied(config)?;
        let version = &config["metadata"]["resourceVersion"];
        if !version.is_null() && *version != live["metadata"]["resourceVersion"] {
            return Err(Refusal::modified(
                &self.kind.plural,
                &self.kind.group,
                self.name(),
            ));
        }
        let is_forced = self.query.get("force") == Some("true");
        let merged = apply::apply(&live, &config, self.who(true), is_forced)?;
        self.commit(live, merged, None)
    }

    /// Server-side apply of an object that is not there yet.
    pub(crate) fn apply_new(mut self, config: Value) -> Result<Value, Refusal> {
        let config = self.applied(config)?;
        if !config["metadata"]["resourceVersion"].is_null() || !config["metadata"]["uid"].is_null() {
            // Who names a version or an identity means an object that was there, and is not.
            return Err(Refusal::modified(
                &self.kind.plural,
                &self.kind.group,
                self.name(),
            ));
        }
        let blank = json!({ "apiVersion": config["apiVersion"], "kind": config["kind"] });
        let owners = apply::apply(&blank, &config, self.who(true), false)?;
        let mut object = config;
        object["metadata"]["name"] = json!(self.name());
        self.check_namespace(&mut object)?;
        self.born(&mut object);
        object["metadata"]["managedFields"] = owners["metadata"]["managedFields"].clone();
        let key = self.key(self.name());
        let object = self.shaped(object)?;
        validate::check(self.kind, None, &object)?;
        Ok(self.keep(key, object))
    }

    /// What may be applied here: the status by its subresource only, and nothing else by that.
    fn applied(&self, mut config: Value) -> Result<Value, Refusal> {
        if self.query.get("fieldManager").is_none_or(str::is_empty) {
            return Err(Refusal::bad_request(
                "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        if self.is_of_scale() {
            return Err(Refusal::not_allowed());
        }
        self.check_type(&config)?;
        if config["metadata"].is_null() {
            config["metadata"] = json!({});
        }
        let name = config["metadata"]["name"].as_str().unwrap_or(self.name());
        if !config["metadata"].is_object() || name != self.name() {
            return Err(Refusal::bad_request(
                "the name in the object does not match the name on the URL",
            ));
        }
        if !config["metadata"]["managedFields"].is_null() {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        let is_status = self.target.subresource.is_some();
        if let Some(fields) = config.as_object_mut() {
            match (is_status, self.kind.has_status) {
                (true, _) => {
                    fields.retain(|field, _| {
                        ["apiVersion", "kind", "metadata", "status"].contains(&field.as_str())
                    });
                    let metadata = fields["metadata"].as_object_mut().expect("it was checked above");
                    metadata.retain(|field, _| field == "resourceVersion" || field == "uid");
                }
                (false, true) => {
                    fields.remove("status");
                }
                (false, false) => {}
            }
        }
        Ok(config)
    }
}
