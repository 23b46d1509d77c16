//! InfluxDB 1.x.

use crate::guard::Folder;
use crate::server::{Server, faces, free_port};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The user of every test server, and its password.
const USER: &str = "immune";
const PASSWORD: &str = "not-a-secret";

/// An InfluxDB server that asks for a user and a password.
pub struct Influx {
    server: Arc<Server>,
    port: u16,
}

faces!(Influx, "TERM");

impl Influx {
    /// Starts a server with one administrator.
    pub async fn start() -> Self {
        let make = || {
            let influx = Influx::make();
            influx.server.start();
            influx.query(&format!(
                "CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES"
            ));
            influx
        };
        tokio::task::spawn_blocking(make).await.expect("InfluxDB starts")
    }

    fn make() -> Self {
        let folder = Folder::new("influx");
        let (port, backup) = (free_port(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup}\"\n\
             [meta]\ndir = {meta:?}\nlogging-enabled = false\n\
             [data]\ndir = {data:?}\nwal-dir = {wal:?}\nquery-log-enabled = false\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nauth-enabled = true\nlog-enabled = false\n",
            meta = path("meta"),
            data = path("data"),
            wal = path("wal"),
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
        }
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
