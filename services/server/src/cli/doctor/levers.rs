//! Checks of the levers: is one configured, can its platform be reached, did the running server's asks fail?

use super::finding::Finding;
use crate::cli::client::Client;
use crate::config::Config;
use immune_domain::policy::Mode;
use reqwest::Url;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpStream;

/// The longest that one check may take.
const PROBE_MAX: Duration = Duration::from_secs(3);
/// Open cases that are looked at.
const CASES_MAX: u32 = 200;

/// Whether there is a lever at all.
pub fn configured(config: &Config) -> Finding {
    let platforms = config.levers.lifecycle.platforms().len();
    let kubernetes = &config.levers.kubernetes;
    if kubernetes.enabled {
        let places = match kubernetes.all_namespaces {
            true => "all namespaces".to_owned(),
            false => kubernetes.namespaces.join(", "),
        };
        return Finding::ok(
            "levers",
            format!("kubernetes in {places}; lifecycle, {platforms} platforms"),
        );
    }
    match (platforms, config.policy.defaults.mode) {
        (0, Mode::Observe) => Finding::ok(
            "levers",
            "this configuration names none, and its policy only observes",
        ),
        (0, Mode::Enforce) => {
            let next = "name the platform in levers.lifecycle, enable levers.kubernetes, or set policy.defaults.mode to observe";
            Finding::warning(
                "levers",
                "this configuration names none: infected agents are shown, but neither contained nor healed",
                next,
            )
        }
        (1, Mode::Observe | Mode::Enforce) => Finding::ok("levers", "lifecycle, one platform"),
        (n, Mode::Observe | Mode::Enforce) => Finding::ok("levers", format!("lifecycle, {n} platforms")),
    }
}

/// Whether each platform takes connections. No agent is asked about: that would be an ask in the platform's records.
pub async fn reachable(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for base in config.levers.lifecycle.platforms() {
        findings.push(connects(&base.url).await);
    }
    findings
}

async fn connects(url: &str) -> Finding {
    // A URL that cannot be read is a mistake of the configuration, told there.
    let place = Url::parse(url).ok().and_then(|url| {
        let port = url.port().or(match url.scheme() {
            "https" | "grpcs" => Some(443),
            "http" => Some(80),
            _ => None,
        });
        Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), port?))
    });
    let Some((host, port)) = place else {
        return Finding::failed(
            "platform",
            "its url names no host and port",
            "correct levers.lifecycle",
        );
    };
    let next = "start the platform, or correct levers.lifecycle; cases wait for it and are retried";
    match tokio::time::timeout(PROBE_MAX, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Finding::ok("platform", format!("{host}:{port} takes connections")),
        Ok(Err(error)) => Finding::warning("platform", format!("{host}:{port}: {error}"), next),
        Err(_) => Finding::warning("platform", format!("{host}:{port} does not answer in 3 s"), next),
    }
}

/// Whether levers fail in open cases of the running server.
pub async fn answers(client: &Client) -> Finding {
    let query = [("open", "true".to_owned()), ("limit", CASES_MAX.to_string())];
    match client.get("/api/cases", &query).await {
        Ok(answer) => of_cases(crate::cli::get::rows(&answer)),
        Err(failure) => Finding::warning("lever answers", failure.to_string(), ""),
    }
}

fn of_cases(cases: &[Value]) -> Finding {
    let mut failed: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for case in cases {
        let levers = case.pointer("/quarantine/levers").and_then(Value::as_array);
        for lever in levers
            .into_iter()
            .flatten()
            .filter(|lever| lever["status"] == "failed")
        {
            let name = lever["lever"].as_str().unwrap_or("a lever").to_owned();
            let entry = failed.entry(name).or_default();
            entry.0 += 1;
            entry.1 = lever["detail"].as_str().unwrap_or_default().to_owned();
        }
    }
    let Some((name, (cases_failed, detail))) = failed.into_iter().next() else {
        return Finding::ok(
            "lever answers",
            format!("no lever fails in {} open cases", cases.len()),
        );
    };
    let said = format!(
        "{name} fails in {cases_failed} of {} open cases, the last with: {detail}",
        cases.len()
    );
    Finding::warning(
        "lever answers",
        said,
        "the agents of those cases may still run; see to the platform",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use serde_json::json;

    /// Guarantees: a lever that fails in an open case is told with its own words.
    #[test]
    fn failing_levers_are_told() {
        let case = |status: &str| json!({ "quarantine": { "levers": [{ "lever": "lifecycle", "status": status, "detail": "no" }] } });
        assert_eq!(of_cases(&[case("confirmed"), json!({})]).level, Level::Ok);
        let finding = of_cases(&[case("confirmed"), case("failed")]);
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(
            finding.said,
            "lifecycle fails in 1 of 2 open cases, the last with: no"
        );
    }

    /// Guarantees: a platform that is not there is told with its address, before any agent needs it.
    #[tokio::test]
    async fn a_platform_that_is_away_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        assert_eq!(connects(&format!("http://{address}/api")).await.level, Level::Ok);
        drop(listener);
        let finding = connects(&format!("grpc://{address}")).await;
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.said.starts_with(&address.to_string()), "{}", finding.said);
        assert_eq!(connects("grpc://p").await.level, Level::Failed);
    }
}
