//! Who may send, and into which run.

mod world;

use immune_runtime::access::{ApiKey, KeyRing, Role};
use immune_runtime::config::Secret;
use tonic::{Code, Request};
use world::telemetry::execution;
use world::{Plan, World};

fn keys() -> KeyRing {
    let key = |name: &str, role: Role, runs: &[&str]| ApiKey {
        name: name.to_owned(),
        key: Some(Secret::new(format!("{name}-0123456789abcdef"))),
        key_file: None,
        role,
        runs: runs.iter().map(|run| (*run).to_owned()).collect(),
    };
    let all = [
        key("any", Role::Ingest, &[]),
        key("bound", Role::Ingest, &["mine"]),
        key("viewer", Role::Viewer, &[]),
    ];
    let mut mistakes = Vec::new();
    let ring = KeyRing::load(&all, "keys", &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    ring
}

/// Key, stated run, refusal over HTTP and gRPC, and the run that the execution lands in.
type Case<'a> = (Option<&'a str>, Option<&'a str>, Option<(u16, Code)>, &'a str);

/// Scenario: no key, an unknown one, one that may only read, one of another run, and the right ones.
/// Guarantees: 401 and 403, UNAUTHENTICATED and PERMISSION_DENIED, in both protocols alike; the right key writes to
/// its own run.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let world = World::of(Plan {
        keys: keys(),
        ..Plan::default()
    })
    .await;
    let mut client = world.traces().await;
    let any = "any-0123456789abcdef";
    let bound = "bound-0123456789abcdef";
    let cases: [Case<'_>; 8] = [
        (None, None, Some((401, Code::Unauthenticated)), ""),
        (
            Some("wrong-0123456789abcdef"),
            None,
            Some((401, Code::Unauthenticated)),
            "",
        ),
        (
            Some("viewer-0123456789abcdef"),
            None,
            Some((403, Code::PermissionDenied)),
            "",
        ),
        (
            Some(bound),
            Some("theirs"),
            Some((403, Code::PermissionDenied)),
            "",
        ),
        (Some(any), None, None, "default"),
        (Some(any), Some("theirs"), None, "theirs"),
        (Some(bound), None, None, "mine"),
        (Some(bound), Some("mine"), None, "mine"),
    ];
    for (i, (key, run, refusal, stored_in)) in cases.into_iter().enumerate() {
        for (bearer, place) in [(false, 0), (true, 1)] {
            let seed = (i * 2 + place) as u64 * 2 + 1;
            let (by_http, by_grpc) = (format!("http-{seed}"), format!("grpc-{seed}"));
            let mut post = world.post(
                "/v1/traces",
                world::PROTOBUF,
                prost::Message::encode_to_vec(&execution(&by_http, seed)),
            );
            let mut call = Request::new(execution(&by_grpc, seed + 1));
            if let Some(key) = key {
                let (name, value) = if bearer {
                    ("authorization", format!("Bearer {key}"))
                } else {
                    ("x-api-key", key.to_owned())
                };
                call.metadata_mut().insert(name, value.parse().unwrap());
                post = post.header(name, value);
            }
            if let Some(run) = run {
                post = post.header("x-run-id", run);
                call.metadata_mut().insert("x-run-id", run.parse().unwrap());
            }
            let answer = post.send().await.expect("an answer").status().as_u16();
            let called = client.export(call).await.err().map(|status| status.code());
            match refusal {
                Some((status, code)) => assert_eq!((answer, called), (status, Some(code)), "case {i}"),
                None => {
                    assert_eq!((answer, called), (200, None), "case {i}");
                    for agent in [&by_http, &by_grpc] {
                        assert_eq!(
                            world.records(stored_in, agent).await.len(),
                            1,
                            "case {i}: {agent}"
                        );
                    }
                }
            }
        }
    }
    world.stop().await;
}
