//! `ig logout`: forget the credentials for a registry.

use clap::Args;
use ig_image::{auth::Logins, registry::Registry};

use crate::{
    failure::Failure,
    print,
    registry::{Authfile, of_auth, wait_for},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The registry
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    registry: Option<String>,
    /// Forget every registry that the file knows
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    authfile: Authfile,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let logins = Logins::in_file(&arguments.authfile.authfile);
    wait_for(async {
        let result = match &arguments.registry {
            Some(registry) => {
                Registry::check_name(registry).map_err(|error| Failure::config(error.to_string()))?;
                logins.remove(registry).await
            }
            None => logins.remove_all().await,
        };
        result.map_err(|error| of_auth(&error))
    })?;
    print::out("Logout Succeeded\n")
}
