//! Whom to believe: the system's certificates, and per registry what the administrator put beside them.
//!
//! The folder has Docker's layout: `<host[:port]>/` holds `*.crt` with further authorities, and `client.cert` with
//! `client.key` if the registry asks for a certificate. They count for that registry alone. Verification cannot be
//! turned off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ig_files::{Content, read_bounded};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::Fault;

/// The most bytes a certificate file may have.
const LIMIT: u64 = 1 << 20;

/// The certificates of the system, read once, and the folder with those of single registries, read for each request.
#[derive(Debug)]
pub(super) struct Certificates {
    folder: PathBuf,
    system: OnceLock<RootCertStore>,
}

/// The files of one registry's folder that count, in the order of their names; equal ones make equal settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    authorities: Vec<(PathBuf, Content)>,
    client: Option<Identity>,
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    path: PathBuf,
    chain: Content,
    key: Content,
}

impl Certificates {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, system: OnceLock::new() }
    }

    /// What there is now for `host`, a `host` or `host:port`.
    pub(super) fn of(&self, host: &str) -> Result<Own, Fault> {
        let own = Own::read(&self.folder.join(host))?;
        match host.strip_suffix(":443") {
            Some(bare) if own == Own::default() => Own::read(&self.folder.join(bare)),
            _ => Ok(own),
        }
    }

    /// The TLS settings for `host` with its own certificates.
    pub(super) fn config(&self, host: &str, own: &Own) -> Result<ClientConfig, Fault> {
        let mut roots = self.system.get_or_init(system).clone();
        if roots.is_empty() && own.authorities.is_empty() {
            tracing::warn!(
                name: "registry.certificates.absent",
                registry = host,
                "this machine has no certificates of authorities; install ca-certificates, or put the registry's ca.crt \
                 into its folder"
            );
        }
        for (path, content) in &own.authorities {
            roots.add_parsable_certificates(certificates(path, content)?);
        }
        let builder = builder()?.with_root_certificates(roots);
        let Some(Identity { path, chain, key }) = &own.client else {
            return Ok(builder.with_no_client_auth());
        };
        let key = private_key(&path.with_extension("key"), key)?;
        builder.with_client_auth_cert(certificates(path, chain)?, key).map_err(|source| Fault::Certificate {
            path: self.folder.join(host),
            source: io::Error::other(source),
        })
    }

    /// Settings for a client that speaks plain text only; any TLS server is refused.
    pub(super) fn none() -> Result<ClientConfig, Fault> {
        Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Fault> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| Fault::Tls { source })
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    let (added, ignored) = roots.add_parsable_certificates(loaded.certs);
    let errors = loaded.errors.len();
    tracing::debug!(name: "registry.certificates.loaded", added, ignored, errors);
    roots
}

impl Own {
    fn read(folder: &Path) -> Result<Self, Fault> {
        let fault = |source| Fault::Certificate { path: folder.to_owned(), source };
        let mut own = Self::default();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(own),
            Err(error) => return Err(fault(error)),
        };
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(fault)?;
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => own.authorities.push((path.clone(), content(&path)?)),
                Some("cert") if own.client.is_none() => {
                    let (chain, key) = (content(&path)?, content(&path.with_extension("key"))?);
                    own.client = Some(Identity { path, chain, key });
                }
                _ => {}
            }
        }
        Ok(own)
    }
}

fn certificates(path: &Path, content: &Content) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = CertificateDer::pem_slice_iter(content.bytes()).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(path, "it holds no certificate in PEM form")),
        Err(error) => Err(Fault::Certificate { path: path.to_owned(), source: io::Error::other(error) }),
    }
}

fn private_key(path: &Path, content: &Content) -> Result<PrivateKeyDer<'static>, Fault> {
    // The reason is left out: nothing of a key belongs in a message.
    PrivateKeyDer::from_pem_slice(content.bytes())
        .map_err(|_reason| unusable(path, "it holds no private key in PEM form"))
}

fn content(path: &Path) -> Result<Content, Fault> {
    read_bounded(path, LIMIT).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unusable(path, "it does not exist"),
        _ => Fault::Certificate { path: path.to_owned(), source: error.into_cause() },
    })
}

fn unusable(path: &Path, problem: &str) -> Fault {
    Fault::Certificate {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, problem.to_owned()),
    }
}
