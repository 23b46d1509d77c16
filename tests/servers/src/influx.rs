//! InfluxDB 1.x.

use crate::guard::Folder;
use crate::port::free_port;
use crate::server::{Server, faces};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The user of every test server, and its password.
const USER: &str = "immune";
const PASSWORD: &str = "not-a-secret";

/// What is gathered before a file is written. With the default of 25 MB a kill in the middle of a write may lose
/// acknowledged points of 1.6.7 at a later restart.
const SNAPSHOT: &str = "64k";

/// An InfluxDB server that asks for a user and a password.
pub struct Influx {
    server: Arc<Server>,
    port: u16,
    has_disk: bool,
}

faces!(Influx, "TERM");

impl Influx {
    /// Starts a server with one administrator.
    pub async fn start() -> Self {
        Influx::start_with(None, SNAPSHOT).await
    }

    /// Starts a server that gathers as much as it does by default before it writes a file: for measurements.
    pub async fn start_as_shipped() -> Self {
        Influx::start_with(None, "25m").await
    }

    /// Starts a server whose data are on a disk of their own of that size, which [`Influx::fill_disk`] fills. Where
    /// this process may not mount one they are where they always are: [`Influx::has_disk`].
    pub async fn start_on_disk(mebibytes: u32) -> Self {
        Influx::start_with(Some(mebibytes), SNAPSHOT).await
    }

    async fn start_with(disk: Option<u32>, snapshot: &'static str) -> Self {
        let make = move || {
            let influx = Influx::make(disk, snapshot);
            influx.server.start();
            influx.query(&format!(
                "CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES"
            ));
            influx
        };
        tokio::task::spawn_blocking(make).await.expect("InfluxDB starts")
    }

    fn make(disk: Option<u32>, snapshot: &str) -> Self {
        let folder = Folder::new("influx");
        let has_disk = disk.is_some_and(|mebibytes| folder.mount(mebibytes));
        let (port, backup) = (free_port(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let on_disk = |name: &str| {
            if has_disk {
                path(&format!("disk/{name}"))
            } else {
                path(name)
            }
        };
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup}\"\n\
             [meta]\ndir = {meta:?}\nlogging-enabled = false\n\
             [data]\ndir = {data:?}\nwal-dir = {wal:?}\nquery-log-enabled = false\n\
             cache-snapshot-memory-size = \"{snapshot}\"\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nauth-enabled = true\nlog-enabled = false\n",
            meta = path("meta"),
            data = on_disk("data"),
            wal = on_disk("wal"),
        );
        std::fs::write(folder.path().join("influxdb.conf"), config).unwrap();
        let arguments = ["influxd", "run", "-config", &path("influxdb.conf")]
            .map(str::to_owned)
            .to_vec();
        let answers =
            move || http(port, "GET /ping HTTP/1.0\r\n\r\n").is_ok_and(|answer| answer.contains(" 204 "));
        Influx {
            server: Arc::new(Server::new("InfluxDB", folder, arguments, answers)),
            port,
            has_disk,
        }
    }

    /// Whether its data are on a disk of their own.
    pub fn has_disk(&self) -> bool {
        self.has_disk
    }

    /// Fills its disk to the last byte, or makes room again.
    pub async fn fill_disk(&self, is_full: bool) {
        assert!(
            self.has_disk,
            "only a server with a disk of its own may be filled"
        );
        let filler = self.server.folder().join("disk/filler");
        let work = move || {
            if !is_full {
                return std::fs::remove_file(filler).unwrap();
            }
            let mut file = std::fs::File::create(filler).unwrap();
            let block = vec![0; 64 * 1_024];
            while file.write_all(&block).is_ok() {}
        };
        tokio::task::spawn_blocking(work).await.unwrap();
    }

    /// Its URL, without user and password.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Who may do everything.
    pub fn user(&self) -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// Makes an empty database of a given name.
    pub async fn create_database(&self, name: &str) {
        let (port, query) = (self.port, format!("CREATE DATABASE \"{name}\""));
        tokio::task::spawn_blocking(move || post(port, &query))
            .await
            .unwrap();
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    fn query(&self, query: &str) {
        post(self.port, query);
    }
}

/// Runs a query that changes something.
fn post(port: u16, query: &str) {
    let encoded: String = query
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    let body = format!("q={encoded}");
    let request = format!(
        "POST /query?u={USER}&p={PASSWORD} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http(port, &request).expect("InfluxDB answers");
    assert!(
        answer.contains(" 200 OK") && !answer.contains("\"error\""),
        "{answer}"
    );
}

fn http(port: u16, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
