//! The action log as people read it, and as they carry it away.

use crate::world::{World, key, ring, said, secret};
use immune_dashboard::Config;
use immune_domain::Timestamp;
use immune_runtime::access::Role;
use immune_store::action_log::{Break, Exported, Link, LogRow, Verdict, Verifier};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn append(world: &World, run: &str, kind: &str, actor: &str, at: i64, payload: Value) {
    let row = LogRow {
        run: run.into(),
        at: Timestamp::from_micros(at * 1_000_000),
        kind: kind.into(),
        agent: Some("a".into()),
        actor: actor.into(),
        outcome: if kind == "refused" { "refused" } else { "done" }.into(),
        payload,
    };
    world.stores.action_log.append(&[row]).await.unwrap();
}

fn types(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["type"].as_str().unwrap()).collect()
}

/// Scenario: rows of two people and two kinds, one refused, filtered one way and the other.
/// Guarantees: exactly those that match, each with its place in the chain; what is no filter is a mistake with its name.
#[tokio::test]
async fn rows_are_filtered() {
    let world = World::start().await;
    append(
        &world,
        "default",
        "one",
        "ada",
        10,
        json!({ "reason": "Because of Bob" }),
    )
    .await;
    append(&world, "default", "two", "bob", 20, json!({})).await;
    append(&world, "default", "refused", "bob", 30, json!({})).await;
    append(&world, "other", "one", "ada", 40, json!({})).await;
    for (query, expected) in [
        ("", vec!["refused", "two", "one"]),
        ("actor=bob", vec!["refused", "two"]),
        ("type=one,two", vec!["two", "one"]),
        ("outcome=refused", vec!["refused"]),
        ("from=20&to=30", vec!["two"]),
        ("from=0.5&text=of%20bob", vec!["one"]),
        ("agent_id=b", vec![]),
        ("actor=bob&limit=1", vec!["refused"]),
        ("actor=bob&before=3", vec!["two"]),
        ("run_id=other", vec!["one"]),
    ] {
        let rows = world.read(&format!("/api/action-log?{query}")).await;
        assert_eq!(types(&rows), expected, "{query}");
        for row in rows.as_array().unwrap() {
            assert_eq!(
                (&row["chained"], row["hash"].as_str().unwrap().len()),
                (&json!(true), 64)
            );
        }
    }
    for (query, name) in [
        ("outcome=maybe", "outcome"),
        ("from=yesterday", "from"),
        ("to=-1", "to"),
        ("before=x", "before"),
        ("agent_id=.", "agent_id"),
    ] {
        let (status, problem) = world.get(&format!("/api/action-log?{query}")).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(name)),
            "{query}"
        );
    }
    assert_eq!(
        world.get("/api/action-log/export?after=7").await.0,
        StatusCode::BAD_REQUEST
    );
}

/// Walks along exported lines as `immune verify-log --file` does.
fn walk(start: &str, lines: &str, head: &str) -> Verdict {
    let start: Link = start.parse().unwrap();
    let mut verifier = Verifier::new(start, &[head.parse().unwrap()]);
    for line in lines.lines() {
        let row = Exported::read(line).unwrap();
        let goes_on = verifier.previous(row.sequence, row.previous)
            && verifier.row(row.sequence, row.content.as_deref(), Some(row.hash));
        if !goes_on {
            break;
        }
    }
    verifier.finish()
}

async fn export(world: &World, path: &str, who: Option<&str>) -> (String, String, String) {
    let secret = who.map(secret);
    let headers: Vec<(&str, &str)> = secret.iter().map(|key| ("X-API-Key", key.as_str())).collect();
    let response = world.send(Method::GET, path, &headers, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (start, head) = (header("x-action-log-start"), header("x-action-log-head"));
    (start, response.text().await.unwrap(), head)
}

/// Scenario: more rows than one page of three runs, exported by somebody for all runs and by somebody bound to one;
/// exported again after the last link; a line is changed, one is taken out.
/// Guarantees: the lines verify with nothing else at hand; of other runs only hashes are told; what was done to a line
/// is found.
#[tokio::test]
async fn the_export_verifies() {
    let keys = ring(&[("eve", Role::Viewer, &[]), ("bob", Role::Viewer, &["blue"])]);
    let world = World::with(Config::default(), keys).await;
    for n in 0..1_200 {
        let run = ["default", "blue", "secret-run"][n % 3];
        append(
            &world,
            run,
            "k",
            "ada",
            n as i64,
            json!({ "n": n, "x": n as f64 / 3.0, "reason": format!("{run} ß\n") }),
        )
        .await;
    }
    let (start, all, head) = export(&world, "/api/action-log/export", Some("eve")).await;
    let verdict = walk(&start, &all, &head);
    assert!(
        verdict.is_intact() && (verdict.rows, verdict.hidden) == (1_200, 0),
        "{verdict:?}"
    );
    let (start, own, own_head) = export(&world, "/api/action-log/export", Some("bob")).await;
    let verdict = walk(&start, &own, &own_head);
    assert!(
        verdict.is_intact() && (verdict.rows, verdict.hidden) == (1_200, 800),
        "{verdict:?}"
    );
    assert!(!own.contains("secret-run") && own.contains("blue"));

    append(&world, "blue", "later", "ada", 1, json!({})).await;
    let (resumed, more, _) = export(
        &world,
        &format!("/api/action-log/export?after={head}"),
        Some("eve"),
    )
    .await;
    assert_eq!((resumed, more.lines().count()), (head.clone(), 1));

    let changed = all.replace("\"n\":700,", "\"n\":701,");
    let found = walk(&start, &changed, &head).broken_at;
    assert!(
        matches!(found, Some(Break::Changed { sequence: 701, .. })),
        "{found:?}"
    );
    let without: Vec<&str> = all
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 700)
        .map(|(_, line)| line)
        .collect();
    let found = walk(&start, &without.join("\n"), &head).broken_at;
    assert!(
        matches!(
            found,
            Some(Break::Missing {
                sequence: 702,
                after: 700
            })
        ),
        "{found:?}"
    );
}

/// Scenario: writes that this role carries out alone, and writes that their handlers refuse.
/// Guarantees: each is in the log under the verified name.
#[tokio::test]
async fn writes_are_on_record() {
    let keys = ring(&[
        ("olga", Role::Operator, &[]),
        ("ivan", Role::Ingest, &[]),
        ("bob", Role::Operator, &["blue"]),
    ]);
    let world = World::with(Config::default(), keys).await;
    let send = async |who: &str, path: &str, body: Value| {
        let secret = secret(who);
        said(
            world
                .send(Method::POST, path, &[("X-API-Key", &secret)], Some(body))
                .await,
        )
        .await
        .0
    };
    let approval = |decision: &str| json!({ "agent_id": "a", "decision": decision, "decided_by": "mallory" });
    assert_eq!(
        send("ivan", "/api/v1/approvals", approval("pending")).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        send("ivan", "/api/v1/approvals", approval("approved")).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        send("olga", "/api/v1/approvals", approval("approved")).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(send("olga", "/api/v1/run", json!({})).await, StatusCode::OK);
    assert_eq!(send("bob", "/api/v1/run", json!({})).await, StatusCode::FORBIDDEN);
    assert_eq!(
        send("ivan", "/api/v1/agents/register", json!({ "agent_id": "b" })).await,
        StatusCode::OK
    );
    let infected = json!({ "reason": "leaks" });
    assert_eq!(
        send("olga", "/api/agents/a/infected", infected).await,
        StatusCode::OK
    );
    let rows = world.stores.action_log.after(0, 100).await.unwrap();
    let told: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|stored| &stored.row)
        .map(|row| (row.kind.as_str(), row.actor.as_str(), row.outcome.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("request_refused", "ivan", "refused"),
            ("user_approved", "olga", "done"),
            ("run_opened", "olga", "done"),
            ("request_refused", "bob", "refused"),
            ("agent_registered", "ivan", "done"),
            ("agent_reported_infected", "olga", "done"),
        ]
    );
    assert_eq!(rows[1].row.agent, Some(key("a").agent));
}
