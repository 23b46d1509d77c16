//! Reports become cases: a new one, or a part of the agent's open one.

use crate::desk::{CONFLICTS_MAX, Desk, alongside, new_id};
use crate::directory::Crowd;
use crate::error::Error;
use immune_domain::case::{self, Case, Command, Context, State, WaitReason};
use immune_domain::detection::Infection;
use immune_domain::policy::Policy;
use immune_domain::{AgentKey, CaseId, Timestamp};
use immune_store::action_log::LogRow;
use immune_store::cases::{CaseFilter, Opened};
use serde_json::json;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// How often it is decided anew whether an agent is contained because others were, meanwhile.
const CROWDED_MAX: usize = 8;
/// Waiting cases looked through for one that waits for the blast radius.
const WAITING_MAX: u32 = 1_000;

/// The answer to a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// The agent's case.
    pub case: CaseId,
    /// Whether this report opened it.
    pub opened: bool,
}

impl Desk {
    /// Opens a case for a report, or merges it into the agent's open one.
    pub(crate) async fn report(
        &self,
        infection: Infection,
        agent_type: Option<String>,
        namespace: Option<String>,
    ) -> Result<Reported, Error> {
        if !self.directory.is_loaded() {
            return Err(Error::Starting);
        }
        // A case that closes between "it is open" and the merge makes the next round open a new one.
        for _ in 0..CONFLICTS_MAX {
            let opened = self
                .open(&infection, agent_type.clone(), namespace.clone())
                .await?;
            let open = match opened {
                Reached::New(case) => {
                    self.metrics.opened.inc();
                    return Ok(Reported { case, opened: true });
                }
                Reached::Reported(case) => {
                    self.metrics.merged.inc();
                    return Ok(Reported { case, opened: false });
                }
                Reached::Open(case) => case,
            };
            let merge = Command::ReportAgain {
                infection: Box::new(infection.clone()),
            };
            match self.apply(&open, merge).await {
                Ok(_) => {
                    self.metrics.merged.inc();
                    return Ok(Reported {
                        case: open,
                        opened: false,
                    });
                }
                Err(Error::Refused {
                    refusal: case::Refusal::Closed { .. },
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended(CaseId::from(infection.id.as_str())))
    }

    /// Opens a case. How many agents of the run are contained is decided on as this process knows it, and checked by
    /// the store in the transaction that opens the case: of all replicas together no more are contained than the
    /// blast radius allows.
    async fn open(
        &self,
        infection: &Infection,
        agent_type: Option<String>,
        namespace: Option<String>,
    ) -> Result<Reached, Error> {
        let key = &infection.key;
        let policy = self
            .policies
            .resolve(&key.run, &key.agent, agent_type.as_deref(), namespace.as_deref());
        let mut crowd = self.directory.crowd(&key.run);
        for _ in 0..CROWDED_MAX {
            let now = self.clock.now();
            let others = crowd.contained.saturating_add(crowd.watched);
            let context = Context {
                agent_type: agent_type.clone(),
                namespace: namespace.clone(),
                quarantined_now: others,
                agents_seen_last_hour: self.agents_seen(key, &policy, others, now).await,
            };
            // The decision holds as long as no more than these are contained.
            let cap = case::blast_radius_cap(&policy, context.agents_seen_last_hour);
            let contained_max = cap.saturating_sub(1).saturating_sub(crowd.watched);
            let id = CaseId::new(new_id(now));
            let (case, effects) = case::open(id, infection.clone(), &policy, context, now);
            let mut alongside = alongside(&case, effects, now);
            let alert = self.alert(&case, crowd).await?;
            if alert.is_some() {
                alongside.log.push(alert_row(&case, others, now));
            }
            match self.store.open_case(&case, contained_max, &alongside).await? {
                Opened::New => {
                    self.published(&case);
                    if is_beyond(&case) {
                        self.metrics.beyond_blast_radius.inc();
                    }
                    if alert.is_some() {
                        tracing::warn!(run = %key.run, quarantined = others, "blast radius reached");
                    }
                    return Ok(Reached::New(case.id));
                }
                Opened::AlreadyOpen(known) => {
                    self.directory.put(&known);
                    return Ok(Reached::Open(known.id));
                }
                Opened::AlreadyReported(known) => {
                    self.directory.put(&known);
                    return Ok(Reached::Reported(known.id));
                }
                Opened::Crowded(contained) => {
                    self.metrics.crowded.inc();
                    crowd.contained = contained;
                }
            }
        }
        Err(Error::Contended(CaseId::from(infection.id.as_str())))
    }

    /// Agents of the run seen in the last hour. Asked only where the answer matters; 0, which makes the cap
    /// smallest, when the store cannot say.
    async fn agents_seen(&self, key: &AgentKey, policy: &Policy, taken: u32, now: Timestamp) -> u64 {
        if taken < policy.blast_radius.agents {
            return 0;
        }
        match self
            .vitals
            .agents_seen(&key.run, now.minus(Duration::from_secs(3_600)))
            .await
        {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, run = %key.run, "agents seen in the last hour are not known");
                0
            }
        }
    }

    /// Whether this case is the first open one of its run that is not contained for the blast radius, so that one
    /// alert is given and not one per agent. The store is asked, so that it is one among all replicas and across
    /// restarts; only where replicas open the first such cases at the same moment, none of which sees the others',
    /// does each of them alert once. The row is written with the case, and within this process one at a time: what is
    /// returned is kept until the case is stored.
    async fn alert(&self, case: &Case, crowd: Crowd) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let run = &case.key.run;
        if !is_beyond(case) || crowd.beyond > 0 {
            return Ok(None);
        }
        let turn = self.alerting.acquire().await;
        let turn = turn.expect("the semaphore is never closed");
        if self.directory.crowd(run).beyond > 0 {
            return Ok(None);
        }
        let filter = CaseFilter {
            run: Some(run.clone()),
            open: Some(true),
            states: vec![case.state.as_str().to_owned()],
            limit: WAITING_MAX,
            ..CaseFilter::default()
        };
        let is_known = self.store.list(&filter).await?.iter().any(is_beyond);
        Ok((!is_known).then_some(turn))
    }
}

/// Where a report arrived.
enum Reached {
    /// It opened this case.
    New(CaseId),
    /// It had arrived before.
    Reported(CaseId),
    /// The agent has this open case.
    Open(CaseId),
}

fn is_beyond(case: &Case) -> bool {
    match &case.state {
        State::AwaitingApproval { reason, .. } => match reason {
            WaitReason::BlastRadius { .. } => true,
            WaitReason::Severe
            | WaitReason::LadderExhausted
            | WaitReason::Observing
            | WaitReason::Unproven => false,
        },
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => false,
    }
}

fn alert_row(case: &Case, quarantined: u32, now: Timestamp) -> LogRow {
    LogRow {
        run: case.key.run.clone(),
        at: now,
        kind: "blast_radius_reached".to_owned(),
        agent: None,
        actor: "quarantine".to_owned(),
        outcome: "done".to_owned(),
        payload: json!({ "quarantined": quarantined, "case_id": case.id }),
    }
}
