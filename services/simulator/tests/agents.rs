//! Agents execute, tell of it, fall ill, are cured and stop: through the real API and the real exporter.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Lever, Order, Outcome};
use immune_levers_lifecycle::{Base, Config as LeverConfig, Lifecycle, Secret};
use immune_simulator::agent::Permit;
use immune_simulator::{Config, Faults, Honesty, Infection, SimEvent, Strength};
use std::time::Duration;
use world::{Receiver, ask, int, lever, quick, start, text, until};

const CONTAIN: Order = Order::Contain(Containment::Contained);
const PROBATION: Order = Order::Contain(Containment::Probation);
const FREE: Order = Order::Contain(Containment::Free);

/// Scenario: three agents execute for a while, then the simulation stops.
/// Guarantees: every finished execution arrives, as one trace with chats and tools below it, in the words of the
/// conventions, under the run; tokens, tools and retries are said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_execution_arrives() {
    let (receiver, otlp_endpoint) = Receiver::start().await;
    let simulation = start(Config {
        otlp_endpoint,
        run: "run-7".to_owned(),
        ..quick()
    })
    .await;
    until("thirty executions", || simulation.summary().executions >= 30).await;
    let agents: Vec<String> = simulation.snapshot().into_iter().map(|agent| agent.id).collect();
    let lever = lever(&simulation.lifecycle_base_url());
    for agent in &agents {
        // Nothing is under way when counters and spans are compared.
        assert_eq!(
            lever
                .ask(&ask(agent, &format!("stop-{agent}"), CONTAIN))
                .await
                .outcome,
            Outcome::Done
        );
    }
    let snapshots = simulation.snapshot();
    simulation.stop().await;

    for snapshot in &snapshots {
        let executions = receiver.executions(&snapshot.id);
        assert_eq!(
            executions.len() as u64,
            snapshot.executions_finished + snapshot.executions_aborted
        );
        assert_eq!(
            snapshot.executions_started,
            snapshot.executions_finished + snapshot.executions_aborted
        );
        let kind = snapshot.agent_type.as_str();
        assert!(
            executions
                .iter()
                .all(|s| text(&s.attributes, "immune.agent.type").as_deref() == Some(kind))
        );
    }
    let spans = receiver.spans();
    let finished = receiver
        .executions("research-1")
        .into_iter()
        .find(|s| s.status.clone().unwrap_or_default().code == 0);
    let execution = finished.expect("a finished execution");
    let children: Vec<_> = spans
        .iter()
        .filter(|span| span.parent_span_id == execution.span_id)
        .collect();
    let of = |operation: &str| {
        let is_it = |s: &&&_| -> bool {
            let span: &opentelemetry_proto::tonic::trace::v1::Span = s;
            text(&span.attributes, "gen_ai.operation.name").as_deref() == Some(operation)
        };
        children.iter().filter(is_it).count()
    };
    assert_eq!(of("chat"), 2);
    assert!((3..=5).contains(&of("execute_tool")), "{}", of("execute_tool"));
    for chat in children.iter().filter(|span| span.name.starts_with("chat ")) {
        assert!(int(&chat.attributes, "gen_ai.usage.input_tokens").unwrap() > 500);
        assert!(int(&chat.attributes, "gen_ai.usage.output_tokens").unwrap() > 100);
        assert_eq!(int(&chat.attributes, "http.request.resend_count"), Some(0));
    }
    assert!(children.iter().all(|child| child.trace_id == execution.trace_id));
    assert!(
        children
            .iter()
            .all(|child| child.end_time_unix_nano <= execution.end_time_unix_nano)
    );
    let requests = receiver.0.lock().unwrap();
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(
        text(&resource.attributes, "immune.run_id").as_deref(),
        Some("run-7")
    );
    assert!(
        text(&resource.attributes, "service.name")
            .unwrap()
            .ends_with("-agents")
    );
}

/// Scenario: an agent is contained in the middle of its work, watched, and freed.
/// Guarantees: once the receipt is there no execution begins; under watch it executes as often as the watch needs
/// and not without end; free it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contained_agent_stops() {
    let simulation = start(Config {
        pace: 0.02,
        ..quick()
    })
    .await;
    let lever = lever(&simulation.lifecycle_grpc_url());
    let agent = |id: &str| simulation.agent(id).unwrap();
    until("it executes", || agent("data-1").executions_started > 3).await;
    assert_eq!(
        lever.ask(&ask("data-1", "c1", CONTAIN)).await.outcome,
        Outcome::Done
    );
    let stopped = agent("data-1");
    assert_eq!(
        stopped.executions_started,
        stopped.executions_finished + stopped.executions_aborted
    );
    // Another agent executes many times meanwhile: enough for this one to have shown itself.
    let other = agent("research-1").executions_started;
    until("the other executes", || {
        agent("research-1").executions_started > other + 30
    })
    .await;
    assert_eq!(agent("data-1").executions_started, stopped.executions_started);

    assert_eq!(
        lever.ask(&ask("data-1", "p1", PROBATION)).await.outcome,
        Outcome::Done
    );
    until("the probation is used up", || {
        agent("data-1").permit == Permit::Probation { left: Some(0) }
    })
    .await;
    until("it has ended", || {
        agent("data-1").executions_finished == stopped.executions_finished + 10
    })
    .await;
    let other = agent("research-1").executions_started;
    until("the other executes", || {
        agent("research-1").executions_started > other + 30
    })
    .await;
    assert_eq!(
        agent("data-1").executions_started,
        stopped.executions_started + 10
    );

    assert_eq!(lever.ask(&ask("data-1", "f1", FREE)).await.outcome, Outcome::Done);
    until("it goes on", || {
        agent("data-1").executions_started > stopped.executions_started + 20
    })
    .await;
}

/// Scenario: every infection, treated over the API with every action in turn.
/// Guarantees: the agent is rid of it exactly by the actions that cure it, and says so once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infections_are_cured_by_their_actions_only() {
    let simulation = start(Config {
        agents: 42,
        ..quick()
    })
    .await;
    let lever = lever(&simulation.lifecycle_base_url());
    let agents: Vec<String> = simulation.snapshot().into_iter().map(|agent| agent.id).collect();
    let pairs = Infection::ALL
        .iter()
        .flat_map(|infection| Action::ALL.map(|action| (*infection, action)));
    for ((infection, action), agent) in pairs.zip(&agents) {
        let mut events = simulation.events();
        assert!(simulation.infect(agent, infection, Strength::Mild));
        let answer = lever
            .ask(&ask(agent, &format!("{agent}-{action}"), Order::Heal(action)))
            .await;
        let should = infection.cures().contains(&action);
        let cured = simulation.agent(agent).unwrap().ailments.is_empty();
        assert_eq!(cured, should, "{infection} by {action}: {answer:?}");
        assert!(
            answer.outcome == Outcome::Done || (!should && answer.outcome == Outcome::Failed),
            "{answer:?}"
        );
        let mut told = 0;
        while let Ok(event) = events.try_recv() {
            told += u32::from(matches!(event, SimEvent::Cured { .. }));
        }
        assert_eq!(told, u32::from(should), "{infection} by {action}");
    }
    assert_eq!(simulation.summary().infections, 42);
}

/// Scenario: what an infected agent sends, for each infection.
/// Guarantees: each shows in the telemetry that it is about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infections_show_in_telemetry() {
    let (receiver, otlp_endpoint) = Receiver::start().await;
    let simulation = start(Config {
        otlp_endpoint,
        agents: 7,
        ..quick()
    })
    .await;
    let agents: Vec<String> = simulation.snapshot().into_iter().map(|agent| agent.id).collect();
    for (agent, infection) in agents.iter().zip(Infection::ALL) {
        simulation.infect(agent, infection, Strength::Severe);
    }
    let begun: Vec<u64> = simulation
        .snapshot()
        .iter()
        .map(|agent| agent.executions_finished)
        .collect();
    until("each has executed ill", || {
        let now = simulation.snapshot();
        now.iter()
            .zip(&begun)
            .all(|(agent, before)| agent.executions_finished >= before + 3)
    })
    .await;
    simulation.stop().await;

    let spans = receiver.spans();
    for (agent, infection) in agents.iter().zip(Infection::ALL) {
        let (mut tools, mut tokens, mut resends, mut latency_ms) = (0, 0, 0, 0.0f64);
        for execution in receiver.executions(agent) {
            let children = || {
                spans
                    .iter()
                    .filter(|span| span.parent_span_id == execution.span_id)
            };
            let sum = |name: &str| {
                children()
                    .filter_map(|span| int(&span.attributes, name))
                    .sum::<i64>()
            };
            tools = tools.max(
                children()
                    .filter(|span| span.name.starts_with("execute_tool"))
                    .count(),
            );
            tokens = tokens.max(sum("gen_ai.usage.input_tokens"));
            resends = resends.max(sum("http.request.resend_count"));
            let nanos = execution.end_time_unix_nano - execution.start_time_unix_nano;
            latency_ms = latency_ms.max(nanos as f64 / 1e6);
        }
        let healthy_latency_ms = 360.0 * 1.1 * 0.05;
        let shows = match infection {
            Infection::LatencySpike => latency_ms > 10.0 * healthy_latency_ms,
            Infection::HighRetryRate => latency_ms > 10.0 * healthy_latency_ms && resends == 3,
            Infection::TokenExplosion | Infection::PromptDrift => tokens > 40_000 && resends == 0,
            Infection::MemoryCorruption => tokens > 40_000 && resends == 3,
            Infection::ToolLoop => tools > 300 && tokens < 10_000,
            Infection::FullMeltdown => tools > 80 && tokens > 40_000 && resends == 3,
        };
        assert!(
            shows,
            "{infection}: {tools} tools, {tokens} tokens, {resends} resends, {latency_ms} ms"
        );
    }
}

/// Scenario: a platform that lies throughout, one that answers later, one that breaks twice, one that wants a token.
/// Guarantees: only executions give the thorough liar away; the others are dealt with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_platforms() {
    let token = Some("s3cret".to_owned());
    let simulation = start(Config { token, ..quick() }).await;
    let refused = lever(&simulation.lifecycle_base_url())
        .ask(&ask("data-1", "k0", CONTAIN))
        .await;
    assert_eq!(refused.outcome, Outcome::Failed, "{refused:?}");
    assert!(!simulation.agent("data-1").unwrap().is_contained());

    let quick = LeverConfig {
        backoff_seconds: 0.01,
        settle_seconds: 0.2,
        ..LeverConfig::default()
    };
    for url in [simulation.lifecycle_base_url(), simulation.lifecycle_grpc_url()] {
        let base = Base {
            url: url.clone(),
            token: Some(Secret::new("s3cret")),
            ..Base::default()
        };
        let lever = Lifecycle::new(&LeverConfig {
            bases: vec![base],
            ..quick.clone()
        })
        .unwrap();
        simulation.set_faults(Faults {
            honesty: Honesty::LiesThroughout,
            ..Faults::default()
        });
        let lied = lever.ask(&ask("data-1", &format!("{url}-k1"), CONTAIN)).await;
        assert_eq!(lied.outcome, Outcome::Done, "{lied:?}");
        assert!(
            lever
                .observe(&ask("data-1", "", CONTAIN).key)
                .await
                .unwrap()
                .contained
        );
        let before = simulation.agent("data-1").unwrap().executions_started;
        until("it executes all the same", || {
            simulation.agent("data-1").unwrap().executions_started > before + 2
        })
        .await;

        let takes = Duration::from_millis(100);
        simulation.set_faults(Faults {
            answers_later: true,
            takes,
            ..Faults::default()
        });
        let later = lever.ask(&ask("data-1", &format!("{url}-k2"), CONTAIN)).await;
        assert_eq!(later.outcome, Outcome::Done, "{later:?}");
        assert!(later.evidence["polls"].as_u64().unwrap() >= 1, "{later:?}");
        assert!(simulation.agent("data-1").unwrap().is_contained());

        simulation.set_faults(Faults {
            breaks_next: 2,
            ..Faults::default()
        });
        let broken = lever.ask(&ask("data-1", &format!("{url}-k3"), FREE)).await;
        assert_eq!(broken.outcome, Outcome::Done, "{broken:?}");
        assert!(!simulation.agent("data-1").unwrap().is_contained());
    }
}

/// Scenario: chaos with one seed, twice.
/// Guarantees: the same infections in the same order, only on agents that were well and steady.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_repeats_itself() {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let every = Some(Duration::from_millis(20));
        let simulation = start(Config {
            seed: 42,
            infect_every: every,
            agents: 6,
            pace: 0.005,
            ..quick()
        })
        .await;
        let mut events = simulation.events();
        let mut story = Vec::new();
        while story.len() < 6 {
            match tokio::time::timeout(Duration::from_secs(10), events.recv())
                .await
                .unwrap()
                .unwrap()
            {
                SimEvent::Infected {
                    infection, strength, ..
                } => story.push((infection, strength)),
                other => panic!("nobody acts here: {other}"),
            }
        }
        assert_eq!(simulation.summary().ill, 6, "each agent once");
        stories.push(story);
    }
    assert_eq!(stories[0], stories[1]);
}

/// Guarantees: settings that cannot be are refused with their value.
#[tokio::test]
async fn settings_are_checked() {
    for config in [
        Config { agents: 0, ..quick() },
        Config {
            pace: f64::NAN,
            ..quick()
        },
        Config {
            types: vec![],
            ..quick()
        },
        Config {
            infect_every: Some(Duration::ZERO),
            ..quick()
        },
    ] {
        assert!(immune_simulator::Simulator::start(config).await.is_err());
    }
}
