//! What is normal for an agent, in logarithms, robust against single outliers and few samples.

use super::Seen;
use super::known::take;
use crate::vitals::Metric;

/// Executions that a reference remembers; older ones fade.
const MEMORY: f32 = 150.0;
/// Spreads beyond which a value is drawn in before it teaches: with tails as heavy as real ones, a few values would
/// otherwise widen the spread until nothing departs.
const WINSOR: f32 = 1.8;
/// Executions that the usual spread counts for, beside those seen.
pub(super) const PRIOR_WEIGHT: f32 = 4.0;
/// Usual spread of the logarithm per metric: latency, tokens, tool calls of recorded real agents.
const PRIOR: [f32; 3] = [0.55, 0.60, 0.55];
/// The narrowest spread: below a tenth, rounding and jitter would count as departures.
const SPREAD_MIN: f32 = 0.10;
/// Samples before winsorising: one alone has no spread to be measured by.
const WINSOR_FROM: f32 = 2.0;
/// Usual correlation between an execution and the next, and what it counts for.
const RHO_PRIOR: (f32, f32) = (0.2, 8.0);
/// The largest correlation that is believed.
const RHO_MAX: f32 = 0.85;
/// What failures and retries start from: a rate is never taken for 0 because none was seen yet.
const RATE_PRIOR: (f32, f32) = (0.4, 8.0);

/// Mean and spread per metric, the correlation of neighbours, and the rates of failures and retries.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Reference {
    levels: [Level; 3],
    rates: [Rate; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Level {
    count: f32,
    mean: f32,
    squares: f32,
    /// Sums of products and of squares of neighbouring residuals.
    products: f32,
    residual_squares: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Rate {
    bad: f32,
    count: f32,
}

/// How one metric's executions are weighed against the reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub mean: f32,
    pub spread: f32,
    pub count: f32,
    /// Variance of a mean of correlated executions over that of independent ones, in the limit.
    pub inflation: f32,
}

impl Reference {
    pub(super) fn learn(&mut self, seen: Seen, previous: Option<Seen>) {
        for metric in Metric::ALL {
            let i = metric.index();
            self.levels[i].learn(seen.logs[i], previous.map_or(f32::NAN, |p| p.logs[i]), metric);
        }
        for (rate, is_bad) in self.rates.iter_mut().zip(seen.bad) {
            if rate.count >= MEMORY {
                rate.bad *= (MEMORY - 1.0) / MEMORY;
                rate.count = MEMORY - 1.0;
            }
            rate.count += 1.0;
            rate.bad += f32::from(u8::from(is_bad));
        }
    }

    /// Keeps what is known, with the weight of at most so many executions.
    pub(super) fn lend(&mut self, max: f32) {
        for level in &mut self.levels {
            if level.count > max {
                level.squares *= (max - 1.0) / (level.count - 1.0);
                level.count = max;
            }
        }
        for rate in &mut self.rates {
            if rate.count > max {
                rate.bad *= max / rate.count;
                rate.count = max;
            }
        }
    }

    /// How far logarithms lie from the means; NaN where there is no mean yet.
    pub(super) fn residuals(&self, logs: [f32; 3]) -> [f32; 3] {
        let mean = Metric::ALL.map(|metric| self.scale(metric).map_or(f32::NAN, |scale| scale.mean));
        std::array::from_fn(|i| logs[i] - mean[i])
    }

    /// Executions learned, as far as they are remembered.
    pub(super) fn weight(&self) -> f32 {
        self.rates[0].count
    }

    /// Hands its numbers out.
    pub(super) fn put(&self, mut put: impl FnMut(&[f32])) {
        for level in &self.levels {
            let Level {
                count,
                mean,
                squares,
                products,
                residual_squares,
            } = *level;
            put(&[count, mean, squares, products, residual_squares]);
        }
        for rate in &self.rates {
            put(&[rate.bad, rate.count]);
        }
    }

    /// Takes them back; `None` where they are cut, or could not have been learned.
    pub(super) fn take(rest: &mut &[u8]) -> Option<Reference> {
        let mut reference = Reference::default();
        for level in &mut reference.levels {
            *level = Level {
                count: take(rest)?,
                mean: take(rest)?,
                squares: take(rest)?,
                products: take(rest)?,
                residual_squares: take(rest)?,
            };
            let positive = [level.count, level.squares, level.residual_squares];
            let is_ours = positive.iter().all(|number| number.is_finite() && *number >= 0.0)
                && level.count <= MEMORY
                && level.mean.is_finite()
                && level.products.is_finite();
            if !is_ours {
                return None;
            }
        }
        for rate in &mut reference.rates {
            *rate = Rate {
                bad: take(rest)?,
                count: take(rest)?,
            };
            // Fading sums round: a little more than all may be bad.
            if !((0.0..=MEMORY).contains(&rate.count) && (0.0..=rate.count + 0.01).contains(&rate.bad)) {
                return None;
            }
        }
        Some(reference)
    }

    /// `None` until two executions taught this metric.
    pub(super) fn scale(&self, metric: Metric) -> Option<Scale> {
        let level = &self.levels[metric.index()];
        (level.count >= 2.0).then(|| Scale {
            mean: level.mean,
            spread: level.spread(metric),
            count: level.count,
            inflation: level.inflation(),
        })
    }

    /// Expected share of failures (0) or retries (1).
    pub(super) fn rate(&self, which: usize) -> f32 {
        (self.rates[which].bad + RATE_PRIOR.0) / (self.rates[which].count + RATE_PRIOR.1)
    }
}

impl Level {
    fn learn(&mut self, value: f32, previous: f32, metric: Metric) {
        if value.is_nan() {
            return;
        }
        let spread = self.spread(metric);
        let residual = |x: f32| ((x - self.mean) / spread).clamp(-WINSOR, WINSOR);
        if self.count >= 2.0 && !previous.is_nan() {
            let (now, before) = (residual(value), residual(previous));
            let keep = 1.0 - 1.0 / MEMORY;
            self.products = self.products * keep + now * before;
            self.residual_squares = self.residual_squares * keep + 0.5 * (now * now + before * before);
        }
        let drawn_in = if self.count >= WINSOR_FROM {
            self.mean + spread * residual(value)
        } else {
            value
        };
        if self.count >= MEMORY {
            self.squares *= (MEMORY - 1.0) / MEMORY;
            self.count = MEMORY - 1.0;
        }
        self.count += 1.0;
        let step = drawn_in - self.mean;
        self.mean += step / self.count;
        self.squares += step * (drawn_in - self.mean);
    }

    fn spread(&self, metric: Metric) -> f32 {
        let prior = PRIOR[metric.index()];
        let variance =
            (self.squares + PRIOR_WEIGHT * prior * prior) / (self.count.max(1.0) - 1.0 + PRIOR_WEIGHT);
        let one_call = match metric {
            // ln(2 + x) - ln(1 + x) at the mean: one call more is no departure.
            Metric::Tools => (-self.mean).exp().ln_1p(),
            Metric::Latency | Metric::Tokens => 0.0,
        };
        variance.max(0.0).sqrt().max(SPREAD_MIN).max(one_call)
    }

    fn inflation(&self) -> f32 {
        let (prior, weight) = RHO_PRIOR;
        let rho = (self.products + weight * prior) / (self.residual_squares + weight);
        let rho = rho.clamp(0.0, RHO_MAX);
        (1.0 + rho) / (1.0 - rho)
    }
}
