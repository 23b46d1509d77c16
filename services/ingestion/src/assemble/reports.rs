//! What was reported of a trace and stands: revisions, corrections, retractions.

use super::Emitted;
use super::counts::Totals;
use super::span::SpanId;
use crate::extract;
use foldhash::fast::FixedState;
use immune_domain::AgentKey;
use immune_domain::vitals::{Completeness, Vitals};
use std::hash::{BuildHasher as _, Hash, Hasher as _};

/// The reports of one trace.
#[derive(Debug, Default)]
pub(super) struct Reports {
    standing: Vec<Reported>,
    /// Ids that were taken back, with the revision that said so: what comes later must be above it.
    retracted: Vec<(SpanId, u32)>,
}

/// A report that stands.
#[derive(Debug, Clone)]
pub(super) struct Reported {
    pub(super) id: SpanId,
    pub(super) completeness: Completeness,
    pub(super) latency_ms: f64,
    key: AgentKey,
    revision: u32,
    fingerprint: u64,
}

impl Reports {
    pub(super) fn standing(&self) -> &[Reported] {
        &self.standing
    }

    /// Memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.standing.len() * size_of::<Reported>() + self.retracted.len() * size_of::<(SpanId, u32)>()
    }

    /// Takes back what does not stand any more.
    pub(super) fn retain(
        &mut self,
        trace: u128,
        stands: impl FnMut(&Reported) -> bool,
        totals: &mut Totals,
        out: &mut Vec<Emitted>,
    ) {
        let (kept, gone) = std::mem::take(&mut self.standing).into_iter().partition(stands);
        self.standing = kept;
        let gone: Vec<Reported> = gone;
        for reported in gone {
            self.retract(trace, reported, totals, out);
        }
    }

    fn retract(&mut self, trace: u128, reported: Reported, totals: &mut Totals, out: &mut Vec<Emitted>) {
        totals.retractions += 1;
        self.retracted.retain(|(id, _)| *id != reported.id);
        self.retracted
            .push((reported.id, reported.revision.saturating_add(1)));
        let execution = extract::execution_id(trace, reported.id);
        out.push(Emitted::Retracted {
            key: reported.key,
            execution,
        });
    }

    /// Reports a record, unless it says what stands already. The revision is above that of every earlier word on
    /// the execution; a record that moves to another agent is taken back from the first.
    pub(super) fn report(
        &mut self,
        trace: u128,
        id: SpanId,
        mut vitals: Vitals,
        totals: &mut Totals,
        out: &mut Vec<Emitted>,
    ) {
        let fingerprint = fingerprint(&vitals);
        let before = self.standing.iter().position(|reported| reported.id == id);
        if before.is_some_and(|at| self.standing[at].fingerprint == fingerprint) {
            return;
        }
        if let Some(before) = before.map(|at| self.standing.swap_remove(at)) {
            totals.corrections += 1;
            vitals.revision = before.revision.saturating_add(1);
            if before.key != vitals.key {
                self.retract(trace, before, totals, out);
            }
        } else {
            totals.executions += 1;
        }
        if let Some((_, revision)) = self.retracted.iter().find(|(retracted, _)| *retracted == id) {
            vitals.revision = vitals.revision.max(revision.saturating_add(1));
        }
        match vitals.completeness {
            Completeness::Complete => {}
            Completeness::Incomplete => totals.incomplete += 1,
            Completeness::Running => totals.running += 1,
        }
        self.standing.push(Reported {
            id,
            completeness: vitals.completeness,
            latency_ms: vitals.latency_ms,
            key: vitals.key.clone(),
            revision: vitals.revision,
            fingerprint,
        });
        out.push(Emitted::Vitals(vitals));
    }
}

/// 64 bits for what a record says, its revision and time of arrival aside.
fn fingerprint(vitals: &Vitals) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    (&vitals.key, vitals.completeness, vitals.success).hash(&mut hasher);
    (
        vitals.started_at.as_micros(),
        vitals.timestamp.as_micros(),
        vitals.latency_ms.to_bits(),
    )
        .hash(&mut hasher);
    (vitals.input_tokens, vitals.output_tokens, vitals.token_count).hash(&mut hasher);
    (vitals.tool_calls, vitals.retries).hash(&mut hasher);
    let context = &*vitals.context;
    (
        &context.agent_type,
        &context.agent_name,
        &context.framework,
        &context.model,
    )
        .hash(&mut hasher);
    (
        &context.conversation,
        &context.tools,
        &context.parts,
        &context.mcp_servers,
    )
        .hash(&mut hasher);
    (
        &context.error_type,
        &context.prompt_hash,
        &context.workload,
        &context.platform_infected,
        &context.task_type,
    )
        .hash(&mut hasher);
    (
        &context.tools_offered,
        context
            .repeated_call
            .as_ref()
            .map(|call| (&call.tool, call.times)),
    )
        .hash(&mut hasher);
    context.cost.map(f64::to_bits).hash(&mut hasher);
    hasher.finish()
}
