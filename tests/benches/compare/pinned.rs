//! Servers on one core and everything else on the other, and what the servers' processes have used.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;

/// Clock ticks of `/proc`: Linux tells user time in hundredths of a second, whatever the machine.
const TICKS: f64 = 100.0;

/// The core of the servers, and that of the load.
const CORES: [&str; 2] = ["0", "1"];

/// Moves this process, all its threads and all children to come onto one core.
fn move_to(core: &str) {
    let moved = Command::new("taskset")
        .args(["-acp", core, &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status();
    assert!(
        moved.is_ok_and(|moved| moved.success()),
        "taskset is there, and two cores are: this bench needs both"
    );
}

/// Makes what is started within run on the servers' core; the caller goes on on the other.
pub fn on_server_core<T>(start: impl FnOnce() -> T) -> T {
    move_to(CORES[0]);
    let started = start();
    move_to(CORES[1]);
    started
}

/// Lets this process and its children to come use every core again.
pub fn anywhere() {
    move_to(&CORES.join(","));
}

/// A program on the servers' core; killed when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts a program and waits until its port is open.
    pub async fn start(program: &Path, arguments: &[String], port: u16) -> Self {
        let child = on_server_core(|| {
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        });
        let child = child.unwrap_or_else(|error| panic!("{} starts: {error}", program.display()));
        immune_tests::wait_for("a server listens", Duration::from_secs(30), || async {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Server { child, port }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time that processes and their descendants have used, those that have ended included; seconds.
pub fn cpu_seconds(ids: &[u32]) -> f64 {
    let processes: Vec<(u32, u32, f64)> = std::fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut family = ids.to_vec();
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(processes.iter().filter(|(_, of, _)| *of == parent).map(|(id, ..)| *id));
        at += 1;
    }
    processes
        .iter()
        .filter(|(id, ..)| family.contains(id))
        .map(|(.., seconds)| seconds)
        .sum()
}

/// A process, its parent, and what it and those children used that it has waited for.
fn stat(id: u32) -> Option<(u32, u32, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<f64>().unwrap_or(0.0));
    Some((id, fields.get(1)?.parse().ok()?, ticks.sum::<f64>() / TICKS))
}
