//! Redis.

use crate::guard::Folder;
use crate::port::free_port;
use crate::server::{Server, faces};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A Redis server that keeps an append-only file.
pub struct Redis {
    server: Arc<Server>,
    port: u16,
}

faces!(Redis, "TERM");

impl Redis {
    /// Starts a server whose writes are in the file before they are acknowledged.
    pub async fn start() -> Self {
        Redis::start_with(&["--appendonly", "yes", "--appendfsync", "no"]).await
    }

    /// Starts a server with options of `redis.conf`, as on its command line.
    pub async fn start_with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let make = move || {
            let redis = Redis::make(&options);
            redis.server.start();
            redis
        };
        tokio::task::spawn_blocking(make).await.expect("Redis starts")
    }

    fn make(options: &[String]) -> Self {
        let folder = Folder::new("redis");
        let port = free_port();
        let directory = folder.path().display().to_string();
        let mut arguments: Vec<String> = [
            "redis-server",
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--dir",
            &directory,
            "--save",
            "",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(options.iter().cloned());
        Redis {
            server: Arc::new(Server::new("Redis", folder, arguments, move || pings(port))),
            port,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }
}

/// Whether it answers and has loaded its data.
fn pings(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        // A sentinel says it too; a cluster node or a replica that is loading says -LOADING.
        Ok(answer.starts_with(b"+PONG"))
    };
    ask().unwrap_or(false)
}
