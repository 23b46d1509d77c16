//! The web page: the files of `ui/`, embedded, served as they are.
//!
//! Every path of the page answers the same document. It names its files under `/assets/{build}`, where the build is a
//! hash over all of them, so that they may be kept for ever and a new version is never mixed with an old one. What a
//! browser may do with the page stands in one Content-Security-Policy, which allows no inline script but the import
//! map, by its hash. See `ui/README.md` for what is in the page.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use immune_domain::ErrorKind;
use immune_runtime::http::problem::Problem;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

/// Paths that the page draws itself.
pub const PAGES: &[&str] = &[
    "/",
    "/fleet",
    "/agents/{agent_id}",
    "/approvals",
    "/cases",
    "/cases/{case_id}",
    "/memory",
    "/log",
    "/policy",
    "/system",
    "/access",
    "/notifications",
    "/login",
];

/// Where its files are.
pub const ASSETS: &str = "/assets/{build}/{*file}";

/// Stands in the document for the path of its files.
const PLACE: &str = "{{assets}}";

#[derive(RustEmbed)]
#[folder = "ui/"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
struct Files;

/// A file, ready to be sent.
struct Asset {
    plain: Bytes,
    gzip: Bytes,
    kind: HeaderValue,
}

/// The page as it is sent.
struct Page {
    build: String,
    etag: HeaderValue,
    policy: HeaderValue,
    document: Asset,
    assets: BTreeMap<String, Asset>,
}

/// Made once; every server of the process sends the same.
static PAGE: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new(Page::embedded()));

/// The routes of the page.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let routes = PAGES
        .iter()
        .fold(Router::new(), |routes, path| routes.route(path, get(document)));
    routes.route(ASSETS, get(asset)).with_state(PAGE.clone())
}

impl Page {
    fn embedded() -> Self {
        let mut hash = Sha256::new();
        let mut files = BTreeMap::new();
        for name in Files::iter() {
            let Some(file) = Files::get(&name) else { continue };
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update((file.data.len() as u64).to_le_bytes());
            hash.update(&file.data);
            files.insert(name.into_owned(), file.data.into_owned());
        }
        let build = hash
            .finalize()
            .iter()
            .take(8)
            .fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
        let document = files.remove("index.html").unwrap_or_default();
        let document = String::from_utf8_lossy(&document).replace(PLACE, &format!("/assets/{build}"));
        let policy = policy(&document);
        let assets = files
            .into_iter()
            .map(|(name, bytes)| {
                let asset = Asset::new(&name, bytes);
                (name, asset)
            })
            .collect();
        Page {
            etag: HeaderValue::from_str(&format!("\"{build}\"")).expect("a hash in quotes is a header value"),
            policy: HeaderValue::from_str(&policy).expect("a policy is ASCII"),
            document: Asset::new("index.html", document.into_bytes()),
            assets,
            build,
        }
    }
}

impl Asset {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let packed = gzip.write_all(&bytes).and_then(|()| gzip.finish());
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("js") => "text/javascript; charset=utf-8",
            Some(_) | None => "application/octet-stream",
        };
        Asset {
            plain: bytes.into(),
            gzip: packed.expect("writing to memory does not fail").into(),
            kind: HeaderValue::from_static(kind),
        }
    }

    fn answer(&self, asked: &HeaderMap, etag: &HeaderValue, keep: &'static str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if has(asked, etag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, self.kind.clone());
        if takes_gzip(asked) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            (headers, self.gzip.clone()).into_response()
        } else {
            (headers, self.plain.clone()).into_response()
        }
    }
}

/// The parts of a header that is a list.
fn list(asked: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = asked.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether the browser has this version; what proxies do to a tag when they pack the answer is overlooked (RFC 9110,
/// 13.1.2).
fn has(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    list(asked, header::IF_NONE_MATCH)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

/// Whether the browser takes gzip; `q=0` says that it does not (RFC 9110, 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    list(asked, header::ACCEPT_ENCODING).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight, Some(Ok(0.0)))
    })
}

/// What a browser may do with the page: run and draw what comes from here, ask here, and nothing else. The import map
/// has to stand in the document, so its hash is allowed.
fn policy(document: &str) -> String {
    let map = document
        .split_once("<script type=\"importmap\">")
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .map_or("", |(map, _)| map);
    let hash = STANDARD.encode(Sha256::digest(map.as_bytes()));
    format!(
        "default-src 'none'; script-src 'self' 'sha256-{hash}'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

async fn document(State(page): State<Arc<Page>>, asked: HeaderMap) -> Response {
    let mut response = page.document.answer(&asked, &page.etag, "no-cache");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

async fn asset(
    State(page): State<Arc<Page>>,
    names: Result<Path<(String, String)>, PathRejection>,
    asked: HeaderMap,
) -> Response {
    let file = names
        .ok()
        .filter(|Path((build, _))| *build == page.build)
        .and_then(|Path((_, file))| page.assets.get(&file));
    match file {
        Some(asset) => asset.answer(&asked, &page.etag, "public, max-age=31536000, immutable"),
        // A page of another version asks for its files: its next load gets the present one.
        None => Problem::new(
            ErrorKind::NotFound,
            "page.no_such_file",
            "this version of the page is not served here; load the page again",
        )
        .into_response(),
    }
}
