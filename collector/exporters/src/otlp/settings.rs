//! What is checked of the settings before anything is sent.

use std::path::PathBuf;

use ig_files::{Content, read_bounded};
use ig_model::otlp::OtlpSettings;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::OtlpError;

/// Most bytes of a file with certificates or a key.
const MAX_PEM: u64 = 1 << 20;

/// The PEM files of the settings, read.
#[derive(Debug, Default)]
pub(super) struct TlsParts {
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate chain and key.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Checks what can be checked without a network; returns the endpoint.
pub(super) fn check(settings: &OtlpSettings) -> Result<http::Uri, OtlpError> {
    let fault = |problem| OtlpError::Endpoint {
        exporter: settings.name.clone(),
        endpoint: settings.endpoint.clone(),
        problem,
    };
    for (what, duration) in [
        ("interval", settings.interval),
        ("timeout", settings.timeout),
        ("retry.initial", settings.retry.initial),
    ] {
        if duration.is_zero() {
            return Err(OtlpError::Zero { exporter: settings.name.clone(), what });
        }
    }
    let Ok(uri) = settings.endpoint.parse::<http::Uri>() else { return Err(fault("is not a URL")) };
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err(fault("has a scheme other than http or https")),
        None => return Err(fault("lacks http:// (plain) or https:// (TLS) in front")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(fault("has no host"));
    }
    Ok(uri)
}

/// Reads the PEM files.
pub(super) fn read_tls(settings: &OtlpSettings) -> Result<TlsParts, OtlpError> {
    let read = |what: &'static str, path: &PathBuf| {
        read_bounded(path, MAX_PEM).map(Content::into_bytes).map_err(|error| OtlpError::Read {
            exporter: settings.name.clone(),
            what,
            path: path.clone(),
            source: error.into_cause(),
        })
    };
    let tls = &settings.tls;
    let ca = tls.ca_file.as_ref().map(|path| read("ca file", path)).transpose()?;
    if let Some(pem) = &ca {
        check_authorities(settings, pem)?;
    }
    let identity = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Some((read("client certificate", cert)?, read("client key", key)?)),
        (None, None) => None,
        _ => {
            let problem = "has a client certificate without its key, or a key alone";
            return Err(OtlpError::tls(settings, problem, None));
        }
    };
    Ok(TlsParts { ca, identity })
}

/// Makes sure that every certificate of a CA file can be trusted by the libraries, and that there is one.
fn check_authorities(settings: &OtlpSettings, pem: &[u8]) -> Result<(), OtlpError> {
    let problem = "has a ca file with an unreadable certificate";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|source| OtlpError::tls(settings, problem, Some(Box::new(source))))?;
        roots.add(certificate).map_err(|source| OtlpError::tls(settings, problem, Some(Box::new(source))))?;
    }
    if roots.is_empty() {
        return Err(OtlpError::tls(settings, "has a ca file without certificates", None));
    }
    Ok(())
}
