//! Reports of the sentinel.

use super::vitals::metric;
use super::{POSITIVE, SHARE, WireError, id, list, nested, number, time, word};
use crate::v1;
use immune_domain::detection::probation::Verdict;
use immune_domain::detection::{Deviations, EVIDENCE_MAX, Evidence, Infection, WORKLOAD_MAX, WindowSummary};
use immune_domain::diagnosis::{Hypothesis, RuledOut};
use immune_domain::vitals::Metric;

impl From<&Infection> for v1::Infection {
    fn from(infection: &Infection) -> Self {
        v1::Infection {
            infection_id: infection.id.to_string(),
            key: Some((&infection.key).into()),
            detected_at: Some(time::to_wire(infection.detected_at)),
            severity: infection.severity,
            anomalies: infection
                .anomalies
                .iter()
                .map(|anomaly| anomaly.as_str().to_owned())
                .collect(),
            deviations: Some(infection.deviations.into()),
            hypotheses: infection.hypotheses.iter().map(Into::into).collect(),
            window: Some(infection.window.into()),
            evidence: infection.evidence.iter().map(Into::into).collect(),
            baseline_version: infection.baseline_version,
            evidence_score: infection.evidence_score,
            workload: infection.workload.clone().into_iter().collect(),
            ruled_out: infection.ruled_out.iter().map(Into::into).collect(),
        }
    }
}

impl From<Infection> for v1::Infection {
    fn from(infection: Infection) -> Self {
        v1::Infection::from(&infection)
    }
}

impl TryFrom<v1::Infection> for Infection {
    type Error = WireError;

    fn try_from(wire: v1::Infection) -> Result<Self, Self::Error> {
        if wire.hypotheses.is_empty() {
            return Err(WireError::new(
                "hypotheses",
                "is empty; at least `unknown` is always given",
            ));
        }
        if wire.evidence.len() > EVIDENCE_MAX {
            let problem = format!("has {} entries, the most is {EVIDENCE_MAX}", wire.evidence.len());
            return Err(WireError::new("evidence", problem));
        }
        if wire.workload.len() > WORKLOAD_MAX {
            let problem = format!("has {} entries, the most is {WORKLOAD_MAX}", wire.workload.len());
            return Err(WireError::new("workload", problem));
        }
        let anomalies = wire.anomalies.iter().enumerate();
        Ok(Infection {
            id: id("infection_id", wire.infection_id)?,
            key: nested("key", wire.key)?,
            detected_at: time::from_wire("detected_at", wire.detected_at)?,
            severity: number("severity", wire.severity, 0.0..=10.0)?,
            anomalies: anomalies
                .map(|(i, text)| word(&format!("anomalies[{i}]"), text))
                .collect::<Result<_, _>>()?,
            deviations: nested("deviations", wire.deviations)?,
            hypotheses: list("hypotheses", wire.hypotheses)?,
            window: nested("window", wire.window)?,
            evidence: list("evidence", wire.evidence)?,
            baseline_version: wire.baseline_version,
            evidence_score: wire
                .evidence_score
                .map(|score| number("evidence_score", score, POSITIVE))
                .transpose()?,
            workload: wire.workload.into_iter().collect(),
            ruled_out: list("ruled_out", wire.ruled_out)?,
        })
    }
}

impl From<Deviations> for v1::Deviations {
    fn from(deviations: Deviations) -> Self {
        let Deviations {
            latency,
            tokens,
            tools,
            retry_rate,
        } = deviations;
        v1::Deviations {
            latency,
            tokens,
            tools,
            retry_rate,
        }
    }
}

impl TryFrom<v1::Deviations> for Deviations {
    type Error = WireError;

    fn try_from(wire: v1::Deviations) -> Result<Self, Self::Error> {
        let read = |field, value: Option<f64>| value.map(|value| number(field, value, POSITIVE)).transpose();
        Ok(Deviations {
            latency: read("latency", wire.latency)?,
            tokens: read("tokens", wire.tokens)?,
            tools: read("tools", wire.tools)?,
            retry_rate: read("retry_rate", wire.retry_rate)?,
        })
    }
}

impl From<&Hypothesis> for v1::Hypothesis {
    fn from(hypothesis: &Hypothesis) -> Self {
        v1::Hypothesis {
            diagnosis: hypothesis.diagnosis.to_string(),
            confidence: hypothesis.confidence,
            because: hypothesis.because.clone(),
        }
    }
}

impl From<&RuledOut> for v1::RuledOut {
    fn from(not: &RuledOut) -> Self {
        v1::RuledOut {
            diagnosis: not.diagnosis.to_string(),
            because: not.because.clone(),
        }
    }
}

impl TryFrom<v1::RuledOut> for RuledOut {
    type Error = WireError;

    fn try_from(wire: v1::RuledOut) -> Result<Self, Self::Error> {
        Ok(RuledOut {
            diagnosis: word("diagnosis", &wire.diagnosis)?,
            because: wire.because,
        })
    }
}

impl TryFrom<v1::Hypothesis> for Hypothesis {
    type Error = WireError;

    fn try_from(wire: v1::Hypothesis) -> Result<Self, Self::Error> {
        Ok(Hypothesis {
            diagnosis: word("diagnosis", &wire.diagnosis)?,
            confidence: number("confidence", wire.confidence, SHARE)?,
            because: wire.because,
        })
    }
}

impl From<WindowSummary> for v1::WindowSummary {
    fn from(window: WindowSummary) -> Self {
        let metrics = Metric::ALL.map(|metric| v1::window_summary::MetricSummary {
            metric: v1::Metric::from(metric).into(),
            average: window.averages[metric.index()],
            mean: window.means[metric.index()],
            stddev: window.stddevs[metric.index()],
        });
        v1::WindowSummary {
            executions: window.executions,
            window_seconds: window.window_seconds,
            metrics: metrics.into(),
            retry_share: window.retry_share,
            failure_share: window.failure_share,
        }
    }
}

impl TryFrom<v1::WindowSummary> for WindowSummary {
    type Error = WireError;

    fn try_from(wire: v1::WindowSummary) -> Result<Self, Self::Error> {
        let mut window = WindowSummary {
            executions: wire.executions,
            window_seconds: number("window_seconds", wire.window_seconds, POSITIVE)?,
            retry_share: number("retry_share", wire.retry_share, SHARE)?,
            failure_share: number("failure_share", wire.failure_share, SHARE)?,
            ..WindowSummary::default()
        };
        let mut seen = [false; 3];
        for (i, each) in wire.metrics.into_iter().enumerate() {
            let at = |error: WireError| error.under(format_args!("metrics[{i}]"));
            let read = |field, value: Option<f64>| {
                value
                    .map(|value| number(field, value, POSITIVE))
                    .transpose()
                    .map_err(at)
            };
            let index = metric("metric", each.metric).map_err(at)?.index();
            if std::mem::replace(&mut seen[index], true) {
                return Err(at(WireError::new("metric", "is there twice")));
            }
            window.averages[index] = read("average", each.average)?;
            window.means[index] = read("mean", each.mean)?;
            window.stddevs[index] = read("stddev", each.stddev)?;
        }
        Ok(window)
    }
}

impl From<&Evidence> for v1::Evidence {
    fn from(evidence: &Evidence) -> Self {
        v1::Evidence {
            execution_id: evidence.execution.to_string(),
            trace_id: evidence.trace_id.clone(),
            timestamp: Some(time::to_wire(evidence.timestamp)),
            latency_ms: evidence.latency_ms,
            token_count: evidence.token_count,
            tool_calls: evidence.tool_calls,
            retries: evidence.retries,
            success: evidence.success,
        }
    }
}

impl TryFrom<v1::Evidence> for Evidence {
    type Error = WireError;

    fn try_from(wire: v1::Evidence) -> Result<Self, Self::Error> {
        Ok(Evidence {
            execution: id("execution_id", wire.execution_id)?,
            trace_id: wire.trace_id,
            timestamp: time::from_wire("timestamp", wire.timestamp)?,
            latency_ms: number("latency_ms", wire.latency_ms, POSITIVE)?,
            token_count: wire.token_count,
            tool_calls: wire.tool_calls,
            retries: wire.retries,
            success: wire.success,
        })
    }
}

impl From<Verdict> for v1::judge_since_response::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pending => v1::judge_since_response::Verdict::Pending,
            Verdict::Within => v1::judge_since_response::Verdict::Within,
            Verdict::Beyond => v1::judge_since_response::Verdict::Beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: nothing of a report is lost or changed on the wire.
        #[test]
        fn round_trip(infection in arbitrary::infection()) {
            prop_assert_eq!(Infection::try_from(v1::Infection::from(&infection)), Ok(infection));
        }

        /// Guarantees: a report that the domain could not have made is refused with the path of the field.
        #[test]
        fn refuses_by_path(infection in arbitrary::infection()) {
            type Spoil = fn(&mut v1::Infection);
            let spoiled: [(&str, Spoil); 9] = [
                ("severity: 10.5 is not a number from 0 to 10", |w| w.severity = 10.5),
                ("hypotheses: is empty; at least `unknown` is always given", |w| w.hypotheses.clear()),
                ("hypotheses[0].diagnosis: \"flu\" is not a diagnosis", |w| {
                    w.hypotheses[0].diagnosis = "flu".to_owned();
                }),
                ("deviations.tools: -1 is not a finite number of at least 0", |w| {
                    w.deviations = Some(v1::Deviations { tools: Some(-1.0), ..v1::Deviations::default() });
                }),
                ("window: is missing", |w| w.window = None),
                ("evidence_score: NaN is not a finite number of at least 0", |w| w.evidence_score = Some(f64::NAN)),
                ("evidence[0].execution_id: is missing", |w| {
                    w.evidence = vec![v1::Evidence::default()];
                }),
                ("evidence: has 11 entries, the most is 10", |w| {
                    w.evidence = vec![v1::Evidence::default(); 11];
                }),
                ("workload: has 33 entries, the most is 32", |w| {
                    w.workload = (0..33).map(|n| (n.to_string(), String::new())).collect();
                }),
            ];
            for (message, spoil) in spoiled {
                let mut wire = v1::Infection::from(&infection);
                spoil(&mut wire);
                prop_assert_eq!(Infection::try_from(wire).expect_err(message).to_string(), message);
            }
        }
    }
}
