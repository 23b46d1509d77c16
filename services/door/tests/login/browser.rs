//! As much of a browser as a login needs: cookies, redirects, and the provider's forms.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// More redirects than any login has.
const HOPS_MAX: usize = 20;

pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .tls_certs_only(Vec::<reqwest::Certificate>::new())
        .no_proxy()
        .build()
        .unwrap()
}

/// A browser of one person. Cookies know no ports, so one jar is right for all servers of this machine.
#[derive(Clone)]
pub struct Browser {
    http: Client,
    pub jar: BTreeMap<String, String>,
}

/// A page, and where it was found.
pub struct Page {
    pub url: Url,
    pub status: StatusCode,
    pub body: String,
}

impl Browser {
    pub fn new() -> Self {
        Browser {
            http: client(),
            jar: BTreeMap::new(),
        }
    }

    /// One request, without following where it leads.
    pub async fn send(
        &mut self,
        method: Method,
        url: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let cookies: Vec<String> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self
            .http
            .request(method, url)
            .header("accept", "text/html,application/xhtml+xml")
            .header(COOKIE, cookies.join("; "));
        let response = with(request).send().await.unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || line.contains("Max-Age=0") || line.contains("1970") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    pub async fn get(&mut self, url: &str) -> Response {
        self.send(Method::GET, url, |request| request).await
    }

    /// Where an answer leads.
    pub fn leads(response: &Response) -> Option<Url> {
        let to = response.headers().get(LOCATION)?.to_str().unwrap();
        Some(response.url().join(to).unwrap())
    }

    /// Follows redirects up to one that `stop` is true of, or to a page.
    pub async fn follow(&mut self, mut response: Response, stop: impl Fn(&Url) -> bool) -> Result<Url, Page> {
        for _ in 0..HOPS_MAX {
            match Browser::leads(&response) {
                Some(to) if stop(&to) => return Ok(to),
                Some(to) => response = self.get(to.as_str()).await,
                None => {
                    let (url, status) = (response.url().clone(), response.status());
                    let body = response.text().await.unwrap();
                    return Err(Page { url, status, body });
                }
            }
        }
        panic!("more than {HOPS_MAX} redirects");
    }

    /// Goes through the provider's pages as `person`, from `url` up to the callback, whose address is returned and not
    /// gone to.
    pub async fn up_to_callback(&mut self, url: &str, person: &str) -> Url {
        let is_callback = |url: &Url| url.path() == "/auth/callback";
        let mut response = self.get(url).await;
        for _ in 0..HOPS_MAX {
            let page = match self.follow(response, is_callback).await {
                Ok(callback) => return callback,
                Err(page) => page,
            };
            let prompt = if page.body.contains("value=\"login\"") {
                "login"
            } else {
                "consent"
            };
            assert!(
                page.body.contains("prompt"),
                "{} {}: {}",
                page.status,
                page.url,
                page.body
            );
            response = self
                .submit(
                    &page,
                    &[("prompt", prompt), ("login", person), ("password", "any")],
                )
                .await;
        }
        panic!("the provider asks and asks");
    }

    /// Sends the first form of a page.
    pub async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Response {
        let action = attribute(&page.body, "action=\"").expect("a form");
        let to = page.url.join(&action).unwrap();
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(Method::POST, to.as_str(), |request| {
            request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body)
        })
        .await
    }
}

/// The value of the first attribute that begins like this.
pub fn attribute(html: &str, begins: &str) -> Option<String> {
    let (_, rest) = html.split_once(begins)?;
    Some(rest.split_once('"')?.0.replace("&amp;", "&"))
}

pub async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}
