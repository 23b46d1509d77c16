//! What the webhook counts.

use immune_runtime::metrics::TlsMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How a review was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    /// `allowed`, `sealed`, `denied`, `unanswered` (refused, because nobody could be asked).
    pub answer: &'static str,
}

/// Counters of the webhook.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Reviews.
    pub answers: Family<AnswerLabels, Counter>,
    /// Handshakes and certificates.
    pub tls: TlsMetrics,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let answers = Family::default();
        let help = "Reviews of AgentCases by the admission webhook, by answer";
        registry.register("immune_resources_admissions", help, answers.clone());
        Metrics {
            answers,
            tls: TlsMetrics::register(registry, "immune_resources_webhook"),
        }
    }
}
