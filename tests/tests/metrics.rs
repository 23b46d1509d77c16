//! The list of metrics that users read, against what the process serves.

use immune_test_kubernetes::ApiServer;
use immune_tests::process::Process;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// Scenario: the `/metrics` of a running server that has everything on, and `observability/metrics.md`.
/// Guarantees: each names the metrics that the other names, so that the list can be trusted.
#[tokio::test]
async fn the_list_of_metrics_is_complete() {
    let gate = json!({ "listen": "127.0.0.1:0", "identity": [{ "header": { "name": "x-agent-id" } }] });
    let cluster = ApiServer::start().await;
    let files = Files::make(&cluster);
    let resources = json!({
        "enabled": true, "namespace": "immune", "kubeconfig": files.at("kubeconfig"),
        "webhook": {
            "listen": "127.0.0.1:0", "certificate_file": files.at("tls.crt"), "key_file": files.at("tls.key"),
            "seal_key_file": files.at("seal"), "service_account": "system:serviceaccount:immune:quarantine",
        },
    });
    let server = Process::start(json!({ "gate": gate, "resources": resources })).await;
    let client = reqwest::Client::new();
    let url = format!("http://127.0.0.1:{}/metrics", server.metrics);
    let text = client
        .get(url)
        .send()
        .await
        .expect("metrics are served")
        .text()
        .await
        .expect("text");
    let served: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../observability/metrics.md");
    let list = std::fs::read_to_string(path).expect("the list can be read");
    let listed: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .collect();
    let missing: Vec<_> = served.difference(&listed).collect();
    assert!(missing.is_empty(), "not in the list: {missing:?}");
    // A metric without samples is not served, so what is listed is looked for where its role declares it.
    let gone: Vec<_> = listed
        .difference(&served)
        .filter(|name| !is_declared(name))
        .collect();
    assert!(gone.is_empty(), "in the list and declared nowhere: {gone:?}");
}

/// What the webhook and the way to the cluster need.
struct Files(tempfile::TempDir);

impl Files {
    fn make(cluster: &ApiServer) -> Self {
        for plural in ["agentcases", "immunepolicies"] {
            let path = format!("{}/../helm/immune/crds/{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).expect("a definition");
            cluster.put(serde_norway::from_str(&text).expect("YAML"));
        }
        let files = Files(tempfile::tempdir().expect("a temporary directory can be made"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        for (name, text) in [
            ("kubeconfig", cluster.kubeconfig()),
            ("tls.crt", made.cert.pem()),
            ("tls.key", made.signing_key.serialize_pem()),
            ("seal", "k".repeat(32)),
        ] {
            std::fs::write(files.0.path().join(name), text).expect("the file can be written");
        }
        files
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Whether the room that a metric's name begins with declares it, in its `metrics.rs` or in that of a part of it:
/// `immune_bus_redis_x` is `x` of `bus-redis`, `immune_influx_x` of `store-influx`.
fn is_declared(name: &str) -> bool {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services");
    let rooms = std::fs::read_dir(rooms).expect("the rooms are there").flatten();
    rooms
        .filter_map(|room| {
            let room_name = room.file_name().to_string_lossy().replace('-', "_");
            let short = room_name.strip_prefix("store_").unwrap_or(&room_name);
            let thing = name.strip_prefix(&format!("immune_{short}_"))?;
            let parts = std::fs::read_dir(room.path().join("src")).ok()?.flatten();
            let parts = parts.map(|part| part.path().join("metrics.rs"));
            let files = std::iter::once(room.path().join("src/metrics.rs")).chain(parts);
            let source: String = files
                .filter_map(|file| std::fs::read_to_string(file).ok())
                .collect();
            Some((thing, source))
        })
        .any(|(thing, source)| {
            source.contains(&format!("\"{thing}\"")) || source.contains(&format!("\"{name}\""))
        })
}
