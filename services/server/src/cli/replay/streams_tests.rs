use super::*;
use immune_domain::policy::Policies;

fn streams() -> Streams {
    let settings = Settings {
        severity_growth_min: 0.5,
        learn_late: Duration::from_secs(10),
        stale_after: Duration::from_secs(604_800),
    };
    Streams::new(Rules {
        run: "default".into(),
        policies: Policies::default().compile(),
        is_otlp: false,
        detector: Some(Detector::Specified),
        settings,
    })
}

fn row(stream: &str, t: f64, latency_ms: f64) -> Row {
    Row {
        stream: stream.to_owned(),
        t,
        agent_id: None,
        latency_ms: Some(latency_ms),
        token_count: None,
        tool_calls: None,
        retries: None,
        success: Some(true),
        task: None,
    }
}

/// Learns, and departs at 1,000.1234567 s.
fn story(stream: &str) -> Vec<Row> {
    let healthy = (0..20).map(|i| row(stream, 20.0 * f64::from(i), 900.0 + f64::from(i % 5) * 50.0));
    healthy.chain([row(stream, 1_000.123_456_7, 90_000.0)]).collect()
}

fn told(rows: &[Row]) -> Vec<(String, f64)> {
    let mut streams = streams();
    let mut told = Vec::new();
    let mut write = |line: Line<'_>| {
        told.push((line.stream.to_owned(), line.t));
        Ok(())
    };
    for row in rows {
        streams.take(row, &mut write).unwrap();
    }
    streams.end(&mut write).unwrap();
    told
}

/// Scenario: two streams, one after the other, and their rows mixed.
/// Guarantees: what is said of each is the same, with the row's own time to the last digit: rounded down, an alarm would
/// belong to the execution before.
#[test]
fn mixed_streams_are_judged_apart() {
    let (a, b) = (story("a"), story("b"));
    let expected = [
        ("a".to_owned(), 1_000.123_456_7),
        ("b".to_owned(), 1_000.123_456_7),
    ];
    assert_eq!(told(&[a.clone(), b.clone()].concat()), expected);
    let mixed: Vec<Row> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
    assert_eq!(told(&mixed), expected);
}

/// Scenario: a row that goes back in time; a stream that goes on after more others than are followed.
/// Guarantees: both are mistakes that name the stream; what is followed is bounded.
#[test]
fn order_and_number_are_bounded() {
    let mut streams = streams();
    let mut write = |_: Line<'_>| Ok(());
    streams.take(&row("a", 5.0, 1.0), &mut write).unwrap();
    let back = streams
        .take(&row("a", 4.0, 1.0), &mut write)
        .unwrap_err()
        .to_string();
    assert!(
        back.contains("t = 4 lies before 5") && back.contains("\"a\""),
        "{back}"
    );
    for i in 0..OPEN_MAX {
        streams
            .take(&row(&format!("other {i}"), 0.0, 1.0), &mut write)
            .unwrap();
    }
    assert_eq!((streams.open.len(), streams.count()), (OPEN_MAX, OPEN_MAX + 1));
    let again = streams
        .take(&row("a", 9.0, 1.0), &mut write)
        .unwrap_err()
        .to_string();
    assert!(
        again.contains("stream \"a\" goes on after 1024 others"),
        "{again}"
    );
}
