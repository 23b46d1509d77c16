//! The command line against a running server, as a person and as a program use it.

use crate::world::World;
use immune_tests::process::binary;
use immune_tests::wiring::Wiring;
use serde_json::{Value, json};
use std::process::{Command, Output};

immune_tests::in_both_wirings!(a_case_is_decided_from_the_command_line);

pub async fn immune(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .args(["--server", &world.base()])
        .env_remove("IMMUNE_API_KEY");
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the command runs to its end")
        .expect("the binary starts")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Scenario: a severe case waits; an operator looks, approves it, and approves it once more; another looks at a server
/// that is not there.
/// Guarantees: tables show the agent and the case, JSON is for programs, an approval heals and exits with 0, a second
/// one says who decided and exits with 1, and an absent server is named with what to do.
async fn a_case_is_decided_from_the_command_line(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;

    let table = immune(&world, &["get", "agents"]).await;
    assert!(
        table.status.success() && text(&table.stdout).contains(&agent),
        "{table:?}"
    );
    let waiting = immune(&world, &["get", "approvals", "-o", "json"]).await;
    let waiting: Value = serde_json::from_slice(&waiting.stdout).expect("JSON for programs");
    assert_eq!(waiting[0]["case_id"], case.as_str(), "{waiting}");

    let without_reason = immune(&world, &["approve", &case]).await;
    assert_eq!(
        without_reason.status.code(),
        Some(2),
        "a decision needs a reason: {without_reason:?}"
    );
    let approved = immune(&world, &["approve", &case, "--reason", "seen it"]).await;
    assert_eq!(approved.status.code(), Some(0), "{approved:?}");
    let again = immune(&world, &["approve", &case, "--reason", "once more"]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    world.case_in(&agent, "healed").await;
    let whole = immune(&world, &["get", "case", &case]).await;
    assert!(
        text(&whole.stdout).contains("seen it"),
        "the timeline says why: {whole:?}"
    );

    let nobody = Command::new(binary())
        .args(["get", "agents", "--server", "http://127.0.0.1:9"])
        .output();
    let nobody = nobody.expect("the binary starts");
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(text(&nobody.stderr).contains("127.0.0.1:9"), "{nobody:?}");
}
