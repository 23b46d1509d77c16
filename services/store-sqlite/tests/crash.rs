//! What was acknowledged survives `kill -9`. The test starts itself as a child that writes and acknowledges on its
//! standard error, kills it at some moment, and looks into the file.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

use immune_domain::case::State;
use immune_domain::healing::Trigger;
use immune_store::cases::{CaseFilter, Opened, Saved};
use immune_store::conformance::samples::{
    agent, alongside, at, case, changed, healing, succeeded, vitals, with_outcome,
};
use immune_store_sqlite::SqliteStore;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Names the file to the child; a run without it is the parent's.
const FILE: &str = "IMMUNE_TEST_CRASH_FILE";
/// Writers of the child, each with agents of its own, so that writes are committed in groups.
const WRITERS: usize = 8;
const ROUNDS: usize = 6;
const DEADLINE: Duration = Duration::from_secs(60);

/// One step of a writer: a record, a case with a change, a healing. Each is acknowledged when it has returned.
async fn write_one(stores: &immune_store::Stores, round: &str, writer: usize, n: usize) {
    let id = format!("{round}-{writer}-{n}");
    let key = agent(&id);
    stores.vitals.append(&[vitals(&key, &id, at(1))]).await.unwrap();
    acknowledge("vitals", &id);
    let first = case(&key, &id, at(1));
    assert_eq!(
        stores
            .cases
            .open_case(&first, u32::MAX, &alongside(&first, "case_opened"))
            .await
            .unwrap(),
        Opened::New
    );
    acknowledge("opened", &id);
    let queued = State::HealQueued {
        trigger: Trigger::Auto,
        not_before: at(2),
    };
    let next = changed(&first, queued, at(2));
    assert_eq!(
        stores
            .cases
            .save_case(&next, 1, &alongside(&next, "case_decided"))
            .await
            .unwrap(),
        Saved::Done
    );
    acknowledge("saved", &id);
    let one = healing(&key, &id, at(3));
    stores.healings.begin(&one).await.unwrap();
    assert!(
        stores
            .healings
            .finish(&with_outcome(&one, succeeded(at(4))))
            .await
            .unwrap()
    );
    acknowledge("healed", &id);
}

fn acknowledge(what: &str, id: &str) {
    // One write per line: lines of several writers do not mix.
    let _ = std::io::stderr().write_all(format!("ACK {what} {id}\n").as_bytes());
}

/// Not a test of its own: what the child runs. Does nothing unless the parent names a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let round = std::env::var("IMMUNE_TEST_CRASH_ROUND").unwrap();
    let store = SqliteStore::open(PathBuf::from(path)).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (stores, round) = (store.stores(), round.clone());
        tokio::spawn(async move {
            for n in 0..100_000 {
                write_one(&stores, &round, writer, n).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

fn start_child(path: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_writes_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FILE, path)
        .env("IMMUNE_TEST_CRASH_ROUND", round.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Starts a child, kills it after so many acknowledgements, and returns all that it gave.
async fn acknowledged(path: &Path, round: usize, kill_after: usize) -> Vec<(String, String)> {
    let mut child = start_child(path, round);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut acks, mut others) = (Vec::new(), Vec::new());
    while let Some(line) = lines.next_line().await.unwrap() {
        match line.strip_prefix("ACK ").and_then(|rest| rest.split_once(' ')) {
            Some((what, id)) => acks.push((what.to_owned(), id.to_owned())),
            None => others.push(line),
        }
        if acks.len() == kill_after {
            // SIGKILL on Unix; the rest of the loop drains what was said before.
            child.start_kill().unwrap();
        }
    }
    child.wait().await.unwrap();
    assert!(acks.len() >= kill_after, "the child ended by itself: {others:?}");
    acks
}

/// Scenario: a process with eight concurrent writers is killed at different moments, six times on one file.
/// Guarantees: everything acknowledged is there; no change without its event; counts agree with records; the file
/// opens at once and SQLite finds it whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    if std::env::var_os(FILE).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("immune.db");
    for round in 0..ROUNDS {
        let acks = tokio::time::timeout(DEADLINE, acknowledged(&path, round, 37 + round * 61))
            .await
            .unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        let stores = store.stores();
        for (what, id) in &acks {
            let key = agent(id);
            let stored = stores.cases.open_case_of(&key).await.unwrap();
            match what.as_str() {
                "vitals" => assert_eq!(stores.vitals.execution_count(&key).await.unwrap(), 1, "{id}"),
                "opened" => assert!(stored.is_some(), "{id}"),
                "saved" => assert_eq!(stored.unwrap().version, 2, "{id}"),
                "healed" => {
                    let memories = stores.healings.all_memories(&key.run, 10_000).await.unwrap();
                    let memory = memories.iter().find(|memory| memory.key == key);
                    assert_eq!(memory.map(|memory| memory.successes), Some(1), "{id}");
                }
                other => panic!("acknowledged {other}"),
            }
        }
        counts_agree(&stores).await;
        store.close().await;
        integrity_is_whole(&path).await;
    }
}

/// Every change has its event and its row, and totals agree with what is there.
async fn counts_agree(stores: &immune_store::Stores) {
    let run = agent("any").run;
    let totals = stores.cases.totals(&run).await.unwrap();
    let cases = stores
        .cases
        .list(&CaseFilter {
            limit: 10_000,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(cases.len() as u64, totals.opened);
    let changes: u64 = cases.iter().map(|case| case.version).sum();
    assert_eq!(stores.cases.last_event().await.unwrap(), changes);
    assert_eq!(
        stores.cases.events_after(0, 10_000).await.unwrap().len() as u64,
        changes
    );
    assert_eq!(
        stores.action_log.recent(&run, None, 10_000).await.unwrap().len() as u64,
        changes
    );
    let agents = stores.vitals.agents(&run, None, 10_000).await.unwrap();
    let executions: u64 = agents.iter().map(|agent| agent.executions).sum();
    assert_eq!(stores.vitals.total_executions(&run).await.unwrap(), executions);
    let memories = stores.healings.all_memories(&run, 10_000).await.unwrap();
    let successes: u64 = memories.iter().map(|memory| u64::from(memory.successes)).sum();
    assert_eq!(stores.healings.totals(&run).await.unwrap().succeeded, successes);
    // A case opens as if nothing had happened.
    let probe = case(&agent("probe"), "probe", at(1));
    let answer = stores
        .cases
        .open_case(&probe, u32::MAX, &alongside(&probe, "case_opened"))
        .await
        .unwrap();
    assert!(
        matches!(answer, Opened::New | Opened::AlreadyReported(_)),
        "{answer:?}"
    );
}

async fn integrity_is_whole(path: &Path) {
    use sqlx::Connection;
    let mut conn = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    let told: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(told, ["ok"]);
    let strays = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert!(strays.is_empty());
    conn.close().await.unwrap();
}
