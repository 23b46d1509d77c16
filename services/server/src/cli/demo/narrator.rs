//! What happens, in one line per event.

use super::as_demo;
use crate::channels::Channels;
use crate::roles::Role;
use crate::running::Running;
use immune_domain::Timestamp;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::watch_cases_response::Change;
use immune_proto::v1::{CaseEvent, DecideRequest, Decision, WatchCasesRequest};
use immune_runtime::clock::SharedClock;
use immune_simulator::SimEvent;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Tells the story, and keeps the times that the summary needs.
#[derive(Clone)]
pub struct Narrator {
    clock: SharedClock,
    started_at: Timestamp,
    rest: SocketAddr,
    otlp: SocketAddr,
    book: Arc<Mutex<Book>>,
}

/// What the summary is made of.
#[derive(Debug, Default)]
pub struct Book {
    /// Infections that the simulation has spread.
    pub infections: u64,
    /// From falling ill to the open case, per detected infection.
    pub delays: Vec<Duration>,
    /// When each agent fell ill that has not been detected yet.
    ill_since: BTreeMap<String, Timestamp>,
}

impl Narrator {
    /// A narrator of a started process.
    pub fn start(running: &Running, clock: SharedClock) -> Self {
        let started_at = clock.now();
        let addresses = &running.addresses;
        let here = "the demo runs every role in this process";
        let (rest, otlp) = (addresses.rest.expect(here), addresses.otlp_grpc.expect(here));
        Narrator {
            clock,
            started_at,
            rest,
            otlp,
            book: Arc::default(),
        }
    }

    /// What it is, where to look, what will happen.
    pub fn opening(&self, agents: &usize, every: Duration, approve_after: Option<Duration>, seed: u64) {
        let rest = self.rest;
        println!("immune demo: {agents} simulated agents, one falls ill every {every:?} (seed {seed})");
        println!("  agents send OTLP to   http://{}", self.otlp);
        println!("  look at               http://{rest}");
        println!("  or with               immune get agents --server http://{rest}");
        match approve_after {
            Some(after) => println!("  severe cases are approved after {after:?}, by the demo itself"),
            None => println!(
                "  severe cases wait for you: http://{rest}/approvals, or immune approve CASE --reason TEXT"
            ),
        }
        println!("learning what is normal: 15 executions of each agent");
    }

    fn say(&self, word: &str, text: &str) {
        let seconds = self.clock.now().since(self.started_at).as_secs_f64();
        println!("{seconds:7.1}s  {word:<9} {text}");
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Infections and detection delays so far.
    pub fn read<T>(&self, of: impl FnOnce(&Book) -> T) -> T {
        of(&self.book())
    }

    /// Tells what happens on the simulated platform.
    pub async fn platform(self, mut events: broadcast::Receiver<SimEvent>, end: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = end.cancelled() => return,
                event = events.recv() => event,
            };
            match event {
                Ok(event) => self.tell(&event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.say("platform", &format!("{missed} events were too fast to tell"));
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn tell(&self, event: &SimEvent) {
        match event {
            SimEvent::Infected { agent, .. } => {
                let mut book = self.book();
                book.infections += 1;
                book.ill_since.insert(agent.clone(), self.clock.now());
                drop(book);
                self.say("ill", &event.to_string());
            }
            SimEvent::Cured { .. } => self.say("cured", &event.to_string()),
            SimEvent::Acted { .. } => self.say("platform", &event.to_string()),
            // The case tells of containment when the lever has given its receipt.
            SimEvent::Contained { .. } | SimEvent::Probation { .. } | SimEvent::Released { .. } => {}
        }
    }

    /// Tells what becomes of cases, and approves them if the demo was told to.
    pub async fn cases(self, channels: Channels, approve_after: Option<Duration>, end: CancellationToken) {
        let mut client = QuarantineServiceClient::new(channels.to(Role::Quarantine));
        let mut after = 0;
        while !end.is_cancelled() {
            let request = WatchCasesRequest {
                after_sequence: after,
                from_now: after == 0,
                ..Default::default()
            };
            let Ok(watch) = client.watch_cases(request).await else {
                // The role may still be loading; it says so until it has.
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let mut changes = watch.into_inner();
            loop {
                let change = tokio::select! {
                    () = end.cancelled() => return,
                    change = changes.message() => change,
                };
                let Ok(Some(change)) = change else { break };
                match change.change {
                    Some(Change::Event(event)) => {
                        after = event.sequence;
                        self.case_event(&event);
                        if let Some(wait) = approve_after.filter(|_| event.kind == "case_waiting") {
                            tokio::spawn(self.clone().approve(client.clone(), event, wait));
                        }
                    }
                    Some(Change::SnapshotDone(snapshot)) => after = snapshot.last_sequence,
                    Some(Change::Existing(_) | Change::Missed(_)) | None => {}
                }
            }
        }
    }

    fn case_event(&self, event: &CaseEvent) {
        let Some(case) = &event.case else { return };
        let agent = case.key.as_ref().map_or("", |key| key.agent_id.as_str());
        if event.kind == "case_opened" {
            let mut book = self.book();
            if let Some(since) = book.ill_since.remove(agent) {
                let delay = self.clock.now().since(since);
                book.delays.push(delay);
            }
        }
        let word = event.kind.strip_prefix("case_").unwrap_or(&event.kind);
        self.say(
            word,
            &format!(
                "{agent}: {}  http://{}/api/cases/{}",
                event.text, self.rest, case.case_id
            ),
        );
    }

    async fn approve(
        self,
        mut client: QuarantineServiceClient<immune_runtime::grpc::RoleChannel>,
        event: CaseEvent,
        wait: Duration,
    ) {
        tokio::time::sleep(wait).await;
        let request = DecideRequest {
            case_id: event.case.map(|case| case.case_id).unwrap_or_default(),
            decision: Decision::Approve.into(),
            reason: "the demo was told to approve".to_owned(),
            expected_version: 0,
            ..DecideRequest::default()
        };
        if let Err(refused) = client.decide(as_demo(request)).await {
            self.say("refused", refused.message());
        }
    }
}
