//! Certificates: whose are believed, and which are shown.

use std::fs;

use ig_model::Hint as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::*;

/// An authority and what it signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's settings; valid until the given year, asking for certificates of `clients`.
    pub(crate) fn server(&self, year: i32, clients: Option<&Self>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = match clients {
            None => builder.unwrap().with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }

    /// A server's certificate and key.
    pub(crate) fn server_pem(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A client's certificate and key.
    pub(crate) fn client(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// Options that know `authority` for the host of `server`.
pub(crate) fn trusting(server: &Server, authority: &Authority) -> (tempfile::TempDir, RegistryOptions) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(server.host());
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("ca.crt"), authority.pem()).unwrap();
    let mut options = options(server);
    options.insecure.clear();
    folder.path().clone_into(&mut options.certificates);
    (folder, options)
}

fn resolve(server: &Server, options: RegistryOptions) -> Result<Digest, RegistryError> {
    block(Registry::new(options, Keychain::default()).resolve(&name(server)))
}

fn served(config: ServerConfig) -> (Server, Image) {
    let server = Server::tls(config, "localhost", |_, _| Reply::Good);
    let image = Image::with_layer(b"layer");
    image.put(&server);
    (server, image)
}

/// Scenario: a registry whose authority is in the folder, is another one, is in the folder of another port; whose
/// certificate has expired.
/// Guarantees: only the first is believed; the others are named with a hint and not asked again.
#[test]
fn certificates_are_verified() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let (server, image) = served(right.server(2100, None));
    let (folder, options) = trusting(&server, &right);
    assert_eq!(resolve(&server, options.clone()).unwrap(), image.digest());

    let other = folder.path().join("other");
    fs::rename(folder.path().join(server.host()), folder.path().join("localhost:1")).unwrap();
    let error = resolve(&server, options.clone()).unwrap_err();
    assert!(error.hint().unwrap().contains("ca.crt"), "{}", ig_model::chain(&error));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(other);

    let (_folder, options) = trusting(&server, &wrong);
    assert!(resolve(&server, options).is_err());

    let (server, _image) = served(right.server(2020, None));
    let (_folder, options) = trusting(&server, &right);
    let error = resolve(&server, options).unwrap_err();
    assert!(error.hint().unwrap().contains("expired"), "{}", ig_model::chain(&error));
}

/// Scenario: a registry shows the certificate of an authority as its own, and that authority is believed.
/// Guarantees: the hint says so, as only the words of the error tell it.
#[test]
fn an_authority_shown_as_a_server_is_told() {
    let key = KeyPair::generate().unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = Authority(CertifiedIssuer::self_signed(params, key).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.unwrap().with_no_client_auth();
    let (server, _image) = served(config.with_single_cert(vec![authority.0.der().clone()], der).unwrap());
    let (_folder, options) = trusting(&server, &authority);
    let error = resolve(&server, options).unwrap_err();
    assert!(
        error.hint().unwrap().contains("certificate of an authority as its own"),
        "{}",
        ig_model::chain(&error)
    );
}

/// Scenario: one client asks a registry; its authority's file is replaced by another authority's, then put back.
/// Guarantees: each request believes what the file holds at that moment.
#[test]
fn a_replaced_authority_counts_at_once() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let (server, image) = served(right.server(2100, None));
    let (folder, options) = trusting(&server, &right);
    let registry = Registry::new(options, Keychain::default());
    let file = folder.path().join(server.host()).join("ca.crt");
    for (authority, is_believed) in [(&right, true), (&wrong, false), (&right, true)] {
        fs::write(&file, authority.pem()).unwrap();
        let resolved = block(registry.resolve(&name(&server)));
        assert_eq!(resolved.ok(), is_believed.then(|| image.digest()));
    }
}

/// Scenario: a registry that asks for a client's certificate; it is there, absent, of another authority; its key is
/// missing or garbage.
/// Guarantees: the first is let in; each of the others ends with an error that says where to look.
#[test]
fn client_certificates_are_shown() {
    let authority = Authority::new();
    let (server, image) = served(authority.server(2100, Some(&authority)));
    let (folder, options) = trusting(&server, &authority);
    let own = folder.path().join(server.host());
    let error = resolve(&server, options.clone()).unwrap_err();
    assert!(ig_model::chain(&error).contains("request to https://localhost"), "{error}");

    let (certificate, key) = authority.client();
    fs::write(own.join("client.cert"), &certificate).unwrap();
    let error = resolve(&server, options.clone()).unwrap_err();
    assert!(ig_model::chain(&error).contains("client.key"), "{}", ig_model::chain(&error));
    fs::write(own.join("client.key"), "garbage").unwrap();
    let error = resolve(&server, options.clone()).unwrap_err();
    assert!(ig_model::chain(&error).contains("no private key"), "{}", ig_model::chain(&error));
    fs::write(own.join("client.key"), &key).unwrap();
    assert_eq!(resolve(&server, options.clone()).unwrap(), image.digest());

    let (certificate, key) = Authority::new().client();
    fs::write(own.join("client.cert"), &certificate).unwrap();
    fs::write(own.join("client.key"), &key).unwrap();
    assert!(resolve(&server, options).is_err());
}

/// Scenario: a registry that speaks plain HTTP and is not listed; one that speaks TLS and is listed as plain.
/// Guarantees: neither is spoken to in a way that was not asked for.
#[test]
fn plain_http_is_only_for_listed_hosts() {
    let server = Server::plain(|_, _| Reply::Good);
    let mut unlisted = options(&server);
    unlisted.insecure = vec!["127.0.0.1".to_owned(), server.host().to_uppercase() + "0"];
    let error = resolve(&server, unlisted).unwrap_err();
    assert!(error.hint().unwrap().contains("--insecure-registries"), "{}", ig_model::chain(&error));
    assert!(server.log().is_empty());

    let (server, _image) = served(Authority::new().server(2100, None));
    assert!(resolve(&server, options(&server)).is_err());
    assert!(server.log().is_empty());
}
