//! Who is let in without certificates: strangers on this machine, and roles with the token.

use super::fake::{Fake, Replica, client, connected, get, quick, reset, secured};
use immune_domain::case::Person;
use immune_proto::v1;
use immune_runtime::access::{Origin, RoleName, RoleToken, Roles, with_person};
use immune_runtime::config::Secret;
use immune_runtime::grpc::server::{self, ServerSecurity, Strangers};
use immune_runtime::grpc::{ClientSecurity, Peers, code_word};
use immune_runtime::metrics::Metrics;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;

const SECRET: &str = "the token of the roles of this machine";

fn guarded() -> Replica {
    Replica::start_at(([127, 0, 0, 1], 0).into(), Fake::new(), |_| {
        ServerSecurity::Loopback {
            token: Some(RoleToken::new(&Secret::new(SECRET))),
            strangers: Strangers::welcome(),
        }
    })
}

async fn as_role(replica: &Replica, token: &str, me: impl Into<Roles>) -> Peers {
    let security = ClientSecurity::Token {
        token: Secret::new(token),
        me: me.into(),
    };
    secured(&[replica], &quick(), security)
}

async fn with_identity(peers: &Peers) {
    let alice = Person {
        subject: "alice".to_owned(),
        via: "oidc".to_owned(),
    };
    let request = with_person(v1::GetProfileRequest::default(), &alice);
    client(peers).get_profile(request).await.unwrap();
}

/// Scenario: a program on the machine, a role and the dashboard, all of which say that alice is calling.
/// Guarantees: only the dashboard is believed; what the others say never reaches the service, and neither does the
/// token.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_believed_only_from_the_dashboard() {
    let replica = guarded();
    let seen = || replica.fake.seen();

    let stranger = secured(&[&replica], &quick(), ClientSecurity::Stranger);
    with_identity(&stranger).await;
    assert_eq!(seen().origin, Some(Origin::Loopback));
    assert_eq!(seen().subject_metadata, None);
    assert_eq!(seen().person.as_deref(), Some("loopback"));

    let sentinel = as_role(&replica, SECRET, RoleName::Sentinel).await;
    with_identity(&sentinel).await;
    assert_eq!(seen().origin, Some(Origin::Role(RoleName::Sentinel.into())));
    assert_eq!((seen().subject_metadata, seen().person), (None, None));

    let dashboard = as_role(&replica, SECRET, RoleName::Dashboard).await;
    with_identity(&dashboard).await;
    assert_eq!(seen().origin, Some(Origin::Role(RoleName::Dashboard.into())));
    assert_eq!(seen().person.as_deref(), Some("alice"));
    assert!(!seen().token_metadata);
}

/// Scenario: ingestion calls what only the dashboard may; a role comes with a wrong token.
/// Guarantees: PERMISSION_DENIED that names both; UNAUTHENTICATED, not the rights of a stranger. Neither reaches the
/// service.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused_by_name() {
    let replica = guarded();
    let ingestion = as_role(&replica, SECRET, RoleName::Ingestion).await;
    connected(&ingestion, 1).await;
    let status = reset(&client(&ingestion)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(code_word(&status), Some("access.role"));
    assert_eq!(
        status.message(),
        "role ingestion may not call immune.v1.BaselineService/ResetProfile"
    );

    let wrong = as_role(&replica, "another token, of another day", RoleName::Dashboard).await;
    let status = reset(&client(&wrong)).await.unwrap_err();
    assert_eq!(
        (status.code(), code_word(&status)),
        (Code::Unauthenticated, Some("access.token"))
    );
    assert_eq!(replica.fake.calls(), 0);

    let both = Roles::from(RoleName::Ingestion).with(RoleName::Dashboard);
    reset(&client(&as_role(&replica, SECRET, both).await))
        .await
        .unwrap();
    get(&client(&as_role(&replica, SECRET, RoleName::Sentinel).await))
        .await
        .unwrap();
}

/// Scenario: ingestion calls what only the dashboard may, and somebody comes with a wrong token, while one listens to
/// refused calls.
/// Guarantees: the listener is told who called what and why it was refused; a second listener hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_are_told() {
    let (tell, hear) = oneshot::channel();
    let replica = Replica::start_at(([127, 0, 0, 1], 0).into(), Fake::new(), |metrics| {
        let _ = tell.send((metrics.refused_calls(), metrics.refused_calls()));
        ServerSecurity::Loopback {
            token: Some(RoleToken::new(&Secret::new(SECRET))),
            strangers: Strangers::welcome(),
        }
    });
    let (mut told, mut second) = hear.await.unwrap();
    let mut next = async || {
        timeout(Duration::from_secs(10), told.recv())
            .await
            .unwrap()
            .unwrap()
    };
    let ingestion = as_role(&replica, SECRET, RoleName::Ingestion).await;
    connected(&ingestion, 1).await;
    reset(&client(&ingestion)).await.unwrap_err();
    let call = next().await;
    let method = "immune.v1.BaselineService/ResetProfile";
    assert_eq!(
        (call.caller.as_str(), call.method.as_str(), call.because),
        ("role ingestion", method, "role")
    );
    // With a wrong token the first question, whether the other is well, is refused already.
    let wrong = as_role(
        &replica,
        "not the token of this machine, surely",
        RoleName::Dashboard,
    )
    .await;
    reset(&client(&wrong)).await.unwrap_err();
    let call = next().await;
    assert_eq!((call.caller.as_str(), call.because), ("unknown", "token"));
    assert!(second.recv().await.is_none());
}

/// Scenario: a listener on every address of the machine, without certificates.
/// Guarantees: it is not served.
#[tokio::test]
async fn strangers_are_on_this_machine_only() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let routes = tonic::service::Routes::default();
    let security = ServerSecurity::Loopback {
        token: Some(RoleToken::new(&Secret::new(SECRET))),
        strangers: Strangers::welcome(),
    };
    let stop = CancellationToken::new();
    let error = server::serve(routes, listener, security, &Metrics::default(), stop)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("needs mutual TLS"), "{error}");
}
