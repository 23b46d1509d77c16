//! `immune crds`: the definitions of the custom resources.

use std::process::ExitCode;

/// Prints the definitions, one YAML document each, as the chart's `crds` folder has them.
///
/// # Errors
/// When nobody reads what is printed.
pub fn run() -> anyhow::Result<ExitCode> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for (_, text) in definitions()? {
        writeln!(out, "---")?;
        out.write_all(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The definitions as YAML, by the plural of what they define.
fn definitions() -> anyhow::Result<Vec<(String, String)>> {
    let all = [immune_resources::cases::crd(), immune_resources::policies::crd()];
    all.iter()
        .map(|one| Ok((one.spec.names.plural.clone(), serde_norway::to_string(one)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the chart's copies of the definitions; `IMMUNE_UPDATE=1` writes them anew.
    /// Guarantees: what Helm installs is what the program understands.
    #[test]
    fn the_chart_has_these_definitions() {
        let folder = format!("{}/../../helm/immune/crds", env!("CARGO_MANIFEST_DIR"));
        for (plural, text) in definitions().expect("they can be printed") {
            let path = format!("{folder}/{plural}.yaml");
            if std::env::var_os("IMMUNE_UPDATE").is_some() {
                std::fs::write(&path, &text).expect("the folder is there");
            }
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                kept == text,
                "{path} is not what `immune crds` prints; IMMUNE_UPDATE=1 mends it"
            );
        }
    }
}
