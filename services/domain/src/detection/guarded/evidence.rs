//! How strongly the last executions speak against a reference.

use super::Seen;
use super::reference::{PRIOR_WEIGHT, Reference, Scale};
use crate::vitals::Metric;
use serde::{Deserialize, Serialize};

/// Window lengths, executions: from three on each twice as long as the one before, as far as the ring reaches. The newest
/// executions of a window weigh most, so that what lies between two lengths is seen well enough by the longer; more
/// lengths would find nothing more, and accuse by chance.
const WINDOWS: [u32; 6] = [1, 2, 3, 6, 12, 20];
/// Weight of a single execution: real agents have lone outliers that mean nothing. Each further one in a row that lies as
/// far weighs the same once more, since outliers come independently: what is drawn in would take many more executions,
/// during which a young reference would learn a fault of a hundred times the usual.
const LONE: f32 = 0.45;
/// Executions in a row that count so; more of them, less far away, are what an agent's work is like for a while.
const IN_A_ROW: u32 = 3;
/// Spreads beyond which a value is drawn in before it is averaged. The lower, the lower can the alarm be: a mean of lasting
/// departures gets there, one of healthy executions with an outlier among them does not.
const WINSOR: f32 = 1.9;
/// Weight of two metrics together: they depart together more often than independent ones would.
const PAIR: f32 = 0.85;
/// Weight of a latency below the reference: agents that are faster than usual are hardly ever ill.
const FASTER: f32 = 0.9;
/// Weight of failures and retries: they come in bursts, where independent ones are counted.
const COUNTED: f32 = 0.75;
/// The shortest window in which failures and retries are counted, and how many it takes.
const COUNTED_FROM: (u32, f32) = (3, 2.0);
/// The window whose failures and retries a diagnosis looks at, executions.
pub const DIAGNOSED: u32 = 5;

/// The strongest evidence over all windows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// How sure: comparable to standard deviations of a normal variable.
    pub score: f32,
    /// Signed, per metric, in the window that gave the score of the metrics.
    pub metrics: [f32; 3],
    /// How each metric stands in the window in which it departs most, which need not be the same for all: what a
    /// diagnosis looks at.
    pub peaks: [Peak; 3],
    /// The part of failures and retries; 0 unless the last execution is one of those counted.
    pub counted: f32,
    /// Share of the last five executions that failed, and that had a retry.
    pub shares: [f32; 2],
    /// Executions in the window that gave the score of the metrics.
    pub window: u32,
}

/// A metric in the window in which it departs most.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Peak {
    /// How sure, signed.
    pub z: f32,
    /// How far: the mean of the logarithms above or below the reference. 0.7 is about twice as much, 1.1 three times.
    pub size: f32,
}

/// Weighs the latest executions (`back(0)` is the last) against a reference, reaching back at most `reach`.
///
/// Several in a row count against the known reference only: an agent that comes back from a level that lasted departs from
/// the provisional one with every execution, and must not be accused of that.
pub(super) fn score(
    reference: &Reference,
    is_known: bool,
    reach: u32,
    back: impl Fn(u32) -> Seen,
) -> Evidence {
    let scales = Metric::ALL.map(|metric| reference.scale(metric));
    let mut best = Evidence::default();
    let (mut sums, mut nearest) = ([Sum::default(); 3], [None; 3]);
    let (mut bad, mut taken) = ([0f32; 2], 0);
    // An old failure must not accuse the well execution that follows it: what ended would go on in alarm.
    let is_bad = if reach > 0 { back(0).bad } else { [false; 2] };
    for window in WINDOWS.into_iter().take_while(|window| *window <= reach) {
        while taken < window {
            let seen = back(taken);
            for i in 0..3 {
                let Some(scale) = scales[i] else { continue };
                sums[i].age();
                let shift = seen.logs[i] - scale.mean;
                let residual = shift / (scale.spread * seen.spread);
                nearest[i] = nearer(nearest[i], residual);
                if !shift.is_nan() {
                    sums[i].add(residual.clamp(-WINSOR, WINSOR), shift);
                }
            }
            bad[0] += f32::from(u8::from(seen.bad[0]));
            bad[1] += f32::from(u8::from(seen.bad[1]));
            taken += 1;
        }
        let z: [f32; 3] = std::array::from_fn(|i| {
            let Some(scale) = scales[i] else { return 0.0 };
            let in_a_row = LONE * window as f32 * z_of_one(nearest[i].unwrap_or(0.0), scale);
            let of_all = sums[i].z(scale);
            match window {
                1 => in_a_row,
                2..=IN_A_ROW if is_known && in_a_row.abs() > of_all.abs() => in_a_row,
                _ => of_all,
            }
        });
        for (peak, i) in best.peaks.iter_mut().zip(0..) {
            if z[i].abs() > peak.z.abs() {
                let size = sums[i].shift / sums[i].count;
                *peak = Peak { z: z[i], size };
            }
        }
        let score = joined(z);
        if score > best.score {
            best = Evidence {
                score,
                metrics: z,
                window,
                ..best
            };
        }
        if window >= COUNTED_FROM.0 {
            for (which, bad) in bad
                .into_iter()
                .enumerate()
                .filter(|(which, bad)| is_bad[*which] && *bad >= COUNTED_FROM.1)
            {
                best.counted = best
                    .counted
                    .max(counted(bad, window as f32, reference.rate(which)));
            }
        }
    }
    if reach >= DIAGNOSED {
        for (which, share) in best.shares.iter_mut().enumerate() {
            let bad = (0..DIAGNOSED).filter(|ago| back(*ago).bad[which]).count();
            *share = bad as f32 / DIAGNOSED as f32;
        }
    }
    best.score = best.score.max(best.counted);
    best
}

/// One metric's executions in a window, taken from the newest to the oldest. The oldest weighs 1, each newer one 1 more: a
/// fault that began inside the window lies at its newer end, and one that creeps is worst there.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: f32,
    /// Of the logarithms above or below the reference, not weighted.
    shift: f32,
    /// Of the residuals, not weighted: what every weight's growth by 1 adds.
    residuals: f32,
    weighted: f32,
    weights: f32,
    /// Of the weights' squares.
    squares: f32,
}

impl Sum {
    /// One execution further back: what was taken weighs 1 more.
    fn age(&mut self) {
        self.weighted += self.residuals;
        self.squares += 2.0 * self.weights + self.count;
        self.weights += self.count;
    }

    fn add(&mut self, residual: f32, shift: f32) {
        self.count += 1.0;
        self.shift += shift;
        self.residuals += residual;
        self.weighted += residual;
        self.weights += 1.0;
        self.squares += 1.0;
    }

    /// The weighted mean as Student's t, turned into a normal variable.
    fn z(&self, scale: Scale) -> f32 {
        if self.count == 0.0 {
            return 0.0;
        }
        let variance =
            scale.inflation.min(self.count) * self.squares + self.weights * self.weights / scale.count;
        normal(self.weighted / variance.sqrt(), scale)
    }
}

/// A single execution as a normal variable.
pub(super) fn z_of_one(residual: f32, scale: Scale) -> f32 {
    normal(residual / (1.0 + 1.0 / scale.count).sqrt(), scale)
}

/// Student's t turned into a normal variable of the same tail (Wallace 1959).
fn normal(t: f32, scale: Scale) -> f32 {
    let degrees = scale.count - 1.0 + PRIOR_WEIGHT;
    let magnitude =
        (8.0 * degrees + 1.0) / (8.0 * degrees + 3.0) * (degrees * (t * t / degrees).ln_1p()).sqrt();
    magnitude.copysign(t)
}

/// The nearest of executions in a row, not drawn in; 0 where they do not all lie on one side of the reference or where one
/// was not measured.
fn nearer(nearest: Option<f32>, residual: f32) -> Option<f32> {
    let is_one_side = nearest.is_none_or(|nearest| nearest * residual > 0.0);
    let nearest = nearest.map_or(f32::INFINITY, f32::abs);
    let is_measured = !residual.is_nan();
    Some(if is_one_side && is_measured {
        residual.abs().min(nearest).copysign(residual)
    } else {
        0.0
    })
}

/// The largest of one metric and of two together.
pub(super) fn joined(z: [f32; 3]) -> f32 {
    let mut sizes = z.map(f32::abs);
    let latency = Metric::Latency.index();
    if z[latency] < 0.0 {
        sizes[latency] *= FASTER;
    }
    sizes.sort_by(f32::total_cmp);
    sizes[2].max(PAIR * sizes[2].hypot(sizes[1]))
}

/// The signed root of the likelihood ratio of `bad` among `count` against the expected rate.
fn counted(bad: f32, count: f32, expected: f32) -> f32 {
    let share = bad / count;
    if share <= expected {
        return 0.0;
    }
    let good = count - bad;
    let of_good = if good > 0.0 {
        good * ((1.0 - share) / (1.0 - expected)).ln()
    } else {
        0.0
    };
    COUNTED * (2.0 * (bad * (share / expected).ln() + of_good)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: five executions, the second newest not measured.
    /// Guarantees: the newest weighs five, the oldest one, and the sums are those of the weights that were given.
    #[test]
    fn the_newest_weigh_most() {
        let mut sum = Sum::default();
        for residual in [Some(1.0), None, Some(-0.5), Some(2.0), Some(0.25)] {
            sum.age();
            if let Some(residual) = residual {
                sum.add(residual, 2.0 * residual);
            }
        }
        let weights = [(5.0, 1.0), (3.0, -0.5), (2.0, 2.0), (1.0, 0.25)];
        let of = |f: fn((f32, f32)) -> f32| weights.into_iter().map(f).sum::<f32>();
        assert_eq!(sum.weighted, of(|(weight, residual)| weight * residual));
        assert_eq!(sum.weights, of(|(weight, _)| weight));
        assert_eq!(sum.squares, of(|(weight, _)| weight * weight));
        assert_eq!((sum.count, sum.shift), (4.0, 5.5));
    }
}
