//! Who may send, and into which run.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod world;

use immune_door::keys::NewKey;
use immune_door::{Door, Keys, Metrics, Setup};
use immune_runtime::access::{ApiKey, Caller, KeyRing, Role};
use immune_runtime::config::Secret;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
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
        key("operator", Role::Operator, &[]),
        key("admin", Role::Admin, &[]),
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

/// The endpoints of OTLP 1.9: the path over HTTP and the method over gRPC of each signal.
const ENDPOINTS: [(&str, &str); 3] = [
    (
        "/v1/traces",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    ),
    (
        "/v1/metrics",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    ),
    (
        "/v1/logs",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    ),
];

/// Sends nothing, by gRPC.
async fn call(world: &World, path: &'static str, key: Option<&str>, run: Option<&str>) -> Status {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", world.grpc)).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    for (name, value) in [("x-api-key", key), ("x-run-id", run)] {
        if let Some(value) = value {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    match grpc.unary(request, path, codec).await {
        Ok(_) => Status::ok(""),
        Err(status) => status,
    }
}

/// Sends nothing, by HTTP.
async fn post(world: &World, path: &str, key: Option<&str>, run: Option<&str>) -> reqwest::Response {
    let mut post = world.post(path, world::PROTOBUF, Vec::new());
    for (name, value) in [("x-api-key", key), ("x-run-id", run)] {
        if let Some(value) = value {
            post = post.header(name, value);
        }
    }
    post.send().await.expect("an answer")
}

/// Scenario: every endpoint, by both protocols, below a prefix too, as a stranger, with a key of each role, and with a
/// key of another run; then a method that OTLP does not have.
/// Guarantees: only roles that may send do, each in its run; what is new is behind the same door.
#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_is_tried() {
    let world = World::of(Plan {
        keys: keys(),
        ..Plan::default()
    })
    .await;
    let callers = [
        (None, None, 401, Code::Unauthenticated),
        (Some("wrong"), None, 401, Code::Unauthenticated),
        (Some("viewer"), None, 403, Code::PermissionDenied),
        (Some("operator"), None, 403, Code::PermissionDenied),
        (Some("admin"), None, 200, Code::Ok),
        (Some("any"), None, 200, Code::Ok),
        (Some("any"), Some("theirs"), 200, Code::Ok),
        (Some("bound"), Some("theirs"), 403, Code::PermissionDenied),
        (Some("bound"), Some("mine"), 200, Code::Ok),
    ];
    for (path, method) in ENDPOINTS {
        for (name, run, status, code) in callers {
            let key = name.map(|name| format!("{name}-0123456789abcdef"));
            for path in [path.to_owned(), format!("/api/public/otel{path}")] {
                let answer = post(&world, &path, key.as_deref(), run).await;
                assert_eq!(answer.status().as_u16(), status, "{path} as {name:?} for {run:?}");
            }
            let answer = call(&world, method, key.as_deref(), run).await;
            assert_eq!(answer.code(), code, "{method} as {name:?} for {run:?}: {answer}");
        }
    }
    let new = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    let answer = call(&world, new, None, None).await;
    assert_eq!(answer.code(), Code::Unauthenticated, "{answer}");
    assert_eq!(post(&world, "/v1/profiles", None, None).await.status(), 404);
    world.stop().await;
}

/// Scenario: a process with a store of keys in which nobody has made one for telemetry; somebody makes one, then revokes
/// it.
/// Guarantees: loopback takes telemetry from everybody until then, from nobody without a key after.
#[tokio::test(flavor = "multi_thread")]
async fn stored_keys_open_and_close() {
    let setup = Setup {
        rest_is_loopback: true,
        otlp_is_loopback: true,
        has_login: false,
    };
    let stored = Keys::new(
        KeyRing::default(),
        Some(immune_store::memory::stores().access),
        Metrics::default(),
    );
    stored.refresh().await.unwrap();
    let door = Door::new(
        &immune_door::Config::default(),
        stored.clone(),
        setup,
        Metrics::default(),
    );
    let world = World::of(Plan {
        door: Some(door),
        ..Plan::default()
    })
    .await;
    let create = async |name: &str, role| {
        let new = NewKey {
            name: name.to_owned(),
            role,
            runs: Vec::new(),
            expires_at: None,
        };
        let now = immune_runtime::clock::system().now();
        stored.create(new, &Caller::loopback(), false, now).await.unwrap()
    };
    create("root", Role::Admin).await;
    let (path, method) = ENDPOINTS[0];
    assert_eq!(post(&world, path, None, None).await.status(), 200);
    assert_eq!(call(&world, method, None, None).await.code(), Code::Ok);
    let agents = create("agents", Role::Ingest).await;
    let key = agents.secret.expose();
    for (key, status, code) in [(None, 401, Code::Unauthenticated), (Some(key), 200, Code::Ok)] {
        assert_eq!(post(&world, path, key, None).await.status(), status);
        assert_eq!(call(&world, method, key, None).await.code(), code);
    }
    let now = immune_runtime::clock::system().now();
    stored
        .revoke(&agents.key.id, &Caller::loopback(), false, now)
        .await
        .unwrap();
    assert_eq!(post(&world, path, Some(key), None).await.status(), 401);
    assert_eq!(
        call(&world, method, None, None).await.code(),
        Code::Unauthenticated
    );
    world.stop().await;
}

/// Scenario: a sender on this machine tries keys while another sends with a good one; the good one never stops.
/// Guarantees: the guesser is told to come back later, in both protocols, in words that senders understand; not one
/// request of the good sender is refused or slowed.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_slows_no_telemetry() {
    let world = World::of(Plan {
        keys: keys(),
        ..Plan::default()
    })
    .await;
    let good = Some("any-0123456789abcdef");
    let (path, method) = ENDPOINTS[0];
    assert_eq!(post(&world, path, good, None).await.status(), 200);
    for n in 0..30 {
        let guess = format!("guess-{n}");
        let answer = post(&world, path, Some(&guess), None).await;
        if n < 9 {
            assert_eq!(answer.status(), 401, "{n}");
        } else {
            assert_eq!(answer.status(), 429, "{n}");
            let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=31).contains(&wait), "{wait}");
        }
        for _ in 0..10 {
            assert_eq!(post(&world, path, good, None).await.status(), 200);
        }
    }
    let refused = call(&world, method, Some("guess-99"), None).await;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let retry = refused.get_details_retry_info().expect("when to come back");
    assert!(retry.retry_delay.unwrap().as_secs() <= 30);
    assert_eq!(call(&world, method, good, None).await.code(), Code::Ok);
    world.stop().await;
}
