//! Checks over REST: does it answer, do its stores, is the key good, do the clocks agree, are there agents.

use super::finding::Finding;
use super::targets::Place;
use crate::cli::client::Client;
use crate::cli::failure::{Failure, innermost};
use immune_domain::Timestamp;
use immune_runtime::clock::SharedClock;
use reqwest::header::{DATE, HeaderMap};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

/// A difference of clocks that is worth a word: the `Date` header has whole seconds, so less cannot be told.
const SKEW_WARNING: Duration = Duration::from_secs(2);
/// From here on telemetry of this machine counts as late there and is never judged.
const SKEW_FAILED: Duration = Duration::from_secs(300);

/// The longest that metrics may take.
const METRICS_MAX: Duration = Duration::from_secs(3);

/// Whether the server and its stores answer, and how far its clock is from ours. `None` with the findings means
/// that nothing more can be asked.
pub async fn reachable(client: &Client, clock: &SharedClock) -> (bool, Vec<Finding>) {
    let before = clock.now();
    let response = match client.probe("/api/v1/health").await {
        Ok(response) => response,
        Err(failure) => return (false, vec![of_failure("REST", &failure)]),
    };
    let after = clock.now();
    let took = after.since(before).as_secs_f64() * 1e3;
    let status = response.status().as_u16();
    let skew = skew(response.headers(), before, after);
    let body: Value = response.json().await.unwrap_or_default();
    let said = body["status"].as_str().unwrap_or("nothing");
    let (is_ours, mut findings) = match status {
        200 if body["status"].is_string() => (
            true,
            vec![
                Finding::ok("REST", format!("answers in {took:.0} ms")),
                Finding::ok("stores", "answer"),
            ],
        ),
        503 if body["status"].is_string() || body["detail"].is_string() => {
            let said = body["detail"].as_str().unwrap_or(said);
            let next = "look at the server's log, at the disk's free space and at store.url";
            let stores = Finding::failed("stores", format!("the server says: {said}"), next);
            (
                true,
                vec![Finding::ok("REST", format!("answers in {took:.0} ms")), stores],
            )
        }
        _ => {
            let said = format!("answered /api/v1/health with status {status} and no health");
            (
                false,
                vec![Finding::failed(
                    "REST",
                    said,
                    "check --server: something else may listen there",
                )],
            )
        }
    };
    if is_ours {
        findings.push(skew.map_or_else(no_date, of_skew));
    }
    (is_ours, findings)
}

/// Whether the key, if one is needed, is good.
pub async fn access(client: &Client) -> Finding {
    match client.get("/api/status", &[]).await {
        Ok(status) => {
            let word = |name: &str| status[name].as_str().unwrap_or("?").to_owned();
            Finding::ok(
                "access",
                format!("{} is {} in run {}", word("caller"), word("role"), word("run_id")),
            )
        }
        Err(failure) => of_failure("access", &failure),
    }
}

/// Whether agents are known and have a baseline.
pub async fn agents(client: &Client) -> Finding {
    let stats = match client.get("/api/stats", &[]).await {
        Ok(stats) => stats,
        Err(failure) => return of_failure("agents", &failure),
    };
    let count = |name: &str| stats[name].as_u64().unwrap_or(0);
    let (agents, executions, ready) = (
        count("total_agents"),
        count("total_executions"),
        count("baselines_learned"),
    );
    let said = format!("{agents} known, {executions} executions, {ready} with a baseline");
    if agents == 0 {
        let next = "set OTEL_EXPORTER_OTLP_ENDPOINT of an agent to this server, or try `immune demo`";
        return Finding::warning("agents", said, next);
    }
    if ready == 0 {
        let next = "nothing is judged before an agent has run often enough (policy baseline_samples_min)";
        return Finding::warning("agents", said, next);
    }
    Finding::ok("agents", said)
}

/// Whether the process's own metrics can be scraped.
pub async fn metrics(place: &Place) -> Finding {
    let get = || async {
        let http = reqwest::Client::builder().timeout(METRICS_MAX).build()?;
        http.get(format!("http://{place}/metrics"))
            .send()
            .await?
            .error_for_status()
    };
    match get().await {
        Ok(_) => Finding::ok("metrics", format!("can be scraped at {place}/metrics")),
        Err(error) => {
            let next = "start it with `immune serve`, or see metrics.listen";
            Finding::failed("metrics", format!("{place}: {}", innermost(&error)), next)
        }
    }
}

fn of_failure(check: &'static str, failure: &Failure) -> Finding {
    // A failure's sentence ends with what to do next.
    let text = failure.to_string();
    let (said, next) = text.rsplit_once("; ").unwrap_or((&text, ""));
    Finding::failed(check, said, next)
}

/// How far the server's clock is ahead of ours, in seconds; `None` when it does not say.
fn skew(headers: &HeaderMap, before: Timestamp, after: Timestamp) -> Option<f64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    // The header is cut to the second: half a second is the best guess of the rest.
    let theirs = date.duration_since(UNIX_EPOCH).ok()?.as_secs_f64() + 0.5;
    let ours = (before.as_epoch_seconds() + after.as_epoch_seconds()) / 2.0;
    Some(theirs - ours)
}

fn of_skew(seconds: f64) -> Finding {
    let direction = if seconds < 0.0 { "behind" } else { "ahead of" };
    let said = format!("the server is {:.0} s {direction} this machine", seconds.abs());
    let next = "set both by NTP; what seems older than 5 minutes is stored, but never judged";
    if seconds.abs() <= SKEW_WARNING.as_secs_f64() {
        Finding::ok("clock", "the server's and this machine's agree")
    } else if seconds.abs() <= SKEW_FAILED.as_secs_f64() {
        Finding::warning("clock", said, next)
    } else {
        Finding::failed("clock", said, next)
    }
}

fn no_date() -> Finding {
    Finding::warning(
        "clock",
        "the server does not say its time",
        "compare the clocks by hand",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    /// Guarantees: rounding of the header is no skew; beyond two seconds it is told, beyond five minutes it fails.
    #[test]
    fn skew_is_measured_against_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a header"));
        let level = |our_seconds: i64| {
            let ours = Timestamp::from_micros((784_111_777 + our_seconds) * 1_000_000);
            of_skew(skew(&headers, ours, ours).expect("a date")).level
        };
        assert_eq!(level(0), Level::Ok);
        assert_eq!(level(2), Level::Ok);
        assert_eq!(level(4), Level::Warning);
        assert_eq!(level(-299), Level::Warning);
        assert_eq!(level(400), Level::Failed);
        assert_eq!(skew(&HeaderMap::new(), Timestamp::EPOCH, Timestamp::EPOCH), None);
    }
}
