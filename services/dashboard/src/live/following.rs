//! What a watch on a fleet listens to: each replica of the sentinel, and the cases of the run.

use crate::app::App;
use crate::roles::fleet::open_case;
use crate::view::brief::OpenCase;
use immune_domain::{AgentId, RunId};
use immune_proto::v1;
use immune_proto::v1::watch_cases_response::Change;
use immune_runtime::grpc::Peer;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// Pauses between tries grow from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What was heard.
pub(super) enum Heard {
    /// A replica of the sentinel tells of changes from now on; some may have been missed before.
    Began(Arc<str>),
    /// Agents that have changed.
    Agents(Vec<v1::AgentState>),
    /// Every open case.
    Cases(HashMap<AgentId, OpenCase>),
    /// A case has changed: which, whose, and what it is if it is open.
    Case(String, AgentId, Option<OpenCase>),
}

type Ears = mpsc::Sender<Heard>;

/// Listens to a replica of the sentinel until the task is dropped.
pub(super) async fn sentinel(app: Arc<App>, run: RunId, peer: Peer, ears: Ears) {
    let mut pause = PAUSE_FIRST;
    loop {
        let heard = sentinel_once(&app, &run, &peer, &ears, &mut pause).await;
        tracing::debug!(ended = ?heard, "a watch on agents ended");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn sentinel_once(
    app: &App,
    run: &RunId,
    peer: &Peer,
    ears: &Ears,
    pause: &mut Duration,
) -> Result<(), Status> {
    let mut changes = app.roles.watch_agents(peer.channel.clone(), run).await?;
    let mut has_begun = false;
    while let Some(message) = changes.message().await? {
        *pause = PAUSE_FIRST;
        let heard = match std::mem::replace(&mut has_begun, true) {
            false => Heard::Began(peer.address.clone()),
            true => Heard::Agents(message.agents),
        };
        if ears.send(heard).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Listens to the cases of the run until the task is dropped.
pub(super) async fn cases(app: Arc<App>, run: RunId, ears: Ears) {
    let mut pause = PAUSE_FIRST;
    loop {
        let heard = cases_once(&app, &run, &ears, &mut pause).await;
        tracing::debug!(ended = ?heard, "a watch on cases ended");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn cases_once(app: &App, run: &RunId, ears: &Ears, pause: &mut Duration) -> Result<(), Status> {
    let changes = app.roles.watch_cases(None, Some(run)).await;
    let mut changes = changes.map_err(|problem| Status::unavailable(problem.detail.clone()))?;
    let mut open = HashMap::new();
    while let Some(message) = changes.message().await? {
        *pause = PAUSE_FIRST;
        let heard = match message.change {
            Some(Change::Existing(case)) => {
                open.extend(open_case(case));
                continue;
            }
            Some(Change::SnapshotDone(_)) => Heard::Cases(std::mem::take(&mut open)),
            Some(Change::Event(event)) => match event.case {
                Some(case) => changed(case),
                None => continue,
            },
            Some(Change::Missed(_)) | None => continue,
        };
        if ears.send(heard).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn changed(case: v1::Case) -> Heard {
    let id = case.case_id.clone();
    let agent = case
        .key
        .as_ref()
        .map(|key| key.agent_id.as_str())
        .unwrap_or_default();
    let agent = AgentId::from(agent);
    Heard::Case(id, agent, open_case(case).map(|(_, case)| case))
}
