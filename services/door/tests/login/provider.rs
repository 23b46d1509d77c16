//! The OpenID provider of `tests/oidc`: the certified `oidc-provider`, as a process that ends with this one.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

const START_MAX: Duration = Duration::from_secs(30);

pub struct Provider {
    pub issuer: String,
    http: reqwest::Client,
    child: Child,
    /// The provider ends when this does, however this process ends.
    _life: Option<ChildStdin>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oidc")
}

/// Whether `make tools` has fetched the provider. A test without it says so, and fails where nothing may be skipped.
pub fn is_installed() -> bool {
    let is_there = folder().join("node_modules/oidc-provider").is_dir();
    if !is_there {
        let message = "SKIPPED: there is no OpenID provider in tests/oidc/node_modules; run `make tools`";
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("{message}");
    }
    is_there
}

impl Provider {
    pub async fn start() -> Self {
        Provider::on(0).await
    }

    /// Starts on a port; 0: any.
    pub async fn on(port: u16) -> Self {
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .arg(port.to_string())
            .current_dir(folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let life = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = tokio::time::timeout(START_MAX, lines.next_line())
            .await
            .expect("the provider starts in time");
        let said: Value = serde_json::from_str(&said.unwrap().expect("it says where it is")).unwrap();
        Provider {
            issuer: said["issuer"].as_str().unwrap().to_owned(),
            http: crate::browser::client(),
            child,
            _life: life,
        }
    }

    pub fn port(&self) -> u16 {
        self.issuer.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Changes what it does; see `provider.mjs`.
    pub async fn set(&self, changes: Value) {
        let answer = self
            .http
            .post(format!("{}/test/settings", self.issuer))
            .json(&changes)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }

    pub async fn rotate_keys(&self) {
        self.set(json!({ "rotate": true })).await;
    }

    /// Ends it, and leaves its port free.
    pub async fn stop(mut self) -> u16 {
        let port = self.port();
        self.child.kill().await.unwrap();
        port
    }
}
