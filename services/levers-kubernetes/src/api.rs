//! Requests to the API server: each says what it was doing when it failed.

use crate::error::{Result, Trouble};
use crate::names::FIELD_MANAGER;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::{Value, json};

/// Objects read of one list; a workload with more pods is contained by its policy all the same.
const LIST_MAX: u32 = 500;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The API server.
#[derive(Clone)]
pub(crate) struct Server(pub(crate) Client);

impl Server {
    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.0.clone(), namespace, resource)
    }

    /// Objects with these labels, of one namespace or of all.
    pub(crate) async fn list(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<DynamicObject>> {
        let api = match namespace {
            Some(namespace) => self.api(resource, namespace),
            None => Api::all_with(self.0.clone(), resource),
        };
        let mut wanted = ListParams::default().limit(LIST_MAX);
        if !labels.is_empty() {
            wanted = wanted.labels(labels);
        }
        let listed = api.list(&wanted).await;
        let doing = || {
            format!(
                "listing {} in {}",
                resource.plural,
                namespace.unwrap_or("all namespaces")
            )
        };
        listed
            .map(|list| list.items)
            .map_err(|error| Trouble::of(doing(), error))
    }

    /// An object, if it is there.
    pub(crate) async fn get(&self, resource: &ApiResource, place: &Place) -> Result<Option<DynamicObject>> {
        let found = self.api(resource, &place.namespace).get_opt(&place.name).await;
        found.map_err(|error| Trouble::of(doing("reading", resource, place), error))
    }

    /// A namespace, if it is there.
    pub(crate) async fn namespace(&self, name: &str) -> Result<Option<DynamicObject>> {
        let api: Api<DynamicObject> = Api::all_with(self.0.clone(), &crate::kinds::namespaces());
        let found = api.get_opt(name).await;
        found.map_err(|error| Trouble::of(format!("reading namespace {name}"), error))
    }

    /// Changes what the patch names, if the object is still as it was read.
    pub(crate) async fn merge(
        &self,
        resource: &ApiResource,
        read: &DynamicObject,
        mut patch: Value,
    ) -> Result<DynamicObject> {
        let place = place(read);
        patch["metadata"]["resourceVersion"] = json!(read.metadata.resource_version);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(resource, &place.namespace);
        let patched = api.patch(&place.name, &params, &Patch::Merge(&patch)).await;
        patched.map_err(|error| Trouble::of(doing("changing", resource, &place), error))
    }

    /// Changes an object step by step; the steps say themselves what they expect.
    pub(crate) async fn edit(
        &self,
        resource: &ApiResource,
        place: &Place,
        steps: json_patch::Patch,
    ) -> Result<DynamicObject> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(resource, &place.namespace);
        let patched = api.patch(&place.name, &params, &Patch::Json::<()>(steps)).await;
        patched.map_err(|error| Trouble::of(doing("changing", resource, place), error))
    }

    /// Applies an object as its owner of the fields it names: others' fields stay, and fields that we owned and no
    /// longer name go.
    pub(crate) async fn apply(
        &self,
        resource: &ApiResource,
        place: &Place,
        object: &Value,
    ) -> Result<DynamicObject> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.api(resource, &place.namespace);
        let applied = api.patch(&place.name, &params, &Patch::Apply(object)).await;
        applied.map_err(|error| Trouble::of(doing("applying", resource, place), error))
    }

    /// Creates an object; one of that name that is there already is as good.
    pub(crate) async fn create(&self, resource: &ApiResource, place: &Place, object: Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(object)
            .map_err(|error| Trouble::Failed(format!("{} {place} cannot be made: {error}", resource.kind)))?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self
            .api(resource, &place.namespace)
            .create(&params, &object)
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(Trouble::of(doing("creating", resource, place), error)),
        }
    }

    /// Deletes just this object, if it is still there.
    pub(crate) async fn delete(&self, resource: &ApiResource, read: &DynamicObject) -> Result<()> {
        let place = place(read);
        let mut params = DeleteParams::background();
        params.preconditions = Some(Preconditions {
            uid: read.metadata.uid.clone(),
            ..Preconditions::default()
        });
        let deleted = self
            .api(resource, &place.namespace)
            .delete(&place.name, &params)
            .await;
        match deleted {
            Ok(_) => Ok(()),
            // Gone, or another one of that name by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(Trouble::of(doing("deleting", resource, &place), error)),
        }
    }
}

/// Where an object that was read is.
pub(crate) fn place(object: &DynamicObject) -> Place {
    Place {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// A label of an object.
pub(crate) fn label<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    object.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation of an object.
pub(crate) fn annotation<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn doing(what: &str, resource: &ApiResource, place: &Place) -> String {
    format!("{what} {} {place}", resource.kind)
}
