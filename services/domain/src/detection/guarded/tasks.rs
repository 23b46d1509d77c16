//! How the kinds of an agent's work differ: an agent that sums up and an agent that researches are two agents in one,
//! and each kind is compared with what is usual for it.

use super::known::take;
use crate::vitals::Vitals;

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
    /// The kind of an execution; 0 where telemetry names none.
    pub(super) fn kind(vitals: &Vitals) -> u32 {
        vitals.context.task_type.as_deref().map_or(0, fingerprint)
    }

    /// What is usual for an execution of this kind.
    pub(super) fn usual(&mut self, kind: u32) -> Usual {
        if kind == 0 {
            return TOTAL;
        }
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

    /// Adds the bytes of what is known, the kind that was seen longest ago first.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        let mut kinds: Vec<&Kind> = self.kinds.iter().collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(self.clock.wrapping_sub(kind.seen)));
        for kind in kinds {
            bytes.extend(kind.name.to_le_bytes());
            for number in [kind.count].iter().chain(&kind.offsets) {
                bytes.extend(number.to_le_bytes());
            }
        }
    }

    /// Reads them, to the end.
    pub(super) fn take(rest: &mut &[u8]) -> Option<Tasks> {
        let mut tasks = Tasks::default();
        while let Some((name, after)) = rest.split_first_chunk() {
            *rest = after;
            tasks.clock += 1;
            let kind = Kind {
                name: u32::from_le_bytes(*name),
                seen: tasks.clock,
                count: take(rest)?,
                offsets: [take(rest)?, take(rest)?, take(rest)?],
            };
            let is_ours =
                (1.0..=MEMORY).contains(&kind.count) && kind.offsets.iter().all(|offset| offset.is_finite());
            if !is_ours || tasks.kinds.len() >= KINDS_MAX {
                return None;
            }
            tasks.kinds.push(kind);
        }
        Some(tasks)
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
/// FNV-1a (Fowler, Noll, Vo), 32 bits, since it is stored.
fn fingerprint(name: &str) -> u32 {
    let fold = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, fold).max(1)
}
