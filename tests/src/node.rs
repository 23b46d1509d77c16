//! One process of a cluster: the real binary with some of the roles.

use crate::process::{binary, merge};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The roles, in the order of their ports.
pub const ROLES: [&str; 6] = [
    "ingestion",
    "baseline",
    "sentinel",
    "quarantine",
    "healer",
    "dashboard",
];

/// A process with one role; killed when dropped.
pub struct Node {
    /// Which role.
    pub role: &'static str,
    /// Which of its replicas, from 0.
    pub replica: usize,
    /// Port of its gRPC.
    pub grpc: u16,
    /// Port of `/metrics`, `/livez` and `/readyz`.
    pub metrics: u16,
    /// Port of REST, with the role dashboard.
    pub rest: u16,
    /// Ports of OTLP over gRPC and HTTP, with the role ingestion.
    pub otlp: (u16, u16),
    folder: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// Chooses ports, and starts nothing.
    pub fn prepare(role: &'static str, replica: usize, folder: &Path) -> Self {
        let folder = folder.join(format!("{role}-{replica}"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let port = immune_test_servers::free_port;
        Node {
            role,
            replica,
            grpc: port(),
            metrics: port(),
            rest: port(),
            otlp: (port(), port()),
            folder,
            child: None,
        }
    }

    /// Where its gRPC is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// Writes its configuration: its role and ports, what the cluster shares, and `over` on top.
    pub fn configure(&self, shared: &Value, over: &Value) {
        let place = ROLES
            .iter()
            .position(|role| *role == self.role)
            .expect("a role is one of six");
        let mut whole = json!({
            "roles": [self.role],
            "grpc": { "first_port": self.grpc - place as u16 },
            "metrics": { "listen": format!("127.0.0.1:{}", self.metrics) },
            "dashboard": { "listen": format!("127.0.0.1:{}", self.rest) },
            "ingestion": {
                "grpc_listen": format!("127.0.0.1:{}", self.otlp.0),
                "http_listen": format!("127.0.0.1:{}", self.otlp.1),
            },
        });
        merge(&mut whole, shared.clone());
        if self.role == "ingestion" && shared.get("influx").is_some() {
            let spill = self.folder.join("spill").display().to_string();
            merge(&mut whole, json!({ "influx": { "spill_dir": spill } }));
        }
        merge(&mut whole, over.clone());
        // JSON is YAML.
        std::fs::write(self.file(), whole.to_string()).expect("the file can be written");
    }

    /// Its configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("immune.yaml")
    }

    /// Its output.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Whether it was started and has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// Starts it, without waiting.
    pub fn start(&mut self) {
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
            .current_dir(&self.folder)
            // Ctrl-C is for the harness, which then ends its processes in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the binary can be started"));
    }

    /// SIGKILL: no drain, no flush.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already, which is what was asked for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends SIGTERM; [`Node::ended`] says when it has drained.
    pub fn terminate(&self) {
        if let Some(child) = &self.child {
            let _ = Command::new("kill")
                .args(["-TERM", &child.id().to_string()])
                .status();
        }
    }

    /// Its exit status, once it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status.code().unwrap_or(-1))
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib * 1_024)
    }

    /// Processor time used, seconds.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.as_ref()?.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        // Linux tells user time in hundredths of a second, whatever the machine.
        Some(ticks / 100.0)
    }

    /// The last lines of its output.
    pub fn tail(&self, lines: usize) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- last lines of {} {}\n{}",
                self.role,
                self.replica,
                self.tail(25)
            );
        }
    }
}
