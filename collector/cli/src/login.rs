//! `ig login`: check credentials for a registry and keep them.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use clap::{ArgAction, Args};
use ig_image::{
    auth::{Credentials, Logins, Secret},
    registry::Registry,
};

use crate::{
    failure::Failure,
    print,
    registry::{Authfile, Certificates, of_auth, of_registry, wait_for},
};

/// Time the registry has to let the user in.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest password that is read.
const LONGEST_PASSWORD: u64 = 64 << 10;

#[derive(Debug, Args)]
#[command(
    after_help = "The credentials go to the helper that the file names (credHelpers, credsStore), else into the \
    file, readable for its owner only.\nA certificate that the system does not know is put into \
    /etc/ig/certs.d/HOST[:PORT]/ca.crt; verification cannot be turned off."
)]
pub(crate) struct Arguments {
    /// The registry, such as ghcr.io or registry.example:5000
    registry: String,
    /// Name of the user
    #[arg(short, long)]
    username: Option<String>,
    /// Password; other users of this machine can see it while the command runs, so prefer --password-stdin
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Reach the registry over plain HTTP, which lets others read the password; pull and push then send none
    #[arg(long)]
    plain_http: bool,
    /// Verify the registry's certificate; only there for the scripts of others, which may not turn it off
    #[arg(
        long,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        value_name = "BOOL"
    )]
    tls_verify: bool,
    #[command(flatten)]
    authfile: Authfile,
    #[command(flatten)]
    certificates: Certificates,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.tls_verify {
        return Err(Failure::config("--tls-verify=false is not supported: certificates are always verified")
            .hint(
                "put the certificate of the registry's authority into /etc/ig/certs.d/HOST[:PORT]/ca.crt",
            ));
    }
    let registry = &arguments.registry;
    Registry::check_name(registry).map_err(|error| Failure::config(error.to_string()))?;
    let credentials = credentials(arguments)?;
    let mut options = arguments.certificates.options();
    if arguments.plain_http {
        warning!("the password goes to `{registry}` unencrypted");
        options.insecure.push(registry.clone());
    }
    wait_for(async {
        let check = Registry::check_login(options, registry, credentials.clone());
        match tokio::time::timeout(PATIENCE, check).await {
            Ok(result) => result.map_err(|error| of_registry(&error))?,
            Err(_elapsed) => {
                return Err(Failure::text(format!(
                    "registry `{registry}` did not answer within {} s",
                    PATIENCE.as_secs()
                )));
            }
        }
        let logins = Logins::in_file(&arguments.authfile.authfile);
        logins.add(registry, &credentials).await.map_err(|error| of_auth(&error))
    })?;
    print::out("Login Succeeded\n")
}

fn credentials(arguments: &Arguments) -> Result<Credentials, Failure> {
    let password = if arguments.password_stdin {
        Some(read_password()?)
    } else {
        if arguments.password.is_some() {
            warning!("--password can be seen by other users of this machine; use --password-stdin");
        }
        arguments.password.clone()
    };
    let given =
        arguments.username.clone().zip(password).filter(|(user, word)| !user.is_empty() && !word.is_empty());
    let Some((username, password)) = given else {
        return Err(Failure::config("both a user name and a password are needed")
            .hint("ig login REGISTRY --username NAME --password-stdin < FILE"));
    };
    if username.contains(':') {
        return Err(Failure::config("a user name cannot contain `:`"));
    }
    Ok(Credentials::Password { username, password: Secret::new(password) })
}

fn read_password() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST_PASSWORD + 1).read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 <= LONGEST_PASSWORD => {}
        Ok(_) => {
            return Err(Failure::config(format!("the password is longer than {LONGEST_PASSWORD} bytes")));
        }
        Err(error) => return Err(Failure::new(&error)),
    }
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(text)
}
