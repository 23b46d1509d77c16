//! Vitals: the record of one execution.

use super::{POSITIVE, WireError, id, nested, number, time};
use crate::v1;
use immune_domain::vitals::{Completeness, Context, Metric, RepeatedCall, Source, Vitals};

impl From<Metric> for v1::Metric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Latency => v1::Metric::Latency,
            Metric::Tokens => v1::Metric::Tokens,
            Metric::Tools => v1::Metric::Tools,
        }
    }
}

/// A metric by its number on the wire.
pub(super) fn metric(field: &str, number: i32) -> Result<Metric, WireError> {
    match v1::Metric::try_from(number) {
        Ok(v1::Metric::Latency) => Ok(Metric::Latency),
        Ok(v1::Metric::Tokens) => Ok(Metric::Tokens),
        Ok(v1::Metric::Tools) => Ok(Metric::Tools),
        Ok(v1::Metric::Unspecified) | Err(_) => Err(unknown(field, "a metric", number)),
    }
}

/// The refusal of an enum's number that is unset or not known here.
pub(super) fn unknown(field: &str, what: &str, number: i32) -> WireError {
    let problem = if number == 0 {
        "is missing".to_owned()
    } else {
        format!("{number} is not {what}")
    };
    WireError::new(field, problem)
}

impl From<Completeness> for v1::Completeness {
    fn from(completeness: Completeness) -> Self {
        match completeness {
            Completeness::Complete => v1::Completeness::Complete,
            Completeness::Incomplete => v1::Completeness::Incomplete,
            Completeness::Running => v1::Completeness::Running,
        }
    }
}

fn completeness(field: &str, number: i32) -> Result<Completeness, WireError> {
    match v1::Completeness::try_from(number) {
        Ok(v1::Completeness::Complete) => Ok(Completeness::Complete),
        Ok(v1::Completeness::Incomplete) => Ok(Completeness::Incomplete),
        Ok(v1::Completeness::Running) => Ok(Completeness::Running),
        Ok(v1::Completeness::Unspecified) | Err(_) => Err(unknown(field, "a completeness", number)),
    }
}

impl From<Source> for v1::Source {
    fn from(source: Source) -> Self {
        match source {
            Source::Otlp => v1::Source::Otlp,
            Source::Posted => v1::Source::Posted,
        }
    }
}

fn source(field: &str, number: i32) -> Result<Source, WireError> {
    match v1::Source::try_from(number) {
        Ok(v1::Source::Otlp) => Ok(Source::Otlp),
        Ok(v1::Source::Posted) => Ok(Source::Posted),
        Ok(v1::Source::Unspecified) | Err(_) => Err(unknown(field, "a source of vitals", number)),
    }
}

impl From<&Vitals> for v1::Vitals {
    fn from(vitals: &Vitals) -> Self {
        v1::Vitals::from(vitals.clone())
    }
}

impl From<Vitals> for v1::Vitals {
    fn from(vitals: Vitals) -> Self {
        v1::Vitals {
            key: Some(vitals.key.into()),
            execution_id: vitals.execution.to_string(),
            revision: vitals.revision,
            started_at: Some(time::to_wire(vitals.started_at)),
            timestamp: Some(time::to_wire(vitals.timestamp)),
            received_at: Some(time::to_wire(vitals.received_at)),
            latency_ms: vitals.latency_ms,
            input_tokens: vitals.input_tokens,
            output_tokens: vitals.output_tokens,
            token_count: vitals.token_count,
            tool_calls: vitals.tool_calls,
            retries: vitals.retries,
            success: vitals.success,
            completeness: v1::Completeness::from(vitals.completeness).into(),
            source: v1::Source::from(vitals.source).into(),
            context: Some((*vitals.context).into()),
        }
    }
}

impl TryFrom<v1::Vitals> for Vitals {
    type Error = WireError;

    fn try_from(wire: v1::Vitals) -> Result<Self, Self::Error> {
        Ok(Vitals {
            key: nested("key", wire.key)?,
            execution: id("execution_id", wire.execution_id)?,
            revision: wire.revision,
            started_at: time::from_wire("started_at", wire.started_at)?,
            timestamp: time::from_wire("timestamp", wire.timestamp)?,
            received_at: time::from_wire("received_at", wire.received_at)?,
            latency_ms: number("latency_ms", wire.latency_ms, POSITIVE)?,
            input_tokens: wire.input_tokens,
            output_tokens: wire.output_tokens,
            token_count: wire.token_count,
            tool_calls: wire.tool_calls,
            retries: wire.retries,
            success: wire.success,
            completeness: completeness("completeness", wire.completeness)?,
            source: source("source", wire.source)?,
            context: Box::new(nested(
                "context",
                wire.context.or_else(|| Some(v1::VitalsContext::default())),
            )?),
        })
    }
}

impl From<Context> for v1::VitalsContext {
    fn from(context: Context) -> Self {
        v1::VitalsContext {
            agent_type: context.agent_type,
            agent_name: context.agent_name,
            framework: context.framework,
            model: context.model,
            conversation: context.conversation,
            trace_id: context.trace_id,
            tools: context.tools,
            parts: context.parts,
            mcp_servers: context.mcp_servers,
            error_type: context.error_type,
            cost: context.cost,
            prompt_hash: context.prompt_hash,
            workload: context.workload.into_iter().collect(),
            platform_infected: context.platform_infected,
            task_type: context.task_type,
            tools_offered: context.tools_offered,
            repeated_call: context.repeated_call.map(|call| v1::RepeatedCall {
                tool: call.tool,
                times: call.times,
            }),
        }
    }
}

impl TryFrom<v1::VitalsContext> for Context {
    type Error = WireError;

    /// The workload's keys come back sorted: the wire keeps no order of them.
    fn try_from(wire: v1::VitalsContext) -> Result<Self, Self::Error> {
        let mut workload: Vec<(String, String)> = wire.workload.into_iter().collect();
        workload.sort();
        Ok(Context {
            agent_type: wire.agent_type,
            agent_name: wire.agent_name,
            framework: wire.framework,
            model: wire.model,
            conversation: wire.conversation,
            trace_id: wire.trace_id,
            tools: wire.tools,
            parts: wire.parts,
            mcp_servers: wire.mcp_servers,
            error_type: wire.error_type,
            cost: wire.cost.map(|cost| number("cost", cost, POSITIVE)).transpose()?,
            prompt_hash: wire.prompt_hash,
            workload,
            platform_infected: wire.platform_infected,
            task_type: wire.task_type,
            tools_offered: wire.tools_offered,
            repeated_call: wire.repeated_call.map(|call| RepeatedCall {
                tool: call.tool,
                times: call.times,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: nothing of an execution is lost or changed on the wire.
        #[test]
        fn round_trip(vitals in arbitrary::vitals()) {
            prop_assert_eq!(Vitals::try_from(v1::Vitals::from(&vitals)), Ok(vitals));
        }

        /// Guarantees: what is not a latency is refused by name.
        #[test]
        fn refuses_what_is_no_latency(
            vitals in arbitrary::vitals(),
            bad in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -1e12..-1e-12],
        ) {
            let wire = v1::Vitals { latency_ms: bad, ..v1::Vitals::from(&vitals) };
            prop_assert_eq!(Vitals::try_from(wire).expect_err("not a latency").field, "latency_ms");
        }
    }

    /// Guarantees: each required field is asked for by name.
    #[test]
    fn names_what_is_missing() {
        let complete = v1::Vitals {
            key: Some(v1::AgentKey {
                run_id: String::new(),
                agent_id: "a".to_owned(),
            }),
            execution_id: "e".to_owned(),
            started_at: Some(prost_types::Timestamp::default()),
            timestamp: Some(prost_types::Timestamp::default()),
            received_at: Some(prost_types::Timestamp::default()),
            completeness: v1::Completeness::Complete.into(),
            source: v1::Source::Otlp.into(),
            ..v1::Vitals::default()
        };
        assert!(
            Vitals::try_from(complete.clone()).is_ok(),
            "no context is an empty one"
        );
        type Spoil = fn(&mut v1::Vitals);
        let spoiled: [(&str, Spoil); 8] = [
            ("key: is missing", |v| v.key = None),
            ("execution_id: is missing", |v| v.execution_id.clear()),
            ("started_at: is missing", |v| v.started_at = None),
            ("timestamp: is missing", |v| v.timestamp = None),
            ("received_at: is missing", |v| v.received_at = None),
            ("completeness: is missing", |v| v.completeness = 0),
            ("source: 7 is not a source of vitals", |v| v.source = 7),
            ("context.cost: NaN is not a finite number of at least 0", |v| {
                v.context = Some(v1::VitalsContext {
                    cost: Some(f64::NAN),
                    ..v1::VitalsContext::default()
                });
            }),
        ];
        for (message, spoil) in spoiled {
            let mut wire = complete.clone();
            spoil(&mut wire);
            assert_eq!(Vitals::try_from(wire).expect_err(message).to_string(), message);
        }
    }
}
