//! One round of a courier: what is due is told, one case beside another, within the rate; the rest is folded or waits.

use crate::config::Beyond;
use crate::courier::{Courier, Looked, cases_of};
use crate::http::{Failure, Fate};
use crate::kind::Kind;
use crate::news::{Digest, News, id_of};
use futures::StreamExt;
use immune_domain::case::Case;
use immune_domain::{CaseId, Timestamp};
use immune_store::error::Result;
use immune_store::notifications::{Notification, Outcome, Settled};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Notifications per round, and where the rest may be folded.
const BATCH: u32 = 100;
const BATCH_TO_FOLD: u32 = 1_000;
/// No request begins later in a round.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// What a round may take beyond its last request.
const MARGIN: Duration = Duration::from_secs(2);

/// News of one case, in order.
struct Lane {
    rows: Vec<Notification>,
    case: Option<Arc<Case>>,
    receipt: Option<Value>,
    /// So many of them make a new message.
    loud: usize,
}

/// How lanes share a round.
struct Shared {
    /// The target does not answer: nothing more is tried.
    is_troubled: AtomicBool,
    deadline: tokio::time::Instant,
    now: Timestamp,
}

/// How a lane went.
#[derive(Default)]
pub(crate) struct Went {
    settled: Vec<Settled>,
    pub(crate) delivered: usize,
    /// The failure that troubled the target, and its wait.
    pub(crate) trouble: Option<Failure>,
}

impl Courier {
    /// Tells what is due.
    pub(crate) async fn round(&mut self, fence: u64) -> Result<Looked> {
        let now = self.office.clock.now();
        let until = now.plus(ROUND_MAX + self.retry.request() * 2 + MARGIN);
        let folds = self.built.beyond == Beyond::Digest;
        let limit = if folds { BATCH_TO_FOLD } else { BATCH };
        let store = self.office.notifications.clone();
        let Some(mut rows) = store.begin(&self.name, fence, now, until, limit).await? else {
            return Ok(Looked::Overtaken);
        };
        if rows.is_empty() {
            return Ok(Looked::Idle(self.office.config.interval()));
        }
        // After a failure one is tried before all.
        let untried = if self.failures > 0 {
            rows.split_off(1)
        } else {
            Vec::new()
        };
        let lanes = self.lanes(rows).await?;
        let (now_lanes, later, folded) = self.share(lanes, now);
        let mut went = self.tell_all(now_lanes, now).await;
        if let Some(digest) = folded {
            went.merge(self.fold(digest, &went, now).await);
        }
        let has_held = !later.is_empty();
        let next = now.plus(self.bucket.wait());
        went.settled.extend(later.into_iter().map(|row| held(&row, next)));
        for row in &untried {
            went.settled.push(match &went.trouble {
                Some(failure) if self.is_old(row, now) => self.failed(row, failure, now),
                Some(_) | None => held(row, now),
            });
        }
        self.pause(&went, now);
        let gone = went.settled.iter().filter(|one| is_gone(&one.outcome)).count() as u64;
        self.waiting = self.waiting.saturating_sub(gone);
        if !store
            .settle(&self.name, fence, self.office.clock.now(), &went.settled)
            .await?
        {
            return Ok(Looked::Overtaken);
        }
        if self.failures > 0 {
            return Ok(Looked::Idle(self.paused_until.since(self.office.clock.now())));
        }
        // What came after these may be due already.
        Ok(if has_held {
            Looked::Idle(self.bucket.wait())
        } else {
            Looked::More
        })
    }

    async fn lanes(&self, rows: Vec<Notification>) -> Result<Vec<Lane>> {
        let ids = cases_of(&rows);
        let cases = self.office.cases.cases(&ids).await?;
        let mut cases: HashMap<CaseId, Case> =
            cases.into_iter().map(|case| (case.id.clone(), case)).collect();
        let receipts = self.office.notifications.receipts(&self.name, &ids).await?;
        let mut receipts: HashMap<CaseId, Value> = receipts.into_iter().collect();
        let mut of: HashMap<CaseId, Vec<Notification>> = HashMap::new();
        for row in rows {
            of.entry(row.event.case.clone()).or_default().push(row);
        }
        let mut lanes = Vec::with_capacity(ids.len());
        for id in ids {
            let mut lane = Lane {
                rows: of.remove(&id).unwrap_or_default(),
                case: cases.remove(&id).map(Arc::new),
                receipt: receipts.remove(&id),
                loud: 0,
            };
            lane.loud = self.loud(&mut lane);
            if !lane.rows.is_empty() {
                lanes.push(lane);
            }
        }
        Ok(lanes)
    }

    /// How many of a lane make a new message. Where there is one message per case, only its first does; news that
    /// nobody asked for makes none and goes unsaid where there is no message yet.
    fn loud(&self, lane: &mut Lane) -> usize {
        let receiver = &self.built.receiver;
        let news = |lane: &Lane, row: &Notification| self.news(row, lane.case.clone(), lane.receipt.clone());
        if !receiver.keeps_messages() {
            return lane
                .rows
                .iter()
                .filter(|row| receiver.is_loud(&news(lane, row)))
                .count();
        }
        usize::from(
            lane.rows
                .iter()
                .any(|row| self.is_asked_for(row) && receiver.is_loud(&news(lane, row))),
        )
    }

    fn is_asked_for(&self, row: &Notification) -> bool {
        let kind = Kind::of(&row.event.kind);
        kind.is_some_and(|kind| kind == Kind::Test || self.built.kinds.contains(&kind))
    }

    /// Shares lanes out: told now, told later, folded now.
    fn share(
        &mut self,
        lanes: Vec<Lane>,
        now: Timestamp,
    ) -> (Vec<Lane>, Vec<Notification>, Option<Vec<Lane>>) {
        let allowed = self.bucket.available(now);
        let wanted: usize = lanes.iter().map(|lane| lane.loud).sum();
        if wanted <= allowed {
            self.bucket.take(wanted);
            return (lanes, Vec::new(), None);
        }
        let folds = self.built.beyond == Beyond::Digest && allowed > 0;
        // The last place is the digest's.
        let mut left = if folds { allowed - 1 } else { allowed };
        let (mut now_lanes, mut later, mut folded) = (Vec::new(), Vec::new(), Vec::new());
        for mut lane in lanes {
            if lane.loud <= left {
                left -= lane.loud;
                now_lanes.push(lane);
            } else if folds {
                folded.push(lane);
            } else {
                let rest = lane.rows.split_off(left.min(lane.rows.len()));
                later.extend(rest);
                left = 0;
                if !lane.rows.is_empty() {
                    now_lanes.push(lane);
                }
            }
        }
        self.bucket.take(allowed - left);
        (now_lanes, later, folds.then_some(folded))
    }

    async fn tell_all(&self, lanes: Vec<Lane>, now: Timestamp) -> Went {
        let shared = Shared {
            is_troubled: AtomicBool::new(false),
            deadline: tokio::time::Instant::now() + ROUND_MAX,
            now,
        };
        let shared = &shared;
        let tasks = lanes
            .into_iter()
            .map(|lane| async move { self.tell(lane, shared).await });
        let mut went = Went::default();
        let mut ended = futures::stream::iter(tasks).buffer_unordered(self.retry.at_once);
        while let Some(one) = ended.next().await {
            went.merge(one);
        }
        went
    }

    /// Tells the news of one case, one after the other.
    async fn tell(&self, mut lane: Lane, shared: &Shared) -> Went {
        let mut went = Went::default();
        let rows = std::mem::take(&mut lane.rows);
        let mut rows = rows.into_iter();
        for row in rows.by_ref() {
            if shared.is_troubled.load(Ordering::Relaxed) || tokio::time::Instant::now() > shared.deadline {
                went.settled.push(held(&row, shared.now));
                break;
            }
            // Nobody asked for it, and there is no message that it would change.
            if lane.receipt.is_none() && !self.is_asked_for(&row) {
                went.settled.push(delivered(&row, None));
                continue;
            }
            let mut news = self.news(&row, lane.case.clone(), lane.receipt.clone());
            if let (true, Some(case)) = (self.built.receiver.wants_plan(), &news.case) {
                news.plan = self.office.plan(case).await;
            }
            let began = tokio::time::Instant::now();
            let told = self.built.receiver.tell(&news).await;
            self.office
                .metrics
                .attempt_seconds
                .observe(began.elapsed().as_secs_f64());
            match told {
                Ok(receipt) => {
                    self.office.metrics.attempted(&self.name, "delivered", 1);
                    went.delivered += 1;
                    lane.receipt = receipt.clone().or(lane.receipt);
                    went.settled.push(delivered(&row, receipt));
                }
                Err(failure) => {
                    let settled = self.failed(&row, &failure, shared.now);
                    let is_dead = matches!(settled.outcome, Outcome::Dead { .. });
                    went.settled.push(settled);
                    if failure.fate != Fate::Never {
                        shared.is_troubled.store(true, Ordering::Relaxed);
                        went.trouble = Some(failure);
                    }
                    if !is_dead {
                        break;
                    }
                }
            }
        }
        let due_at = self.office.clock.now();
        went.settled.extend(rows.map(|row| held(&row, due_at)));
        went
    }

    /// Tells many in one message.
    async fn fold(&self, lanes: Vec<Lane>, before: &Went, now: Timestamp) -> Went {
        let mut went = Went::default();
        let rows = || lanes.iter().flat_map(|lane| &lane.rows);
        if before.trouble.is_some() {
            went.settled.extend(rows().map(|row| held(row, now)));
            return went;
        }
        let news: Vec<News> = lanes
            .iter()
            .flat_map(|lane| {
                lane.rows
                    .iter()
                    .map(|row| self.news(row, lane.case.clone(), None))
            })
            .filter(|news| news.kind == Kind::Test || self.built.kinds.contains(&news.kind))
            .collect();
        let (first, last) = (
            rows().next().map(|row| row.sequence),
            rows().last().map(|row| row.sequence),
        );
        let config = &self.office.config;
        let digest = Digest {
            id: format!(
                "digest.{}.{}-{}",
                self.name,
                first.unwrap_or_default(),
                last.unwrap_or_default()
            ),
            url: config
                .external_url
                .as_ref()
                .map(|url| format!("{}/approvals", url.trim_end_matches('/'))),
            news,
            now: self.office.clock.now(),
        };
        let told = match digest.news.is_empty() {
            true => Ok(()),
            false => self.built.receiver.tell_digest(&digest).await,
        };
        match told {
            Ok(()) => {
                self.office
                    .metrics
                    .attempted(&self.name, "digested", digest.news.len());
                went.delivered += 1;
                went.settled.extend(rows().map(|row| delivered(row, None)));
            }
            Err(failure) => {
                went.settled
                    .extend(rows().map(|row| self.failed(row, &failure, now)));
                went.trouble = Some(failure).filter(|failure| failure.fate != Fate::Never);
            }
        }
        went
    }

    fn news(&self, row: &Notification, case: Option<Arc<Case>>, receipt: Option<Value>) -> News {
        let (run, id) = (row.event.key.run.as_str(), row.event.case.as_str());
        let kind = Kind::of(&row.event.kind).unwrap_or(Kind::Test);
        News {
            id: id_of(row),
            kind,
            sequence: row.sequence,
            event: row.event.clone(),
            case,
            plan: None,
            url: match kind {
                Kind::Test => self.office.config.external_url.clone(),
                _ => self.office.config.case_url(run, id),
            },
            receipt,
            is_doubtful: row.attempts > 1,
            now: self.office.clock.now(),
        }
    }
}

impl Went {
    fn merge(&mut self, other: Went) {
        self.settled.extend(other.settled);
        self.delivered += other.delivered;
        self.trouble = self.trouble.take().or(other.trouble);
    }
}

fn held(row: &Notification, due_at: Timestamp) -> Settled {
    Settled {
        id: row.id.clone(),
        outcome: Outcome::Held { due_at },
    }
}

fn delivered(row: &Notification, receipt: Option<Value>) -> Settled {
    Settled {
        id: row.id.clone(),
        outcome: Outcome::Delivered { receipt },
    }
}

fn is_gone(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Delivered { .. } | Outcome::Dead { .. } => true,
        Outcome::Again { .. } | Outcome::Held { .. } => false,
    }
}
