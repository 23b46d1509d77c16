//! Where to go after a login: a path of ours, and never anywhere else.

use url::Url;

/// The longest path that is taken, bytes.
const PATH_BYTES_MAX: usize = 2_048;

/// The path that was asked for, if it is one of ours; else the first page. What browsers make of a backslash, of two
/// slashes or of a tab is left to the same parser that they use.
pub(super) fn path(asked: Option<&str>) -> String {
    asked.and_then(ours).unwrap_or_else(|| "/".to_owned())
}

fn ours(asked: &str) -> Option<String> {
    let is_path = asked.starts_with('/') && asked.len() <= PATH_BYTES_MAX;
    let is_plain = !asked.contains('\\') && !asked.chars().any(char::is_control);
    if !is_path || !is_plain || asked.starts_with("//") {
        return None;
    }
    let here = Url::parse("https://here.invalid/").ok()?;
    let there = here.join(asked).ok()?;
    let is_here = there.origin() == here.origin() && there.username().is_empty();
    // Answers there are for programs, or would begin the login once more. Dots can leave two slashes in front.
    let is_page = !there.path().starts_with("/auth/") && !there.path().starts_with("//");
    if !is_here || !is_page {
        return None;
    }
    let mut path = there.path().to_owned();
    if let Some(query) = there.query() {
        path = format!("{path}?{query}");
    }
    if let Some(fragment) = there.fragment() {
        path = format!("{path}#{fragment}");
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: pages of ours are kept with their query; whatever else leads to the first page.
    #[test]
    fn only_our_own_pages() {
        for ours in [
            "/",
            "/cases/1?run=a%20b#t",
            "/fleet",
            "/agents/%2F%2Fevil.example",
        ] {
            assert_eq!(path(Some(ours)), ours);
        }
        assert_eq!(path(Some("/a/ü b")), "/a/%C3%BC%20b");
        assert_eq!(path(Some("/a/../fleet")), "/fleet");
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        for foreign in [
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "evil.example",
            "/a/..//evil.example",
            "/.//evil.example",
            "/%2e//evil.example",
            "/auth/login?then=/",
            "/x/../auth/logout",
            "",
            &long,
        ] {
            assert_eq!(path(Some(foreign)), "/", "{foreign:?}");
        }
        assert_eq!(path(None), "/");
    }
}
