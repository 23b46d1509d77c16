//! How strongly the last executions speak against a reference.

use super::Seen;
use super::reference::{PRIOR_WEIGHT, Reference, Scale};
use crate::vitals::Metric;
use serde::{Deserialize, Serialize};

/// Window lengths, executions: about the Fibonacci numbers, so that each is half as long again as the one before.
const WINDOWS: [u32; 7] = [1, 2, 3, 5, 8, 13, 20];
/// Weight of a single execution: real agents have lone outliers that mean nothing.
const LONE: f32 = 0.5;
/// Spreads beyond which a value is drawn in before it is averaged. More than where it teaches: drawn in as far, a lasting
/// departure of two or three spreads would hardly ever be certain, and be learned before it is.
const WINSOR: f32 = 2.4;
/// Weight of two executions in a row that are both at least so far: a lone outlier does not come twice, and what is drawn in
/// would take many more executions, during which a young reference would learn a fault of a hundred times the usual.
const TWICE: f32 = 0.7;
/// Weight of two metrics together: they depart together more often than independent ones would.
const PAIR: f32 = 0.85;
/// Weight of failures and retries.
const COUNTED: f32 = 0.9;
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
/// Two in a row count against the known reference only: an agent that comes back from a level that lasted departs from the
/// provisional one with every execution, and must not be accused of that.
pub(super) fn score(
    reference: &Reference,
    is_known: bool,
    reach: u32,
    back: impl Fn(u32) -> Seen,
) -> Evidence {
    let scales = Metric::ALL.map(|metric| reference.scale(metric));
    let mut best = Evidence::default();
    let (mut sums, mut counts, mut bad, mut taken) = ([0f32; 3], [0f32; 3], [0f32; 2], 0);
    let mut shifts = [0f32; 3];
    // An old failure must not accuse the well execution that follows it: what ended would go on in alarm.
    let is_bad = if reach > 0 { back(0).bad } else { [false; 2] };
    for window in WINDOWS.into_iter().take_while(|window| *window <= reach) {
        while taken < window {
            let seen = back(taken);
            for i in 0..3 {
                let Some(scale) = scales[i] else { continue };
                if !seen.logs[i].is_nan() {
                    let shift = seen.logs[i] - scale.mean;
                    shifts[i] += shift;
                    let residual = shift / (scale.spread * seen.spread);
                    sums[i] += if window == 1 {
                        residual
                    } else {
                        residual.clamp(-WINSOR, WINSOR)
                    };
                    counts[i] += 1.0;
                }
            }
            bad[0] += f32::from(u8::from(seen.bad[0]));
            bad[1] += f32::from(u8::from(seen.bad[1]));
            taken += 1;
        }
        let weight = if window == 1 { LONE } else { 1.0 };
        let z: [f32; 3] =
            std::array::from_fn(|i| scales[i].map_or(0.0, |s| weight * z(sums[i], counts[i], s)));
        for (peak, i) in best.peaks.iter_mut().zip(0..) {
            if z[i].abs() > peak.z.abs() {
                let size = shifts[i] / counts[i];
                *peak = Peak { z: z[i], size };
            }
        }
        let score = match window {
            2 if is_known => joined(z).max(joined(twice(scales, [back(0), back(1)]))),
            _ => joined(z),
        };
        if score > best.score {
            best = Evidence {
                score,
                metrics: z,
                window,
                ..best
            };
        }
        if window == 1 {
            // A lone execution counts in full; in longer windows it is drawn in like every other.
            sums = sums.map(|sum| sum.clamp(-WINSOR, WINSOR));
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
        if window == DIAGNOSED {
            best.shares = bad.map(|bad| bad / window as f32);
        }
    }
    best.score = best.score.max(best.counted);
    best
}

/// The mean of a window as Student's t, turned into a normal variable of the same tail (Wallace 1959).
pub(super) fn z(sum: f32, count: f32, scale: Scale) -> f32 {
    if count == 0.0 {
        return 0.0;
    }
    let spread_of_mean = (scale.inflation.min(count) / count + 1.0 / scale.count).sqrt();
    let t = sum / count / spread_of_mean;
    let degrees = scale.count - 1.0 + PRIOR_WEIGHT;
    let magnitude =
        (8.0 * degrees + 1.0) / (8.0 * degrees + 3.0) * (degrees * (t * t / degrees).ln_1p()).sqrt();
    magnitude.copysign(t)
}

/// The nearer of two executions, where both lie on the same side of the reference: not drawn in, as one execution.
fn twice(scales: [Option<Scale>; 3], seen: [Seen; 2]) -> [f32; 3] {
    std::array::from_fn(|i| {
        let Some(scale) = scales[i] else { return 0.0 };
        let [one, other] = seen.map(|seen| (seen.logs[i] - scale.mean) / (scale.spread * seen.spread));
        // Not so where one is NaN: it was not measured.
        if one * other > 0.0 {
            TWICE * z(one.abs().min(other.abs()).copysign(one), 1.0, scale)
        } else {
            0.0
        }
    })
}

/// The largest of one metric and of two together.
pub(super) fn joined(z: [f32; 3]) -> f32 {
    let mut sizes = z.map(f32::abs);
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
