//! One agent as the sentinel sees it: its window, its case, and what follows from a record or a second that passes.
//! Pure: values and times in, values out. [`case`]: what follows from a case; `following`: from its baseline.

pub mod case;
mod following;

pub use case::{News, OpenCase};
pub(crate) use following::Followed;

use crate::fleet::Member;
use crate::guarding::Guarding;
use crate::notes::Notes;
use crate::report::{Draft, Reporting};
use crate::silence::Presence;
use immune_domain::baseline::Profile;
use immune_domain::baseline::Reason;
use immune_domain::detection::window::{is_late, recent_of};
use immune_domain::detection::{Entered, Judgement, Rule, Sample, Window, judge};
use immune_domain::diagnosis::Clues;
use immune_domain::policy::{Detector, Policy};
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, CaseId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// One agent. Small: there may be a million of them.
#[derive(Debug)]
pub struct Agent {
    /// The recent executions.
    pub window: Window,
    /// What holds for it.
    pub policy: Arc<Policy>,
    /// What the policy was resolved by.
    pub agent_type: Option<Arc<str>>,
    /// What the policy was resolved by.
    pub namespace: Option<Arc<str>>,
    /// The rule's word on the window as it is.
    pub judgement: Judgement,
    /// The guarded detector, where policy asks for it.
    pub guarding: Option<Box<Guarding>>,
    /// The open case.
    pub case: Option<OpenCase>,
    /// When it last had an execution, by our clock.
    pub last_seen: Timestamp,
    /// Whether a report is under way.
    pub reporting: Reporting,
    /// What is known of its baseline beside the numbers.
    pub(crate) followed: Followed,
    /// Executions that began earlier say nothing about the agent as it is: it was healed or released then, or its baseline
    /// was set.
    pub(crate) fresh_after: Timestamp,
    /// The case that was closed last, so that a late answer to a report does not open it again here.
    closed_case: Option<CaseId>,
    /// Quarantine was asked for its latest case.
    has_asked: bool,
    /// The platform's word that waits to be told.
    platform_word: Option<Box<str>>,
    notes: Notes,
    /// Its part in the fleet check.
    pub(crate) fleet: Member,
    /// Whether its telemetry comes.
    pub(crate) presence: Presence,
    /// In the list of agents that are looked at every second.
    pub is_active: bool,
}

/// What follows from a record.
#[derive(Debug)]
pub struct Taken {
    /// Whether it may teach; `None` for a repetition, whose verdict was given.
    pub reason: Option<Reason>,
    /// A report to be sent.
    pub draft: Option<Draft>,
    /// Whether the agent executed although it is to be contained.
    pub is_contained: bool,
}

impl Taken {
    fn only(reason: Reason) -> Self {
        Taken {
            reason: Some(reason),
            draft: None,
            is_contained: false,
        }
    }
}

impl Agent {
    /// An agent that was never seen.
    pub fn new(policy: Arc<Policy>) -> Self {
        Agent {
            window: Window::default(),
            policy,
            agent_type: None,
            namespace: None,
            judgement: Judgement::default(),
            guarding: None,
            case: None,
            last_seen: Timestamp::EPOCH,
            reporting: Reporting::Idle,
            followed: Followed::default(),
            fresh_after: Timestamp::EPOCH,
            closed_case: None,
            has_asked: false,
            platform_word: None,
            notes: Notes::default(),
            fleet: Member::default(),
            presence: Presence::default(),
            is_active: false,
        }
    }

    /// Takes a record: judges first, says afterwards whether it may teach.
    pub fn take(
        &mut self,
        vitals: &Vitals,
        profile: Option<&Arc<Profile>>,
        growth: f64,
        now: Timestamp,
    ) -> Taken {
        // A record that is delivered again was received a while ago.
        self.last_seen = self.last_seen.max(vitals.received_at.min(now));
        if is_late(vitals.timestamp, vitals.received_at) {
            return Taken::only(Reason::Late);
        }
        if self.ignores(vitals.source) {
            return Taken::only(Reason::NotJudged);
        }
        if !self.counts(vitals) {
            return Taken::only(Reason::BeforeRelease);
        }
        let rule = Rule::of(&self.policy);
        let sample = Sample::of(vitals, profile.map(Arc::as_ref));
        let judge_by = |recent| profile.map(|p| judge(&recent, p, &rule)).unwrap_or_default();
        let judgement = match self.window.insert(&sample, now, self.window_length()) {
            Entered::Added | Entered::Replaced => {
                self.judgement = judge_by(self.window.recent());
                self.judgement
            }
            // Too old for the window by the agent's own clock, yet no history: it stands for itself.
            Entered::Passed => judge_by(recent_of(&[sample])),
            Entered::Repeated => {
                return Taken {
                    reason: None,
                    draft: None,
                    is_contained: false,
                };
            }
            Entered::Late => return Taken::only(Reason::Late),
        };
        self.observe(vitals, profile.map(Arc::as_ref));
        let is_contained = self.case.as_ref().is_some_and(|case| case.is_contained);
        if let Some(word) = &vitals.context.platform_infected {
            self.platform_word = Some(word.as_str().into());
        }
        let reason = self.reason(vitals, &judgement);
        self.notes.take(vitals, reason);
        let draft = self.draft(&vitals.key, profile, growth, now);
        Taken {
            reason: Some(reason),
            draft,
            is_contained,
        }
    }

    /// A second passed: lets go of what the window has moved past, and judges what is left.
    pub fn tick(
        &mut self,
        key: &AgentKey,
        profile: Option<&Arc<Profile>>,
        growth: f64,
        now: Timestamp,
    ) -> Option<Draft> {
        self.window.evict(now, self.window_length());
        let rule = Rule::of(&self.policy);
        self.judgement = profile
            .map(|p| judge(&self.window.recent(), p, &rule))
            .unwrap_or_default();
        self.draft(key, profile, growth, now)
    }

    /// Whether there is nothing to look at every second.
    pub fn is_idle(&self) -> bool {
        let is_to_tell = self.platform_word.is_some() || self.is_infected_by_evidence();
        self.window.is_empty() && (!is_to_tell || self.case.is_some())
    }

    /// Whether policy says that vitals from this door are not judged.
    pub fn ignores(&self, source: Source) -> bool {
        match source {
            Source::Otlp => false,
            Source::Posted => !self.policy.judge_posted_vitals,
        }
    }

    /// Whether an execution says something about the agent as it is: it began after the last healing or release, and
    /// after its baseline was set.
    pub(crate) fn counts(&self, vitals: &Vitals) -> bool {
        vitals.began_at() >= self.fresh_after
    }

    /// The window's length, by policy.
    pub fn window_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.policy.window_seconds))
    }

    fn reason(&self, vitals: &Vitals, judgement: &Judgement) -> Reason {
        if self.case.is_some() {
            return Reason::OpenCase;
        }
        if vitals.context.platform_infected.is_some() {
            return Reason::PlatformReport;
        }
        if judgement.is_anomalous() {
            return Reason::AnomalousWindow;
        }
        if self.is_infected_by_evidence() {
            return Reason::Infected;
        }
        if self
            .guarding
            .as_ref()
            .is_some_and(|guarding| guarding.is_elsewhere())
        {
            return Reason::OtherLevel;
        }
        match vitals.completeness {
            Completeness::Running => Reason::Running,
            Completeness::Incomplete => Reason::Incomplete,
            Completeness::Complete if !vitals.success => Reason::Failed,
            Completeness::Complete => Reason::Healthy,
        }
    }

    /// The report that is due, if one is: nothing while one is under way; for an open case only what makes it worse.
    pub(crate) fn draft(
        &mut self,
        key: &AgentKey,
        profile: Option<&Arc<Profile>>,
        growth: f64,
        now: Timestamp,
    ) -> Option<Draft> {
        let word = self.platform_word.is_some();
        if !(self.is_infected() || word) || !self.reporting.may_begin(now) {
            return None;
        }
        let severity = self.severity();
        let is_due = match &self.case {
            None => true,
            Some(case) if case.is_healing => false,
            Some(case) => (word && !case.has_platform_word) || severity >= case.severity + growth,
        };
        if !is_due {
            return None;
        }
        self.reporting = Reporting::UnderWay;
        Some(self.draft_now(key, profile, now))
    }

    /// A report of the agent as it is now, due or not.
    pub fn draft_now(&self, key: &AgentKey, profile: Option<&Arc<Profile>>, now: Timestamp) -> Draft {
        Draft {
            key: key.clone(),
            drafted_at: now,
            severity: self.severity(),
            judgement: self.judgement,
            recent: self.window.recent(),
            window_length: self.window_length(),
            since: self
                .window
                .oldest()
                .unwrap_or_else(|| now.minus(self.window_length())),
            profile: profile.cloned(),
            clues: Clues {
                evidence: self.evidence().filter(|_| self.is_infected_by_evidence()),
                is_running: self
                    .guarding
                    .as_ref()
                    .is_some_and(|guarding| guarding.is_running_away()),
                ..self.notes.clues(self.platform_word.as_deref())
            },
            evidence_score: self.evidence().map(|evidence| f64::from(evidence.score)),
            agent_type: self.agent_type.clone(),
            namespace: self.namespace.clone(),
        }
    }

    fn severity(&self) -> f64 {
        match self.platform_word {
            Some(_) => self.judgement.severity_on_platform_report(&self.policy),
            None => match self.policy.detector {
                Detector::Specified => self.judgement.severity().unwrap_or(0.0),
                Detector::Guarded => self.judgement.severity_on_evidence(),
            },
        }
    }

    /// The platform says, outside of telemetry, that the agent is infected.
    pub fn hear(&mut self, word: &str) {
        self.platform_word = Some(word.into());
    }
}

#[cfg(test)]
pub(crate) mod tests;
