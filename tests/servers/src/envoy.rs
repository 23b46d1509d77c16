//! Envoy, which `make tools` installs.

use crate::guard::Folder;
use crate::server::Server;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// An Envoy with a configuration of the test's.
pub struct Envoy {
    server: Server,
}

impl Envoy {
    /// Starts it with a configuration in YAML, and waits until it listens on a port of that; `None` (said aloud) where
    /// it is not installed.
    ///
    /// # Panics
    /// Where it is missing in CI, and where it does not come to listen; the log says why.
    pub async fn start(configuration: &str, port: u16) -> Option<Self> {
        let Some(program) = program() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "Envoy is missing in CI: run `make tools`"
            );
            eprintln!("skipped: no Envoy; run `make tools`");
            return None;
        };
        let configuration = configuration.to_owned();
        let make = move || {
            let folder = Folder::new("envoy");
            let file = folder.path().join("envoy.yaml");
            std::fs::write(&file, configuration).unwrap();
            let mut arguments = vec![program.display().to_string(), "-c".to_owned()];
            arguments.push(file.display().to_string());
            // Without shared memory, which several of them would want at the same place.
            let options = [
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                "--file-flush-interval-msec",
                "100",
            ];
            arguments.extend(options.map(str::to_owned));
            let listens = move || TcpStream::connect(("127.0.0.1", port)).is_ok();
            let server = Server::new("Envoy", folder, arguments, listens);
            server.start();
            server
        };
        let server = tokio::task::spawn_blocking(make).await.expect("Envoy starts");
        Some(Envoy { server })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.server.log()).unwrap_or_default()
    }
}

fn program() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let program = root.join("target/tools/bin/envoy");
    program.is_file().then_some(program)
}
