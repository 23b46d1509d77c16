//! What there should be and what there is, and which objects are therefore to be written. Knows no API and no store.

use super::config::Scope;
use super::kind::AgentCase;
use super::known::{Known, Place, Shown, Wanted, Work, place_of, prints};
use super::translate::object;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId, Timestamp};
use immune_store::cases::closed_at;
use kube::api::DynamicObject;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// First and longest wait for an object that could not be written.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// After so many failures in a row, nobody waits for an object any more.
const FAILURES_MANY: u32 = 5;

#[derive(Default)]
pub(crate) struct Table {
    scope: Scope,
    keep_closed: Duration,
    wanted: HashMap<Place, Wanted>,
    of_case: HashMap<CaseId, Place>,
    known: HashMap<Place, Known>,
    condemned: HashSet<Place>,
    /// Known objects of which it is not known whether there is a case.
    strays: HashSet<Place>,
    ends: BTreeSet<(Timestamp, Place)>,
    dirty: VecDeque<Place>,
    is_dirty: HashSet<Place>,
    put_off: BTreeSet<(Instant, Place)>,
    failures: HashMap<Place, (u32, Instant)>,
    displaced: HashSet<CaseId>,
}

impl Table {
    pub fn new(scope: Scope, keep_closed: Duration) -> Self {
        Table {
            scope,
            keep_closed,
            ..Table::default()
        }
    }

    /// A case as it is now. One that was closed long enough ago is no longer wanted.
    pub fn want(&mut self, case: &Case, now: Timestamp) {
        let ends_at = closed_at(case).map(|at| at.plus(self.keep_closed));
        if ends_at.is_some_and(|at| at <= now) {
            return self.unwant(&case.id);
        }
        let object = object(case, &self.scope, self.displaced.contains(&case.id));
        self.insert(case.id.clone(), object, ends_at);
    }

    /// The agent's namespace takes no objects: its case is shown in the plane's own. `false` when that is where it is.
    pub fn displace(&mut self, place: &Place) -> bool {
        let Some(wanted) = self
            .wanted
            .get(place)
            .filter(|_| place.namespace != self.scope.own)
        else {
            return false;
        };
        let (case, mut object, ends_at) = (wanted.case.clone(), (*wanted.object).clone(), wanted.ends_at);
        object.metadata.namespace = Some(self.scope.own.clone());
        self.displaced.insert(case.clone());
        self.insert(case, object, ends_at);
        true
    }

    fn insert(&mut self, case: CaseId, object: AgentCase, ends_at: Option<Timestamp>) {
        let place = place_of(&object);
        if self.of_case.get(&case).is_some_and(|before| *before != place) {
            self.remove(&case);
        }
        self.condemned.remove(&place);
        self.strays.remove(&place);
        if let Some(at) = ends_at {
            self.ends.insert((at, place.clone()));
        }
        let (main, status) = prints(&object);
        let is_news = self
            .wanted
            .get(&place)
            .is_none_or(|before| before.main != main || before.status != status);
        if is_news {
            // What was wrong with the last one may not be wrong with this.
            self.forgive(&place);
        }
        self.of_case.insert(case.clone(), place.clone());
        let wanted = Wanted {
            case,
            object: Arc::new(object),
            main,
            status,
            ends_at,
        };
        self.wanted.insert(place.clone(), wanted);
        self.mark(place);
    }

    /// There is no such case any more, or it has been shown long enough.
    pub fn unwant(&mut self, case: &CaseId) {
        self.displaced.remove(case);
        self.remove(case);
    }

    fn remove(&mut self, case: &CaseId) {
        let Some(place) = self.of_case.remove(case) else {
            return;
        };
        if let Some(Wanted {
            ends_at: Some(at), ..
        }) = self.wanted.remove(&place)
        {
            self.ends.remove(&(at, place.clone()));
        }
        self.forgive(&place);
        self.condemn(place);
    }

    /// The object shows no case of ours and is to go.
    pub fn condemn(&mut self, place: Place) {
        self.strays.remove(&place);
        if self.known.contains_key(&place) && !self.wanted.contains_key(&place) {
            self.condemned.insert(place.clone());
            self.mark(place);
        }
    }

    /// Removes closed cases that have been shown long enough.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((at, place)) = self.ends.first().cloned() {
            if at > now {
                return;
            }
            self.ends.pop_first();
            let case = self
                .wanted
                .get(&place)
                .filter(|wanted| wanted.ends_at == Some(at));
            if let Some(case) = case.map(|wanted| wanted.case.clone()) {
                self.unwant(&case);
            }
        }
    }

    /// An object as the API server has it.
    pub fn see(&mut self, object: &DynamicObject) -> Place {
        let place = place_of(object);
        let known = Known::of(object, &self.scope.own);
        let is_stray =
            !known.is_foreign && !self.wanted.contains_key(&place) && !self.condemned.contains(&place);
        self.known.insert(place.clone(), known);
        if is_stray {
            self.strays.insert(place.clone());
        }
        self.mark(place.clone());
        place
    }

    /// The object is gone.
    pub fn lose(&mut self, place: &Place) {
        self.known.remove(place);
        self.strays.remove(place);
        if !self.condemned.remove(place) && self.wanted.contains_key(place) {
            self.mark(place.clone());
        }
    }

    /// Objects of a namespace (of all, where none is named) that were not listed are gone.
    pub fn lose_all_but(&mut self, namespace: Option<&str>, listed: &HashSet<Place>) -> Vec<Place> {
        let is_here = |place: &&Place| namespace.is_none_or(|namespace| place.namespace == namespace);
        let gone: Vec<Place> = self
            .known
            .keys()
            .filter(is_here)
            .filter(|place| !listed.contains(place))
            .cloned()
            .collect();
        gone.iter().for_each(|place| self.lose(place));
        gone
    }

    /// The next object that is not as it should be.
    pub fn next(&mut self, now: Instant) -> Option<(Place, Work)> {
        while let Some((at, place)) = self.put_off.first().cloned() {
            if at > now {
                break;
            }
            self.put_off.pop_first();
            self.mark(place);
        }
        while let Some(place) = self.dirty.pop_front() {
            self.is_dirty.remove(&place);
            let waits = self.failures.get(&place).is_some_and(|(_, until)| *until > now);
            if !waits && let Some(work) = self.work(&place) {
                return Some((place, work));
            }
        }
        None
    }

    fn work(&self, place: &Place) -> Option<Work> {
        let known = self.known.get(place);
        let Some(wanted) = self.wanted.get(place) else {
            let known = known.filter(|known| self.condemned.contains(place) && !known.is_going)?;
            return Some(Work::Delete {
                uid: known.uid.clone(),
            });
        };
        match known {
            None => Some(Work::Apply(wanted.object.clone())),
            Some(known) if known.is_going => None,
            Some(known) if known.main != wanted.main => Some(Work::Apply(wanted.object.clone())),
            Some(known) if known.status != wanted.status => Some(Work::Status(wanted.object.clone())),
            Some(_) => None,
        }
    }

    /// The API server has answered a write with this. What it did not take as it was written is left for a while, or
    /// an older definition of the type would be written to without end.
    ///
    /// Returns whether it was taken.
    pub fn written(&mut self, work: &Work, object: &DynamicObject, now: Instant) -> bool {
        let place = self.see(object);
        let Some(known) = self.known.get(&place) else {
            return true;
        };
        let is_taken = match work {
            Work::Apply(written) => known.main == prints(written).0,
            Work::Status(written) => known.status == prints(written).1,
            Work::Delete { .. } => true,
        };
        if is_taken {
            self.failures.remove(&place);
        } else {
            self.put_off(place, now);
        }
        is_taken
    }

    /// The object could not be written. Returns whether that is news.
    pub fn put_off(&mut self, place: Place, now: Instant) -> bool {
        let times = self.failures.get(&place).map_or(0, |(times, _)| *times);
        let until = now + (RETRY_FIRST * 2u32.saturating_pow(times.min(16))).min(RETRY_MAX);
        self.failures.insert(place.clone(), (times + 1, until));
        self.put_off.insert((until, place));
        times == 0
    }

    fn forgive(&mut self, place: &Place) {
        if let Some((_, until)) = self.failures.remove(place) {
            self.put_off.remove(&(until, place.clone()));
        }
    }

    /// The object is to be looked at.
    pub fn mark(&mut self, place: Place) {
        if self.is_dirty.insert(place.clone()) {
            self.dirty.push_back(place);
        }
    }

    /// Every object that should be there is to be looked at.
    pub fn mark_all(&mut self) {
        let all: Vec<Place> = self.wanted.keys().chain(&self.condemned).cloned().collect();
        all.into_iter().for_each(|place| self.mark(place));
    }

    /// Objects that could not be written.
    pub fn refused(&self) -> usize {
        self.failures.len()
    }

    /// Objects of which it is not known whether there is a case, with the case that they claim to show.
    pub fn strays(&self, limit: usize) -> Vec<(Place, CaseId)> {
        let known = |place: &Place| Some((place.clone(), self.known.get(place)?.case.clone()));
        self.strays.iter().filter_map(known).take(limit).collect()
    }

    /// Cases that are shown, and of whom.
    pub fn cases(&self) -> HashMap<CaseId, AgentKey> {
        let spec = |wanted: &Wanted| {
            let spec = &wanted.object.spec;
            (
                wanted.case.clone(),
                AgentKey::new(spec.run.as_str(), spec.agent.as_str()),
            )
        };
        self.wanted.values().map(spec).collect()
    }

    /// The object that shows a case, as far as it is there: with its uid.
    pub fn shown(&self, case: &CaseId) -> Shown {
        let Some(place) = self.of_case.get(case) else {
            return Shown::Never;
        };
        match self.known.get(place) {
            Some(known) => Shown::As {
                place: place.clone(),
                uid: known.uid.clone(),
            },
            None if self
                .failures
                .get(place)
                .is_some_and(|(times, _)| *times >= FAILURES_MANY) =>
            {
                Shown::Never
            }
            None => Shown::NotYet,
        }
    }

    /// The case that an object is there for.
    pub fn case_at(&self, place: &Place) -> Option<CaseId> {
        self.wanted.get(place).map(|wanted| wanted.case.clone())
    }

    /// When the next object that was put off is due.
    pub fn due_at(&self) -> Option<Instant> {
        self.put_off.first().map(|(at, _)| *at)
    }

    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Objects wanted.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Objects that are not as they should be, about.
    pub fn waiting(&self) -> usize {
        self.dirty.len() + self.put_off.len()
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
