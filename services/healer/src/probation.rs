//! Watches an agent until its recovery is proven, disproven, or nothing can be said.

use crate::error::Error;
use crate::job::Job;
use immune_domain::Timestamp;
use immune_domain::case::{Case, Step, Verdict};
use immune_domain::healing::{Healing, Outcome};
use immune_domain::policy;
use immune_proto::v1::judge_since_response::Verdict as Judged;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_proto::{convert, v1};
use std::time::Duration;

/// What was proven, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

impl Job<'_> {
    /// Waits for the proof; a record that has it already is believed, since it was written before a crash.
    pub(crate) async fn prove(
        &self,
        case: &Case,
        step: &Step,
        since: Timestamp,
        record: &Healing,
    ) -> Result<Proof, Error> {
        match &record.outcome {
            Outcome::Succeeded { detail, .. } => {
                return Ok(Proof {
                    verdict: Verdict::Passed,
                    detail: detail.clone(),
                });
            }
            Outcome::Failed { detail, .. } => {
                return Ok(Proof {
                    verdict: Verdict::Failed,
                    detail: detail.clone(),
                });
            }
            Outcome::Unsupported { detail, .. } | Outcome::Abandoned { detail, .. } => {
                return Ok(Proof {
                    verdict: Verdict::Silent,
                    detail: detail.clone(),
                });
            }
            Outcome::Running | Outcome::Verifying { .. } => {}
        }
        let rule = self.healer.policy(case).probation.clone();
        tracing::info!(case = %case.id, healing = %step.healing, executions = rule.executions, "probation");
        let request = v1::JudgeSinceRequest {
            key: Some((&case.key).into()),
            since: Some(convert::time::to_wire(since)),
            executions_wanted: rule.executions,
        };
        let interval = Duration::from_millis(self.healer.config.judge_interval_ms);
        loop {
            let judged = self
                .healer
                .sentinel
                .owner(&case.key, |channel| {
                    let request = request.clone();
                    async move { SentinelServiceClient::new(channel).judge_since(request).await }
                })
                .await;
            let elapsed = self.healer.clock.now().since(since);
            let proof = match judged {
                Ok(answer) => conclude(&rule, answer.into_inner(), elapsed),
                Err(status) if immune_runtime::grpc::kind(&status).is_retryable() => {
                    let detail = format!("the sentinel could not be asked: {}", status.message());
                    silence(&rule, elapsed, detail)
                }
                Err(status) => {
                    return Err(Error::Role {
                        doing: "judging an agent",
                        status: Box::new(status),
                    });
                }
            };
            match proof {
                Some(proof) => return Ok(proof),
                None => tokio::time::sleep(interval).await,
            }
        }
    }
}

/// What a judgement proves after so much time, if anything yet.
fn conclude(rule: &policy::Probation, judged: v1::JudgeSinceResponse, elapsed: Duration) -> Option<Proof> {
    let seen = judged.executions_seen;
    let verdict = judged.verdict();
    let because = judged.because;
    match verdict {
        Judged::Within => Some(Proof {
            verdict: Verdict::Passed,
            detail: because,
        }),
        Judged::Beyond => Some(Proof {
            verdict: Verdict::Failed,
            detail: because,
        }),
        // Fewer than wanted, but all of them well for long enough.
        Judged::Pending if seen > 0 && elapsed >= Duration::from_secs(u64::from(rule.seconds)) => {
            let detail = format!(
                "{seen} executions within {} s, all within the baseline: {because}",
                rule.seconds
            );
            Some(Proof {
                verdict: Verdict::Passed,
                detail,
            })
        }
        Judged::Pending if seen > 0 => None,
        Judged::Pending | Judged::Unspecified => {
            silence(rule, elapsed, format!("no execution in {} s", elapsed.as_secs()))
        }
    }
}

/// Nothing seen for too long proves nothing.
fn silence(rule: &policy::Probation, elapsed: Duration, detail: String) -> Option<Proof> {
    let is_over = elapsed >= Duration::from_secs(u64::from(rule.silence_seconds_max));
    is_over.then_some(Proof {
        verdict: Verdict::Silent,
        detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: Judged, executions_seen: u32) -> v1::JudgeSinceResponse {
        v1::JudgeSinceResponse {
            verdict: verdict.into(),
            executions_seen,
            ..Default::default()
        }
    }

    fn verdict(verdict: Judged, seen: u32, seconds: u64) -> Option<Verdict> {
        let rule = policy::Probation::default();
        conclude(&rule, judged(verdict, seen), Duration::from_secs(seconds)).map(|proof| proof.verdict)
    }

    /// Scenario: every judgement before and after each limit.
    /// Guarantees: enough executions prove at once, one execution proves after a minute, silence proves nothing and
    /// ends after ten.
    #[test]
    fn what_proves_what() {
        assert_eq!(verdict(Judged::Within, 5, 1), Some(Verdict::Passed));
        assert_eq!(verdict(Judged::Beyond, 1, 1), Some(Verdict::Failed));
        assert_eq!(verdict(Judged::Pending, 1, 59), None);
        assert_eq!(verdict(Judged::Pending, 1, 60), Some(Verdict::Passed));
        assert_eq!(verdict(Judged::Pending, 0, 599), None);
        assert_eq!(verdict(Judged::Pending, 0, 600), Some(Verdict::Silent));
        assert_eq!(verdict(Judged::Unspecified, 3, 60), None);
        assert_eq!(verdict(Judged::Unspecified, 3, 600), Some(Verdict::Silent));
    }
}
