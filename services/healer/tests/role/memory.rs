use crate::world::World;
use immune_domain::case::Person;
use immune_domain::healing::Action;
use immune_proto::v1;
use immune_runtime::access::with_person;
use tonic::Code;

fn alice() -> Person {
    Person {
        subject: "alice".into(),
        via: "api_key".into(),
    }
}

fn preview(agent: &str) -> v1::PreviewPlanRequest {
    v1::PreviewPlanRequest {
        key: Some(v1::AgentKey {
            run_id: String::new(),
            agent_id: agent.into(),
        }),
        diagnosis: "prompt_drift".into(),
        ..Default::default()
    }
}

fn pin(agent: &str, action: &str, pin: &str) -> v1::PinMemoryRequest {
    v1::PinMemoryRequest {
        key: Some(v1::AgentKey {
            run_id: String::new(),
            agent_id: agent.into(),
        }),
        diagnosis: "prompt_drift".into(),
        action: action.into(),
        pin: pin.into(),
    }
}

/// Scenario: a person pins one action and forbids another, looks at the plan, and an agent falls ill.
/// Guarantees: what the preview shows is what is done; pins are in the action log under the person's name.
#[tokio::test]
async fn pins_change_what_is_done() {
    let world = World::new();
    let healer = world.healer();
    let mut client = healer.client.clone();
    client
        .pin_memory(with_person(pin("a", "clone_agent", "prefer"), &alice()))
        .await
        .unwrap();
    client
        .pin_memory(with_person(pin("a", "reset_memory", "avoid"), &alice()))
        .await
        .unwrap();
    let plan = client.preview_plan(preview("a")).await.unwrap().into_inner();
    assert_eq!(plan.steps, ["clone_agent", "rollback_prompt", "reduce_autonomy"]);
    assert_eq!(plan.skipped[0].action, "reset_memory");
    assert_eq!(plan.skipped[0].because, "a person said never to try it");
    world.platform.cured_by(Action::CloneAgent);
    world.quarantine.open("c-1", "a", 5.0);
    world.until("c-1", "healed").await;
    assert_eq!(world.platform.asked(), [Action::CloneAgent]);
    let rows = world
        .stores
        .action_log
        .recent(&"default".into(), None, 10)
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|r| r.row.kind == "memory_pinned" && r.row.actor == "alice")
    );
}

/// Scenario: a healing failed; a person reads what is remembered, forgets it, and looks at the plan again.
/// Guarantees: read as it is, and once forgotten no longer in the way; the case's own attempts still are.
#[tokio::test]
async fn memory_can_be_read_and_forgotten() {
    let world = World::new();
    world.platform.cured_by(Action::RollbackPrompt);
    world.quarantine.open("c-1", "a", 5.0);
    let healer = world.healer();
    let mut client = healer.client.clone();
    world.until("c-1", "healed").await;
    let list = v1::ListMemoriesRequest {
        agent_id: "a".into(),
        ..Default::default()
    };
    let memories = client
        .list_memories(list.clone())
        .await
        .unwrap()
        .into_inner()
        .memories;
    assert_eq!(memories.len(), 2);
    assert_eq!(
        client
            .list_memories(v1::ListMemoriesRequest::default())
            .await
            .unwrap()
            .into_inner()
            .memories,
        memories
    );
    let before = client.preview_plan(preview("a")).await.unwrap().into_inner();
    assert_eq!(
        before.steps,
        ["rollback_prompt", "reduce_autonomy", "clone_agent"]
    );
    let forget = v1::ForgetMemoryRequest {
        key: Some(v1::AgentKey {
            run_id: String::new(),
            agent_id: "a".into(),
        }),
        diagnosis: "prompt_drift".into(),
        action: String::new(),
    };
    let forgotten = client
        .forget_memory(with_person(forget, &alice()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(forgotten.forgotten, 2);
    let after = client.preview_plan(preview("a")).await.unwrap().into_inner();
    assert_eq!(
        after.steps,
        [
            "reset_memory",
            "rollback_prompt",
            "reduce_autonomy",
            "clone_agent"
        ]
    );
    let of_case = v1::PreviewPlanRequest {
        case_id: "c-1".into(),
        ..Default::default()
    };
    let of_case = client.preview_plan(of_case).await.unwrap().into_inner();
    assert_eq!(of_case.skipped[0].action, "reset_memory");
    let healings = v1::ListHealingsRequest {
        case_id: "c-1".into(),
        ..Default::default()
    };
    assert_eq!(
        client
            .list_healings(healings)
            .await
            .unwrap()
            .into_inner()
            .healings
            .len(),
        2
    );
    let totals = client
        .get_healing_totals(v1::GetHealingTotalsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((totals.succeeded, totals.failed), (1, 1));
}

/// Scenario: nobody is verified; words that are none; a case that does not exist.
/// Guarantees: refused, each by name, and nothing is changed.
#[tokio::test]
async fn what_is_refused() {
    let world = World::new();
    let healer = world.healer();
    let mut client = healer.client.clone();
    let nobody = client
        .pin_memory(pin("a", "clone_agent", "prefer"))
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    for (request, field) in [
        (pin("a", "pray", "prefer"), "action: "),
        (pin("a", "clone_agent", "maybe"), "pin: "),
        (pin("", "clone_agent", "prefer"), "key.agent_id: "),
    ] {
        let refused = client
            .pin_memory(with_person(request, &alice()))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(field), "{}", refused.message());
    }
    let unknown = v1::PreviewPlanRequest {
        case_id: "none".into(),
        ..Default::default()
    };
    assert_eq!(
        client.preview_plan(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    assert!(
        world
            .stores
            .action_log
            .recent(&"default".into(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}
