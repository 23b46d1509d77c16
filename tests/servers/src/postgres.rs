//! PostgreSQL.

use crate::guard::Folder;
use crate::port::free_port;
use crate::server::{Server, faces};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The superuser of every test server, and its password.
const USER: &str = "immune";
const PASSWORD: &str = "not-a-secret";

/// A PostgreSQL server, the newest of the installed ones.
pub struct Postgres {
    server: Arc<Server>,
    port: u16,
    programs: PathBuf,
    databases: AtomicU32,
}

faces!(Postgres, "INT");

impl Postgres {
    /// Starts a server that does not wait for the disk: what it acknowledged survives its own death, not a power
    /// cut, and tests are several times as fast.
    pub async fn start() -> Self {
        Postgres::start_with(&["fsync=off", "full_page_writes=off"]).await
    }

    /// Starts a server with settings of `postgresql.conf`.
    pub async fn start_with(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let make = move || {
            let postgres = Postgres::make(&settings);
            postgres.server.start();
            postgres
        };
        tokio::task::spawn_blocking(make)
            .await
            .expect("PostgreSQL starts")
    }

    fn make(settings: &[String]) -> Self {
        let programs = programs();
        let folder = Folder::new("postgres");
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let as_user = as_user(folder.path());
        let mut initdb = as_user.clone();
        initdb.push(programs.join("initdb").display().to_string());
        initdb.extend(
            [
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                &format!("--username={USER}"),
                &format!("--pwfile={}", password.display()),
                &format!("--pgdata={}", data.display()),
            ]
            .map(str::to_owned),
        );
        let made = Command::new(&initdb[0])
            .args(&initdb[1..])
            .current_dir(folder.path())
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port();
        let mut arguments = as_user;
        arguments.push(programs.join("postgres").display().to_string());
        arguments.extend(["-D", &data.display().to_string()].map(str::to_owned));
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.path().display()),
            "max_connections=200".to_owned(),
        ];
        for setting in own.iter().chain(settings) {
            arguments.extend(["-c".to_owned(), setting.clone()]);
        }
        let is_ready = programs.join("pg_isready");
        let answers = move || {
            let asked = Command::new(&is_ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status();
            asked.is_ok_and(|status| status.success())
        };
        Postgres {
            server: Arc::new(Server::new("PostgreSQL", folder, arguments, answers)),
            port,
            programs,
            databases: AtomicU32::new(0),
        }
    }

    /// Makes an empty database and gives its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL as the superuser, from outside the program under test; gives what it prints, without decoration.
    pub async fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = tokio::process::Command::new(self.programs.join("psql"));
        psql.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &self.url(database),
            "-c",
            sql,
        ]);
        let ran = psql.output().await.expect("psql runs");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{sql}: {errors}");
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// A program that came with the server, such as `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }
}

/// Where the newest installed version has its programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter(|version| version.path().join("bin/postgres").exists())
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path())))
        .max_by_key(|(number, _)| *number);
    let (_, path) = newest.expect("PostgreSQL is installed: run `make servers`");
    path.join("bin")
}

/// What makes a command run as another user where this one is root, since PostgreSQL refuses to be root; the folder
/// is handed over to that user.
fn as_user(folder: &Path) -> Vec<String> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let ran = Command::new("id")
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .ok()?;
        String::from_utf8(ran.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return Vec::new();
    }
    let user = id(&["-u", "postgres"]).expect("Debian's package makes the user postgres");
    let group = id(&["-g", "postgres"]).expect("Debian's package makes the group postgres");
    for path in [folder.to_owned(), folder.join("password")] {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
    [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ]
    .map(str::to_owned)
    .to_vec()
}
