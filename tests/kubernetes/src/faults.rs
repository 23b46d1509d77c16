//! Failures on demand: which requests fail, and how.

use crate::refusal::Refusal;
use crate::request::Request;
use std::time::Duration;

/// Which requests a failure is for. Everything that is not said matches.
#[derive(Debug, Clone, Default)]
pub struct When {
    verb: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    is_write: bool,
    skip: usize,
    times: Option<usize>,
}

impl When {
    /// Every request.
    pub fn any() -> Self {
        When::default()
    }

    /// Every request that changes something: create, update, patch, delete, deletecollection.
    pub fn write() -> Self {
        When {
            is_write: true,
            ..When::default()
        }
    }

    /// Requests of a verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub fn verb(verb: &str) -> Self {
        When {
            verb: Some(verb.to_owned()),
            ..When::default()
        }
    }

    /// Requests of a resource, a subresource after a slash: `pods`, `deployments/scale`.
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Requests for an object of that name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Lets the first `n` that match pass.
    pub fn after(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// How many fail; default 1.
    pub fn times(mut self, n: usize) -> Self {
        self.times = Some(n);
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let resource = request.resource_path();
        self.verb.as_ref().is_none_or(|verb| *verb == request.verb)
            && self.resource.as_ref().is_none_or(|wanted| *wanted == resource)
            && self
                .name
                .as_ref()
                .is_none_or(|name| Some(name) == request.name.as_ref())
            && (!self.is_write || request.is_write())
    }
}

/// How a request fails.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// 403, as RBAC says it.
    Forbidden,
    /// 409: somebody else has changed the object.
    Conflict,
    /// 422, as a validating admission webhook says it, with its words.
    Admission(String),
    /// 429, to be asked again after so many seconds.
    TooManyRequests(u64),
    /// 500.
    Internal,
    /// The connection ends without an answer, and nothing happened.
    Cut,
    /// The connection ends without an answer, but it was done.
    CutAfter,
    /// Nothing happens, and no answer ever comes, until the client gives up.
    Hang,
    /// It is done, and no answer ever comes, until the client gives up.
    HangAfter,
    /// It begins that late; the rest as usual.
    Slow(Duration),
    /// It is answered as if done, and nothing is done.
    Lie,
}

impl Failure {
    /// The answer, where the failure is one.
    pub(crate) fn refusal(&self, request: &Request) -> Option<Refusal> {
        let name = request.name.as_deref().unwrap_or_default();
        match self {
            Failure::Forbidden => Some(crate::access::forbidden(request, &request.verb)),
            Failure::Conflict => Some(Refusal::modified(&request.resource, &request.group, name)),
            Failure::Admission(words) => Some(Refusal::new(
                422,
                "Invalid",
                format!("admission webhook \"guard.example.com\" denied the request: {words}"),
            )),
            Failure::TooManyRequests(seconds) => {
                let mut refusal = Refusal::new(
                    429,
                    "TooManyRequests",
                    "too many requests, please try again later",
                );
                refusal.retry_after_seconds = Some(*seconds);
                Some(refusal)
            }
            Failure::Internal => Some(Refusal::new(
                500,
                "InternalError",
                "Internal error occurred: etcd is away",
            )),
            Failure::Cut
            | Failure::CutAfter
            | Failure::Hang
            | Failure::HangAfter
            | Failure::Slow(_)
            | Failure::Lie => None,
        }
    }
}

/// What is to fail, in the order in which it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(When, Failure)>);

impl Faults {
    pub(crate) fn add(&mut self, when: When, failure: Failure) {
        self.0.push((when, failure));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The failure that this request meets; counts it.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Failure> {
        let mut met = None;
        for (when, failure) in &mut self.0 {
            if !when.matches(request) {
                continue;
            }
            if when.skip > 0 {
                when.skip -= 1;
                continue;
            }
            let left = when.times.get_or_insert(1);
            if *left > 0 {
                *left -= 1;
                met = Some(failure.clone());
                break;
            }
        }
        self.0.retain(|(when, _)| when.times != Some(0));
        met
    }
}
