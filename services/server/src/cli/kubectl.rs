//! `immune kubectl`: decisions by those whom the cluster knows, with the rights that they have there.
//!
//! It writes two annotations, as `kubectl annotate` would, and waits for what came of it. Who decides is said by the API
//! server, never by this program. It asks again and again rather than watch, so that it takes no more rights than to get
//! and patch the object, and to decide.

use super::failure::innermost;
use super::out;
use anyhow::{anyhow, bail};
use immune_domain::case::Decision;
use immune_resources::admission::REASON_MAX;
use immune_resources::cases::kind::DecisionStatus;
use immune_resources::cases::seal::{DECISION, REASON, word};
use immune_resources::cases::{AgentCase, AgentCaseStatus};
use kube::api::{Api, Patch, PatchParams};
use kube::config::KubeConfigOptions;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// How long connecting to the API server may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the API server may take for one answer; it may itself wait for the webhook.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Time between two looks at what came of it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A decision.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Let it be healed.
    Approve(Args),
    /// Say no; the agent stays quarantined. Takes a reason.
    Reject(Args),
    /// Heal at once, after a rejection too.
    HealNow(Args),
    /// Let the agent go as it is. Takes a reason.
    Release(Args),
}

/// On which case, and why.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of the AgentCase, as `kubectl get agentcases` shows it.
    case: String,
    /// Its namespace; default the one of kubectl's context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Why.
    #[arg(short, long, default_value = "")]
    reason: String,
    /// kubectl's context.
    #[arg(long)]
    context: Option<String>,
    /// How long to wait for what comes of it, seconds.
    #[arg(long, default_value_t = 30)]
    wait: u64,
}

/// Writes the decision, waits until it was carried out, and says what came of it.
///
/// # Errors
/// When the cluster is away, the case is unknown or closed, the API server refuses (who may not decide is told so
/// there), the decision was refused, or nothing came of it in time.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (decision, args) = match command {
        Command::Approve(args) => (Decision::Approve, args),
        Command::Reject(args) => (Decision::Reject, args),
        Command::HealNow(args) => (Decision::HealNow, args),
        Command::Release(args) => (Decision::Release, args),
    };
    check(decision, &args.reason)?;
    let options = KubeConfigOptions {
        context: args.context,
        ..KubeConfigOptions::default()
    };
    let mut config = kube::Config::from_kubeconfig(&options).await.map_err(|error| {
        let why = innermost(&error);
        anyhow!("no cluster is known ({why}): is there a kubeconfig (KUBECONFIG, ~/.kube/config)?")
    })?;
    config.connect_timeout = Some(CONNECT_MAX);
    config.read_timeout = Some(ANSWER_MAX);
    let server = config.cluster_url.to_string();
    let client = kube::Client::try_from(config)?;
    let api = match &args.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    };
    let errand = Errand {
        api,
        server,
        name: args.case,
        decision,
    };
    let said = errand.run(&args.reason, Duration::from_secs(args.wait)).await?;
    out::line(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// What the webhook would refuse anyway, said before anything is asked.
fn check(decision: Decision, reason: &str) -> anyhow::Result<()> {
    let needs_reason = match decision {
        Decision::Reject | Decision::Release => true,
        Decision::Approve | Decision::HealNow => false,
    };
    if needs_reason && reason.trim().is_empty() {
        bail!("to {} takes a reason: add --reason TEXT", word(decision));
    }
    let characters = reason.chars().count();
    if characters > REASON_MAX {
        bail!("the reason has {characters} characters, the most is {REASON_MAX}");
    }
    Ok(())
}

/// A decision on its way.
struct Errand {
    api: Api<AgentCase>,
    /// Where the API server is, for people.
    server: String,
    name: String,
    decision: Decision,
}

impl Errand {
    /// What came of it, where it holds.
    async fn run(&self, reason: &str, wait: Duration) -> anyhow::Result<String> {
        let name = &self.name;
        let Some(case) = self.api.get_opt(name).await.map_err(|error| self.told(error))? else {
            bail!(
                "there is no AgentCase {name:?} here; `kubectl get agentcases -A` shows all, with their namespaces"
            );
        };
        let status = case.status.unwrap_or_default();
        if status.closed_at.is_some() {
            let state = status.state.unwrap_or_default();
            bail!("the case of {name} is closed ({state}): there is nothing left to decide");
        }
        let patch =
            json!({ "metadata": { "annotations": { DECISION: word(self.decision), REASON: reason } } });
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let written = self.api.patch(name, &params, &patch).await;
        let written = written.map_err(|error| self.told(error))?;
        // As it was when the decision was let in, so what is there later is of this one.
        let earlier = decision_in(written.status);
        self.outcome(earlier.as_ref(), wait).await
    }

    async fn outcome(&self, earlier: Option<&DecisionStatus>, wait: Duration) -> anyhow::Result<String> {
        let name = &self.name;
        let until = Instant::now() + wait;
        loop {
            let trouble = match self.api.get_opt(name).await {
                Ok(None) => bail!("the AgentCase was removed meanwhile: its case is closed"),
                Ok(Some(case)) => {
                    let annotations = case.metadata.annotations.unwrap_or_default();
                    let now = decision_in(case.status).filter(|now| Some(now) != earlier);
                    match now {
                        Some(now) if now.outcome != "pending" => return told(name, &now),
                        None if !annotations.contains_key(DECISION) => bail!(
                            "the decision was taken away without being carried out: nobody has sealed it, so that \
                             nobody is known to have made it; is the admission webhook set up for this namespace? \
                             `kubectl describe agentcase {name}` shows more"
                        ),
                        Some(_) | None => None,
                    }
                }
                Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                    bail!(
                        "the decision is written; what came of it cannot be read: {}",
                        status.message
                    )
                }
                // It is written; who is away now may be back in time.
                Err(error) => Some(self.told(error)),
            };
            if Instant::now() < until {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            match trouble {
                Some(trouble) => {
                    bail!("the decision is written; what came of it cannot be read: {trouble}")
                }
                None => bail!(
                    "the decision is written and nothing came of it within {} s; `kubectl describe agentcase {name}` \
                     shows what becomes of it (is quarantine running?)",
                    wait.as_secs()
                ),
            }
        }
    }

    /// The API server's own words, or why there are none.
    fn told(&self, error: kube::Error) -> anyhow::Error {
        match error {
            kube::Error::Api(status) => anyhow!("{}", status.message),
            other => anyhow!(
                "cannot reach the cluster at {} ({})",
                self.server,
                innermost(&other)
            ),
        }
    }
}

fn decision_in(status: Option<AgentCaseStatus>) -> Option<DecisionStatus> {
    status.and_then(|status| status.decision)
}

fn told(name: &str, decision: &DecisionStatus) -> anyhow::Result<String> {
    let mut said = format!(
        "{name}: {} by {}: {}",
        decision.what, decision.by, decision.outcome
    );
    if !decision.detail.is_empty() {
        said = format!("{said}: {}", decision.detail);
    }
    match decision.outcome.as_str() {
        "done" | "first_of_two" => Ok(said),
        _ => Err(anyhow!(said)),
    }
}

#[cfg(test)]
mod tests;
