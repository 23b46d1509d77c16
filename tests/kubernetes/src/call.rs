//! A request that nothing kept from being answered: allowed or not, and what it asks for.

use crate::cluster::Cluster;
use crate::discovery;
use crate::handle::State;
use crate::kinds::{Kind, REVIEWS};
use crate::patch::How;
use crate::path::Target;
use crate::read;
use crate::refusal::Refusal;
use crate::request::{Query, Request};
use crate::schema;
use crate::watch::Watch;
use crate::write::Write;
use serde_json::Value;

/// An answer that is no refusal.
pub(crate) enum Told {
    Value(u16, Value),
    Watch(Box<Watch>),
}

/// One request, with what its headers say.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a State,
    pub(crate) asked: &'a Request,
    pub(crate) query: &'a Query,
    pub(crate) body: Value,
    /// The client's word about itself.
    pub(crate) agent: &'a str,
    /// Only metadata is wanted.
    pub(crate) is_partial: bool,
    /// Success is told, and nothing done.
    pub(crate) is_lie: bool,
}

impl Call<'_> {
    pub(crate) fn answer(self, target: Option<Target>) -> Result<Told, Refusal> {
        let verb = self.asked.verb.as_str();
        let mut cluster = self.state.cluster.lock().unwrap();
        let Some(target) = target else {
            return match verb {
                "get" => {
                    discovery::answer(&cluster.kinds, &self.asked.path).map(|value| Told::Value(200, value))
                }
                _ => Err(Refusal::not_allowed()),
            };
        };
        self.state.access.lock().unwrap().check(self.asked, verb)?;
        let kind = kind_at(&cluster, &target)?;
        if kind.group == REVIEWS {
            return self.review(&kind);
        }
        match verb {
            "get" => {
                let object = read::get(&cluster, &kind, &target)?;
                Ok(Told::Value(200, self.shown(object)))
            }
            "list" => {
                let page = read::list(&cluster, &kind, &target, self.query)?;
                Ok(Told::Value(200, self.shown(page)))
            }
            "watch" => {
                let changed = self.state.changed.subscribe();
                let shared = self.state.cluster.clone();
                Watch::begin(
                    shared,
                    &cluster,
                    changed,
                    kind,
                    target,
                    self.query,
                    self.is_partial,
                )
                .map(|watch| Told::Watch(Box::new(watch)))
            }
            _ => self.write(&mut cluster, &kind, &target),
        }
    }

    fn write(mut self, cluster: &mut Cluster, kind: &Kind, target: &Target) -> Result<Told, Refusal> {
        let body = std::mem::take(&mut self.body);
        let verb = self.asked.verb.as_str();
        let is_of_many = matches!(verb, "create" | "deletecollection");
        if target.name.is_some() == is_of_many {
            return Err(Refusal::not_allowed());
        }
        // A lie is told over a copy that nobody will see again.
        let mut copy = self.is_lie.then(|| cluster.clone());
        let write = Write {
            cluster: copy.as_mut().unwrap_or(cluster),
            kind,
            target,
            query: self.query,
            agent: self.agent,
        };
        let (code, value) = match verb {
            "create" => (201, write.create(body)?),
            "update" => (200, write.update(body)?),
            "patch" => match How::told(&self.asked.content_type)? {
                How::Apply if target.subresource.is_none() && write.live().is_err() => {
                    self.state.access.lock().unwrap().check(self.asked, "create")?;
                    (201, write.apply_new(body)?)
                }
                How::Apply => (200, write.apply(body)?),
                how @ (How::Json | How::Merge | How::Strategic) => (200, write.patch(how, body)?),
            },
            "delete" => (200, write.delete(&body)?),
            "deletecollection" => (200, write.delete_collection(&body)?),
            _ => return Err(Refusal::not_allowed()),
        };
        if !self.is_lie {
            self.state.settle(cluster);
        }
        Ok(Told::Value(code, self.shown(value)))
    }

    fn review(self, kind: &Kind) -> Result<Told, Refusal> {
        if self.asked.verb != "create" || self.asked.name.is_some() {
            return Err(Refusal::not_allowed());
        }
        let spec = &self.body["spec"];
        if spec["user"].as_str().is_none_or(str::is_empty)
            && spec["groups"].as_array().is_none_or(Vec::is_empty)
        {
            let why = "Invalid value: \"\": at least one of user or group must be specified";
            return Err(Refusal::invalid(&kind.kind, &kind.group, "", "spec.user", why));
        }
        let review = schema::typed(kind, self.body)?;
        let answer = self.state.access.lock().unwrap().review(&review);
        Ok(Told::Value(201, answer))
    }

    fn shown(&self, value: Value) -> Value {
        if self.is_partial {
            read::partial(&value)
        } else {
            value
        }
    }
}

/// The type that a path names, where the path fits it.
fn kind_at(cluster: &Cluster, target: &Target) -> Result<Kind, Refusal> {
    let kind = cluster.kind(target)?;
    let fits = match kind.is_namespaced {
        // All namespaces can be listed and watched, not named.
        true => target.namespace.is_some() || target.name.is_none(),
        false => target.namespace.is_none(),
    };
    let has_subresource = match target.subresource.as_deref() {
        None => true,
        Some("status") => kind.has_status,
        Some("scale") => kind.has_scale,
        Some(_) => false,
    };
    if fits && has_subresource {
        Ok(kind)
    } else {
        Err(Refusal::no_such_path())
    }
}
