//! What is checked of the settings before anything is sent, and the way to the receiver that is made of them.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use ig_files::{Content, read_bounded};
use ig_model::Proxies;
use ig_model::otlp::{OtlpProtocol, OtlpSettings};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::error::OtlpError;
use super::transport::{Proxy, Tls, Way};

/// Most bytes of a file with certificates or a key.
const MAX_PEM: u64 = 1 << 20;

/// A receiver as the transports need it.
pub(super) struct Receiver {
    /// Where the messages of each signal are sent, by the path of the signal; all at one server.
    pub(super) addresses: Vec<(&'static str, Uri)>,
    pub(super) way: Way,
}

/// Checks all that can be checked without a network, the files included, and makes nothing of it.
///
/// # Errors
/// [`OtlpError`], as [`OtlpExporter::new`](super::OtlpExporter::new) would give it.
pub fn check(settings: &OtlpSettings, proxies: &Proxies) -> Result<(), OtlpError> {
    super::transport::Wire::new(settings, proxies).map(drop)
}

/// Checks the settings and reads the files that they name.
pub(super) fn receiver(settings: &OtlpSettings, proxies: &Proxies) -> Result<Receiver, OtlpError> {
    for (what, duration) in [
        ("interval", settings.interval),
        ("timeout", settings.timeout),
        ("retry.initial", settings.retry.initial),
    ] {
        if duration.is_zero() {
            return Err(OtlpError::Zero { exporter: settings.name.clone(), what });
        }
    }
    let mut addresses = Vec::new();
    let mut server = None;
    for signal in &settings.signals {
        let url = settings.url(*signal).map_err(|other| {
            let problem = format!("ends in the path of another signal, `{other}`");
            fault(settings, &settings.endpoint, problem)
        })?;
        let uri = parse(settings, &url)?;
        let target = target(&uri).ok_or_else(|| fault(settings, &url, "has no host".to_owned()))?;
        let known = server.get_or_insert_with(|| target.clone());
        if *known != target {
            return Err(fault(settings, &url, "is at another server than the other signals".to_owned()));
        }
        addresses.push((signal.path(), uri));
    }
    let Some(target) = server else { return Err(fault(settings, "", "is of no signal".to_owned())) };
    let way = way(settings, target, proxies)?;
    Ok(Receiver { addresses, way })
}

fn fault(settings: &OtlpSettings, endpoint: &str, problem: String) -> OtlpError {
    OtlpError::Endpoint { exporter: settings.name.clone(), endpoint: endpoint.to_owned(), problem }
}

fn parse(settings: &OtlpSettings, url: &str) -> Result<Uri, OtlpError> {
    let fault = |problem: &str| fault(settings, url, problem.to_owned());
    let Ok(uri) = url.parse::<Uri>() else { return Err(fault("is not a URL")) };
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

/// Scheme, host and port; `None` without a host.
fn target(uri: &Uri) -> Option<Uri> {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let authority = format!("{}:{port}", uri.host()?);
    Uri::builder().scheme(uri.scheme_str()?).authority(authority).path_and_query("/").build().ok()
}

fn way(settings: &OtlpSettings, target: Uri, proxies: &Proxies) -> Result<Way, OtlpError> {
    let is_secure = target.scheme_str() == Some("https");
    let (host, port) = (target.host().unwrap_or_default(), target.port_u16().unwrap_or_default());
    // Files are looked at where they are named, also if nothing needs them.
    let parts = TlsParts::read(settings)?;
    let tls = is_secure.then(|| {
        let name = settings.tls.server_name.as_deref().unwrap_or(host);
        let alpn = match settings.protocol {
            OtlpProtocol::Grpc => &b"h2"[..],
            OtlpProtocol::HttpProtobuf => b"http/1.1",
        };
        parts.speak(settings, name, alpn)
    });
    let tls = tls.transpose()?;
    let proxy = proxies.to(target.scheme_str().unwrap_or_default(), host, port);
    let proxy = proxy.map(|written| {
        let fault = |problem| OtlpError::Proxy {
            exporter: settings.name.clone(),
            proxy: ig_model::proxy::shown(written),
            problem,
        };
        let found = Matcher::builder().all(written.trim().to_owned()).build().intercept(&target);
        let found = found.ok_or_else(|| fault("is not a URL"))?;
        let address = found.uri().clone();
        let tls = match address.scheme_str() {
            Some("http") => None,
            Some("https") => Some(parts.speak(settings, address.host().unwrap_or_default(), b"http/1.1")?),
            _ => return Err(fault("has a scheme other than http or https")),
        };
        let authorization = found.basic_auth().cloned();
        // HTTP/2 cannot be passed on request by request, and TLS must not be.
        let tunnels = is_secure || settings.protocol == OtlpProtocol::Grpc;
        Ok(Proxy { address, tls, authorization, tunnels })
    });
    Ok(Way { tls, proxy: proxy.transpose()?, timeout: settings.timeout, target })
}

/// The PEM files of the settings, read.
struct TlsParts {
    /// `None` if the system's are trusted, which are not read unless they are needed.
    authorities: Option<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl TlsParts {
    fn read(settings: &OtlpSettings) -> Result<Self, OtlpError> {
        let tls = &settings.tls;
        let authorities = tls.ca_file.as_deref().map(|path| authorities(settings, path)).transpose()?;
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => Some((chain(settings, cert)?, key_of(settings, key)?)),
            (None, None) => None,
            _ => {
                let problem = "has a client certificate without its key, or a key alone";
                return Err(OtlpError::tls(settings, problem, None));
            }
        };
        if let Some(name) = &tls.server_name {
            server_name(settings, name)?;
        }
        Ok(Self { authorities, identity })
    }

    /// How to speak TLS with a peer of this name.
    fn speak(&self, settings: &OtlpSettings, name: &str, alpn: &[u8]) -> Result<Tls, OtlpError> {
        let fault = |problem, source: rustls::Error| OtlpError::tls(settings, problem, Some(source.into()));
        let roots = match &self.authorities {
            Some(roots) => roots.clone(),
            None => system_authorities(settings)?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fault("cannot be set up", error))?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| {
                    fault("has a client certificate and a key that do not fit together", error)
                })?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Tls { config: Arc::new(config), name: server_name(settings, name)? })
    }
}

fn server_name(settings: &OtlpSettings, name: &str) -> Result<ServerName<'static>, OtlpError> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(name.to_owned()).map_err(|source| {
        let problem = "has a server name that no certificate can carry";
        OtlpError::tls(settings, problem, Some(Box::new(source)))
    })
}

fn read(settings: &OtlpSettings, what: &'static str, path: &Path) -> Result<Vec<u8>, OtlpError> {
    read_bounded(path, MAX_PEM).map(Content::into_bytes).map_err(|error| OtlpError::Read {
        exporter: settings.name.clone(),
        what,
        path: path.to_owned(),
        source: error.into_cause(),
    })
}

/// The authorities of a CA file, every one of which must be usable.
fn authorities(settings: &OtlpSettings, path: &Path) -> Result<RootCertStore, OtlpError> {
    let problem = "has a ca file with an unreadable certificate";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read(settings, "ca file", path)?) {
        let certificate =
            certificate.map_err(|source| OtlpError::tls(settings, problem, Some(Box::new(source))))?;
        roots.add(certificate).map_err(|source| OtlpError::tls(settings, problem, Some(Box::new(source))))?;
    }
    if roots.is_empty() {
        return Err(OtlpError::tls(settings, "has a ca file without certificates", None));
    }
    Ok(roots)
}

/// The authorities that the system trusts.
fn system_authorities(settings: &OtlpSettings) -> Result<RootCertStore, OtlpError> {
    let mut roots = RootCertStore::empty();
    let mut loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let source = if loaded.errors.is_empty() { None } else { Some(loaded.errors.swap_remove(0)) };
        let source = source.map(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>);
        return Err(OtlpError::NoAuthorities { exporter: settings.name.clone(), source });
    }
    Ok(roots)
}

fn chain(settings: &OtlpSettings, path: &Path) -> Result<Vec<CertificateDer<'static>>, OtlpError> {
    let pem = read(settings, "client certificate", path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| {
        OtlpError::tls(settings, "has an unreadable client certificate", Some(Box::new(source)))
    })?;
    if chain.is_empty() {
        return Err(OtlpError::tls(settings, "has a client certificate file without certificates", None));
    }
    Ok(chain)
}

fn key_of(settings: &OtlpSettings, path: &Path) -> Result<PrivateKeyDer<'static>, OtlpError> {
    let pem = read(settings, "client key", path)?;
    // The reason is left out: nothing of a key belongs in a message.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_reason| OtlpError::tls(settings, "has a client key file without a readable key", None))
}

/// Headers as HTTP carries them.
pub(super) fn headers(settings: &OtlpSettings) -> Result<Vec<(HeaderName, HeaderValue)>, OtlpError> {
    let header = |(name, value): (&String, &ig_model::Secret)| {
        let fault =
            |problem| OtlpError::Header { exporter: settings.name.clone(), header: name.clone(), problem };
        let name =
            HeaderName::try_from(name).map_err(|_invalid| fault("has a name that HTTP cannot carry"))?;
        let mut value = HeaderValue::try_from(value.expose())
            .map_err(|_invalid| fault("has a value that HTTP cannot carry"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    settings.headers.iter().map(header).collect()
}
