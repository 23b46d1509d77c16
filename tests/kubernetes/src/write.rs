//! Create, update and patch: what each starts from. Apply is in `applied.rs`, deletes in `delete.rs`, and what all have
//! in common in `commit.rs`.

use crate::cluster::{Cluster, Key, now};
use crate::fields::{self, Owned, Set};
use crate::kinds::Kind;
use crate::patch::{self, How};
use crate::path::Target;
use crate::refusal::Refusal;
use crate::request::Query;
use crate::{read, schema, validate};
use serde_json::{Value, json};

/// One write under way.
pub(crate) struct Write<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) kind: &'a Kind,
    pub(crate) target: &'a Target,
    pub(crate) query: &'a Query,
    /// The client's word about itself, where it names no field manager.
    pub(crate) agent: &'a str,
}

impl Write<'_> {
    pub(crate) fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        Key::of(self.kind, self.target.namespace.as_deref(), name)
    }

    pub(crate) fn live(&self) -> Result<Value, Refusal> {
        let live = self.cluster.objects.get(&self.key(self.name())).cloned();
        live.ok_or_else(|| Refusal::not_found(&self.kind.plural, &self.kind.group, self.name()))
    }

    pub(crate) fn is_dry(&self) -> bool {
        self.query.get("dryRun").is_some()
    }

    pub(crate) fn is_of_scale(&self) -> bool {
        self.target.subresource.as_deref() == Some("scale")
    }

    pub(crate) fn who(&self, is_apply: bool) -> Owned {
        Owned {
            manager: self.query.get("fieldManager").unwrap_or(self.agent).to_owned(),
            is_apply,
            api_version: self.kind.api_version(&self.target.version),
            subresource: self.target.subresource.clone().unwrap_or_default(),
            time: now(),
            set: Set::new(),
        }
    }

    /// A new object.
    pub(crate) fn create(mut self, mut object: Value) -> Result<Value, Refusal> {
        self.check_type(&object)?;
        if object["metadata"]["resourceVersion"]
            .as_str()
            .is_some_and(|version| !version.is_empty())
        {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(Refusal::bad_request(why));
        }
        let given = |field: &str| object["metadata"][field].as_str().filter(|text| !text.is_empty());
        let name = match (given("name"), given("generateName")) {
            (Some(name), _) => name.to_owned(),
            (None, Some(prefix)) => format!("{prefix}{}", self.cluster.suffix()),
            (None, None) => {
                let why = "Required value: name or generateName is required";
                return Err(Refusal::invalid(
                    &self.kind.kind,
                    &self.kind.group,
                    "",
                    "metadata.name",
                    why,
                ));
            }
        };
        self.check_namespace(&mut object)?;
        let key = self.key(&name);
        if self.cluster.objects.contains_key(&key) {
            return Err(Refusal::exists(&self.kind.plural, &self.kind.group, &name));
        }
        object["metadata"]["name"] = json!(name);
        self.born(&mut object);
        let mut object = self.shaped(object)?;
        validate::check(self.kind, None, &object)?;
        let who = self.who(false);
        fields::updated(None, &mut object, who);
        Ok(self.keep(key, object))
    }

    /// What every new object gets from the server.
    pub(crate) fn born(&mut self, object: &mut Value) {
        let uid = self.cluster.uid();
        let metadata = object["metadata"]
            .as_object_mut()
            .expect("a name was just put in it");
        for field in [
            "managedFields",
            "deletionTimestamp",
            "resourceVersion",
            "generation",
        ] {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), json!(uid));
        metadata.insert("creationTimestamp".to_owned(), json!(now()));
        if self.kind.has_generation() {
            metadata.insert("generation".to_owned(), json!(1));
        }
        if self.kind.has_status
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
    }

    /// The whole object, or its status or scale.
    pub(crate) fn update(self, object: Value) -> Result<Value, Refusal> {
        let live = self.live()?;
        if !object.is_object() || !object["metadata"].is_object() {
            return Err(Refusal::bad_request("the body is no object with metadata"));
        }
        if !self.is_of_scale() {
            self.check_type(&object)?;
        }
        if object["metadata"]["name"].as_str() != Some(self.name()) {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                object["metadata"]["name"].as_str().unwrap_or_default(),
                self.name()
            )));
        }
        let who = self.who(false);
        self.commit(live, object, Some(who))
    }

    /// A patch that is no apply.
    pub(crate) fn patch(self, how: How, body: Value) -> Result<Value, Refusal> {
        let live = self.live()?;
        let mut object = match self.is_of_scale() {
            true => read::scale(&live),
            false => read::as_version(self.kind, &self.target.version, live.clone()),
        };
        match how {
            How::Json => patch::json(&mut object, body)?,
            How::Merge => patch::merge(&mut object, &body),
            How::Strategic if self.kind.is_built_in() => patch::strategic(&mut object, &body),
            How::Strategic | How::Apply => {
                return Err(Refusal::new(
                    415,
                    "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ));
            }
        }
        if !object["metadata"].is_object() {
            return Err(Refusal::bad_request("the patch leaves no object with metadata"));
        }
        let who = self.who(false);
        self.commit(live, object, Some(who))
    }

    /// As the type's schema has it, defaults included, in the stored version.
    pub(crate) fn shaped(&self, mut object: Value) -> Result<Value, Refusal> {
        object["apiVersion"] = json!(self.kind.api_version(&self.kind.versions[0]));
        let mut object = schema::typed(self.kind, object)?;
        schema::default(self.kind, &mut object);
        Ok(object)
    }

    pub(crate) fn check_type(&self, object: &Value) -> Result<(), Refusal> {
        let api_version = self.kind.api_version(&self.target.version);
        if object["kind"] == self.kind.kind && object["apiVersion"] == api_version {
            return Ok(());
        }
        Err(Refusal::bad_request(format!(
            "the object provided is of kind {} {}, but the path takes {} {api_version}",
            object["kind"], object["apiVersion"], self.kind.kind
        )))
    }

    pub(crate) fn check_namespace(&self, object: &mut Value) -> Result<(), Refusal> {
        if !object["metadata"].is_object() {
            return Err(Refusal::bad_request("the body is no object with metadata"));
        }
        let Some(namespace) = &self.target.namespace else {
            return Ok(());
        };
        if object["metadata"]["namespace"].as_str().unwrap_or(namespace) != namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let Some(home) = self.cluster.objects.get(&Key::of_namespace(namespace)) else {
            return Err(Refusal::not_found("namespaces", "", namespace));
        };
        if !home["metadata"]["deletionTimestamp"].is_null() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(Refusal::new(
                403,
                "Forbidden",
                format!("{} \"{name}\" is forbidden: {why}", self.kind.plural),
            ));
        }
        object["metadata"]["namespace"] = json!(namespace);
        Ok(())
    }
}
