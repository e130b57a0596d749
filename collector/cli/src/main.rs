//! The `ig` command: parse arguments, wire the crates together, run.
//!
//! Data goes to standard output, everything else to standard error. Exit status 0 is success, 1 failure, 2 wrong
//! usage or a wrong configuration.

#[macro_use]
mod print;

mod config;
mod environment;
mod failure;
mod image;
mod log;
mod login;
mod logout;
mod object;
mod pages;
mod progress;
mod registry;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use failure::Failure;

/// Keeps eBPF gadgets running and turns what they see into metrics.
#[derive(Debug, Parser)]
#[command(name = "ig", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// Log more: -v for debugging, -vv for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How log lines are written to standard error
    #[arg(long, global = true, value_enum, default_value_t = log::Format::Auto, value_name = "FORMAT")]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ig image build gadgets/trace_exec -t trace_exec   build a gadget into the local store
  ig run trace_exec                                 run it and watch
  ig run trace_open -F proc.comm==cat -o json       one JSON document per event
  ig config check runtime-config.yaml               check a configuration, without root
  ig run -f runtime-config.yaml                     run it, and follow its edits";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gadget and watch it, or keep those running that a runtime configuration lists
    Run(Box<run::Arguments>),
    /// Check and describe runtime configurations
    Config(config::Arguments),
    /// Build, share, sign and keep gadget images
    Image(image::Arguments),
    /// Log in to a registry
    Login(login::Arguments),
    /// Log out of a registry
    Logout(logout::Arguments),
    /// Check eBPF objects against this kernel or another one
    Object(object::Arguments),
    /// Print a completion script for a shell
    Completion(pages::CompletionArguments),
    /// Write manual pages
    Man(pages::ManArguments),
    /// Print the version
    Version,
}

fn main() -> ExitCode {
    let matches = environment::without_empty(Arguments::command()).try_get_matches();
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    let result = arguments.map_or_else(|error| print::usage(&error), run);
    let status = result.map_or_else(Failure::report, |()| ExitCode::SUCCESS);
    log::finish();
    status
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let (more, format) = match &arguments.command {
        Command::Run(arguments) => arguments.logging(),
        _ => (0, None),
    };
    log::start(arguments.verbose.saturating_add(more), format.unwrap_or(arguments.log_format));
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Login(arguments) => login::run(&arguments),
        Command::Logout(arguments) => logout::run(&arguments),
        Command::Object(command) => object::run(&command, arguments.verbose),
        Command::Completion(given) => pages::completion(&given, Arguments::command()),
        Command::Man(given) => pages::man(&given, Arguments::command()),
        Command::Version => print::out(concat!("v", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

/// Makes ring the process's TLS provider; the crates that speak TLS are built without one of their own.
fn install_tls() {
    // An error means that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(test)]
mod tests {
    /// Scenario: the command line is defined by attributes that clap checks only when run.
    /// Guarantees: the definition has no clash of names or flags.
    #[test]
    fn command_line_is_well_formed() {
        use clap::CommandFactory as _;

        super::Arguments::command().debug_assert();
    }
}
