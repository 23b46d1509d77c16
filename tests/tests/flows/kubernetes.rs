//! The same loop with a cluster: policies and cases are its resources, and its objects contain the agent.

use crate::world::World;
use immune_test_kubernetes::ApiServer;
use immune_tests::wait_for;
use immune_tests::wiring::Wiring;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

immune_tests::in_both_wirings!(a_cluster_tells_the_same_story);

/// How long a step may take on a loaded machine.
const STEP_MAX: Duration = Duration::from_secs(60);

/// A cluster with our definitions, and a kubeconfig for it.
async fn cluster(folder: &Path) -> (ApiServer, String) {
    let server = ApiServer::start().await;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/immune/crds");
    for plural in ["agentcases", "immunepolicies"] {
        let text = std::fs::read_to_string(crds.join(format!("{plural}.yaml"))).expect("a definition");
        server.put(serde_norway::from_str(&text).expect("YAML"));
    }
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).expect("the file can be written");
    (server, kubeconfig.display().to_string())
}

/// Waits until the cluster is as the test wants it.
async fn until<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    wait_for(what, STEP_MAX, || async { found() }).await
}

fn policy(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "ImmunePolicy",
        "metadata": { "namespace": "immune", "name": name }, "spec": spec,
    })
}

/// Scenario: agents are watched where custom resources and the Kubernetes lever are on. A policy makes every case of
/// one agent wait for a person; it falls ill, is approved over REST, and healed. Then the policy is changed, so that
/// nobody is asked, and it falls ill again.
/// Guarantees: without a restart the policy holds, and says for how many agents; the case is an object that tells
/// where it stands; the NetworkPolicy comes with the quarantine and goes with the release.
async fn a_cluster_tells_the_same_story(wiring: Wiring) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let (cluster, kubeconfig) = cluster(folder.path()).await;
    let config = json!({
        "policy": { "defaults": { "levers": ["lifecycle", "kubernetes"] } },
        "levers": { "kubernetes": { "enabled": true, "namespaces": ["agents"], "kubeconfig": kubeconfig, "look_seconds": 0.1 } },
        "resources": { "enabled": true, "namespace": "immune", "namespaces": ["agents"], "kubeconfig": kubeconfig },
    });
    let world = World::start(wiring, config).await;
    let agent = world.learned_agent().await;
    cluster.put(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "agent", "namespace": "agents", "labels": { "immune.io/agent-id": agent } },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "agent" } },
            "template": {
                "metadata": { "labels": { "app": "agent" } },
                "spec": { "containers": [{ "name": "agent", "image": "agent:v1" }] },
            },
        },
    }));
    let asked = json!({ "match": { "agent": agent }, "set": { "severityRequiringApproval": 0.0 } });
    cluster.put(policy("ask", asked));
    until("the policy says for how many agents it holds", || {
        let status = cluster.get("ImmunePolicy", "immune", "ask")?["status"].clone();
        (status["matchedAgents"] == 1 && status["conditions"][0]["status"] == "True").then_some(())
    })
    .await;

    world.undisturbed(&agent).await;
    world.infect_mildly(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;
    let shown = || {
        let all = cluster.list("AgentCase", "");
        all.into_iter()
            .find(|object| object["spec"]["caseId"] == case.as_str())
    };
    until("the case is an object that waits for a person", || {
        shown().filter(|object| object["status"]["state"] == "awaiting_approval")
    })
    .await;
    until("the agent's network is cut, and the case says so", || {
        let is_cut = !cluster.list("NetworkPolicy", "agents").is_empty();
        shown().filter(|object| is_cut && object["status"]["quarantine"] == "confirmed")
    })
    .await;

    let (status, body) = world
        .api
        .decide(&case, "approve")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::OK, "{body}");
    world.case_in(&agent, "healed").await;
    until("nothing cuts its network any more", || {
        cluster.list("NetworkPolicy", "agents").is_empty().then_some(())
    })
    .await;
    until("the case's object says that it is healed", || {
        shown().filter(|object| {
            object["status"]["state"] == "healed" && object["status"]["quarantine"] == "released"
        })
    })
    .await;

    let not_asked = json!({ "match": { "agent": agent }, "set": { "severityRequiringApproval": 10.0 } });
    cluster.put(policy("ask", not_asked));
    world.undisturbed(&agent).await;
    world.infect_mildly(&agent).await;
    wait_for("another case of the agent is healed", STEP_MAX, || async {
        let cases = world.api.get(&format!("/api/cases?agent_id={agent}")).await?;
        let list = cases.as_array().or_else(|| cases["cases"].as_array())?.clone();
        let healed = list.iter().filter(|one| one["state"] == "healed").count();
        (healed == 2).then_some(())
    })
    .await;
    let approvals = world.api.get("/api/v1/action-log/recent").await.expect("the log");
    let approved = approvals
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| row["type"] == "user_approved");
    assert_eq!(approved.count(), 1, "nobody was asked for the second case");
}
