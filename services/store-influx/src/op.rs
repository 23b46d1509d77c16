//! What waits to be written, in memory and in the spill.

use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId};
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// Store a record.
    Append(Vitals),
    /// Remove an execution.
    Retract(AgentKey, ExecutionId),
}

/// The form in the spill: JSON, with the bits of numbers that JSON has no word for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
enum Saved {
    Append {
        vitals: Vitals,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latency_bits: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost_bits: Option<u64>,
    },
    Retract {
        key: AgentKey,
        execution: ExecutionId,
    },
}

impl Op {
    /// For people: which record it is about.
    pub(crate) fn subject(&self) -> String {
        match self {
            Op::Append(vitals) => format!("{} {}", vitals.key, vitals.execution),
            Op::Retract(key, execution) => format!("{key} {execution}"),
        }
    }
}

/// One line of JSON.
pub(crate) fn save(op: &Op) -> serde_json::Result<Vec<u8>> {
    let saved = match op {
        Op::Append(vitals) => {
            let mut vitals = vitals.clone();
            let mut latency_bits = None;
            if !vitals.latency_ms.is_finite() {
                latency_bits = Some(vitals.latency_ms.to_bits());
                vitals.latency_ms = 0.0;
            }
            let odd_cost = vitals.context.cost.filter(|cost| !cost.is_finite());
            if odd_cost.is_some() {
                vitals.context.cost = None;
            }
            Saved::Append {
                vitals,
                latency_bits,
                cost_bits: odd_cost.map(f64::to_bits),
            }
        }
        Op::Retract(key, execution) => Saved::Retract {
            key: key.clone(),
            execution: execution.clone(),
        },
    };
    serde_json::to_vec(&saved)
}

/// What [`save`] made.
pub(crate) fn load(line: &[u8]) -> serde_json::Result<Op> {
    Ok(match serde_json::from_slice(line)? {
        Saved::Append {
            mut vitals,
            latency_bits,
            cost_bits,
        } => {
            if let Some(bits) = latency_bits {
                vitals.latency_ms = f64::from_bits(bits);
            }
            if let Some(bits) = cost_bits {
                vitals.context.cost = Some(f64::from_bits(bits));
            }
            Op::Append(vitals)
        }
        Saved::Retract { key, execution } => Op::Retract(key, execution),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_store::conformance::samples::{agent, at, vitals};

    /// Guarantees: what waits comes back to the last bit, numbers that JSON cannot write included.
    #[test]
    fn ops_come_back() {
        let mut odd = vitals(&agent("a\n\"'"), "e", at(1));
        odd.latency_ms = 0.1 + 0.2;
        odd.token_count = Some(u64::MAX);
        let op = Op::Append(odd.clone());
        assert_eq!(load(&save(&op).unwrap()).unwrap(), op);
        for bits in [
            f64::NAN.to_bits() | 7,
            f64::NEG_INFINITY.to_bits(),
            (-0.0_f64).to_bits(),
        ] {
            odd.latency_ms = f64::from_bits(bits);
            odd.context.cost = Some(f64::from_bits(bits));
            let Op::Append(back) = load(&save(&Op::Append(odd.clone())).unwrap()).unwrap() else {
                panic!("an append")
            };
            assert_eq!(back.latency_ms.to_bits(), bits);
            assert_eq!(back.context.cost.unwrap().to_bits(), bits);
        }
        let op = Op::Retract(agent("a"), "e".into());
        assert_eq!(load(&save(&op).unwrap()).unwrap(), op);
    }
}
