//! Every gRPC method is tried, as a stranger and as each role.

use super::fake::{Fake, Replica};
use immune_runtime::access::{RoleName, RoleToken, calls};
use immune_runtime::config::Secret;
use immune_runtime::grpc::code_word;
use immune_runtime::grpc::server::{ServerSecurity, Strangers};
use prost::Message;
use std::time::Duration;
use tonic::{Code, Request, Status};

/// How long a call may take that is not refused.
const PATIENCE: Duration = Duration::from_millis(500);

const SECRET: &str = "the token of the roles of this machine";

/// The methods of every contract, as `/service/method`.
fn methods() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(immune_proto::DESCRIPTORS).unwrap();
    let mut paths = Vec::new();
    for file in &set.file {
        for service in file
            .service
            .iter()
            .filter(|_| file.package().starts_with("immune."))
        {
            for method in &service.method {
                paths.push(format!(
                    "/{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    paths
}

/// Calls a method by its path with an empty message; why it was refused, in words of the door.
async fn call(replica: &Replica, path: &str, identity: Option<RoleName>) -> Status {
    let address = format!("http://{}", replica.address);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    let mut request = Request::new(());
    if let Some(role) = identity {
        request
            .metadata_mut()
            .insert("x-immune-token", SECRET.parse().unwrap());
        request
            .metadata_mut()
            .insert("x-immune-roles", role.as_str().parse().unwrap());
    }
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = http::uri::PathAndQuery::try_from(path).unwrap();
    // A stream that goes on has let the caller in.
    match tokio::time::timeout(PATIENCE, grpc.unary(request, path, codec)).await {
        Ok(Ok(_)) | Err(_) => Status::ok(""),
        Ok(Err(status)) => status,
    }
}

/// Scenario: every method of every contract, over a socket, as a stranger while callers are told apart, and as each
/// role.
/// Guarantees: the stranger gets nowhere but to health; a role gets where the table says so and nowhere else. A method
/// that is not in the table is closed to all of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_tried() {
    let replica = Replica::start_at(([127, 0, 0, 1], 0).into(), Fake::new(), |_| {
        ServerSecurity::Loopback {
            token: Some(RoleToken::new(&Secret::new(SECRET))),
            strangers: Strangers::when(|| false),
        }
    });
    let all = methods();
    assert!(all.len() > 30, "the contracts were read");
    let new = "/immune.v1.QuarantineService/NewMethod".to_owned();
    for path in all.iter().chain([&new]) {
        let stranger = call(&replica, path, None).await;
        assert_eq!(
            (stranger.code(), code_word(&stranger)),
            (Code::Unauthenticated, Some("access.stranger")),
            "{path}"
        );
        for role in RoleName::ALL {
            let status = call(&replica, path, Some(role)).await;
            let is_refused = code_word(&status) == Some("access.role");
            let may = calls::callers(path).is_some_and(|callers| callers.contains(&role));
            assert_eq!(is_refused, !may, "{role} calls {path}: {status}");
        }
    }
    let health = call(&replica, "/grpc.health.v1.Health/Check", None).await;
    assert_ne!(health.code(), Code::Unauthenticated, "{health}");
}
