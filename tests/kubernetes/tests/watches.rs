//! Watches, by kube's client and by kube-runtime's watcher.

mod world;

use futures::{StreamExt, TryStreamExt};
use immune_test_kubernetes::{ApiServer, Failure, When};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, WatchEvent, WatchParams};
use kube::runtime::reflector;
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::pin::pin;
use std::time::Duration;
use world::with_deployment;

fn map(name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "agents", "labels": labels },
    })
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it comes in time")
}

/// Scenario: objects change so that they begin to fit a watch's labels, change, and no longer fit; others change too.
/// Guarantees: added, modified, deleted, in this order, and nothing about the others; and what happened between the
/// version and the beginning of the watch is told.
#[tokio::test]
async fn a_watch_tells_what_fits() {
    let server = ApiServer::start().await;
    let first = server.put(map("a", json!({})));
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "agents");
    server.put(map("a", json!({ "in": "1" })));
    let params = WatchParams::default().labels("in").disable_bookmarks();
    let version = first["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = api.watch(&params, &version).await.unwrap().boxed();
    let told = async |event: Option<Result<WatchEvent<ConfigMap>, kube::Error>>| match event.unwrap().unwrap()
    {
        WatchEvent::Added(object) => format!("added {}", object.name_any()),
        WatchEvent::Modified(object) => format!("modified {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
        WatchEvent::Bookmark(_) => "bookmark".to_owned(),
        WatchEvent::Error(status) => format!("error {}", status.code),
    };
    assert_eq!(told(within(watch.next()).await).await, "added a");
    server.put(map("b", json!({ "out": "1" })));
    server.put(map("a", json!({ "in": "2" })));
    assert_eq!(told(within(watch.next()).await).await, "modified a");
    server.put(map("a", json!({})));
    assert_eq!(told(within(watch.next()).await).await, "deleted a");
    server.put(map("c", json!({ "in": "3" })));
    assert_eq!(told(within(watch.next()).await).await, "added c");
    server.delete("ConfigMap", "agents", "c");
    assert_eq!(told(within(watch.next()).await).await, "deleted c");
    server.expire_watches();
    assert_eq!(told(within(watch.next()).await).await, "error 410");
    let mut late = api.watch(&params, &version).await.unwrap().boxed();
    assert_eq!(told(within(late.next()).await).await, "error 410");
}

/// Scenario: kube-runtime's watcher, by list and by streaming list, over a compaction and a cut connection.
/// Guarantees: it ends up with exactly the objects that are there.
#[tokio::test]
async fn the_watcher_survives_compaction() {
    for strategy in [InitialListStrategy::ListWatch, InitialListStrategy::StreamingList] {
        let (server, _) = with_deployment(2).await;
        let api: Api<Pod> = Api::namespaced(server.client(), "agents");
        let config = watcher::Config {
            initial_list_strategy: strategy.clone(),
            ..watcher::Config::default()
        };
        let (reader, writer) = reflector::store();
        let stream = reflector(writer, watcher::watcher(api, config));
        let watching = tokio::spawn(async move {
            let mut stream = pin!(stream);
            // Failures are what is tested here; the watcher goes on after them.
            while stream.next().await.is_some() {}
        });
        within(reader.wait_until_ready()).await.unwrap();
        let is_same = |server: &ApiServer| {
            let mut have: Vec<String> = reader.state().iter().map(|pod| pod.name_any()).collect();
            have.sort();
            let there = server.list("Pod", "agents");
            have == there
                .iter()
                .map(|pod| pod["metadata"]["name"].as_str().unwrap())
                .collect::<Vec<_>>()
        };
        server.until("the pods are known", is_same).await;
        let pod = server.list("Pod", "agents")[0]["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        server.expire_watches();
        server.fail_next(When::verb("watch").on("pods"), Failure::Cut);
        server.delete("Pod", "agents", &pod);
        server.until("the new pod is known", is_same).await;
        server.change("Deployment", "agents", "web", |web| {
            web["spec"]["replicas"] = json!(4)
        });
        server.until("all four are known", is_same).await;
        watching.abort();
    }
}

/// Scenario: a watcher while an object of it is deleted and another made by the client.
/// Guarantees: initial objects, then each change once.
#[tokio::test]
async fn the_watcher_tells_each_change() {
    let server = ApiServer::start().await;
    server.put(map("a", json!({})));
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "agents");
    let mut stream = watcher::watcher(api.clone(), watcher::Config::default()).boxed();
    let mut next = async || match within(stream.try_next()).await.unwrap().unwrap() {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("has {}", object.name_any()),
        Event::InitDone => "ready".to_owned(),
        Event::Apply(object) => format!("apply {}", object.name_any()),
        Event::Delete(object) => format!("delete {}", object.name_any()),
    };
    for wanted in ["init", "has a", "ready"] {
        assert_eq!(next().await, wanted);
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(next().await, "delete a");
    let made: ConfigMap = world::typed(map("b", json!({})));
    api.create(&Default::default(), &made).await.unwrap();
    assert_eq!(next().await, "apply b");
}
