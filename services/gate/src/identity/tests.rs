use super::*;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use envoy_types::pb::envoy::config::core::v3::{HeaderValue as Raw, Metadata};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use serde_json::{Value as Json, json};

/// Headers with their values.
type Sent<'a> = &'a [(&'a str, &'a [u8])];

fn identity(sources: Json) -> Identity {
    let config: Config =
        serde_json::from_value(json!({ "listen": "127.0.0.1:0", "identity": sources })).unwrap();
    let mut mistakes = Vec::new();
    config.check("gate", &mut mistakes);
    assert_eq!(mistakes, Vec::<String>::new());
    Identity::new(&config)
}

fn mistakes(sources: Json) -> Vec<String> {
    let config: Config =
        serde_json::from_value(json!({ "listen": "127.0.0.1:0", "identity": sources })).unwrap();
    let mut mistakes = Vec::new();
    config.check("gate", &mut mistakes);
    mistakes
}

/// `run/agent`, `nobody` or `unclear`.
fn shown(who: Identified) -> String {
    match who {
        Identified::Agent { run, agent } => format!("{run} | {agent}"),
        Identified::Nobody => "nobody".to_owned(),
        Identified::Unclear(_) => "unclear".to_owned(),
    }
}

fn by_headers(identity: &Identity, sent: Sent<'_>) -> [String; 2] {
    let mut headers = HeaderMap::new();
    for (name, value) in sent {
        headers.append(
            HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    let raw: Vec<Raw> = sent
        .iter()
        .map(|(key, value)| Raw {
            key: (*key).to_owned(),
            raw_value: value.to_vec(),
            ..Default::default()
        })
        .collect();
    [Headers::Plain(&headers), Headers::Raw(&raw)].map(|headers| {
        shown(identity.of(Asked {
            headers,
            principal: "",
            claims: None,
        }))
    })
}

fn by_principal(identity: &Identity, principal: &str) -> String {
    shown(identity.of(Asked {
        headers: Headers::None,
        principal,
        claims: None,
    }))
}

fn wire(value: &Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
        Json::String(value) => Kind::StringValue(value.clone()),
        Json::Array(_) => Kind::ListValue(Default::default()),
        Json::Object(_) => Kind::StructValue(object(value)),
    };
    Value { kind: Some(kind) }
}

fn object(value: &Json) -> Struct {
    let fields = value.as_object().unwrap().iter();
    Struct {
        fields: fields.map(|(name, value)| (name.clone(), wire(value))).collect(),
    }
}

fn by_token(identity: &Identity, filter: &str, stored: Json) -> String {
    let metadata = Metadata {
        filter_metadata: [(filter.to_owned(), object(&stored))].into(),
        ..Default::default()
    };
    shown(identity.of(Asked {
        headers: Headers::None,
        principal: "",
        claims: Some(&metadata),
    }))
}

/// Scenario: headers as gateways and agents send them, over plain HTTP and in Envoy's raw form.
/// Guarantees: one clear value names the agent; anything that could be a second one beside it does not.
#[test]
fn headers_name_the_agent() {
    let identity = identity(json!([{ "header": { "name": "X-Agent-Id", "run_header": "x-run-id" } }]));
    let table: &[(Sent<'_>, &str)] = &[
        (&[("X-Agent-ID", b"shop/buyer")], "default | shop/buyer"),
        (&[("x-agent-id", b" a "), ("x-run-id", b"r")], "r | a"),
        (&[("x-agent-id", "käufer".as_bytes())], "default | käufer"),
        (&[], "nobody"),
        (&[("x-run-id", b"r")], "nobody"),
        (&[("x-agent-id", b"a"), ("x-agent-id", b"b")], "unclear"),
        (&[("x-agent-id", b"a"), ("x-agent-id", b"a")], "unclear"),
        (&[("x-agent-id", b"a,b")], "unclear"),
        (
            &[("x-agent-id", b"a"), ("x-run-id", b"r"), ("x-run-id", b"s")],
            "unclear",
        ),
        (&[("x-agent-id", b"")], "unclear"),
        (&[("x-agent-id", b"..")], "unclear"),
        (&[("x-agent-id", b"\xff\xfe")], "unclear"),
        (&[("x-agent-id", &[b'a'; 513])], "unclear"),
    ];
    for (sent, expected) in table {
        for found in by_headers(&identity, sent) {
            assert_eq!(found, *expected, "{sent:?}");
        }
    }
}

/// Scenario: Envoy's usual form, in which headers of one name are joined.
/// Guarantees: a joined value is refused, since one part of it may be the agent's own.
#[test]
fn joined_headers_are_refused() {
    let identity = identity(json!([{ "header": { "name": "x-agent-id" } }]));
    for (value, expected) in [("a", "default | a"), ("a,b", "unclear")] {
        let headers = [("x-agent-id".to_owned(), value.to_owned())].into();
        let asked = Asked {
            headers: Headers::Joined(&headers),
            principal: "",
            claims: None,
        };
        assert_eq!(shown(identity.of(asked)), expected);
    }
}

/// Scenario: SPIFFE IDs, patterns and lists.
/// Guarantees: only an ID that the whole pattern fits names an agent; listed ones come first.
#[test]
fn spiffe_ids_name_the_agent() {
    let identity_of = |pattern: Json| identity(json!([{ "spiffe": pattern }]));
    let plain = json!({ "pattern": "spiffe://example.org/run/{run}/agent/{agent}" });
    let composed = json!({ "pattern": "spiffe://cluster.local/ns/{ns}/sa/agent-{sa}", "agent": "{ns}/{sa}" });
    let rest = json!({ "pattern": "spiffe://*/agents/{agent...}", "run": "prod" });
    let listed = json!({
        "pattern": "spiffe://example.org/{agent}",
        "agents": { "spiffe://example.org/old": { "agent": "new", "run": "r" } },
    });
    let table = [
        (&plain, "spiffe://example.org/run/r/agent/a", "r | a"),
        (&plain, "spiffe://example.org/run/r/agent/a/b", "nobody"),
        (&plain, "spiffe://example.org/run/r/agent/", "nobody"),
        (&plain, "spiffe://example.org/run/r/agent", "nobody"),
        (&plain, "spiffe://example.com/run/r/agent/a", "nobody"),
        (&plain, "example.org/run/r/agent/a", "nobody"),
        (&plain, "CN=agent", "nobody"),
        (&plain, "", "nobody"),
        (
            &composed,
            "spiffe://cluster.local/ns/shop/sa/agent-buyer",
            "default | shop/buyer",
        ),
        (&composed, "spiffe://cluster.local/ns/shop/sa/buyer", "nobody"),
        (&rest, "spiffe://a.org/agents/shop/buyer", "prod | shop/buyer"),
        (&rest, "spiffe://a.org/agents", "nobody"),
        (&listed, "spiffe://example.org/old", "r | new"),
        (&listed, "spiffe://example.org/other", "default | other"),
    ];
    for (source, id, expected) in table {
        assert_eq!(
            by_principal(&identity_of(source.clone()), id),
            expected,
            "{source} {id}"
        );
    }
}

/// Scenario: `x-forwarded-client-cert` of one proxy, of several, with quoted values, and spoilt.
/// Guarantees: the last element's SPIFFE ID counts; a header that was spoilt on the way names nobody; without the
/// setting the header is not looked at.
#[test]
fn forwarded_certificates() {
    let pattern = "spiffe://example.org/{agent}";
    let trusted = identity(json!([{ "spiffe": { "from": "forwarded_client_cert", "pattern": pattern } }]));
    let untrusted = identity(json!([{ "spiffe": { "pattern": pattern } }]));
    let table = [
        (
            "By=spiffe://example.org/gw;Hash=ab;URI=spiffe://example.org/a",
            "default | a",
        ),
        (
            r#"Hash=ab;Subject="CN=x,O=\"y;z\"";URI="spiffe://example.org/a""#,
            "default | a",
        ),
        (
            "URI=spiffe://example.org/forged,By=x;URI=spiffe://example.org/a",
            "default | a",
        ),
        ("URI=spiffe://example.org/forged,By=x;Hash=ab", "nobody"),
        ("URI=spiffe://example.org/a;URI=spiffe://example.org/b", "unclear"),
        (
            "URI=https://example.org/a;URI=spiffe://example.org/b",
            "default | b",
        ),
        (r#"x=",By=x;URI=spiffe://example.org/a"#, "unclear"),
        ("", "nobody"),
        (";;=,", "nobody"),
    ];
    for (text, expected) in table {
        let sent: Sent<'_> = &[("x-forwarded-client-cert", text.as_bytes())];
        for found in by_headers(&trusted, sent) {
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(by_headers(&untrusted, sent)[0], "nobody", "{text}");
    }
}

/// Scenario: claims of verified tokens, where and as Envoy's filter and Istio store them.
/// Guarantees: texts name the agent; anything else, and tokens of two minds, do not.
#[test]
fn claims_name_the_agent() {
    const FILTER: &str = "envoy.filters.http.jwt_authn";
    let simple = identity(json!([{ "jwt_claim": { "agent": "sub", "run": "tenant" } }]));
    let deep = identity(json!([{ "jwt_claim": { "agent": "/kubernetes.io/serviceaccount/name" } }]));
    let keyed = identity(json!([{ "jwt_claim": { "agent": "sub", "key": "payload" } }]));
    let other = identity(json!([{ "jwt_claim": { "agent": "sub", "filter": "mine" } }]));
    let token = json!({ "sub": "a", "tenant": "r", "kubernetes.io": { "serviceaccount": { "name": "sa" } } });
    let table = [
        (&simple, FILTER, json!({ "p": token }), "r | a"),
        (&deep, FILTER, json!({ "p": token }), "default | sa"),
        (&simple, FILTER, json!({ "p": { "tenant": "r" } }), "nobody"),
        (&simple, FILTER, json!({ "p": "a" }), "nobody"),
        (&simple, FILTER, json!({ "p": { "sub": 1 } }), "unclear"),
        (&simple, FILTER, json!({ "p": { "sub": "" } }), "unclear"),
        (&simple, FILTER, json!({ "p": { "sub": null } }), "nobody"),
        (
            &simple,
            FILTER,
            json!({ "p": { "sub": "a" }, "q": { "sub": "a" } }),
            "default | a",
        ),
        (
            &simple,
            FILTER,
            json!({ "p": { "sub": "a" }, "q": { "sub": "b" } }),
            "unclear",
        ),
        (
            &keyed,
            FILTER,
            json!({ "payload": { "sub": "a" }, "q": { "sub": "b" } }),
            "default | a",
        ),
        (&keyed, FILTER, json!({ "q": { "sub": "b" } }), "nobody"),
        (&simple, "mine", json!({ "p": token }), "nobody"),
        (&other, "mine", json!({ "p": token }), "default | a"),
        (&deep, FILTER, json!({ "p": { "kubernetes.io": "x" } }), "nobody"),
    ];
    for (identity, filter, stored, expected) in table {
        assert_eq!(by_token(identity, filter, stored.clone()), expected, "{stored}");
    }
}

/// Scenario: several sources.
/// Guarantees: their order decides; one that finds nothing passes on, one that finds something unreadable does not.
#[test]
fn the_first_source_that_finds_something_decides() {
    let identity = identity(json!([
        { "spiffe": { "pattern": "spiffe://example.org/{agent}" } },
        { "header": { "name": "x-agent-id" } },
        { "header": { "name": "x-other" } },
    ]));
    let of = |principal: &str, sent: &[(&'static str, &'static str)]| {
        let headers = sent
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        shown(identity.of(Asked {
            headers: Headers::Plain(&headers),
            principal,
            claims: None,
        }))
    };
    assert_eq!(
        of("spiffe://example.org/a", &[("x-agent-id", "b")]),
        "default | a"
    );
    assert_eq!(of("spiffe://else.org/a", &[("x-agent-id", "b")]), "default | b");
    assert_eq!(of("", &[("x-other", "c")]), "default | c");
    assert_eq!(of("", &[("x-agent-id", "b,c"), ("x-other", "c")]), "unclear");
}

/// Guarantees: sources that could never find anything, or something else than meant, are mistakes with a sentence.
#[test]
fn wrong_sources_are_refused() {
    let table = [
        (json!([]), "gate.identity is empty"),
        (
            json!([{ "header": { "name": "a b" } }]),
            "gate.identity[0].header.name",
        ),
        (json!([{ "spiffe": {} }]), "must have a pattern"),
        (
            json!([{ "spiffe": { "pattern": "{agent}" } }]),
            "must begin with spiffe://",
        ),
        (
            json!([{ "spiffe": { "pattern": "spiffe://x/{a}" } }]),
            "{agent}, which the pattern lacks",
        ),
        (
            json!([{ "spiffe": { "pattern": "spiffe://x/{agent}{b}" } }]),
            "more than one name",
        ),
        (
            json!([{ "spiffe": { "pattern": "spiffe://x/{agent}/{agent}" } }]),
            "more than once",
        ),
        (
            json!([{ "spiffe": { "pattern": "spiffe://x//{agent}" } }]),
            "empty part",
        ),
        (
            json!([{ "spiffe": { "pattern": "spiffe://x/{agent" } }]),
            "no } after",
        ),
        (
            json!([{ "spiffe": { "agents": { "x": { "agent": "a" } } } }]),
            "must be a SPIFFE ID",
        ),
        (
            json!([{ "jwt_claim": { "agent": "" } }]),
            "jwt_claim.agent is empty",
        ),
    ];
    for (sources, expected) in table {
        let mistakes = mistakes(sources.clone());
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(expected),
            "{sources}: {mistakes:?}"
        );
    }
    let unknown: Result<Config, _> = serde_json::from_value(json!({ "identity": [{ "cookie": {} }] }));
    assert!(unknown.unwrap_err().to_string().contains("cookie"));
}
