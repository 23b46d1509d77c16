//! `immune completions SHELL`: shell completions on standard output.

use super::out;
use clap_complete::Shell;
use std::process::ExitCode;

/// Arguments of `immune completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Shell to write them for.
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the completions of a command tree, the root of which the caller knows.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args, mut root: clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let name = root.get_name().to_owned();
    clap_complete::generate(args.shell, &mut root, name, &mut script);
    out::raw(&script)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    /// Guarantees: every shell that is offered gets a script.
    #[test]
    fn every_shell_has_a_script() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            let mut root = clap::Command::new("immune").subcommand(clap::Command::new("get"));
            clap_complete::generate(*shell, &mut root, "immune", &mut script);
            assert!(!script.is_empty(), "{shell}");
        }
    }
}
