//! From the path of a request to what it names.

use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// `None` for paths that name no resource: discovery, health, nonsense.
pub(crate) fn parse(path: &str) -> Option<Target> {
    let parts: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // `namespaces/NAME/status` is a subresource of the namespace itself.
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
        _ => return None,
    };
    Some(Target {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        let Some(target) = parse(path) else {
            return "-".to_owned();
        };
        let or = |part: Option<String>| part.unwrap_or("-".to_owned());
        [
            target.group,
            target.version,
            target.plural,
            or(target.namespace),
            or(target.name),
            or(target.subresource),
        ]
        .join(" ")
    }

    /// Guarantees: every form of path that the API documents is understood.
    #[test]
    fn paths() {
        assert_eq!(shown("/api/v1/pods"), " v1 pods - - -");
        assert_eq!(shown("/api/v1/namespaces/a/pods/b"), " v1 pods a b -");
        assert_eq!(shown("/api/v1/namespaces/a"), " v1 namespaces - a -");
        assert_eq!(shown("/api/v1/namespaces/a/status"), " v1 namespaces - a status");
        assert_eq!(
            shown("/apis/apps/v1/namespaces/a/deployments/b/scale"),
            "apps v1 deployments a b scale"
        );
        assert_eq!(
            shown("/apis/authorization.k8s.io/v1/subjectaccessreviews"),
            "authorization.k8s.io v1 subjectaccessreviews - - -"
        );
        assert_eq!(shown("/version"), "-");
        assert_eq!(shown("/apis/apps/v1"), "-");
    }
}
