//! An execution that still runs: what it has used so far is the least that it will have used, so it can be known for
//! too much long before it ends, and never for too little.

use super::evidence::{joined, z_of_one};
use super::tasks::Tasks;
use super::{Evidence, Guard, Peak, log_of};
use crate::vitals::{Metric, Vitals};

/// Score from which on an execution that still runs shows its agent infected. More than [`super::ALARM`]: it is a
/// single execution, and recorded healthy agents have single executions far beyond the normal ones' tail. What never ends
/// gets there all the same; with the usual spread of 0.55 at about fifteen times the usual.
pub const RUNNING_ALARM: f32 = 5.0;

impl Guard {
    /// How strongly an execution that still runs speaks for an infection; only what is above the reference counts.
    /// Nothing is learned from it, and it does not count among the agent's executions. `None` where too few were seen.
    pub fn running(&mut self, vitals: &Vitals) -> Option<Evidence> {
        if !self.is_ready() {
            return None;
        }
        let usual = self.tasks.usual(Tasks::kind(vitals));
        let mut peaks = [Peak::default(); 3];
        for metric in Metric::ALL {
            let i = metric.index();
            let size = log_of(vitals.value(metric)) - usual.offsets[i];
            if let Some(scale) = self.known.scale(metric)
                && size > scale.mean
            {
                let size = size - scale.mean;
                let z = z_of_one(size / (scale.spread * usual.spread), scale);
                peaks[i] = Peak { z, size };
            }
        }
        let metrics = peaks.map(|peak| peak.z);
        Some(Evidence {
            score: joined(metrics),
            metrics,
            peaks,
            window: 1,
            ..Evidence::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{execution, learned};
    use super::*;

    /// Scenario: an agent of 3 calls and 500 tokens runs an execution that calls for ever; another that takes three times as
    /// long as usual; one that has only begun.
    /// Guarantees: the first is found before 100 calls, the others are not, and none of them changes the detector.
    #[test]
    fn too_much_is_known_before_the_end() {
        let mut guard = learned();
        let before = guard.clone();
        let score = |guard: &mut Guard, latency: f64, tokens: u64, calls: u32| {
            let running = execution(latency, Some(tokens), Some(calls), true);
            guard.running(&running).map_or(0.0, |evidence| evidence.score)
        };
        let caught = (3..100).find(|calls| score(&mut guard, 1_000.0, 500, *calls) > RUNNING_ALARM);
        assert!(caught.is_some_and(|calls| calls > 8), "{caught:?}");
        assert!(score(&mut guard, 3_000.0, 500, 3) < RUNNING_ALARM);
        assert_eq!(score(&mut guard, 0.0, 0, 0), 0.0);
        assert_eq!(guard, before);
        assert_eq!(Guard::default().running(&execution(1e9, None, None, true)), None);
    }
}
