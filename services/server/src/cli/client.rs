//! The HTTP client of the commands that talk to a running server.

use super::failure::Failure;
use immune_runtime::config::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, Url};
use serde_json::Value;
use std::convert::Infallible;
use std::time::Duration;

/// The longest that a command waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The longest that a command waits for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read, bytes; lists are paged by the server far below it.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Which server, as whom, about which run, and how to print it.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// Base URL of the server's REST API.
    #[arg(
        long,
        global = true,
        env = "IMMUNE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8090"
    )]
    #[arg(value_parser = base_url)]
    pub server: Url,
    /// API key; better given as IMMUNE_API_KEY, since other users of this machine can read command lines.
    #[arg(
        long,
        global = true,
        env = "IMMUNE_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    #[arg(value_parser = secret)]
    pub api_key: Option<Secret>,
    /// Run to look at; without it the key's run, else `default`.
    #[arg(long, global = true, env = "IMMUNE_RUN", value_name = "RUN")]
    pub run: Option<String>,
    /// Tables for people or JSON for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs: what the server answered.
    Json,
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// A base URL without what cannot be one: another scheme, a query, a fragment.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; give it like http://127.0.0.1:8090"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and name a host".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment".to_owned());
    }
    Ok(url)
}

/// What a path segment may hold unencoded: the characters that RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An id as one segment of a path; ids may hold slashes.
pub fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// Headers that say where the next page of a list begins.
const NEXT_HEADERS: [&str; 2] = ["x-next-after", "x-next-before"];

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What the server answered.
    pub body: Value,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<String>,
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Server,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When the TLS library cannot start.
    pub fn new(server: &Server) -> Result<Self, Failure> {
        // Whoever comes second finds it installed, and that is all that is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("immune/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            // A key must not follow a redirect to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::Unusable {
                what: super::failure::innermost(&error),
            })?;
        Ok(Client {
            http,
            server: server.clone(),
        })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or does not answer JSON.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        Ok(self.page(path, query).await?.body)
    }

    /// Reads a page of a list.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn page(&self, path: &str, query: &[(&str, String)]) -> Result<Page, Failure> {
        let response = self.send(self.request(Method::GET, path).query(query)).await?;
        let next = NEXT_HEADERS.iter().find_map(|name| response.headers().get(*name));
        let next = next.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(Page {
            body: self.read(response).await?,
            next,
        })
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or does not answer JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let response = self.send(self.request(Method::POST, path).json(body)).await?;
        self.read(response).await
    }

    /// Asks for something to be removed.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        let response = self.send(self.request(Method::DELETE, path)).await?;
        self.read(response).await
    }

    /// The answer to a read as it comes, for a look at status and headers.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn probe(&self, path: &str) -> Result<Response, Failure> {
        self.send(self.request(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let base = super::failure::shown(&self.server.server);
        let mut request = self.http.request(method, format!("{base}{path}"));
        if let Some(key) = &self.server.api_key {
            request = request.bearer_auth(key.expose());
        }
        if let Some(run) = &self.server.run {
            // In the query as in a header, but a query may hold any character.
            request = request.query(&[("run_id", run)]);
        }
        request.header(reqwest::header::ACCEPT, "application/json")
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        request
            .send()
            .await
            .map_err(|error| Failure::of_transport(&self.server.server, &error))
    }

    async fn read(&self, mut response: Response) -> Result<Value, Failure> {
        let status = response.status();
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => {
                    body.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => {
                    return Err(Failure::TooLarge {
                        bytes_max: BODY_BYTES_MAX,
                    });
                }
                Err(error) => return Err(Failure::of_transport(&self.server.server, &error)),
            }
        }
        if !status.is_success() {
            return Err(Failure::of_answer(
                &self.server.server,
                status.as_u16(),
                retry_after,
                &body,
            ));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| Failure::NotOurs {
            server: super::failure::shown(&self.server.server),
            status: status.as_u16(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: an id with slashes, spaces or dots stays one segment of the path.
    #[test]
    fn ids_are_one_segment() {
        assert_eq!(segment("shop/checkout agent"), "shop%2Fcheckout%20agent");
        assert_eq!(segment("0190-ab_c~1.2"), "0190-ab_c~1.2");
        assert_eq!(segment("a?b#c%é"), "a%3Fb%23c%25%C3%A9");
    }

    /// Guarantees: what cannot be the base of a REST API is a usage error.
    #[test]
    fn base_urls_are_checked() {
        for good in ["http://127.0.0.1:8090", "https://immune.example/api-gate/"] {
            assert!(base_url(good).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:8090",
            "localhost:8090",
            "ftp://x",
            "http://x/?a=b",
            "unix:/tmp/x",
            "",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    /// A server that answers every path with what it was asked, and the client for it.
    async fn echo(run: Option<&str>) -> Client {
        use axum::extract::Request;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        let app = axum::Router::new().fallback(|request: Request| async move {
            let header = |name: &str| {
                request
                    .headers()
                    .get(name)
                    .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            };
            let answer =
                serde_json::json!({ "uri": request.uri().to_string(), "key": header("authorization") });
            match request.uri().path() {
                "/base/big" => axum::body::Bytes::from(vec![b' '; BODY_BYTES_MAX + 1]),
                _ => axum::body::Bytes::from(answer.to_string()),
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        let server = Server {
            server: base_url(&format!("http://{address}/base/")).expect("a url"),
            api_key: Some(Secret::new("a-secret-key-of-32-characters-00")),
            run: run.map(str::to_owned),
            output: Output::Json,
        };
        Client::new(&server).expect("a client")
    }

    /// Guarantees: key and run travel with every request, beneath the base's own path, and any run's name survives.
    #[tokio::test]
    async fn key_and_run_travel_along() {
        let client = echo(Some("blue & green/1")).await;
        let answer = client
            .get("/api/cases", &[("limit", "5".to_owned())])
            .await
            .expect("an answer");
        assert_eq!(answer["uri"], "/base/api/cases?run_id=blue+%26+green%2F1&limit=5");
        assert_eq!(answer["key"], "Bearer a-secret-key-of-32-characters-00");
        assert_eq!(
            echo(None).await.get("/x", &[]).await.expect("an answer")["uri"],
            "/base/x"
        );
    }

    /// Guarantees: an answer without end is given up, not collected in memory.
    #[tokio::test]
    async fn answers_are_bounded() {
        let failure = echo(None).await.get("/big", &[]).await.expect_err("too large");
        assert_eq!(
            failure,
            Failure::TooLarge {
                bytes_max: BODY_BYTES_MAX
            }
        );
    }
}
