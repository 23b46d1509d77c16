//! `immune verify-log`: whether anybody has changed the action log.
//!
//! Exit status: 0 the chain is intact; 1 it is broken, or the log could not be read; 2 wrong usage or configuration.

use super::client::Output;
use super::out;
use crate::config::Config;
use anyhow::{Context, bail};
use immune_store::action_log::{Exported, Link, LinkHash, Verdict, Verifier, verify};
use immune_store_postgres::PostgresStore;
use immune_store_sqlite::{OpenError, SqliteStore};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

/// The longest line of an export, bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Arguments of `immune verify-log`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Exit status: 0 intact, 1 broken or not readable, 2 wrong usage or configuration.\n\n\
    A link is SEQUENCE:HASH. The log cannot show by itself that its last rows are gone, so keep a link elsewhere from \
    time to time: this command prints the last one, the server says it in its log, and the export in a header.\n\n\
    A running server holds its SQLite file; verify its export instead:\n  \
    curl -s http://127.0.0.1:8090/api/action-log/export | immune verify-log --file -"
)]
pub struct Args {
    /// Configuration file of the server, as for `immune serve`; its store is read.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Verify exported JSON lines instead of the store; `-` reads standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Begin after this link, which is believed.
    #[arg(long, value_name = "LINK")]
    from: Option<Link>,
    /// A link that was kept elsewhere and must be there; may be given several times.
    #[arg(long, value_name = "LINK")]
    expect: Vec<Link>,
    /// A sentence for people or JSON for programs.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Verifies the action log.
///
/// # Errors
/// When the configuration is wrong, or the log cannot be read.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let verdict = match &args.file {
        Some(path) => {
            let lines = open(path).await?;
            verify_lines(lines, args.from, &args.expect).await?
        }
        None => verify_store(&args).await?,
    };
    match args.output {
        Output::Table => out::line(&sentence(&verdict))?,
        Output::Json => out::line(&format!("{:#}", to_json(&verdict)))?,
    }
    Ok(match verdict.is_intact() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn verify_store(args: &Args) -> anyhow::Result<Verdict> {
    let checked = Config::read(args.config.as_deref(), &[])?;
    let store = &checked.config.store;
    if store.is_shared() {
        let store = PostgresStore::open(immune_store_postgres::Options {
            url: store.url.clone(),
            limits: store.postgres.clone(),
        })?;
        store.check_schema().await?;
        let verdict = verify(&*store.action_log(), args.from, &args.expect).await;
        store.close().await;
        return verdict.context("the action log cannot be read");
    }
    let Some(path) = checked.config.sqlite_path() else {
        bail!("the store is in memory: there is nothing to verify; give --config or --file");
    };
    if !path.exists() {
        bail!("there is no database {}", path.display());
    }
    let options = immune_store_sqlite::Options {
        migrate: false,
        ..Default::default()
    };
    let store = match SqliteStore::open_with(&path, options).await {
        Ok(store) => store,
        Err(error @ OpenError::InUse { .. }) => bail!(
            "{error}; verify the export of the running server: \
             curl -s http://127.0.0.1:8090/api/action-log/export | immune verify-log --file -"
        ),
        Err(error) => return Err(error.into()),
    };
    let verdict = verify(&*store.stores().action_log, args.from, &args.expect).await;
    store.close().await;
    verdict.context("the action log cannot be read")
}

async fn open(path: &Path) -> anyhow::Result<Box<dyn AsyncBufRead + Unpin + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(tokio::io::stdin())));
    }
    let file = tokio::fs::File::open(path).await;
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Walks along exported lines, holding one at a time. Without a link to begin after, what the first line says of its
/// predecessor is believed, unless it claims to be the first row of all.
async fn verify_lines(
    mut lines: impl AsyncBufRead + Unpin,
    from: Option<Link>,
    expected: &[Link],
) -> anyhow::Result<Verdict> {
    let mut verifier = from.map(|from| Verifier::new(from, expected));
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = (&mut lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .await;
        if read.context("the export cannot be read")? == 0 {
            break;
        }
        number += 1;
        if line.len() as u64 == LINE_BYTES_MAX {
            bail!("line {number} has more than {LINE_BYTES_MAX} bytes");
        }
        let text = std::str::from_utf8(&line).with_context(|| format!("line {number} is not UTF-8"))?;
        if text.trim().is_empty() {
            continue;
        }
        let row = Exported::read(text).with_context(|| format!("line {number}"))?;
        if from.is_some_and(|from| row.sequence <= from.sequence) {
            continue;
        }
        let verifier = verifier.get_or_insert_with(|| Verifier::new(before(&row), expected));
        let goes_on = verifier.previous(row.sequence, row.previous)
            && verifier.row(row.sequence, row.content.as_deref(), Some(row.hash));
        if !goes_on {
            break;
        }
    }
    let verifier = verifier.unwrap_or_else(|| Verifier::new(Link::ZERO, expected));
    Ok(verifier.finish())
}

/// The link after which an export begins.
fn before(first: &Exported) -> Link {
    match first.sequence {
        0 | 1 => Link::ZERO,
        sequence => Link {
            sequence: sequence - 1,
            hash: first.previous,
        },
    }
}

fn sentence(verdict: &Verdict) -> String {
    let mut text = match &verdict.broken_at {
        Some(at) => format!(
            "broken: {at}\n{} rows before it are intact, up to {}",
            verdict.rows, verdict.last
        ),
        None if verdict.rows == 0 => format!("intact: there are no rows after {}", verdict.start),
        None => format!("intact: {} rows, the last is {}", verdict.rows, verdict.last),
    };
    let mut note = |what: String| {
        text.push('\n');
        text.push_str(&what);
    };
    if verdict.start.hash != LinkHash::ZERO {
        note(format!(
            "the log begins after {}, which is believed",
            verdict.start
        ));
    }
    if verdict.hidden > 0 {
        note(format!(
            "of {} rows of other runs only the links were given",
            verdict.hidden
        ));
    }
    if verdict.unchained > 0 {
        note(format!("{} new rows are not chained yet", verdict.unchained));
    }
    if verdict.strays > 0 {
        note(format!(
            "{} rows stand before the beginning: retention is about to remove them, or somebody put them there",
            verdict.strays
        ));
    }
    for link in &verdict.too_old {
        note(format!(
            "{link} lies before what is kept, and says nothing any more"
        ));
    }
    text
}

fn to_json(verdict: &Verdict) -> serde_json::Value {
    let links = |links: &[Link]| links.iter().map(Link::to_string).collect::<Vec<_>>();
    json!({
        "intact": verdict.is_intact(),
        "rows": verdict.rows,
        "hidden": verdict.hidden,
        "start": verdict.start.to_string(),
        "last": verdict.last.to_string(),
        "unchained": verdict.unchained,
        "strays": verdict.strays,
        "too_old": links(&verdict.too_old),
        "broken_at": verdict.broken_at.map(|at| at.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_store::action_log::{line, other_run_line};
    use immune_store::conformance::samples::{agent, at, row};
    use immune_store::memory;

    /// Lines of twenty rows, every third of another run and hidden.
    async fn lines() -> (Vec<String>, Vec<Link>) {
        let log = memory::stores().action_log;
        for n in 0..20 {
            log.append(&[row(&agent("a"), &format!("k{n}"), at(n))])
                .await
                .unwrap();
        }
        let (mut lines, mut links) = (Vec::new(), vec![Link::ZERO]);
        for stored in log.after(0, 100).await.unwrap() {
            let (previous, hash) = (links[links.len() - 1].hash, stored.hash.unwrap());
            lines.push(match stored.sequence % 3 {
                0 => other_run_line(previous, stored.sequence, hash),
                _ => line(previous, &stored, hash),
            });
            links.push(Link {
                sequence: stored.sequence,
                hash,
            });
        }
        (lines, links)
    }

    async fn check(lines: &[String], from: Option<Link>, expected: &[Link]) -> Verdict {
        let text = lines.join("\n");
        verify_lines(text.as_bytes(), from, expected).await.unwrap()
    }

    /// Scenario: an export, whole, from the middle, against links that were kept, cut short, with a line changed, taken
    /// out, put in another place, or with its hash computed anew.
    /// Guarantees: what is whole is intact and says what it covers; everything else is found.
    #[tokio::test]
    async fn exports_are_verified() {
        let (lines, links) = lines().await;
        let whole = check(&lines, None, &[links[20]]).await;
        assert!(
            whole.is_intact() && (whole.rows, whole.hidden) == (20, 6),
            "{whole:?}"
        );
        let rest = check(&lines[10..], None, &[links[20], links[3]]).await;
        assert!(rest.is_intact() && rest.rows == 10, "{rest:?}");
        assert_eq!((rest.start, rest.too_old.as_slice()), (links[10], &links[3..4]));
        assert!(
            sentence(&rest).contains("begins after 10:"),
            "{}",
            sentence(&rest)
        );
        let resumed = check(&lines, Some(links[15]), &[]).await;
        assert!(resumed.is_intact() && resumed.rows == 5, "{resumed:?}");

        let broken = async |lines: Vec<String>, expected: &[Link]| {
            check(&lines, None, expected).await.broken_at.is_some()
        };
        assert!(broken(lines[..18].to_vec(), &links[20..]).await, "cut short");
        assert!(!broken(lines[..18].to_vec(), &[]).await, "nobody kept a link");
        let mut changed = lines.clone();
        changed[6] = changed[6].replace("4.3", "4.4");
        assert!(broken(changed, &[]).await);
        let mut without = lines.clone();
        without.remove(6);
        assert!(broken(without, &[]).await);
        let mut exchanged = lines.clone();
        exchanged.swap(6, 7);
        assert!(broken(exchanged, &[]).await);
        let mut hidden = lines.clone();
        hidden[6] = other_run_line(links[6].hash, 7, LinkHash::ZERO);
        assert!(broken(hidden, &[]).await);
        let mut first = lines.clone();
        first[0] = first[0].replace(&LinkHash::ZERO.to_string(), &links[1].hash.to_string());
        assert!(
            broken(first, &[]).await,
            "the first row of all has nothing before it"
        );
        assert!(verify_lines(&b"{}\n"[..], None, &[]).await.is_err());
    }
}
