//! How the kinds of an agent's work differ: an agent that sums up and an agent that researches are two agents in one,
//! and each kind is compared with what is usual for it.

use crate::vitals::Vitals;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Kinds of work that are remembered per agent, 3 KiB of them; the one not seen for longest leaves.
const KINDS_MAX: usize = 128;
/// Executions of a kind that count as much as the agent's total in saying what is usual for the kind.
const SHRINK: f32 = 1.0;
/// The share of an agent's variance that its kinds of work explain, once a kind is known. Recorded agents show more, but
/// hardly any was seen to repeat its work while healthy, so that no more than half is believed.
const EXPLAINED: f32 = 0.5;
/// Executions that a kind remembers; older ones fade.
const MEMORY: f32 = 50.0;

/// What is known of the kinds of work of one agent. Empty, and no memory taken, where telemetry names none.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tasks {
    kinds: Vec<Kind>,
    /// Counts executions, to tell which kind was seen last.
    clock: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    name: u32,
    seen: u32,
    count: f32,
    /// How far the logarithms of the kind lie from the agent's reference, drawn towards it while the kind is little known.
    offsets: [f32; 3],
}

/// How an execution's kind differs from the agent's total.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    /// Fingerprint of the kind, 0 where there is none.
    pub kind: u32,
    /// What to take from the logarithms.
    pub offsets: [f32; 3],
    /// Spread of the kind in spreads of the agent.
    pub spread: f32,
}

/// Nothing is known of the kind: the agent's total stands for it.
const TOTAL: Usual = Usual {
    kind: 0,
    offsets: [0.0; 3],
    spread: 1.0,
};

impl Tasks {
    /// What is usual for an execution of this kind.
    pub(super) fn usual(&mut self, vitals: &Vitals) -> Usual {
        let Some(kind) = vitals.context.task_type.as_deref().map(fingerprint) else {
            return TOTAL;
        };
        self.clock = self.clock.wrapping_add(1);
        let Some(known) = self.kinds.iter_mut().find(|known| known.name == kind) else {
            return Usual { kind, ..TOTAL };
        };
        known.seen = self.clock;
        let is_known = known.count / (known.count + SHRINK);
        Usual {
            kind,
            offsets: known.offsets,
            spread: (1.0 - EXPLAINED * is_known).sqrt(),
        }
    }

    /// Learns how far an execution of a kind lay from what was usual for the kind; NaN where nothing was measured.
    ///
    /// The offset is the mean of the kind's distances with [`SHRINK`] executions at 0 among them, one at a time.
    pub(super) fn learn(&mut self, kind: u32, residuals: [f32; 3]) {
        if kind == 0 {
            return;
        }
        let at = self.kinds.iter().position(|known| known.name == kind);
        let at = at.unwrap_or_else(|| self.make_room(kind));
        let known = &mut self.kinds[at];
        known.count = (known.count + 1.0).min(MEMORY);
        for (offset, residual) in known.offsets.iter_mut().zip(residuals) {
            if !residual.is_nan() {
                *offset += residual / (known.count + SHRINK);
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.kinds.capacity() * size_of::<Kind>()
    }

    fn make_room(&mut self, name: u32) -> usize {
        let kind = Kind {
            name,
            seen: self.clock,
            count: 0.0,
            offsets: [0.0; 3],
        };
        if self.kinds.len() < KINDS_MAX {
            self.kinds.push(kind);
            return self.kinds.len() - 1;
        }
        let ages = self.kinds.iter().map(|known| self.clock.wrapping_sub(known.seen));
        let oldest = ages
            .enumerate()
            .max_by_key(|(_, age)| *age)
            .map_or(0, |(at, _)| at);
        self.kinds[oldest] = kind;
        oldest
    }
}

/// 0 is for none. Two kinds of one fingerprint would be taken for one, which is what they were before they had names.
fn fingerprint(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() as u32).max(1)
}
