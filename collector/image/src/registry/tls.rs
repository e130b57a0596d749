//! Whom to believe: the system's certificates, and per registry what the administrator put beside them.
//!
//! The folder has Docker's layout: `<host[:port]>/` holds `*.crt` with further authorities, and `client.cert` with
//! `client.key` if the registry asks for a certificate. They count for that registry alone. Verification cannot be
//! turned off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::Fault;
use crate::files::read_small;

/// The most bytes a certificate file may have.
const LIMIT: u64 = 1 << 20;

/// The certificates of the system, read once, and the folder with those of single registries.
#[derive(Debug)]
pub(super) struct Certificates {
    folder: PathBuf,
    system: OnceLock<RootCertStore>,
}

/// What the folder of one registry holds.
#[derive(Default)]
struct Own {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Certificates {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, system: OnceLock::new() }
    }

    /// The TLS settings for `host`, a `host` or `host:port`.
    pub(super) fn config(&self, host: &str) -> Result<ClientConfig, Fault> {
        let mut own = Own::read(&self.folder.join(host))?;
        if let Some(bare) = host.strip_suffix(":443")
            && own.authorities.is_empty()
            && own.client.is_none()
        {
            own = Own::read(&self.folder.join(bare))?;
        }
        let mut roots = self.system.get_or_init(system).clone();
        roots.add_parsable_certificates(own.authorities);
        let builder = builder()?.with_root_certificates(roots);
        match own.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|source| {
                Fault::Certificate { path: self.folder.join(host), source: io::Error::other(source) }
            }),
        }
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
                Some("crt") => own.authorities.extend(certificates(&path)?),
                Some("cert") if own.client.is_none() => {
                    let key = path.with_extension("key");
                    own.client = Some((certificates(&path)?, private_key(&key)?));
                }
                _ => {}
            }
        }
        Ok(own)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let content = content(path)?;
    let found = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(path, "it holds no certificate in PEM form")),
        Err(error) => Err(Fault::Certificate { path: path.to_owned(), source: io::Error::other(error) }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    // The reason is left out: nothing of a key belongs in a message.
    PrivateKeyDer::from_pem_slice(&content(path)?)
        .map_err(|_reason| unusable(path, "it holds no private key in PEM form"))
}

fn content(path: &Path) -> Result<Vec<u8>, Fault> {
    let found =
        read_small(path, LIMIT).map_err(|source| Fault::Certificate { path: path.to_owned(), source })?;
    found.ok_or_else(|| unusable(path, "it does not exist"))
}

fn unusable(path: &Path, problem: &str) -> Fault {
    Fault::Certificate {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, problem.to_owned()),
    }
}
