//! What is checked, and what is said of it.

use super::Config;

fn mistakes(yaml: serde_json::Value) -> Vec<String> {
    let config: Config = serde_json::from_value(yaml).unwrap();
    let mut mistakes = Vec::new();
    config.check("notify", &mut mistakes);
    let said = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!mistakes.join(" ").contains("hunter2"), "{mistakes:?}");
    mistakes
}

/// Guarantees: nothing to tell is right, and one of each kind of receiver is.
#[test]
fn good_ones_are_good() {
    assert_eq!(mistakes(serde_json::json!({})), Vec::<String>::new());
    let all = serde_json::json!({ "external_url": "https://immune.example.com", "targets": [
        { "name": "a", "webhook": { "url": "https://x/hunter2", "secret": "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==" } },
        { "name": "b", "slack": { "token": "hunter2", "channel": "C1", "signing_secret": "hunter2",
            "users": { "U1": { "subject": "ada", "role": "operator" } } }, "rate": { "beyond": "digest" } },
        { "name": "c", "slack": { "webhook_url": "https://hooks.slack.com/hunter2" } },
        { "name": "d", "teams": { "url": "https://x/hunter2" }, "filter": { "kinds": ["waiting", "breached"] } },
        { "name": "e", "pagerduty": { "routing_key": "hunter2" } },
        { "name": "f", "alertmanager": { "url": "http://alertmanager:9093", "labels": { "team": "ai" } } },
        { "name": "g", "appdynamics": { "controller_url": "https://x", "application": "a", "client_name": "c",
            "account": "d", "client_secret": "hunter2", "machine_agent": {} } } ] });
    assert_eq!(mistakes(all), Vec::<String>::new());
}

/// Guarantees: what cannot work or is not safe is named with its path, all at once, and no secret is repeated.
#[test]
fn mistakes_are_named() {
    let bad = serde_json::json!({ "lease_seconds": 0, "targets": [
        { "name": "A b" },
        { "name": "a", "webhook": { "url": "http://elsewhere/hunter2", "secret": "short" } },
        { "name": "a", "slack": { "users": { "U1": { "subject": "", "role": "operator" } } } },
        { "name": "p", "pagerduty": { "routing_key": "hunter2" }, "rate": { "beyond": "digest", "per_minute": 0 } },
        { "name": "m", "alertmanager": { "url": "http://me:pw@x", "labels": { "a-b": "c" } } } ] });
    let found = mistakes(bad);
    for part in [
        "notify.lease_seconds = 0",
        "targets[0] (A b): the name",
        "targets[0] (A b): needs exactly one",
        "targets[1] (a).webhook.url: leads to another machine",
        "targets[1] (a).webhook.secret: ",
        "targets[2] (a): another target",
        "targets[2] (a).slack: needs token",
        "targets[2] (a).slack.users: needs signing_secret",
        "targets[2] (a).slack.users.U1.subject is empty",
        "targets[3] (p).rate.per_minute = 0",
        "targets[3] (p).rate.beyond = digest",
        "targets[4] (m).alertmanager.url: holds credentials",
        "targets[4] (m).alertmanager.labels.a-b",
    ] {
        assert!(
            found.iter().any(|mistake| mistake.contains(part)),
            "{part} is not among {found:#?}"
        );
    }
}
