//! The conversation with one InfluxDB server, whichever generation it is.

mod login;
mod reply;

use crate::answer::{self, Series};
use crate::config::{Config, is_loopback};
use crate::trouble::{Trouble, short};
use crate::version::Version;
use flate2::Compression;
use flate2::write::GzEncoder;
use login::Login;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, Response, redirect};
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;
use url::Url;

/// A query longer than this goes into the body even where a url is what the documents show.
const URL_QUERY_BYTES_MAX: usize = 4_096;
/// Rows per document of an answer.
const CHUNK_ROWS: &str = "10000";

/// One server.
pub(crate) struct Server {
    client: Client,
    base: Url,
    login: Login,
    database: String,
    org: String,
    retention_policy: Option<String>,
    version: OnceLock<Version>,
    write_timeout: Duration,
    query_timeout: Duration,
    answer_bytes_max: usize,
}

/// Why the client could not be built; no login in it.
pub(crate) type BuildError = Box<dyn std::error::Error + Send + Sync>;

impl Server {
    pub(crate) fn new(config: &Config) -> Result<Self, BuildError> {
        // A process that has chosen its own provider keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut base = Url::parse(&config.url)?;
        // Joining replaces what follows the last slash.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs_f64(config.write_seconds.min(5.0)))
            .user_agent(concat!("immune/", env!("CARGO_PKG_VERSION")));
        if base.scheme() != "https" {
            // Without this the client would want the system's certificates even where none is ever checked.
            client = client.tls_certs_only(Vec::<Certificate>::new());
        }
        if is_loopback(&base) {
            client = client.no_proxy();
        }
        if let Some(file) = &config.ca_file {
            for certificate in Certificate::from_pem_bundle(&std::fs::read(file)?)? {
                client = client.add_root_certificate(certificate);
            }
        }
        let version = OnceLock::new();
        if let Some(known) = config.version {
            let _ = version.set(known);
        }
        Ok(Server {
            client: client.build()?,
            base,
            login: Login::of(config),
            database: config.database.clone(),
            org: config.org.clone(),
            retention_policy: config.retention_policy.clone(),
            version,
            write_timeout: Duration::from_secs_f64(config.write_seconds),
            query_timeout: Duration::from_secs_f64(config.query_seconds),
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// The name of the database, for people.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The command that makes the database, for people.
    pub(crate) fn command(&self, version: Version) -> String {
        version.command_for(
            &self.database,
            if self.org.is_empty() { "<org>" } else { &self.org },
        )
    }

    /// Whether the first write makes the database: 3.x.
    pub(crate) fn makes_databases(&self) -> bool {
        self.version.get() == Some(&Version::V3)
    }

    /// The generation of the server; asks it once.
    pub(crate) async fn version(&self) -> Result<Version, Trouble> {
        if let Some(version) = self.version.get() {
            return Ok(*version);
        }
        for path in ["ping", "health"] {
            // No generation is known yet, so the login is in the form that every generation's ping takes.
            let request = self.client.get(self.url(path)?).timeout(self.write_timeout);
            let response = send(self.login.unknown(request).await?).await?;
            let said = response.headers().get("x-influxdb-version");
            let mut found = said.and_then(|said| Version::parse(said.to_str().ok()?));
            if found.is_none() {
                let status = response.status();
                let body = self.read(response).await?;
                if matches!(status.as_u16(), 401 | 403 | 429 | 500..=599) {
                    return Err(reply::refusal(status, &body, None));
                }
                found = reply::version(&body);
            }
            if let Some(version) = found {
                // Two that ask at once find the same.
                return Ok(*self.version.get_or_init(|| version));
            }
        }
        Err(Trouble::Unready {
            why: "the server does not say its version on /ping or /health; set `version`".to_owned(),
        })
    }

    /// Writes lines of line protocol, each ended by a line break.
    pub(crate) async fn write(&self, lines: &[u8]) -> Result<(), Trouble> {
        let version = self.version().await?;
        let mut url = self.url(match version {
            Version::V1 => "write",
            Version::V2 => "api/v2/write",
            Version::V3 => "api/v3/write_lp",
        })?;
        {
            let mut query = url.query_pairs_mut();
            match version {
                Version::V1 => {
                    query.append_pair("db", &self.database);
                    if let Some(policy) = &self.retention_policy {
                        query.append_pair("rp", policy);
                    }
                    query.append_pair("precision", "ns");
                }
                Version::V2 => {
                    query.append_pair("org", &self.org);
                    query.append_pair("bucket", &self.database);
                    query.append_pair("precision", "ns");
                }
                Version::V3 => {
                    query.append_pair("db", &self.database);
                    // The default guesses the unit from the size of the number.
                    query.append_pair("precision", "nanosecond");
                    query.append_pair("accept_partial", "true");
                    query.append_pair("no_sync", "false");
                }
            }
        }
        let mut gzip = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
        let packed = gzip.write_all(lines).and_then(|()| gzip.finish());
        let packed = packed.map_err(|e| Trouble::odd(format!("cannot compress: {e}")))?;
        let request = self.client.post(url).timeout(self.write_timeout);
        let request = request
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(CONTENT_ENCODING, "gzip")
            .body(packed);
        let response = send(self.login.known(version, request).await?).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let wait = reply::retry_after(response.headers());
        let body = self.read(response).await.unwrap_or_default();
        Err(self.hinted(version, reply::refusal(status, &body, wait)))
    }

    /// Asks statements of InfluxQL in one request; the series of each.
    pub(crate) async fn query(&self, statements: &[String]) -> Result<Vec<Vec<Series>>, Trouble> {
        self.ask(statements, self.query_timeout).await
    }

    /// The same on the way to a write, which must not take longer than a write may.
    pub(crate) async fn look_up(&self, statements: &[String]) -> Result<Vec<Vec<Series>>, Trouble> {
        self.ask(statements, self.write_timeout).await
    }

    async fn ask(&self, statements: &[String], timeout: Duration) -> Result<Vec<Vec<Series>>, Trouble> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let version = self.version().await?;
        let text = statements.join(";");
        let mut form = vec![("db", self.database.as_str())];
        match (version, &self.retention_policy) {
            (Version::V1 | Version::V2, Some(policy)) => form.push(("rp", policy)),
            (Version::V1 | Version::V2, None) | (Version::V3, _) => {}
        }
        form.extend([("epoch", "ns"), ("chunked", "true"), ("chunk_size", CHUNK_ROWS)]);
        form.push(("q", &text));
        let url = self.url("query")?;
        // The documents of 2.x show questions in the url; what changes something is posted everywhere.
        let by_url =
            version == Version::V2 && text.len() <= URL_QUERY_BYTES_MAX && !text.starts_with("DELETE");
        let request = if by_url {
            self.client.get(url).query(&form)
        } else {
            let body = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&form)
                .finish();
            self.client
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body)
        };
        let request = self.login.known(version, request.timeout(timeout)).await?;
        let response = send(request).await?;
        let status = response.status();
        let wait = reply::retry_after(response.headers());
        let body = self.read(response).await?;
        let answer = if status.is_success() {
            answer::parse(&body, statements.len()).map_err(reply::query_error)
        } else {
            Err(reply::refusal(status, &body, wait))
        };
        answer.map_err(|trouble| self.hinted(version, trouble))
    }

    /// Makes the database, where a client may: 1.x.
    pub(crate) async fn create_database(&self) -> Result<(), Trouble> {
        match self.version().await? {
            version @ (Version::V2 | Version::V3) => Err(Trouble::Unready {
                why: format!("make it with: {}", self.command(version)),
            }),
            Version::V1 => {
                let name = crate::lines::identifier(&self.database);
                self.query(&[format!("CREATE DATABASE {name}")]).await.map(drop)
            }
        }
    }

    /// Adds to a missing database what makes it.
    fn hinted(&self, version: Version, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Unready { why } if why.contains("not found") => Trouble::Unready {
                why: format!("{why}; make it with: {}", self.command(version)),
            },
            other => other,
        }
    }

    fn url(&self, path: &str) -> Result<Url, Trouble> {
        self.base
            .join(path)
            .map_err(|e| Trouble::odd(format!("no url for {path}: {e}")))
    }

    /// Reads a body up to the limit.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| lost(&e))? {
            if body.len() + chunk.len() > self.answer_bytes_max {
                return Err(Trouble::odd(format!(
                    "more than {} bytes (answer_bytes_max)",
                    self.answer_bytes_max
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

async fn send(request: RequestBuilder) -> Result<Response, Trouble> {
    request.send().await.map_err(|e| lost(&e))
}

/// Why there was no answer: the innermost cause, and never the url.
fn lost(e: &reqwest::Error) -> Trouble {
    if e.is_timeout() {
        return Trouble::away("no answer in time");
    }
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::eq(cause, e as &dyn std::error::Error) {
        return Trouble::away("the request failed");
    }
    Trouble::away(short(&cause.to_string()))
}
