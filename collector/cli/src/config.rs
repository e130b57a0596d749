//! `ig config`: check and describe runtime configurations, without root, kernel or network.

mod exporters;
mod images;

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use ig_config::runtime::{LoadError, Loaded, check_str, load};

use crate::{failure::Failure, image::store_path, print};
use images::Checked;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration and report every fault with its place
    Check {
        /// A file, a directory of them, or `-` for standard input
        file: PathBuf,
        /// How faults are reported
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Image store whose gadgets say which parameters, fields and data sources there are
        /// [default: /var/lib/ig/oci-store, or ~/.ig/oci-store without root]
        #[arg(long, env = "IG_STORE", value_name = "DIR")]
        store: Option<PathBuf>,
    },
    /// Print the JSON schema of the runtime configuration
    Schema,
    /// Print the default configuration
    Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For machines
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Schema => print::out(format!("{}\n", ig_config::schema::json_schema())),
        Command::Default => print::out(include_str!("../../../config/default.yaml")),
        Command::Check { file, output, store } => check(file, *output, &store_path(store.as_deref())),
    }
}

/// Most bytes of standard input.
const MAX_INPUT: u64 = 16 << 20;

/// Reads standard input to its end, as of a pipe from what renders a configuration.
fn of_standard_input() -> Result<Result<Loaded, LoadError>, Failure> {
    let mut text = String::new();
    let read = io::stdin().take(MAX_INPUT + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::config(format!("failed to read standard input: {error}")))?;
    if text.len() as u64 > MAX_INPUT {
        return Err(Failure::config(format!("standard input is longer than {MAX_INPUT} bytes")));
    }
    Ok(check_str("(standard input)", &text))
}

fn check(file: &Path, output: Output, store: &Path) -> Result<(), Failure> {
    let result = if file == Path::new("-") { of_standard_input()? } else { load(file) };
    let (gadgets, warnings, checked) = match result {
        Ok(Loaded { config, mut warnings, .. }) => {
            let mut checked = images::check(&config, store);
            exporters::check(file, &config, &mut checked.faults, &mut warnings);
            (config.gadgets.len(), warnings, checked)
        }
        Err(error) => (0, Vec::new(), Checked { faults: error.faults, ..Checked::default() }),
    };
    let Checked { faults, unchecked } = checked;
    if output == Output::Json {
        let report = serde_json::json!({
            "ok": faults.is_empty(),
            "faults": faults,
            "warnings": warnings,
            "unchecked": unchecked,
        });
        print::out(format!("{report}\n"))?;
    } else {
        for warning in &warnings {
            warning!("{warning}");
        }
        for (reason, gadgets) in &unchecked {
            say!("note: not checked against their images: {}: {reason}", gadgets.join(", "));
        }
        for fault in &faults {
            let line = if io::stderr().is_terminal() { fault.long() + "\n" } else { fault.to_string() };
            say!("{line}");
        }
    }
    if !faults.is_empty() {
        return Err(Failure::config(format!("{} has {} fault(s)", file.display(), faults.len())));
    }
    if output == Output::Text {
        print::out(format!("{}: ok, {gadgets} gadget(s)\n", file.display()))?;
    }
    Ok(())
}
