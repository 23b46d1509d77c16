//! The guards: shells that outlive nothing.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Starts the server, says its process id, says when it has ended; kills it when the pipe closes.
const SERVER: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null >>"$LOG" 2>&1 &
pid=$!
(cat <&3 >/dev/null; kill -KILL $pid 2>/dev/null) >/dev/null 2>&1 &
echo $pid
wait $pid
echo "ended with $?"
"#;

/// Removes the folder when the pipe closes, once the servers in it have had time to be killed.
const FOLDER: &str = r#"cat >/dev/null; sleep 1; umount -l "$1/disk" 2>/dev/null; rm -rf "$1""#;

/// One run of a server.
pub(crate) struct Run {
    shell: Child,
    pid: u32,
    ended: mpsc::Receiver<String>,
}

impl Run {
    /// Starts a program with its arguments; what it prints goes to the end of `log`.
    pub(crate) fn start(arguments: &[String], log: &Path) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SERVER, "guard"])
            .args(arguments)
            .env("LOG", log)
            // Ctrl-C is for whoever started it, who may still need the server for a moment.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A shell that tells of a job that was killed.
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let mut lines = BufReader::new(shell.stdout.take().expect("was piped")).lines();
        let pid = lines.next().expect("the guard says a process id").unwrap();
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || {
            if let Some(Ok(line)) = lines.next() {
                // Nobody waiting is no error.
                let _ = sender.send(line);
            }
        });
        Run {
            shell,
            pid: pid.trim().parse().expect("a process id is a number"),
            ended,
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.try_recv().ok()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid.to_string()])
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok(), "kill cannot be run");
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self, at_most: Duration) {
        self.ended
            .recv_timeout(at_most)
            .unwrap_or_else(|_| panic!("process {} did not end within {at_most:?}", self.pid));
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A temporary folder that goes with the process.
pub(crate) struct Folder {
    path: std::path::PathBuf,
    shell: Child,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("immune-{name}-"))
            .tempdir()
            .expect("a temporary folder can be made");
        let path = folder.keep();
        let shell = Command::new("sh")
            .args(["-c", FOLDER, "guard"])
            .arg(&path)
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh starts");
        Folder { path, shell }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `disk` in it, a file system of its own of that size where this process may mount one; whether it may.
    pub(crate) fn mount(&self, mebibytes: u32) -> bool {
        let disk = self.path.join("disk");
        std::fs::create_dir(&disk).expect("a folder can be made");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&disk)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Not waited for: the guard lives a second longer than the servers.
    }
}
