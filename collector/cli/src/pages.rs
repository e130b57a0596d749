//! `ig completion` and `ig man`: made from the same definitions that parse the command line.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{failure::Failure, print};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ig completion bash > /etc/bash_completion.d/ig\n  ig completion zsh > \"${fpath[1]}/_ig\"\n  \
    ig completion fish > ~/.config/fish/completions/ig.fish"
)]
pub(crate) struct CompletionArguments {
    /// The shell to complete for
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ig man /usr/local/share/man/man1 && man ig-run")]
pub(crate) struct ManArguments {
    /// Folder to write a page for each command to; without one, the page of ig goes to standard output
    folder: Option<PathBuf>,
}

/// Writes the completion script to standard output.
pub(crate) fn completion(arguments: &CompletionArguments, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "ig", &mut script);
    print::out(script)
}

/// Writes the manual pages.
pub(crate) fn man(arguments: &ManArguments, command: Command) -> Result<(), Failure> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(|error| Failure::new(&error))?;
        return print::out(page);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| Failure::text(format!("failed to write to `{}`: {error}", folder.display())))
}
