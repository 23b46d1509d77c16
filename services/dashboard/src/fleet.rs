//! The agents of a run in the order of their ids: those that have executed, which the sentinel lists, and those that
//! were only registered.

use crate::app::App;
use crate::approvals::{self, Approval};
use crate::problems::{Answer, stored};
use crate::roles::CaseQuery;
use crate::view::agent::{AgentView, Beside};
use futures::StreamExt;
use immune_domain::case::Case;
use immune_domain::{AgentId, AgentKey, RunId};
use immune_proto::v1;
use immune_store::PAGE_MAX;
use immune_store::client_records::{ClientRecord, RecordKind};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Agents asked for in one call.
const SENTINEL_PAGE: u32 = 1_000;
/// Agents in brief asked for in one call: more would be held at once, fewer would be more calls.
const BRIEF_PAGE: u32 = 2_500;
/// Agents that one request looks at; a filter that matches nothing must end.
const LOOKED_AT_MAX: u64 = 100_000;
/// Registered agents that are looked up for the count of a run.
const REGISTERED_COUNTED_MAX: usize = 1_000;
/// Look-ups at the same time.
const LOOKUPS: usize = 8;

/// Which agents to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// One of the statuses, `suspect`, `silent` or `gone`.
    pub status: Option<String>,
    /// Text that id, type or model contain, in lower case.
    pub text: Option<String>,
}

/// A page of agents.
pub(crate) struct Page {
    pub agents: Vec<AgentView>,
    /// Agents that match in all; `None` when there are too many to look at each.
    pub total: Option<u64>,
    /// Whether more follow.
    pub has_more: bool,
}

/// What is known of a run's agents beside what the sentinel says.
pub(crate) struct Overlay {
    cases: HashMap<AgentId, Case>,
    approvals: BTreeMap<AgentId, Approval>,
    held_by_clients: HashSet<AgentId>,
}

impl Overlay {
    pub async fn load(app: &App, run: &RunId) -> Answer<Self> {
        let open = CaseQuery {
            open: Some(true),
            limit: PAGE_MAX,
            ..CaseQuery::default()
        };
        let (cases, approvals, held) = tokio::join!(
            app.roles.cases(run, open),
            approvals::latest_all(app, run),
            held_by_clients(app, run),
        );
        let cases = cases?
            .into_iter()
            .map(|case| (case.key.agent.clone(), case))
            .collect();
        Ok(Overlay {
            cases,
            approvals: approvals?,
            held_by_clients: held?,
        })
    }

    /// What is known of one agent.
    pub fn beside(&self, agent: &AgentId) -> Beside<'_> {
        Beside {
            case: self.cases.get(agent),
            decision: self
                .approvals
                .get(agent)
                .map(|approval| approval.decision.as_str()),
            held_by_client: self.held_by_clients.contains(agent),
        }
    }

    fn view(&self, state: v1::AgentState) -> Answer<AgentView> {
        let agent = AgentId::from(
            state
                .key
                .as_ref()
                .map(|key| key.agent_id.clone())
                .unwrap_or_default(),
        );
        AgentView::new(state, self.beside(&agent))
    }
}

/// Agents whose latest quarantine record says that they entered.
pub(crate) async fn held_by_clients(app: &App, run: &RunId) -> Answer<HashSet<AgentId>> {
    let latest = app
        .client_records
        .latest_per_agent(run, RecordKind::Quarantine, PAGE_MAX)
        .await;
    let entered = |record: &ClientRecord| record.body.get("action").and_then(Value::as_str) == Some("enter");
    Ok(latest
        .map_err(stored)?
        .into_iter()
        .filter(entered)
        .map(|record| record.key.agent)
        .collect())
}

/// A page of agents after an id.
pub(crate) async fn page(
    app: &App,
    run: &RunId,
    after: Option<&AgentId>,
    limit: u32,
    filter: &Filter,
) -> Answer<Page> {
    let overlay = Box::pin(Overlay::load(app, run)).await?;
    let mut walk = Walk::start(app, run, after, Pages::Whole).await?;
    let is_filtered = filter.status.is_some() || filter.text.is_some();
    let (mut agents, mut matching, mut looked_at) = (Vec::new(), 0u64, 0u64);
    let mut ended = false;
    while looked_at < LOOKED_AT_MAX {
        let Some(state) = walk.next().await? else {
            ended = true;
            break;
        };
        looked_at += 1;
        let view = overlay.view(state)?;
        if !filter.matches(&view) {
            continue;
        }
        matching += 1;
        if agents.len() < limit as usize {
            agents.push(view);
        } else if !is_filtered || after.is_some() {
            // The count comes from elsewhere, or cannot be had from the middle of the list.
            break;
        }
    }
    let has_more = matching > agents.len() as u64 || !ended;
    let total = match (ended && after.is_none(), is_filtered) {
        (true, _) => Some(matching),
        (false, true) => None,
        (false, false) => Some(count(app, run).await?),
    };
    Ok(Page {
        agents,
        total,
        has_more,
    })
}

/// How many agents a run has.
pub(crate) async fn count(app: &App, run: &RunId) -> Answer<u64> {
    let (seen, registered) = tokio::join!(
        app.roles.agents_total(run),
        app.client_records
            .latest_per_agent(run, RecordKind::Registration, PAGE_MAX),
    );
    let registered = registered.map_err(stored)?;
    let lookups: Vec<_> = registered
        .into_iter()
        .take(REGISTERED_COUNTED_MAX)
        .map(|record| {
            let vitals = app.vitals.clone();
            async move { vitals.latest(&record.key).await }
        })
        .collect();
    let mut lookups = futures::stream::iter(lookups).buffer_unordered(LOOKUPS);
    let mut only_registered = 0;
    while let Some(latest) = lookups.next().await {
        only_registered += u64::from(latest.map_err(stored)?.is_none());
    }
    Ok(seen? + only_registered)
}

/// One agent; `None` when it was neither seen nor registered.
pub(crate) async fn find(app: &App, key: &AgentKey) -> Answer<Option<v1::AgentState>> {
    if let Some(state) = app.roles.agent(key).await? {
        return Ok(Some(state));
    }
    let registered = app
        .client_records
        .latest(key, RecordKind::Registration)
        .await
        .map_err(stored)?;
    Ok(registered.as_ref().map(registered_state))
}

impl Filter {
    fn matches(&self, agent: &AgentView) -> bool {
        let has_status = match self.status.as_deref() {
            None => true,
            Some("suspect") => agent.suspect,
            Some("silent") => agent.telemetry == Some("silent"),
            Some("gone") => agent.telemetry == Some("gone"),
            // Of one that is not heard nobody knows.
            Some("healthy") => {
                agent.status == "healthy" && !matches!(agent.telemetry, Some("silent" | "gone"))
            }
            Some(status) => agent.status == status,
        };
        let has_text = self.text.as_deref().is_none_or(|text| {
            let model = agent.model.as_deref().unwrap_or_default();
            [agent.id.as_str(), agent.type_.as_str(), model]
                .iter()
                .any(|field| field.to_lowercase().contains(text))
        });
        has_status && has_text
    }
}

/// How the sentinel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Every replica, for everything.
    Whole,
    /// One replica, for agents in brief.
    Brief,
}

/// The agents of a run one after the other.
pub(crate) struct Walk<'a> {
    app: &'a App,
    run: &'a RunId,
    pages: Pages,
    seen: std::vec::IntoIter<v1::AgentState>,
    next_seen: Option<v1::AgentState>,
    last_seen: String,
    /// Whether the sentinel has no more.
    is_last_page: bool,
    registered: std::iter::Peekable<std::vec::IntoIter<v1::AgentState>>,
}

impl<'a> Walk<'a> {
    pub async fn start(app: &'a App, run: &'a RunId, after: Option<&AgentId>, pages: Pages) -> Answer<Self> {
        let registered = app
            .client_records
            .latest_per_agent(run, RecordKind::Registration, PAGE_MAX)
            .await;
        let registered: Vec<v1::AgentState> = registered
            .map_err(stored)?
            .iter()
            .filter(|record| after.is_none_or(|after| record.key.agent > *after))
            .map(registered_state)
            .collect();
        Ok(Walk {
            app,
            run,
            pages,
            seen: Vec::new().into_iter(),
            next_seen: None,
            last_seen: after.map(AgentId::to_string).unwrap_or_default(),
            is_last_page: false,
            registered: registered.into_iter().peekable(),
        })
    }

    pub async fn next(&mut self) -> Answer<Option<v1::AgentState>> {
        if self.next_seen.is_none() {
            self.next_seen = self.next_of_sentinel().await?;
        }
        let Some(seen) = &self.next_seen else {
            return Ok(self.registered.next());
        };
        let id = id_of(seen).to_owned();
        if self
            .registered
            .peek()
            .is_some_and(|registered| id_of(registered) < id.as_str())
        {
            return Ok(self.registered.next());
        }
        // What has executed is known better than what was registered.
        while self
            .registered
            .next_if(|registered| id_of(registered) == id)
            .is_some()
        {}
        Ok(self.next_seen.take())
    }

    async fn next_of_sentinel(&mut self) -> Answer<Option<v1::AgentState>> {
        if let Some(state) = self.seen.next() {
            return Ok(Some(state));
        }
        if self.is_last_page {
            return Ok(None);
        }
        let (roles, after) = (&self.app.roles, &self.last_seen);
        let (page, limit) = match self.pages {
            Pages::Whole => (roles.agents(self.run, after, SENTINEL_PAGE).await?, SENTINEL_PAGE),
            Pages::Brief => (
                roles.agents_in_brief(self.run, after, BRIEF_PAGE).await?,
                BRIEF_PAGE,
            ),
        };
        self.is_last_page = page.len() < limit as usize;
        if let Some(last) = page.last() {
            self.last_seen = id_of(last).to_owned();
        }
        self.seen = page.into_iter();
        Ok(self.seen.next())
    }
}

fn id_of(state: &v1::AgentState) -> &str {
    state
        .key
        .as_ref()
        .map(|key| key.agent_id.as_str())
        .unwrap_or_default()
}

/// An agent that was registered and has not executed.
fn registered_state(record: &ClientRecord) -> v1::AgentState {
    let text = |name: &str| record.body.get(name).and_then(Value::as_str).map(str::to_owned);
    let servers = record.body.get("mcp_servers").and_then(Value::as_array);
    let servers = servers
        .into_iter()
        .flatten()
        .filter_map(|server| server.as_str().map(str::to_owned));
    v1::AgentState {
        key: Some((&record.key).into()),
        agent_type: text("agent_type").or_else(|| text("type")),
        model: text("model"),
        mcp_servers: servers.collect(),
        baseline_state: v1::ProfileState::Learning.into(),
        ..v1::AgentState::default()
    }
}
