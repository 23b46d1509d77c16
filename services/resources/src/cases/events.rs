//! Kubernetes Events on the objects that show cases, so that `kubectl describe acase` tells the story.
//!
//! An Event's name follows from what it tells, so that it is written once whoever writes it and however often. Kubernetes
//! forgets Events after an hour; what is older is not told any more.

use super::api::api_version;
use super::known::Place;
use super::translate::{hex, shortened};
use immune_domain::{CaseId, Timestamp};
use immune_store::cases;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Events that wait to be written; beyond it the oldest go unsaid.
pub(crate) const WAITING_MAX: usize = 1_000;
/// The oldest event that is told.
const AGE_MAX: Duration = Duration::from_secs(3_600);
/// The longest note, bytes, as the API has it.
const NOTE_MAX: usize = 1_000;
/// Who says it.
const CONTROLLER: &str = "immune.io/cases";
/// The longest name of an instance, bytes, as the API has it.
const INSTANCE_MAX: usize = 128;
/// The longest part of an object's name in an Event's name.
const NAME_MAX: usize = 200;

/// What is told, in the words of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// What makes it different from everything else said of the case.
    pub id: String,
    /// In the order of all events; 0 for what is not in it.
    pub sequence: u64,
    pub case: CaseId,
    pub at: Timestamp,
    /// `CaseOpened`.
    pub reason: &'static str,
    /// `Detect`, `Contain`, `Decide`, ...
    pub action: &'static str,
    pub is_warning: bool,
    pub note: String,
    /// When it was read.
    pub read_at: Instant,
}

impl News {
    /// What is told of an event of the store; `None` for those that make no Event.
    pub fn of(event: &cases::Event) -> Option<Self> {
        let (reason, action, is_warning) = match event.event.kind.as_str() {
            "case_opened" => ("CaseOpened", "Detect", true),
            "case_contained" => ("Contained", "Contain", false),
            "case_waiting" => ("ApprovalRequired", "Decide", true),
            "case_decided" => ("Decided", "Decide", false),
            "case_healed" => ("Healed", "Heal", false),
            "case_released" => ("Released", "Release", false),
            "case_breached" => ("QuarantineBreached", "Contain", true),
            "case_failed" => ("HealingFailed", "Heal", true),
            _ => return None,
        };
        Some(News {
            id: event.sequence.to_string(),
            sequence: event.sequence,
            case: event.event.case.clone(),
            at: event.event.at,
            reason,
            action,
            is_warning,
            note: event.event.text.clone(),
            read_at: Instant::now(),
        })
    }

    /// The object to write.
    pub fn event(&self, place: &Place, uid: &str, instance: &str) -> Event {
        let hash = hex(&Sha256::digest(format!("{uid} {} {}", self.reason, self.id)), 16);
        let name = format!("{}.{hash}", &place.name[..place.name.len().min(NAME_MAX)]);
        let at = jiff::Timestamp::from_microsecond(self.at.as_micros()).unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(place.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(at)),
            reason: Some(self.reason.to_owned()),
            action: Some(self.action.to_owned()),
            type_: Some(if self.is_warning { "Warning" } else { "Normal" }.to_owned()),
            note: Some(shortened(&self.note, NOTE_MAX)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(shortened(instance, INSTANCE_MAX)),
            regarding: Some(ObjectReference {
                api_version: Some(api_version()),
                kind: Some("AgentCase".to_owned()),
                name: Some(place.name.clone()),
                namespace: Some(place.namespace.clone()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}

/// News that wait to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    news: VecDeque<News>,
}

impl Waiting {
    /// Adds news; returns how many old ones go unsaid because of them.
    pub fn add(&mut self, news: impl IntoIterator<Item = News>) -> u64 {
        self.news.extend(news);
        let over = self.news.len().saturating_sub(WAITING_MAX);
        self.news.drain(..over);
        over as u64
    }

    /// Forgets what is too old to be told; returns how many.
    pub fn forget_old(&mut self, now: Timestamp) -> u64 {
        let before = self.news.len();
        self.news.retain(|news| now.since(news.at) < AGE_MAX);
        (before - self.news.len()) as u64
    }

    pub fn get(&self, n: usize) -> Option<&News> {
        self.news.get(n)
    }

    pub fn remove(&mut self, n: usize) {
        self.news.remove(n);
    }

    pub fn len(&self) -> usize {
        self.news.len()
    }

    /// Up to which place in the order everything was told, where `seen` has been read.
    pub fn told_up_to(&self, seen: u64) -> u64 {
        let first = self
            .news
            .iter()
            .map(|news| news.sequence)
            .filter(|sequence| *sequence > 0)
            .min();
        first.map_or(seen, |first| first.saturating_sub(1).min(seen))
    }
}
