//! One agent's executions judged once more, in virtual time: by the same [`Agent`] that judges live, and with the
//! baseline learning beside it as its role does.
//!
//! What differs from life: nobody acts on an alarm, so the agent goes on as it was recorded, no case opens, and a
//! healing never returns it to what was known to be good. A profile is known the moment it is learned; live it takes
//! a quarter of a second to get here. Records arrive when the execution ends.
//!
//! Time is free: seconds in which nothing enters, leaves or is learned cannot change a judgement, so they are stepped
//! over, and a gap of days costs as much as one of a second.

use crate::agent::Agent;
use crate::report::Draft;
use immune_domain::baseline::{
    Late, Learner, Lineage, Make, Moments, Profile, Sample, State, Ticket, WEIGHT_MAX,
};
use immune_domain::detection::window::EXECUTIONS_MAX;
use immune_domain::detection::{Anomaly, Infection, Rule, guarded, judge};
use immune_domain::diagnosis::Diagnosis;
use immune_domain::policy::{Detector, Policy};
use immune_domain::vitals::{Metric, Vitals};
use immune_domain::{AgentKey, CaseId, InfectionId, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Lessons that may wait: as many as a window has executions. Beyond it the oldest teaches nothing.
const LESSONS_MAX: usize = EXECUTIONS_MAX;

/// Quiet executions after which an alarm is a new one; the guarded detector holds an alarm for as many.
pub const QUIET: u64 = 10;

const SECOND: i64 = 1_000_000;

/// What holds for every agent, as the roles are configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Growth of severity from which on an alarm is told again, see [`crate::Config::severity_growth_min`].
    pub severity_growth_min: f64,
    /// How long an execution of an agent that is judged waits before it teaches: baseline's `learn_late_seconds`.
    pub learn_late: Duration,
    /// Silence after which a profile is stale: baseline's `stale_after_seconds`.
    pub stale_after: Duration,
}

impl Default for Settings {
    /// As the roles are where nothing is configured.
    fn default() -> Self {
        Settings {
            severity_growth_min: crate::Config::default().severity_growth_min,
            learn_late: Duration::from_secs(10),
            stale_after: Duration::from_secs(7 * 24 * 3_600),
        }
    }
}

/// The agent is in alarm: with a new execution, or worse than was told of the same one.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// When, in virtual time.
    pub at: Timestamp,
    /// 0 to 10.
    pub severity: f64,
    /// What departed, by the specified rule.
    pub anomalies: Vec<Anomaly>,
    /// The likeliest name for it.
    pub diagnosis: Diagnosis,
    /// Why it has this name.
    pub because: String,
    /// How sure the guarded detector was; `None` where it was not asked.
    pub evidence: Option<f64>,
    /// Whether the alarm begins here: after [`QUIET`] quiet executions, or for the first time.
    pub begins: bool,
}

/// What is on record of an agent's case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happened {
    /// It was opened.
    Opened(CaseId),
    /// A healing went on probation.
    Probation,
    /// The agent was healed or released.
    Closed(CaseId),
}

/// One agent under replay.
#[derive(Debug)]
pub struct Replay {
    key: AgentKey,
    agent: Agent,
    settings: Settings,
    baseline: Baseline,
    /// Executions taken.
    executions: u64,
    /// The last one that was in alarm, and the worst that was told of it.
    alarmed: Option<(u64, f64)>,
    now: Timestamp,
    /// The whole second that was looked at last.
    looked_at: Timestamp,
}

/// What an execution may teach.
#[derive(Debug)]
struct Lesson {
    sample: Sample,
    make: Make,
    began: Timestamp,
}

impl Lesson {
    fn of(vitals: &Vitals) -> Self {
        Lesson {
            sample: Learner::sample(vitals),
            make: Make::of(vitals),
            began: vitals.started_at,
        }
    }
}

/// The agent's baseline, as its role keeps it.
#[derive(Debug)]
struct Baseline {
    learner: Learner,
    late: Late,
    lessons: VecDeque<(Ticket, Timestamp, Lesson)>,
    lineage: Lineage,
    profile: Option<Arc<Profile>>,
    version: u64,
    /// Whether it has learned since the agent was last judged.
    is_new: bool,
}

impl Replay {
    /// An agent that was never seen, under this policy.
    pub fn new(key: AgentKey, policy: Arc<Policy>, settings: Settings) -> Self {
        Replay {
            key,
            agent: Agent::new(policy),
            settings,
            baseline: Baseline {
                learner: Learner::default(),
                late: Late::new(settings.learn_late),
                lessons: VecDeque::new(),
                lineage: Lineage::default(),
                profile: None,
                version: 0,
                is_new: false,
            },
            executions: 0,
            alarmed: None,
            now: Timestamp::EPOCH,
            looked_at: Timestamp::EPOCH,
        }
    }

    /// Lets the time pass until an execution comes in (`received_at`, which must not lie before the last one's), and
    /// judges it. Alarms are added to `alarms`, in the order of time.
    pub fn take(&mut self, vitals: &Vitals, alarms: &mut Vec<Alarm>) {
        self.pass(Some(vitals.received_at), alarms);
        self.now = vitals.received_at;
        self.learn_what_is_due();
        self.executions += 1;
        let growth = self.settings.severity_growth_min;
        let profile = self.baseline.profile.as_ref();
        let taken = self.agent.take(vitals, profile, growth, self.now);
        self.baseline.is_new = false;
        match taken.reason {
            Some(reason) if reason.shows_sickness() => self.baseline.late.sicken(&self.key),
            Some(reason) if reason.teaches() => self.wait(Lesson::of(vitals)),
            Some(_) | None => {}
        }
        self.learn_what_is_due();
        self.tell(alarms);
    }

    /// No execution follows: judges the window until it is empty.
    pub fn end(&mut self, alarms: &mut Vec<Alarm>) {
        self.pass(None, alarms);
    }

    /// What is on record of the agent's cases happened until this time: while one was open nothing taught, and what was
    /// before a probation or an end is held against nobody afterwards.
    pub(crate) fn happened(&mut self, event: &Happened, at: Timestamp) {
        match event {
            Happened::Opened(id) => {
                self.agent.accepted(id.clone(), 0.0, false, 0);
                self.baseline.late.sicken(&self.key);
            }
            Happened::Probation => self.agent.begin_anew(at),
            Happened::Closed(id) => {
                self.agent.closed(id.clone(), at);
                self.alarmed = None;
            }
        }
    }

    /// Decides once more what was decided at a time that is on record, by the numbers of the baseline that are on record
    /// with it: those are the one thing that the executions do not give to the last bit, since a lesson is in force
    /// whenever it happens to have travelled. Everything else is what the replay has come to.
    ///
    /// Call it with all executions taken that were received until then, and none after.
    pub(crate) fn decided(&mut self, recorded: &Infection) -> Infection {
        let profile = Arc::new(profile_of(recorded));
        self.agent.judge_at(&profile, recorded.detected_at);
        let draft = self
            .agent
            .draft_now(&self.key, Some(&profile), recorded.detected_at);
        draft.infection(recorded.id.clone(), &[])
    }

    /// The agent's report as it is now.
    #[cfg(test)]
    pub(crate) fn reported(&self, id: InfectionId) -> Infection {
        let profile = self.baseline.profile.as_ref();
        self.agent
            .draft_now(&self.key, profile, self.now)
            .infection(id, &[])
    }

    /// Samples that taught the baseline.
    pub fn samples(&self) -> u64 {
        self.baseline.learner.samples()
    }

    /// Looks at the agent at every whole second, before `until`, at which its window or its profile has changed.
    fn pass(&mut self, until: Option<Timestamp>, alarms: &mut Vec<Alarm>) {
        while let Some(second) = self
            .next_change()
            .filter(|second| until.is_none_or(|t| *second < t))
        {
            (self.now, self.looked_at) = (second, second);
            self.learn_what_is_due();
            self.baseline.is_new = false;
            let growth = self.settings.severity_growth_min;
            let profile = self.baseline.profile.as_ref();
            self.agent.tick(&self.key, profile, growth, second);
            self.tell(alarms);
        }
    }

    /// The next whole second with a change; `None` once the window is empty, since nothing can be judged then.
    fn next_change(&self) -> Option<Timestamp> {
        let leaves = self.agent.window.oldest()?.plus(self.agent.window_length());
        let learned = self
            .baseline
            .lessons
            .front()
            .map(|(_, since, _)| since.plus(self.settings.learn_late));
        let change = match self.baseline.is_new {
            true => self.now,
            false => learned.map_or(leaves, |learned| learned.min(leaves)),
        };
        let micros = change.max(self.now).as_micros();
        let second = micros.div_euclid(SECOND) + i64::from(micros.rem_euclid(SECOND) > 0);
        let next = self.looked_at.as_micros().saturating_add(SECOND);
        Some(Timestamp::from_micros(second.saturating_mul(SECOND).max(next)))
    }

    fn wait(&mut self, lesson: Lesson) {
        let Baseline { late, lessons, .. } = &mut self.baseline;
        if lessons.len() >= LESSONS_MAX {
            lessons.pop_front();
            late.end(&self.key);
        }
        let ticket = late.begin(&self.key, self.now);
        lessons.push_back((ticket, self.now, lesson));
    }

    fn learn_what_is_due(&mut self) {
        let samples_min = self.agent.policy.baseline_samples_min;
        let Baseline {
            learner,
            late,
            lessons,
            lineage,
            profile,
            version,
            is_new,
        } = &mut self.baseline;
        let before = *version;
        while let Some((ticket, _, lesson)) = lessons.front() {
            if !late.is_due(&self.key, *ticket, learner.is_judging(samples_min), self.now) {
                break;
            }
            if late.is_well(&self.key, *ticket) && learner.learn(&lesson.sample) {
                *version += 1;
                if lineage.take(lesson.make, lesson.began) {
                    *learner = learner.borrowed(samples_min);
                }
            }
            late.end(&self.key);
            lessons.pop_front();
        }
        if *version > before {
            let stale_after = self.settings.stale_after;
            let mut learned = learner.profile(
                self.key.clone(),
                *version,
                samples_min,
                self.now,
                self.now,
                stale_after,
            );
            learned.of = lineage.current();
            self.agent.follow(&learned);
            *profile = Some(Arc::new(learned));
            *is_new = true;
        }
    }

    fn tell(&mut self, alarms: &mut Vec<Alarm>) {
        if self.executions == 0 || !self.agent.is_alarming() {
            return;
        }
        let draft = self
            .agent
            .draft_now(&self.key, self.baseline.profile.as_ref(), self.now);
        let begins = match self.alarmed {
            Some((execution, told)) if execution == self.executions => {
                if draft.severity < told + self.settings.severity_growth_min {
                    return;
                }
                false
            }
            Some((execution, _)) => self.executions - execution > QUIET,
            None => true,
        };
        self.alarmed = Some((self.executions, draft.severity));
        alarms.push(Alarm::of(&draft, begins));
    }
}

impl Alarm {
    fn of(draft: &Draft, begins: bool) -> Self {
        let infection = draft.infection(InfectionId::new("replay"), &[]);
        let first = infection.hypotheses.into_iter().next();
        let (diagnosis, because) = first.map_or((Diagnosis::Unknown, String::new()), |first| {
            (first.diagnosis, first.because)
        });
        Alarm {
            at: draft.drafted_at,
            severity: infection.severity,
            anomalies: infection.anomalies,
            diagnosis,
            because,
            evidence: infection.evidence_score,
            begins,
        }
    }
}

/// The profile that judged, as far as a report has it. What could not be judged had too few samples.
fn profile_of(recorded: &Infection) -> Profile {
    let moments = Metric::ALL.map(|metric| {
        let i = metric.index();
        let (mean, stddev) = (recorded.window.means[i], recorded.window.stddevs[i]);
        let is_judgeable = recorded.deviations.of(metric).is_some() || stddev == Some(0.0);
        Moments {
            count: if is_judgeable {
                WEIGHT_MAX
            } else {
                u64::from(mean.is_some())
            },
            mean: mean.unwrap_or_default(),
            stddev: stddev.unwrap_or_default(),
        }
    });
    Profile {
        key: recorded.key.clone(),
        version: recorded.baseline_version,
        state: State::Active,
        sample_count: WEIGHT_MAX,
        moments,
        updated_at: recorded.detected_at,
        of: Default::default(),
        is_frozen: false,
        known: None,
    }
}

impl Agent {
    /// Judges the window as it was at a time.
    fn judge_at(&mut self, profile: &Profile, at: Timestamp) {
        self.window.evict(at, self.window_length());
        self.judgement = judge(&self.window.recent(), profile, &Rule::of(&self.policy));
    }

    /// Whether the latest execution, or the window as it is, speaks for an infection. Unlike [`Agent::is_infected`]
    /// not while an alarm is only held.
    fn is_alarming(&self) -> bool {
        match self.policy.detector {
            Detector::Specified => self.judgement.is_anomalous(),
            Detector::Guarded => self
                .evidence()
                .is_some_and(|evidence| evidence.score > guarded::ALARM),
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
