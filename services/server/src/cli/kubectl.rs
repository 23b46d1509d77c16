//! `immune kubectl`: decisions by those whom the cluster knows, with the rights that they have there.
//!
//! It writes two annotations, as `kubectl annotate` would, and waits for what came of it. Who decides is said by the API
//! server, never by this program.

use anyhow::{Context, bail};
use immune_resources::cases::AgentCase;
use immune_resources::cases::seal::{DECISION, REASON};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

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
/// When the cluster is away, the case is unknown, the API server refuses (who may not decide is told so there), the
/// decision was refused, or nothing came of it in time.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (word, args) = match command {
        Command::Approve(args) => ("approve", args),
        Command::Reject(args) => ("reject", args),
        Command::HealNow(args) => ("heal-now", args),
        Command::Release(args) => ("release", args),
    };
    let options = kube::config::KubeConfigOptions {
        context: args.context.clone(),
        ..kube::config::KubeConfigOptions::default()
    };
    let config = kube::Config::from_kubeconfig(&options)
        .await
        .context("no cluster is known: is there a kubeconfig (KUBECONFIG, ~/.kube/config)?")?;
    let client = kube::Client::try_from(config)?;
    let api: Api<AgentCase> = match &args.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    };
    let name = args.case.as_str();
    let before = match api.get_opt(name).await.context("the case cannot be read")? {
        Some(case) => case,
        None => bail!(
            "there is no AgentCase {name:?}; `kubectl get agentcases -A` shows them with their namespaces"
        ),
    };
    let earlier = before.status.and_then(|status| status.decision);
    let patch = json!({ "metadata": { "annotations": { DECISION: word, REASON: args.reason } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
            other => anyhow::Error::new(other).context("the decision cannot be written"),
        })?;
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let Some(case) = api.get_opt(name).await.context("the case cannot be read")? else {
            bail!("the AgentCase was removed meanwhile: its case is closed");
        };
        let decision = case.status.and_then(|status| status.decision);
        if let Some(decision) =
            decision.filter(|now| Some(now) != earlier.as_ref() && now.outcome != "pending")
        {
            let mut said = format!(
                "{name}: {} by {}: {}",
                decision.what, decision.by, decision.outcome
            );
            if !decision.detail.is_empty() {
                said = format!("{said}: {}", decision.detail);
            }
            return match decision.outcome.as_str() {
                "done" | "first_of_two" => {
                    println!("{said}");
                    Ok(ExitCode::SUCCESS)
                }
                _ => bail!("{said}"),
            };
        }
        if Instant::now() >= until {
            bail!(
                "the decision is written and nothing came of it within {} s; `kubectl describe agentcase {name}` shows \
                 what becomes of it (is the webhook set up, is quarantine running?)",
                args.wait
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
