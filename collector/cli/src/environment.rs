//! Empty variables of the environment are unset ones, also where they stand in for flags.

use clap::{Command, builder::Resettable};

/// The command, without the variables that are set to nothing: clap itself takes the empty text for a value.
pub(crate) fn without_empty(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let is_unset = arg
            .get_env()
            .is_some_and(|name| ig_model::environment::variable(&name.to_string_lossy()).is_none());
        if is_unset { arg.env(Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(without_empty)
}
