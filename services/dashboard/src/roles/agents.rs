//! What baseline and sentinel know of agents. Each replica of theirs holds a part of the agents: one agent is asked
//! about where it is held; a list is asked for everywhere, and each agent taken from where it is judged.

use super::{ANSWER_BYTES_MAX, Roles};
use crate::problems::{Answer, garbled};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use immune_domain::baseline::Profile;
use immune_domain::case::Person;
use immune_domain::{AgentKey, RunId};
use immune_proto::convert;
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::access::with_person;
use immune_runtime::grpc::RoleChannel;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Agents on a page of the sentinel, at most, and by default.
const PAGE_MAX: u32 = 1_000;
/// How long a page of a back-test may take: 50 agents of 10,000 executions, twice.
const BACKTEST_MAX: Duration = Duration::from_secs(120);
/// How long a list waits for the other replicas once one has answered: every replica lists every agent, so that only
/// the present judgement of some is missing without them.
const STRAGGLERS_WAIT: Duration = Duration::from_secs(1);

pub(super) fn sentinel(channel: RoleChannel) -> SentinelServiceClient<RoleChannel> {
    SentinelServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

impl Roles {
    pub async fn profile(&self, key: &AgentKey) -> Answer<Option<Profile>> {
        let request = v1::GetProfileRequest {
            key: Some(key.into()),
        };
        let ask = |channel| {
            let request = request.clone();
            async move { BaselineServiceClient::new(channel).get_profile(request).await }
        };
        let answer = self.ask("baseline", self.baseline.owner(key, ask)).await?;
        convert::optional("profile", answer.profile).map_err(garbled)
    }

    pub async fn profiles_ready(&self, run: &RunId) -> Answer<u64> {
        let request = v1::CountReadyProfilesRequest {
            run_id: run.to_string(),
        };
        let mut baseline = BaselineServiceClient::new(self.baseline.any());
        Ok(self
            .ask("baseline", baseline.count_ready_profiles(request))
            .await?
            .count)
    }

    /// Agents of a run ordered by id, from after `after`, at most `limit`; 0, and more than 1,000, mean 1,000.
    pub async fn agents(&self, run: &RunId, after: &str, limit: u32) -> Answer<Vec<v1::AgentState>> {
        let limit = if limit == 0 { PAGE_MAX } else { limit.min(PAGE_MAX) };
        let request = v1::ListAgentsRequest {
            run_id: run.to_string(),
            after: after.to_owned(),
            limit,
            ..v1::ListAgentsRequest::default()
        };
        Ok(merge(self.everywhere(request).await?, limit as usize))
    }

    /// What each replica of the sentinel says; without those that do not answer, if any does.
    pub(super) async fn everywhere(
        &self,
        request: v1::ListAgentsRequest,
    ) -> Answer<Vec<Vec<v1::AgentState>>> {
        let peers = self.sentinel.each().borrow().clone();
        let mut channels: Vec<RoleChannel> = peers.iter().map(|peer| peer.channel.clone()).collect();
        if channels.is_empty() {
            // None is known yet: this waits for one, or says why there is none.
            channels.push(self.sentinel.any());
        }
        let mut asked: FuturesUnordered<_> = channels
            .into_iter()
            .map(|channel| {
                let request = request.clone();
                self.ask(
                    "sentinel",
                    async move { sentinel(channel).list_agents(request).await },
                )
            })
            .collect();
        let mut pages = Vec::new();
        let mut problem = None;
        let mut until = None;
        loop {
            let next = match until {
                None => asked.next().await,
                Some(until) => timeout_at(until, asked.next()).await.unwrap_or_default(),
            };
            match next {
                Some(Ok(page)) => {
                    until.get_or_insert_with(|| Instant::now() + STRAGGLERS_WAIT);
                    pages.push(page.agents);
                }
                Some(Err(refused)) => problem = Some(refused),
                None => break,
            }
        }
        match problem {
            Some(problem) if pages.is_empty() => Err(problem),
            Some(_) | None => Ok(pages),
        }
    }

    /// Replays some agents of a run; any replica of the sentinel can.
    pub async fn backtest(&self, request: v1::BacktestRequest) -> Answer<v1::BacktestResponse> {
        let mut sentinel = sentinel(self.sentinel.any());
        Self::ask_within(BACKTEST_MAX, "sentinel", sentinel.backtest(request)).await
    }

    /// How many agents of a run have executed.
    pub async fn agents_total(&self, run: &RunId) -> Answer<u64> {
        let request = v1::ListAgentsRequest {
            run_id: run.to_string(),
            limit: 1,
            ..v1::ListAgentsRequest::default()
        };
        let mut sentinel = sentinel(self.sentinel.any());
        Ok(self.ask("sentinel", sentinel.list_agents(request)).await?.total)
    }

    pub async fn agent(&self, key: &AgentKey) -> Answer<Option<v1::AgentState>> {
        let request = v1::GetAgentRequest {
            key: Some(key.into()),
        };
        let ask = |channel| {
            let request = request.clone();
            async move { sentinel(channel).get_agent(request).await }
        };
        Ok(self.ask("sentinel", self.sentinel.owner(key, ask)).await?.agent)
    }

    /// The platform's word; returns the case that is open now.
    pub async fn report_infected(&self, key: &AgentKey, reason: String, by: &Person) -> Answer<String> {
        let message = v1::ReportAgentInfectedRequest {
            key: Some(key.into()),
            reason,
            // One for every attempt: a replica that was asked and did not answer may have reported all the same.
            infection_id: uuid::Uuid::new_v4().to_string(),
            reported_by: by.subject.clone(),
        };
        let ask = |channel| {
            let request = with_person(message.clone(), by);
            async move { sentinel(channel).report_agent_infected(request).await }
        };
        Ok(self.ask("sentinel", self.sentinel.owner(key, ask)).await?.case_id)
    }
}

/// One page of several replicas' pages: each agent once, as the replica that judges it says.
pub(super) fn merge(pages: Vec<Vec<v1::AgentState>>, limit: usize) -> Vec<v1::AgentState> {
    let mut merged: BTreeMap<String, v1::AgentState> = BTreeMap::new();
    for state in pages.into_iter().flatten() {
        let id = state
            .key
            .as_ref()
            .map(|key| key.agent_id.clone())
            .unwrap_or_default();
        match merged.entry(id) {
            Entry::Vacant(place) => {
                place.insert(state);
            }
            Entry::Occupied(mut known) => {
                if state.live && !known.get().live {
                    known.insert(state);
                }
            }
        }
    }
    // Pages may differ by agents that were new in between; what is cut off begins the next page.
    merged.into_values().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(agent: &str, live: bool) -> v1::AgentState {
        v1::AgentState {
            key: Some(v1::AgentKey {
                run_id: "default".to_owned(),
                agent_id: agent.to_owned(),
            }),
            live,
            ..v1::AgentState::default()
        }
    }

    /// Scenario: two replicas list a run; the second has seen an agent that was not there when the first looked.
    /// Guarantees: each agent once, as the replica that judges it says; as many as were asked for, in order, so that
    /// the next page leaves none out.
    #[test]
    fn pages_are_merged() {
        let one = vec![state("a", true), state("b", false), state("d", true)];
        let two = vec![state("a", false), state("b", true), state("c", true)];
        let merged = merge(vec![one, two], 3);
        let ids: Vec<&str> = merged
            .iter()
            .filter_map(|state| Some(state.key.as_ref()?.agent_id.as_str()))
            .collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(merged.iter().all(|state| state.live));
    }
}
