//! The page as a browser gets it.

use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use immune_dashboard::PAGES;
use reqwest::{Method, Response};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What all files of the page may weigh on the wire, bytes.
const WEIGHT_MAX: usize = 300 * 1024;

fn header(response: &Response, name: &str) -> String {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Response {
    world.send(Method::GET, path, headers, None).await
}

async fn document(world: &World) -> String {
    get(world, "/", &[]).await.text().await.unwrap()
}

/// What stands between quotes after each of the words that name a file.
fn named(text: &str, words: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in words {
        for (at, _) in text.match_indices(word) {
            let rest = &text[at + word.len()..];
            let Some(quote) = rest.chars().next().filter(|c| "\"'".contains(*c)) else {
                continue;
            };
            if let Some((name, _)) = rest[1..].split_once(quote) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// Where a module's import leads, seen from the module.
fn resolve(from: &str, import: &str, map: &BTreeMap<String, String>) -> String {
    if let Some(mapped) = map.get(import) {
        return mapped.clone();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in import.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Scenario: each path of the page is asked for.
/// Guarantees: all answer the same document, which may be asked again by its tag, and with a policy that allows scripts
/// from here and its own import map, by its hash, and nothing else.
#[tokio::test]
async fn every_path_is_the_page() {
    let world = World::start().await;
    let whole = document(&world).await;
    for path in PAGES {
        let concrete = path.replace("{agent_id}", "some").replace("{case_id}", "some");
        let response = get(&world, &concrete, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        let policy = header(&response, "content-security-policy");
        let map = whole
            .split_once("<script type=\"importmap\">")
            .unwrap()
            .1
            .split_once("</script>")
            .unwrap()
            .0;
        let hash = STANDARD.encode(Sha256::digest(map));
        assert!(
            policy.contains(&format!("script-src 'self' 'sha256-{hash}'")),
            "{policy}"
        );
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&response, "x-frame-options"), "DENY", "{path}");
        let tag = header(&response, "etag");
        assert_eq!(response.text().await.unwrap(), whole, "{path}");
        let again = get(&world, &concrete, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), 304, "{path}");
    }
}

/// Scenario: a browser follows every file that the document names, and every module that those import.
/// Guarantees: each is there, typed, packed, and to be kept for ever; all together weigh less than promised; none names
/// another host. Files of another version are refused.
#[tokio::test]
async fn every_file_is_there() {
    let world = World::start().await;
    let whole = document(&world).await;
    let map: serde_json::Value = serde_json::from_str(
        whole
            .split_once("<script type=\"importmap\">")
            .unwrap()
            .1
            .split_once("</script>")
            .unwrap()
            .0,
    )
    .unwrap();
    let map: BTreeMap<String, String> = serde_json::from_value(map["imports"].clone()).unwrap();
    let mut ahead: Vec<String> = named(&whole, &["href=", "src="]).into_iter().collect();
    ahead.extend(map.values().cloned());
    let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/ui/pages")).unwrap();
    let base = ahead
        .iter()
        .find(|path| path.ends_with("/app.js"))
        .unwrap()
        .replace("/app.js", "");
    for page in pages {
        ahead.push(format!(
            "{base}/pages/{}",
            page.unwrap().file_name().to_string_lossy()
        ));
    }
    let (mut seen, mut weight) = (BTreeSet::new(), 0);
    while let Some(path) = ahead.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let packed = get(&world, &path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(packed.status(), 200, "{path}");
        assert_eq!(header(&packed, "content-encoding"), "gzip", "{path}");
        assert!(header(&packed, "cache-control").contains("immutable"), "{path}");
        assert_eq!(header(&packed, "x-content-type-options"), "nosniff", "{path}");
        weight += packed.bytes().await.unwrap().len();
        let plain = get(&world, &path, &[]).await;
        if path.ends_with(".js") {
            assert!(
                header(&plain, "content-type").starts_with("text/javascript"),
                "{path}"
            );
            let text = plain.text().await.unwrap();
            let imports = named(&text, &["from ", "from", "import ", "import("]);
            let is_module = |import: &&String| import.ends_with(".js") || map.contains_key(*import);
            for import in imports.iter().filter(is_module) {
                ahead.push(resolve(&path, import, &map));
            }
            if !path.contains("/vendor/") {
                assert!(!text.contains("https://"), "{path} names another host");
                assert!(!text.contains("innerHTML"), "{path} writes markup");
            }
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
    assert!(weight < WEIGHT_MAX, "the page weighs {weight} bytes");
    let other = base.rsplit_once('/').unwrap().0.to_owned() + "/0000000000000000/app.js";
    assert_eq!(get(&world, &other, &[]).await.status(), 404);
}

/// Scenario: a browser begins with the document's script and follows what it imports before it runs.
/// Guarantees: the document names each of those modules, and no other, to be fetched ahead: the browser need not find
/// them one behind the other.
#[tokio::test]
async fn modules_are_fetched_ahead() {
    let world = World::start().await;
    let whole = document(&world).await;
    let map = whole.split_once("<script type=\"importmap\">").unwrap().1;
    let map: serde_json::Value = serde_json::from_str(map.split_once("</script>").unwrap().0).unwrap();
    let map: BTreeMap<String, String> = serde_json::from_value(map["imports"].clone()).unwrap();
    let ahead = named(&whole, &["<link rel=\"modulepreload\" href="]);
    let start = named(&whole, &["<script type=\"module\" src="]);
    let (mut seen, mut left) = (start.clone(), Vec::from_iter(start.clone()));
    while let Some(path) = left.pop() {
        let text = get(&world, &path, &[]).await.text().await.unwrap();
        let imports = named(&text, &["from ", "from"]);
        let is_module = |import: &&String| import.ends_with(".js") || map.contains_key(*import);
        for import in imports.iter().filter(is_module) {
            let found = resolve(&path, import, &map);
            if seen.insert(found.clone()) {
                left.push(found);
            }
        }
    }
    assert_eq!(ahead, &seen - &start);
}

/// Scenario: the page is asked for by what cannot unpack gzip, by what has it already behind a proxy that weakens tags,
/// by what asks for the head only, and by what wants to write to it.
/// Guarantees: plain text; "not modified"; the same headers without a body; refused.
#[tokio::test]
async fn the_page_is_negotiated() {
    let world = World::start().await;
    let packed = get(&world, "/fleet", &[("accept-encoding", "br, gzip;q=0.5")]).await;
    assert_eq!(header(&packed, "content-encoding"), "gzip");
    let plain = get(&world, "/fleet", &[("accept-encoding", "br, gzip; q=0")]).await;
    assert_eq!(header(&plain, "content-encoding"), "");
    assert_eq!(header(&plain, "vary"), "accept-encoding");
    let tag = header(&plain, "etag");
    for tags in [format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = get(&world, "/fleet", &[("if-none-match", &tags)]).await;
        assert_eq!(again.status(), 304, "{tags}");
    }
    let other = get(&world, "/fleet", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.status(), 200);
    let head = world.send(Method::HEAD, "/fleet", &[], None).await;
    assert_eq!(head.status(), 200);
    assert_eq!(header(&head, "etag"), tag);
    assert_eq!(head.text().await.unwrap(), "");
    assert_eq!(world.send(Method::POST, "/fleet", &[], None).await.status(), 405);
    assert_eq!(get(&world, "/nothing-of-ours", &[]).await.status(), 404);
}

/// Guarantees: the libraries in the tree are those that were published: their hashes are the ones on record.
#[test]
fn the_libraries_are_as_published() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/vendor");
    let list = std::fs::read_to_string(format!("{folder}/CHECKSUMS")).unwrap();
    let mut listed = BTreeSet::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (name, hash) = (words.next().unwrap(), words.next().unwrap());
        let digest = Sha256::digest(std::fs::read(format!("{folder}/{name}")).unwrap());
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, hash, "{name}");
        listed.insert(name.to_owned());
    }
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            name == "CHECKSUMS" || listed.contains(&name),
            "{name} is not on record"
        );
    }
}
