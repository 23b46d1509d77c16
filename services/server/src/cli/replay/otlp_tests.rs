use super::*;

fn row(tool_calls: Option<f64>, retries: Option<f64>, success: bool) -> Row {
    Row {
        stream: "s".to_owned(),
        t: 12.5,
        agent_id: None,
        latency_ms: Some(1_234.567),
        token_count: Some(900.0),
        tool_calls,
        retries,
        success: Some(success),
        task: Some("sum up".to_owned()),
    }
}

/// Scenario: rows with and without tool calls, retries, success; one of which tool calls and retries were not counted.
/// Guarantees: ingestion reads from the spans what the row says, and what it does not say is not made up.
#[test]
fn what_is_written_is_read() {
    let (mut otlp, key) = (Otlp::new(), AgentKey::new("default", "shop/buyer"));
    let ended = Timestamp::from_micros(1_000_000_012_500_000);
    for (calls, retries, success) in [
        (Some(0.0), Some(0.0), true),
        (Some(7.0), Some(2.0), true),
        (Some(207.0), Some(8.0), false),
        (None, None, true),
    ] {
        let vitals = otlp
            .read(&row(calls, retries, success), &key, ended)
            .expect("an execution");
        assert_eq!(
            (vitals.timestamp, vitals.received_at, vitals.latency_ms),
            (ended, ended, 1_234.567)
        );
        assert_eq!(vitals.token_count, Some(900));
        assert_eq!(vitals.tool_calls, calls.map(|calls| calls as u32));
        assert_eq!(vitals.retries, retries.map(|retries| retries as u32));
        assert_eq!(vitals.success, success);
        assert_eq!(vitals.context.task_type.as_deref(), Some("sum up"));
    }
}
