//! What is normal for an agent, as it is shown, kept in a file, and given back.

use crate::rest::read::fields::{Fields, POSITIVE, TEXT_BYTES_MAX};
use crate::view::agent::VersionView;
use crate::view::vitals::seconds;
use immune_domain::baseline::{Learned, Moments, Profile};
use immune_domain::detection::guarded::Known;
use immune_domain::vitals::Metric;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The most samples that a baseline can have; a double counts no further.
const SAMPLES_MAX: u64 = 1 << 53;

/// What is normal for an agent. The same document is taken by `POST /api/agents/{agent_id}/baseline/import`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BaselineView {
    /// Whose.
    agent_id: String,
    /// `learning`, `active`, `stale`, `suspect`.
    state: &'static str,
    /// Whether a person has stopped it from learning.
    is_frozen: bool,
    /// Executions that taught it.
    samples: u64,
    /// Mean and spread per metric.
    metrics: MetricsView,
    /// What the guarded detector begins from when it meets the agent anew, in its own versioned form; null where
    /// nothing is known.
    #[schema(value_type = Option<String>)]
    reference: Value,
    /// When it last learned or was set, epoch seconds.
    updated_at: f64,
    /// The version of the agent that it is of; null for the first.
    version: Option<VersionView>,
}

/// Mean and spread of each metric.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MetricsView {
    /// Milliseconds.
    latency: MomentsView,
    /// Tokens per execution.
    tokens: MomentsView,
    /// Tool calls per execution.
    tools: MomentsView,
}

/// Mean and spread.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MomentsView {
    /// Executions that had the metric.
    count: u64,
    /// Arithmetic mean.
    mean: f64,
    /// Sample standard deviation.
    stddev: f64,
}

impl From<Moments> for MomentsView {
    fn from(Moments { count, mean, stddev }: Moments) -> Self {
        MomentsView { count, mean, stddev }
    }
}

impl From<&Profile> for BaselineView {
    fn from(profile: &Profile) -> Self {
        let of = |metric| MomentsView::from(profile.moments(metric));
        BaselineView {
            agent_id: profile.key.agent.to_string(),
            state: profile.state.as_str(),
            is_frozen: profile.is_frozen,
            samples: profile.sample_count,
            metrics: MetricsView {
                latency: of(Metric::Latency),
                tokens: of(Metric::Tokens),
                tools: of(Metric::Tools),
            },
            reference: serde_json::to_value(&profile.known).expect("bytes and nothing serialise"),
            updated_at: seconds(profile.updated_at),
            version: VersionView::of(&profile.of),
        }
    }
}

/// Reads the document that [`BaselineView`] is; what it says beside the numbers is left out.
pub(crate) fn learned(fields: &mut Fields<'_>) -> Learned {
    let samples = fields.required_integer("samples", SAMPLES_MAX);
    let metrics = fields.object("metrics");
    if metrics.is_none() && !fields.has("metrics") {
        fields.mistake("metrics", "is missing");
    }
    let reference = fields.some_text("reference", TEXT_BYTES_MAX);
    let known = reference.and_then(
        |text| match serde_json::from_value::<Known>(Value::String(text)) {
            Ok(known) => Some(known),
            Err(error) => {
                fields.mistake("reference", error.to_string());
                None
            }
        },
    );
    let mut moments = [Moments::default(); 3];
    let mut each = metrics.map(Fields::of);
    for metric in Metric::ALL {
        let Some(numbers) = each.as_mut().and_then(|each| each.object(metric.as_str())) else {
            continue;
        };
        let mut numbers = Fields::of(numbers);
        moments[metric.index()] = Moments {
            count: numbers.required_integer("count", SAMPLES_MAX),
            mean: numbers.required_number("mean", POSITIVE),
            stddev: numbers.required_number("stddev", POSITIVE),
        };
        fields.within(&format!("metrics.{}", metric.as_str()), numbers);
    }
    if let Some(each) = each {
        fields.within("metrics", each);
    }
    match Learned::from_numbers(samples, moments, known) {
        Ok(learned) => learned,
        Err(error) => {
            // Numbers that are missing are one mistake and not two.
            if fields.is_sound() {
                fields.mistake("metrics", error.to_string());
            }
            Learned::default()
        }
    }
}
