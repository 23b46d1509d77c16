//! `immune keys create | list | revoke`: API keys of a running server.

use super::client::{Client, Output, Server, segment};
use super::failure::Failure;
use super::table::{self, Column, Shown, Tone};
use super::{out, pick};
use immune_runtime::access::Role;
use immune_runtime::clock;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `immune keys`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    server: Server,
}

/// What to do with keys.
#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Create a key; its secret is printed once, alone on standard output.
    Create {
        /// Name in the action log: letters, digits and any of . - _ @
        #[arg(long)]
        name: String,
        /// What its holder may do: viewer, operator, admin or ingest.
        #[arg(long, value_parser = role)]
        role: Role,
        /// Runs that it is bound to, separated by commas; without it, those of your own key. (`--run` is the run that
        /// the record of it goes to.)
        #[arg(long, value_name = "RUN", value_delimiter = ',')]
        runs: Vec<String>,
        /// When it ends: 90s, 30m, 12h, 30d. Without it, never.
        #[arg(long, value_name = "TIME", value_parser = lasting)]
        expires_in: Option<Duration>,
    },
    /// List the keys that were created, the oldest first.
    List,
    /// Revoke a key: it opens nothing any more.
    Revoke {
        /// Id of the key; `immune keys list` shows it.
        #[arg(value_name = "KEY-ID")]
        id: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "must be viewer, operator, admin or ingest".to_owned())
}

/// A time such as `30d`.
pub(super) fn lasting(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let unit = |(letter, seconds): (char, u64)| {
        let number: u64 = text.strip_suffix(letter)?.parse().ok()?;
        number.checked_mul(seconds).filter(|seconds| *seconds > 0)
    };
    units
        .into_iter()
        .find_map(unit)
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a number and s, m, h or d, such as 30d".to_owned())
}

/// `immune keys list`.
const KEYS: [Column; 9] = [
    column("KEY", |row, _| pick::text(row, "/id")),
    column("NAME", |row, _| pick::text(row, "/name")),
    column("ROLE", |row, _| pick::text(row, "/role")),
    column("STATE", |row, _| state(row)),
    column("CREATED", |row, now| pick::age(row, "/created_at", now)),
    column("BY", |row, _| pick::text(row, "/created_by")),
    column("LAST USED", |row, now| pick::age(row, "/last_used_at", now)),
    column("EXPIRES", |row, _| pick::moment(row, "/expires_at")),
    column("RUNS", |row, _| pick::text(row, "/runs")),
];

const fn column(title: &'static str, cell: fn(&Value, immune_domain::Timestamp) -> Shown) -> Column {
    Column { title, cell }
}

fn state(key: &Value) -> Shown {
    let shown = pick::text(key, "/state");
    let tone = match key["state"].as_str() {
        Some("active") => Tone::Good,
        Some("expired") => Tone::Warning,
        Some("revoked") => Tone::Bad,
        _ => Tone::Plain,
    };
    shown.meant(tone)
}

/// Asks and prints.
///
/// # Errors
/// When standard output cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = args.server.output;
    let answer = match ask(&args).await {
        Ok(answer) => answer,
        Err(failure) => return Ok(failure.report(output)?),
    };
    if output == Output::Json {
        out::line(&serde_json::to_string_pretty(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    match &args.what {
        What::Create { .. } => {
            let told = pick::text(&answer, "/name").text;
            let id = pick::text(&answer, "/id").text;
            // The secret alone goes to standard output, so that it can be piped to where it belongs.
            eprintln!("created key {told} ({id}); its secret is shown now and never again:");
            out::line(answer["secret"].as_str().unwrap_or_default())?;
        }
        What::List => {
            let keys = answer.as_array().map_or(&[][..], Vec::as_slice);
            out::line(&table::list(&KEYS, keys, clock::system().now()))?;
        }
        What::Revoke { id } => out::line(&format!("{id}: revoked"))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &Args) -> Result<Value, Failure> {
    let client = Client::new(&args.server)?;
    match &args.what {
        What::Create {
            name,
            role,
            runs,
            expires_in,
        } => {
            let mut body = json!({ "name": name, "role": role.as_str() });
            if !runs.is_empty() {
                body["runs"] = json!(runs);
            }
            if let Some(expires_in) = expires_in {
                body["expires_in_seconds"] = json!(expires_in.as_secs());
            }
            client.post("/api/keys", &body).await
        }
        What::List => client.get("/api/keys", &[]).await,
        What::Revoke { id } => client.delete(&format!("/api/keys/{}", segment(id))).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a time is a number with its unit, and nothing else.
    #[test]
    fn times_are_read() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(lasting(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "d", "-1d", "1.5h", "0s", "99999999999999999999d", "1w"] {
            assert!(lasting(text).is_err(), "{text}");
        }
    }
}
