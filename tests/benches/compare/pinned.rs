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

/// As [`on_server_core`], for what takes a while to start.
pub async fn started_on_server_core<T>(start: impl Future<Output = T>) -> T {
    move_to(CORES[0]);
    let started = start.await;
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

/// A process as `/proc` shows it.
struct Stat {
    id: u32,
    parent: u32,
    name: String,
    /// Processor time of it and of those children that it has waited for.
    seconds: f64,
}

/// Processor time that a process has used; seconds.
pub fn cpu_seconds(id: u32) -> f64 {
    stat(id).expect("the process runs").seconds
}

/// Processor time of all programs of a name that this process has started, itself or through others; seconds.
pub fn cpu_seconds_of(name: &str) -> f64 {
    let processes: Vec<Stat> = std::fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut family = vec![std::process::id()];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        let children = processes.iter().filter(|child| child.parent == parent);
        family.extend(children.map(|child| child.id));
        at += 1;
    }
    let named = processes
        .iter()
        .filter(|process| process.name == name && family.contains(&process.id));
    named.map(|process| process.seconds).sum()
}

fn stat(id: u32) -> Option<Stat> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything.
    let (head, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<f64>().unwrap_or(0.0));
    Some(Stat {
        id,
        parent: fields.get(1)?.parse().ok()?,
        name: head.split_once('(')?.1.to_owned(),
        seconds: ticks.sum::<f64>() / TICKS,
    })
}
