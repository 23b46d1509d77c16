//! The action log as a process keeps it: where its chain ends, said from time to time so that it can be kept
//! elsewhere, and calls of roles that were refused.

use immune_domain::{RunId, Timestamp};
use immune_runtime::access::RefusedCall;
use immune_runtime::clock::SharedClock;
use immune_store::ActionLog;
use immune_store::action_log::{Link, LogRow, NO_RUN, RowLimit};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Time between two words on where the chain ends.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(300);

/// How long the last look may take while the process ends.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

/// Where the chain ends, as numbers; the hash itself is in the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    sequence: Gauge,
    unchained: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        registry.register(
            "immune_server_action_log_sequence",
            "Place of the last row of the action log that is chained",
            m.sequence.clone(),
        );
        registry.register(
            "immune_server_action_log_unchained",
            "Rows of the action log that are not chained yet",
            m.unchained.clone(),
        );
        m
    }
}

/// Chains what is not chained yet, and says where the chain ends whenever that has changed.
pub(crate) async fn anchor(log: Arc<dyn ActionLog>, metrics: Metrics, stop: CancellationToken) {
    let mut said = Link::ZERO;
    loop {
        look(&*log, &metrics, &mut said).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(ANCHOR_INTERVAL) => {}
        }
    }
    // The last word of this process, if the store still answers.
    let _ = tokio::time::timeout(LAST_WORD_MAX, look(&*log, &metrics, &mut said)).await;
}

async fn look(log: &dyn ActionLog, metrics: &Metrics, said: &mut Link) {
    let chain = match log.chain().await {
        Ok(chain) => chain,
        Err(error) => {
            tracing::warn!(%error, "the action log could not be chained; trying again later");
            return;
        }
    };
    metrics
        .sequence
        .set(i64::try_from(chain.head.sequence).unwrap_or(i64::MAX));
    metrics
        .unchained
        .set(i64::try_from(chain.unchained).unwrap_or(i64::MAX));
    if chain.head != *said {
        *said = chain.head;
        tracing::info!(link = %chain.head, unchained = chain.unchained, "the action log ends here");
    }
}

/// The same refused call is written down once in this time: a process with a wrong token asks every second.
const REPEATS_QUIET: Duration = Duration::from_secs(600);
/// Refused calls that are remembered as written.
const REMEMBERED_MAX: usize = 64;

/// Writes down calls between processes that were refused, each once in a while, and so many a minute.
pub(crate) async fn record_refused(
    mut calls: mpsc::Receiver<RefusedCall>,
    log: Arc<dyn ActionLog>,
    clock: SharedClock,
    stop: CancellationToken,
) {
    let limit = RowLimit::default();
    // When each was written, and how often it came again since.
    let mut written: HashMap<RefusedCall, (Timestamp, u64)> = HashMap::new();
    loop {
        let call = tokio::select! {
            () = stop.cancelled() => return,
            call = calls.recv() => match call {
                Some(call) => call,
                // Nothing can be refused any more. Ending now would end the process.
                None => return stop.cancelled().await,
            },
        };
        let now = clock.now();
        if let Some((at, again)) = written.get_mut(&call)
            && now.since(*at) < REPEATS_QUIET
        {
            *again += 1;
            continue;
        }
        let again = written.remove(&call).map_or(0, |(_, again)| again);
        if written.len() >= REMEMBERED_MAX {
            written.retain(|_, (at, _)| now.since(*at) < REPEATS_QUIET);
        }
        let Some(unwritten) = limit.admit(now) else {
            continue;
        };
        let row = LogRow {
            run: RunId::new(NO_RUN),
            at: now,
            kind: "call_refused".to_owned(),
            agent: None,
            actor: call.caller.clone(),
            outcome: "refused".to_owned(),
            payload: json!({
                "reason": format!("{}: {}", call.method, call.because), "refused_because": call.because,
                "unwritten_before": unwritten, "repeated_before": again,
            }),
        };
        if written.len() < REMEMBERED_MAX {
            written.insert(call.clone(), (now, 0));
        }
        if let Err(error) = log.append(&[row]).await {
            tracing::error!(%error, method = call.method, "a refused call could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_runtime::clock;
    use immune_store::memory;

    /// Scenario: more different calls are refused than may be written in a minute, each of them twice.
    /// Guarantees: those that may are written once, with who called what.
    #[tokio::test]
    async fn refused_calls_are_recorded_within_a_limit() {
        let stores = memory::stores();
        let (sender, receiver) = mpsc::channel(200);
        for n in 0..200 {
            let call = RefusedCall {
                caller: "role ingestion".to_owned(),
                method: format!("immune.v1.QuarantineService/Decide{}", n / 2),
                because: "role",
            };
            sender.send(call).await.unwrap();
        }
        drop(sender);
        let stop = CancellationToken::new();
        let log = stores.action_log.clone();
        let task = tokio::spawn(record_refused(
            receiver,
            log.clone(),
            clock::system(),
            stop.clone(),
        ));
        // All of them were there before it began, so it waits for none of them.
        while log.after(0, 200).await.unwrap().len() < immune_store::action_log::ROWS_PER_MINUTE as usize {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        task.await.unwrap();
        let rows = log.after(0, 200).await.unwrap();
        assert_eq!(rows.len(), immune_store::action_log::ROWS_PER_MINUTE as usize);
        assert_eq!(rows[0].row.actor, "role ingestion");
        assert_eq!(
            rows[0].row.payload["reason"],
            "immune.v1.QuarantineService/Decide0: role"
        );
        assert_eq!(
            rows[1].row.payload["reason"],
            "immune.v1.QuarantineService/Decide1: role"
        );
    }

    /// Guarantees: the gauges say where the chain ends, from the start.
    #[tokio::test]
    async fn the_end_of_the_chain_is_told() {
        use immune_store::conformance::samples::{agent, at, row};
        let (stores, mut registry) = (memory::stores(), Registry::default());
        let rows = [row(&agent("a"), "x", at(1)), row(&agent("a"), "y", at(2))];
        stores.action_log.append(&rows).await.unwrap();
        let metrics = Metrics::register(&mut registry);
        let stop = CancellationToken::new();
        let task = tokio::spawn(anchor(stores.action_log.clone(), metrics.clone(), stop.clone()));
        // It looks at once, and only then waits.
        while metrics.sequence.get() != 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(metrics.unchained.get(), 0);
        stop.cancel();
        task.await.unwrap();
    }
}
