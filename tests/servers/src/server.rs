//! What the three servers have in common: started until they answer, stopped, killed, started again.

use crate::guard::{Folder, Run};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to answer, or to end.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A server in its folder.
pub(crate) struct Server {
    name: &'static str,
    arguments: Vec<String>,
    answers: Box<dyn Fn() -> bool + Send + Sync>,
    run: Mutex<Option<Run>>,
    folder: Folder,
}

impl Server {
    /// Names the program; nothing runs yet.
    pub(crate) fn new(
        name: &'static str,
        folder: Folder,
        arguments: Vec<String>,
        answers: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Server {
            name,
            arguments,
            answers: Box::new(answers),
            run: Mutex::new(None),
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Starts it and waits until it answers. A start that ends by itself is tried again: the port may have been
    /// taken, or what a killed run left behind may still be ending.
    pub(crate) fn start(&self) {
        let mut current = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(current.is_none(), "{} runs already", self.name);
        let deadline = Instant::now() + DEADLINE;
        loop {
            let run = Run::start(&self.arguments, &self.log());
            loop {
                if (self.answers)() {
                    *current = Some(run);
                    return;
                }
                if run.ended().is_some() {
                    break;
                }
                self.in_time(deadline);
                std::thread::sleep(LOOK_AGAIN);
            }
            self.in_time(deadline);
            std::thread::sleep(LOOK_AGAIN * 10);
        }
    }

    fn in_time(&self, deadline: Instant) {
        let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
        assert!(
            Instant::now() < deadline,
            "{} does not answer; its log:\n{}",
            self.name,
            log()
        );
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(&self, signal: &str) {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).take();
        let run = run.unwrap_or_else(|| panic!("{} does not run", self.name));
        run.signal(signal);
        run.wait(DEADLINE);
    }

    /// Sends a signal and lets it run on: `STOP` freezes it, `CONT` lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        run.as_ref()
            .unwrap_or_else(|| panic!("{} does not run", self.name))
            .signal(signal);
    }
}

/// The faces that every server has.
macro_rules! faces {
    ($server:ident, $stop:literal) => {
        impl $server {
            /// One server for the whole test process.
            pub async fn shared() -> &'static Self {
                static SHARED: tokio::sync::OnceCell<$server> = tokio::sync::OnceCell::const_new();
                SHARED.get_or_init($server::start).await
            }

            /// Ends it as an operator would.
            pub async fn stop(&self) {
                self.blocking(|server| server.end($stop)).await;
            }

            /// Ends it as a power cut would.
            pub async fn kill(&self) {
                self.blocking(|server| server.end("KILL")).await;
            }

            /// Starts it again, with the data and on the port that it had.
            pub async fn start_again(&self) {
                self.blocking($crate::server::Server::start).await;
            }

            /// Lets it hang: connections stay, nothing answers.
            pub async fn freeze(&self) {
                self.blocking(|server| server.signal("STOP")).await;
            }

            /// Lets it go on.
            pub async fn thaw(&self) {
                self.blocking(|server| server.signal("CONT")).await;
            }

            /// Where it listens.
            pub fn port(&self) -> u16 {
                self.port
            }

            async fn blocking(&self, work: impl FnOnce(&$crate::server::Server) + Send + 'static) {
                let server = self.server.clone();
                tokio::task::spawn_blocking(move || work(&server))
                    .await
                    .unwrap();
            }
        }
    };
}
pub(crate) use faces;
