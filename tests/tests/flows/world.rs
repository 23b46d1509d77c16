//! A server and agents of its own, and the words that the flows are told in.

use immune_simulator::{Infection, SimEvent, Simulator, Strength};
use immune_tests::api::Api;
use immune_tests::process::merge;
use immune_tests::wait_for;
use immune_tests::wiring::{System, Wiring};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long any one step of a flow may take on a loaded machine.
const STEP_MAX: Duration = Duration::from_secs(60);

/// A server with agents.
pub struct World {
    /// Its REST.
    pub api: Api,
    agents: immune_simulator::Handle,
    /// Healing actions that the platform has carried out: agent and action.
    acted: Arc<Mutex<Vec<(String, String)>>>,
    server: System,
}

impl World {
    /// Starts agents and a server that may act on them; `config` goes over the defaults.
    pub async fn start(wiring: Wiring, config: Value) -> Self {
        World::start_with(wiring, config, 6).await
    }

    /// The same with so many agents.
    pub async fn start_with(wiring: Wiring, config: Value, agents: usize) -> Self {
        let mut server = System::prepare(wiring).await;
        let agents = Simulator::start(immune_simulator::Config {
            otlp_endpoint: server.otlp_grpc(),
            agents,
            infect_every: None,
            ..immune_simulator::Config::default()
        })
        .await
        .expect("the simulator starts");
        let acted = Arc::<Mutex<Vec<(String, String)>>>::default();
        let (mut events, log) = (agents.events(), acted.clone());
        tokio::spawn(async move {
            while let Ok(event) = events.recv().await {
                if let SimEvent::Acted { agent, action, .. } = event {
                    log.lock()
                        .expect("no test panics while it holds this")
                        .push((agent, action));
                }
            }
        });
        let mut whole = json!({ "levers": { "lifecycle": { "base_url": agents.lifecycle_base_url() } } });
        merge(&mut whole, config);
        server.start(whole).await;
        World {
            api: server.api(),
            agents,
            acted,
            server,
        }
    }

    /// Kills the healer of a cluster, or starts it again.
    pub fn healer(&mut self, is_there: bool) {
        let System::Many(cluster) = &mut self.server else {
            panic!("only a cluster has a healer of its own");
        };
        let place = cluster.place("healer", 0);
        match is_there {
            true => cluster.nodes[place].start(),
            false => cluster.nodes[place].kill(),
        }
    }

    /// Kills what the page is connected to, the dashboard and quarantine behind it, and starts it again.
    pub async fn restart_doors(&mut self) {
        match &mut self.server {
            System::One(process) => {
                process.kill();
                process.spawn();
            }
            System::Many(cluster) => {
                let places = ["dashboard", "quarantine"].map(|role| cluster.place(role, 0));
                for place in places {
                    cluster.nodes[place].kill();
                }
                for place in places {
                    cluster.nodes[place].start();
                }
            }
        }
        wait_for("the server is back", STEP_MAX, || async {
            self.api.get("/api/cases").await.map(drop)
        })
        .await;
    }

    /// Where its REST is.
    pub fn base(&self) -> String {
        self.server.rest()
    }

    /// Waits until every agent has a baseline that may judge, and names the first.
    pub async fn learned_agent(&self) -> String {
        wait_for("every agent has a baseline", STEP_MAX, || async {
            let agents = self.api.get("/api/agents").await?;
            let agents = agents.as_array()?;
            (agents.len() == self.agents.snapshot().len()
                && agents.iter().all(|agent| agent["has_baseline"] == true))
            .then(|| agents[0]["id"].as_str().expect("an id is text").to_owned())
        })
        .await
    }

    /// Another of the agents.
    pub fn another(&self, but: &str) -> String {
        let agents = self.agents.snapshot();
        let other = agents.into_iter().find(|agent| agent.id != but);
        other.expect("there are several").id
    }

    /// Waits until the agent has executed undisturbed for more than a window, so that what befalls it now looks as
    /// it did the last time.
    pub async fn undisturbed(&self, agent: &str) {
        wait_for(&format!("{agent} executes undisturbed"), STEP_MAX, || async {
            self.agents
                .agent(agent)
                .is_some_and(|agent| agent.executions_steady >= 30)
                .then_some(())
        })
        .await;
    }

    /// An infection whose severity is over the approval threshold.
    pub async fn infect_severely(&self, agent: &str) {
        assert!(
            self.agents.infect(agent, Infection::ToolLoop, Strength::Severe),
            "{agent} exists"
        );
    }

    /// An infection whose severity is below it.
    pub async fn infect_mildly(&self, agent: &str) {
        assert!(
            self.agents.infect(agent, Infection::ToolLoop, Strength::Mild),
            "{agent} exists"
        );
    }

    /// The provider that all agents use answers late from now on.
    pub async fn slow_down_everybody(&self) {
        for agent in self.agents.snapshot() {
            let id = &agent.id;
            assert!(
                self.agents.infect(id, Infection::LatencySpike, Strength::Severe),
                "{id} exists"
            );
        }
    }

    /// Whether the platform holds any agent.
    pub fn is_any_contained(&self) -> bool {
        self.agents.snapshot().iter().any(|agent| agent.is_contained())
    }

    /// A drifted prompt, mild.
    pub async fn drift_mildly(&self, agent: &str) {
        assert!(
            self.agents.infect(agent, Infection::PromptDrift, Strength::Mild),
            "{agent} exists"
        );
    }

    /// Waits until the agent's newest case is in a state; its id.
    pub async fn case_in(&self, agent: &str, state: &str) -> String {
        let started = Instant::now();
        loop {
            let case = self.api.case_of(agent).await;
            if let Some(case) = case.as_ref().filter(|case| state_of(case) == state) {
                return case["case_id"].as_str().expect("an id is text").to_owned();
            }
            assert!(
                started.elapsed() < STEP_MAX,
                "a case of {agent} should be {state}, it is {case:#?}"
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until a case other than `not` is healed, approving whatever waits on the way.
    pub async fn heal(&self, agent: &str, not: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(case) = self
                .api
                .case_of(agent)
                .await
                .filter(|case| case["case_id"] != not)
            {
                let id = case["case_id"].as_str().expect("an id is text");
                match state_of(&case) {
                    "healed" => return id.to_owned(),
                    "awaiting_approval" => drop(self.api.decide(id, "approve").await),
                    _ => assert!(
                        started.elapsed() < STEP_MAX,
                        "{agent} should be healed, it is {case:#?}"
                    ),
                }
            }
            assert!(
                started.elapsed() < 2 * STEP_MAX,
                "{agent} has no case, or none that can be healed"
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until containment of the agent is confirmed.
    pub async fn contained(&self, agent: &str) {
        wait_for(&format!("{agent} is contained"), STEP_MAX, || async {
            let case = self.api.case_of(agent).await?;
            (case["quarantine"]["phase"] == "confirmed").then_some(())
        })
        .await;
        // What was under way when the platform confirmed may still end.
        wait_for(&format!("{agent} is idle"), STEP_MAX, || async {
            self.agents
                .agent(agent)
                .is_some_and(|agent| {
                    agent.is_contained()
                        && agent.executions_started == agent.executions_finished + agent.executions_aborted
                })
                .then_some(())
        })
        .await;
    }

    /// Waits until the platform lets the agent run.
    pub async fn free(&self, agent: &str) {
        wait_for(&format!("{agent} is free"), STEP_MAX, || async {
            self.agents
                .agent(agent)
                .is_some_and(|agent| !agent.is_contained())
                .then_some(())
        })
        .await;
    }

    /// Waits until the agent is shown as healthy and its window holds nothing from before its release.
    pub async fn healthy_again(&self, agent: &str) {
        wait_for(&format!("{agent} is healthy"), STEP_MAX, || async {
            (self.api.agent(agent).await?["status"] == "healthy").then_some(())
        })
        .await;
    }

    /// Executions that the platform itself has begun.
    pub async fn executions(&self, agent: &str) -> u64 {
        self.agents
            .agent(agent)
            .expect("the agent exists")
            .executions_started
    }

    /// Waits until some other agent has executed `count` times more: the measure of time passed.
    pub async fn others_execute(&self, but: &str, count: u64) {
        let others = || {
            self.agents
                .snapshot()
                .into_iter()
                .filter(|a| a.id != but)
                .map(|a| a.executions_finished)
                .sum::<u64>()
        };
        let before = others();
        wait_for("other agents execute", STEP_MAX, || async {
            (others() >= before + count).then_some(())
        })
        .await;
    }

    /// Healing actions that the platform itself has carried out for the agent, in order.
    pub async fn actions(&self, agent: &str) -> Vec<String> {
        let acted = self.acted.lock().expect("no test panics while it holds this");
        acted
            .iter()
            .filter(|(on, _)| on == agent)
            .map(|(_, action)| action.clone())
            .collect()
    }

    /// Steps of a case with their outcomes.
    pub async fn attempts(&self, case: &str) -> Vec<(String, String)> {
        let case = self.api.case(case).await.expect("the case");
        let attempts = case["attempts"].as_array().expect("a list").clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        attempts
            .iter()
            .map(|attempt| (text(&attempt["action"]), text(&attempt["outcome"])))
            .collect()
    }

    /// The diagnosis of a case.
    pub async fn diagnosis(&self, case: &str) -> String {
        let case = self.api.case(case).await.expect("the case");
        case["diagnosis_type"]
            .as_str()
            .expect("a diagnosis is text")
            .to_owned()
    }
}

fn state_of(case: &Value) -> &str {
    case["state"]
        .as_str()
        .or_else(|| case["state"]["name"].as_str())
        .unwrap_or_default()
}
