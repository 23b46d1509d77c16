//! The real binary as a child process.

use crate::api::Api;
use crate::wait_for;
use immune_test_servers::{free_port, free_ports};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a start may take on a loaded machine.
const START_MAX: Duration = Duration::from_secs(30);

/// A server of its own files and ports; killed when dropped.
pub struct Process {
    child: Option<Child>,
    directory: tempfile::TempDir,
    /// REST.
    pub rest: u16,
    /// OTLP over gRPC.
    pub otlp_grpc: u16,
    /// OTLP over HTTP.
    pub otlp_http: u16,
    /// `/metrics`.
    pub metrics: u16,
    /// First of the six gRPC ports.
    pub grpc: u16,
}

/// The binary, which `make test` builds before the tests run.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    // Tests are in target/PROFILE/deps, programs in target/PROFILE.
    let binary = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("immune"))
        .find(|binary| binary.is_file());
    binary.unwrap_or_else(|| {
        panic!(
            "the binary immune is missing beside {}: run `make build` first",
            program.display()
        )
    })
}

impl Process {
    /// Starts a server with a configuration over the harness's own (which sets ports and files), and waits until
    /// it is healthy.
    pub async fn start(config: Value) -> Self {
        let mut process = Process::prepare();
        process.configure(config);
        process.restart().await;
        process
    }

    /// Chooses ports and a directory, and starts nothing.
    pub fn prepare() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let [rest, otlp_grpc, otlp_http, metrics] = std::array::from_fn(|_| free_port());
        Process {
            child: None,
            directory,
            rest,
            otlp_grpc,
            otlp_http,
            metrics,
            grpc: free_ports(6),
        }
    }

    /// Writes the configuration file: the harness's ports and files, and `over` on top.
    pub fn configure(&self, over: Value) {
        let mut whole = json!({
            "store": { "url": format!("sqlite:{}", self.directory.path().join("immune.db").display()) },
            "grpc": { "first_port": self.grpc },
            "metrics": { "listen": format!("127.0.0.1:{}", self.metrics) },
            "dashboard": { "listen": format!("127.0.0.1:{}", self.rest) },
            "ingestion": {
                "grpc_listen": format!("127.0.0.1:{}", self.otlp_grpc),
                "http_listen": format!("127.0.0.1:{}", self.otlp_http),
            },
        });
        merge(&mut whole, over);
        // JSON is YAML.
        std::fs::write(self.file(), whole.to_string()).expect("the file can be written");
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("immune.yaml")
    }

    /// A client for its REST.
    pub fn api(&self) -> Api {
        Api::new(format!("http://127.0.0.1:{}", self.rest))
    }

    /// Starts the binary on the same files and ports, and waits until it is healthy.
    pub async fn restart(&mut self) {
        self.spawn();
        let api = self.api();
        let log = self.log();
        wait_for(
            &format!("server is healthy; its log: {}", log.display()),
            START_MAX,
            || async { api.is_healthy().await.then_some(()) },
        )
        .await;
    }

    /// Starts the binary without waiting.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log can be opened");
        let mut command = Command::new(binary());
        // Settings of whoever runs the tests are not the server's.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("IMMUNE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["serve", "--config"])
            .arg(self.file())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .expect("the binary can be started");
        self.child = Some(child);
    }

    /// Its output so far.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL: no drain, no flush.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child can be awaited");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- last lines of the server's log");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Puts every field of `over` into `base`, objects field by field.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
