//! Credential helpers: programs called `docker-credential-<name>` that keep secrets in a better place than a file.
//!
//! A helper is a program the administrator chose, yet it gets a deadline and a bound on what it may say, so that a
//! hanging one cannot keep the collector from starting.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{AuthError, Credentials, Secret};

/// Time a helper has to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes a helper may say.
const LIMIT: u64 = 1 << 20;
/// The user name that marks a secret as an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

/// Asks the helper for the credentials of a server; `None` if it has none.
pub(super) async fn get(name: &str, server: &str) -> Result<Option<Credentials>, AuthError> {
    let output = call(name, "get", server.as_bytes()).await?;
    if !output.status.success() {
        return if says_not_found(&output) { Ok(None) } else { Err(failure(name, "get", &output)) };
    }
    let stored: Stored = serde_json::from_slice(&output.stdout).map_err(|_may_quote_a_secret| {
        problem(name, "get", "its answer is not the JSON object that the protocol asks for")
    })?;
    let secret = Secret::new(stored.secret);
    Ok(Some(if stored.username == TOKEN_USER {
        Credentials::IdentityToken(secret)
    } else {
        Credentials::Password { username: stored.username, password: secret }
    }))
}

/// Lets the helper keep credentials.
pub(super) async fn store(name: &str, server: &str, credentials: &Credentials) -> Result<(), AuthError> {
    let (username, secret) = match credentials {
        Credentials::Password { username, password } => (username.as_str(), password),
        Credentials::IdentityToken(token) => (TOKEN_USER, token),
    };
    let stored = Stored {
        server: server.to_owned(),
        username: username.to_owned(),
        secret: secret.expose().to_owned(),
    };
    let input = serde_json::to_vec(&stored)
        .map_err(|error| problem(name, "store", &format!("cannot be asked: {error}")))?;
    let output = call(name, "store", &input).await?;
    if output.status.success() { Ok(()) } else { Err(failure(name, "store", &output)) }
}

/// Lets the helper forget a server; whether it knew it.
pub(super) async fn erase(name: &str, server: &str) -> Result<bool, AuthError> {
    let output = call(name, "erase", server.as_bytes()).await?;
    match output.status.success() {
        true => Ok(true),
        false if says_not_found(&output) => Ok(false),
        false => Err(failure(name, "erase", &output)),
    }
}

async fn call(name: &str, action: &'static str, input: &[u8]) -> Result<Output, AuthError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return Err(AuthError::HelperName { name: name.chars().take(100).collect() });
    }
    match tokio::time::timeout(PATIENCE, talk(name, action, input)).await {
        Ok(result) => result.map_err(|source| AuthError::HelperRun { name: name.to_owned(), source }),
        Err(_elapsed) => {
            Err(problem(name, action, &format!("it did not answer within {} s", PATIENCE.as_secs())))
        }
    }
}

async fn talk(name: &str, action: &str, input: &[u8]) -> io::Result<Output> {
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A helper that ends without reading has said what it wants to say.
            match stdin.write_all(input).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    let (_written, stdout, stderr) = tokio::try_join!(write, bounded(stdout), bounded(stderr))?;
    Ok(Output { status: child.wait().await?, stdout, stderr })
}

async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(LIMIT + 1).read_to_end(&mut content).await?;
    }
    if content.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it says more than {LIMIT} bytes")));
    }
    Ok(content)
}

fn says_not_found(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).trim() == "credentials not found in native keychain"
}

fn failure(name: &str, action: &'static str, output: &Output) -> AuthError {
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let said: String = String::from_utf8_lossy(said).chars().filter(|c| !c.is_control()).take(200).collect();
    problem(name, action, if said.is_empty() { "it gave no reason" } else { &said })
}

fn problem(name: &str, action: &'static str, problem: &str) -> AuthError {
    AuthError::Helper { name: name.to_owned(), action, problem: problem.to_owned() }
}
