//! The watch on the fleet of one run: collects what has changed and tells it a few times a second.

use super::Update;
use super::following::{self, Heard};
use crate::app::App;
use crate::fleet::held_by_clients;
use crate::overview::write_json;
use crate::roles::fleet::NAMED_MAX;
use crate::view::brief::{Brief, OpenCase};
use immune_domain::{AgentId, RunId};
use immune_proto::v1;
use immune_runtime::grpc::Peer;
use immune_store::client_records::RecordKind;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Time between two updates.
const PAUSE: Duration = Duration::from_millis(250);
/// Time between two looks at what client-deployed systems posted, which nobody announces.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Updates at a time; what is left comes with the next.
const UPDATES_MAX: usize = 8;
/// What was heard and waits; then those who tell wait, and collect.
const HEARD_MAX: usize = 32;

/// See the module.
pub(super) struct Work {
    app: Arc<App>,
    run: RunId,
    updates: broadcast::Sender<Update>,
    is_begun: Arc<AtomicBool>,
    /// `None` before they are known.
    cases: Option<HashMap<AgentId, OpenCase>>,
    held: HashSet<AgentId>,
    registered: Option<u64>,
    /// Replicas of the sentinel that tell of changes.
    telling: HashSet<Arc<str>>,
    /// Agents that have changed, as the sentinel told them last.
    changed: HashMap<AgentId, v1::AgentState>,
    /// Agents around which something has changed.
    touched: HashSet<AgentId>,
    /// Changes may have been missed.
    is_behind: bool,
}

impl Work {
    pub fn new(
        app: Arc<App>,
        run: RunId,
        updates: broadcast::Sender<Update>,
        is_begun: Arc<AtomicBool>,
    ) -> Self {
        Work {
            app,
            run,
            updates,
            is_begun,
            cases: None,
            held: HashSet::new(),
            registered: None,
            telling: HashSet::new(),
            changed: HashMap::new(),
            touched: HashSet::new(),
            is_behind: true,
        }
    }

    /// Works until the task is dropped.
    pub async fn run(mut self) {
        let _counted = Counted::begin(&self.app);
        let (ears, mut heard) = mpsc::channel(HEARD_MAX);
        let _cases = spawn(following::cases(self.app.clone(), self.run.clone(), ears.clone()));
        let mut replicas = self.app.roles.sentinels();
        let mut sentinels: HashMap<Arc<str>, AbortOnDropHandle<()>> = HashMap::new();
        self.listen(&mut sentinels, &mut replicas, &ears);
        let mut can_change = true;
        let mut told_at = Instant::now();
        let mut look = interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(heard) = heard.recv() => {
                    self.hear(heard);
                    let all_tell = self.telling.len() >= sentinels.len() && !sentinels.is_empty();
                    if self.is_behind && all_tell && self.cases.is_some() {
                        self.catch_up();
                    }
                }
                changed = replicas.changed(), if can_change => match changed {
                    Ok(()) => self.listen(&mut sentinels, &mut replicas, &ears),
                    Err(_) => can_change = false,
                },
                _ = look.tick() => self.look().await,
                // The first change goes out at once, those after it together.
                () = sleep_until(told_at + PAUSE), if self.has_news() => {
                    self.tell().await;
                    told_at = Instant::now();
                }
            }
        }
    }

    /// Listens to each replica of the sentinel that there is.
    fn listen(
        &mut self,
        sentinels: &mut HashMap<Arc<str>, AbortOnDropHandle<()>>,
        replicas: &mut watch::Receiver<Arc<[Peer]>>,
        ears: &mpsc::Sender<Heard>,
    ) {
        let peers = replicas.borrow_and_update().clone();
        sentinels.retain(|address, _| peers.iter().any(|peer| peer.address == *address));
        self.telling.retain(|address| sentinels.contains_key(address));
        for peer in peers.iter() {
            let (app, run) = (self.app.clone(), self.run.clone());
            sentinels
                .entry(peer.address.clone())
                .or_insert_with(|| spawn(following::sentinel(app, run, peer.clone(), ears.clone())));
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Began(address) => {
                self.telling.insert(address);
                self.is_behind = true;
            }
            Heard::Agents(agents) => {
                for state in agents {
                    let Some(key) = &state.key else { continue };
                    self.changed.insert(AgentId::from(key.agent_id.as_str()), state);
                }
            }
            Heard::Cases(cases) => {
                let before = self.cases.take().unwrap_or_default();
                let differs = |agent: &&AgentId| before.get(*agent) != cases.get(*agent);
                self.touched
                    .extend(before.keys().chain(cases.keys()).filter(differs).cloned());
                self.cases = Some(cases);
            }
            Heard::Case(id, agent, case) => {
                let Some(cases) = &mut self.cases else { return };
                match case {
                    Some(case) => {
                        cases.insert(agent.clone(), case);
                    }
                    // An old case that changes after its end says nothing about a new one.
                    None if cases.get(&agent).is_some_and(|known| known.id != id) => return,
                    None => {
                        cases.remove(&agent);
                    }
                }
                self.touched.insert(agent);
            }
        }
    }

    /// What client-deployed systems hold, and whether they have registered agents.
    async fn look(&mut self) {
        let (held, registered) = tokio::join!(
            held_by_clients(&self.app, &self.run),
            self.app
                .client_records
                .count_agents(&self.run, RecordKind::Registration)
        );
        if let Ok(held) = held {
            self.touched
                .extend(self.held.symmetric_difference(&held).cloned());
            self.held = held;
        }
        if let Ok(registered) = registered {
            let before = self.registered.replace(registered);
            self.is_behind |= before.is_some_and(|before| before != registered);
        }
    }

    /// Has everybody ask for the whole fleet, which has all that was heard so far.
    fn catch_up(&mut self) {
        self.is_behind = false;
        self.changed.clear();
        self.touched.clear();
        self.is_begun.store(true, Ordering::SeqCst);
        self.send(Update::Reset);
    }

    /// Whether there is something to tell that can be told.
    fn has_news(&self) -> bool {
        let can_tell = self.cases.is_some() && !self.telling.is_empty();
        can_tell && (self.is_behind || !self.changed.is_empty() || !self.touched.is_empty())
    }

    async fn tell(&mut self) {
        if self.is_behind {
            self.catch_up();
            return;
        }
        let touched = std::mem::take(&mut self.touched);
        let unheard = touched
            .into_iter()
            .filter(|agent| !self.changed.contains_key(agent));
        let mut unheard: Vec<AgentId> = unheard.collect();
        let later = unheard.split_off(unheard.len().min(NAMED_MAX));
        self.touched.extend(later);
        if !unheard.is_empty() {
            match self.app.roles.agents_named(&self.run, &unheard).await {
                Ok(states) => states.into_iter().for_each(|state| {
                    let agent = state.key.as_ref().map(|key| AgentId::from(key.agent_id.as_str()));
                    self.changed.extend(agent.map(|agent| (agent, state)));
                }),
                Err(problem) => {
                    tracing::debug!(%problem.detail, "agents around which something changed wait");
                    self.touched.extend(unheard);
                }
            }
        }
        for _ in 0..UPDATES_MAX {
            if self.changed.is_empty() {
                return;
            }
            self.tell_changed();
        }
    }

    fn tell_changed(&mut self) {
        let cases = self.cases.get_or_insert_default();
        let at = self.app.clock.now().as_epoch_seconds();
        let mut document = format!("{{\"at\":{at},\"agents\":[").into_bytes();
        let begun = document.len();
        let some: Vec<AgentId> = self.changed.keys().take(NAMED_MAX).cloned().collect();
        for agent in some {
            let Some(state) = self.changed.remove(&agent) else {
                continue;
            };
            // What cannot be read is named in the log and left out.
            let brief = Brief::new(state, cases.get(&agent), self.held.contains(&agent));
            let Ok(brief) = brief else { continue };
            if document.len() > begun {
                document.push(b',');
            }
            write_json(&mut document, &brief);
        }
        document.extend_from_slice(b"]}");
        let document = String::from_utf8(document).expect("JSON is UTF-8");
        self.send(Update::Agents(document.into()));
    }

    fn send(&self, update: Update) {
        self.app.metrics.fleet_updates.inc();
        // Nobody may be there for a moment, while the last reader goes.
        let _ = self.updates.send(update);
    }
}

/// Counts the watch for as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn begin(app: &App) -> Self {
        let gauge = app.metrics.fleets_watched.clone();
        gauge.inc();
        Counted(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn spawn(work: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(work))
}
