//! Who sees credentials, and who does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ig_model::Hint as _;

use crate::trust::{Authority, trusting};
use crate::*;

fn basic() -> String {
    format!("Basic {}", STANDARD.encode("alice:s3cret"))
}

/// A registry over TLS, and options that believe it.
fn secured(
    fault: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
) -> (Server, Image, tempfile::TempDir, RegistryOptions) {
    let authority = Authority::new();
    let server = Server::tls(authority.server(2100, None), "localhost", fault);
    let image = Image::with_layer(b"layer");
    image.put(&server);
    let (folder, options) = trusting(&server, &authority);
    (server, image, folder, options)
}

fn pull_with(server: &Server, options: RegistryOptions, keychain: Keychain) -> Result<Digest, RegistryError> {
    let (_folder, store) = store();
    let registry = Registry::new(options, keychain);
    block(registry.pull(&name(server), &store, PullOptions::default(), &())).map(|pulled| pulled.digest)
}

/// Scenario: a registry that asks for a password: the right one, a wrong one, none.
/// Guarantees: the right one lets in and is sent again without being asked for; the others end after one refusal, and
/// no error quotes a password.
#[test]
fn passwords_let_in() {
    let fault = |request: &Request, _: usize| match request.header("authorization") {
        Some(given) if given == basic() => Reply::Good,
        _ => Reply::header(401, "WWW-Authenticate", "Basic realm=\"x\""),
    };
    let (server, image, _folder, options) = secured(fault);
    let host = server.host();
    let digest = pull_with(&server, options.clone(), keychain(&host, "alice", "s3cret")).unwrap();
    assert_eq!(digest, image.digest());
    assert_eq!(server.log().iter().filter(|request| request.header("authorization").is_none()).count(), 1);

    let error = pull_with(&server, options.clone(), keychain(&host, "alice", "wr0ng")).unwrap_err();
    let shown = format!("{error:?} {}", ig_model::chain(&error));
    assert!(!shown.contains("wr0ng") && !shown.contains(&STANDARD.encode("alice:wr0ng")), "{shown}");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = pull_with(&server, options.clone(), Keychain::default()).unwrap_err();
    assert_eq!(error.hint().unwrap(), format!("check the name, or log in with `ig login {host}`"));
    let debug = format!("{:?}", Registry::new(options, keychain(&host, "alice", "s3cret")));
    assert!(!debug.contains("s3cret"), "{debug}");
}

/// Scenario: the same registry in plain text, with the same credentials at hand.
/// Guarantees: they are never sent.
#[test]
fn plain_text_carries_no_credentials() {
    let server = Server::plain(|_, _| Reply::header(401, "WWW-Authenticate", "Basic realm=\"x\""));
    let keychain = keychain(&server.host(), "alice", "s3cret");
    assert!(pull_with(&server, options(&server), keychain).is_err());
    assert!(server.log().iter().all(|request| request.header("authorization").is_none()));
}

/// Scenario: a registry that gives out tokens: for a password, for an identity token; its tokens expire on the way.
/// Guarantees: the token is asked for with service and scope, sent with each request, and renewed.
#[test]
fn tokens_are_fetched_and_renewed() {
    for identity in [false, true] {
        let (server, image, _folder, options) = secured(move |request, before| {
            if request.path.starts_with("/token") {
                let good = if identity {
                    let body = String::from_utf8_lossy(&request.body).into_owned();
                    let parts = [
                        "grant_type=refresh_token",
                        "refresh_token=id-t0ken",
                        "repository%3Aa%2Fgadget%3Apull",
                    ];
                    request.method == "POST" && parts.iter().all(|part| body.contains(part))
                } else {
                    let parts = ["service=reg", "scope=repository%3Aa%2Fgadget%3Apull", "account=alice"];
                    request.header("authorization") == Some(&basic())
                        && parts.iter().all(|part| request.path.contains(part))
                };
                let token = format!(r#"{{"access_token":"t{before}"}}"#);
                return if good { Reply::Whole(200, Vec::new(), token.into()) } else { Reply::status(401) };
            }
            // The first token is good for the first document only.
            let accepted = if request.path.contains("/manifests/v1") { "Bearer t0" } else { "Bearer t1" };
            if request.header("authorization") == Some(accepted) {
                return Reply::Good;
            }
            let host = request.header("host").unwrap_or_default();
            let challenge = format!(
                r#"Bearer realm="https://{host}/token",service="reg",scope="repository:a/gadget:pull""#
            );
            Reply::header(401, "WWW-Authenticate", challenge)
        });
        let keychain = if identity {
            let text = format!(r#"{{"auths":{{"{}":{{"identitytoken":"id-t0ken"}}}}}}"#, server.host());
            let sources = CredentialSources {
                authfile: "/nonexistent".into(),
                pull_secret: Some(Secret::new(text)),
                environment: AuthEnvironment::default(),
            };
            Keychain::load(&sources).unwrap()
        } else {
            keychain(&server.host(), "alice", "s3cret")
        };
        let digest = pull_with(&server, options, keychain);
        assert_eq!(digest.unwrap(), image.digest(), "identity token: {identity}");
        assert!(server.log().iter().filter(|request| request.path.starts_with("/token")).count() >= 2);
    }
}

/// Scenario: realms that are unencrypted or within this machine; answers of a realm without a token, or too long.
/// Guarantees: no credentials go to such realms; each is told by name, without the answer.
#[test]
fn odd_realms_are_refused() {
    for (realm, answer, expected) in [
        ("http://auth.example/token", "", "it is not encrypted"),
        ("https://127.0.0.1:1/token", "", "within this machine"),
        ("own", r#"{"token":""}"#, "holds no token"),
        ("own", r#"{"t0ken":"s3cret"}"#, "holds no token"),
        ("own", "long", "more than the 1048576 bytes allowed"),
    ] {
        let (server, _image, _folder, options) = secured(move |request, _| {
            let host = request.header("host").unwrap_or_default();
            if request.path.starts_with("/token") {
                let answer = if answer == "long" { "x".repeat(2 << 20) } else { answer.to_owned() };
                return Reply::Whole(200, Vec::new(), answer.into());
            }
            let realm = if realm == "own" { format!("https://{host}/token") } else { realm.to_owned() };
            Reply::header(401, "WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
        });
        let keychain = keychain(&server.host(), "alice", "s3cret");
        let error = pull_with(&server, options, keychain).unwrap_err();
        let text = ig_model::chain(&error);
        assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
    }
}

/// Scenario: a registry that wants a password sends its blobs from another host; from itself over plain HTTP; in
/// circles; to nowhere.
/// Guarantees: the other host is asked without credentials; the rest is refused by name.
#[test]
fn redirects_carry_no_credentials() {
    let authority = Authority::new();
    let elsewhere = Server::tls(authority.server(2100, None), "127.0.0.1", |request, _| {
        let digest = request.path.rsplit('/').next().unwrap_or_default();
        let content: &[u8] = if digest == Digest::of(b"layer").to_string() { b"layer" } else { b"name: x\n" };
        Reply::Whole(200, Vec::new(), content.to_vec())
    });
    for (to, expected) in [
        ("elsewhere", None),
        ("http://127.0.0.1:1/x?sig=s3cret", Some("it is not encrypted")),
        ("loop", Some("too many redirects")),
        ("ftp://x/y", Some("neither http nor https")),
        ("", Some("it is not an address")),
    ] {
        let target = elsewhere.host();
        let (server, image, folder, options) = secured(move |request, _| {
            if request.header("authorization") != Some(&basic()) {
                return Reply::header(401, "WWW-Authenticate", "Basic realm=\"x\"");
            }
            if !request.is("GET", "/blobs/") {
                return Reply::Good;
            }
            let digest = request.path.rsplit('/').next().unwrap_or_default();
            match to {
                "elsewhere" => Reply::header(307, "Location", format!("https://{target}/cdn/{digest}")),
                "loop" => Reply::header(302, "Location", request.path.clone()),
                "" => Reply::status(302),
                other => Reply::header(302, "Location", other),
            }
        });
        let own = folder.path().join(elsewhere.host());
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("ca.crt"), authority.pem()).unwrap();
        let result = pull_with(&server, options, keychain(&server.host(), "alice", "s3cret"));
        match expected {
            None => assert_eq!(result.unwrap(), image.digest()),
            Some(expected) => {
                let text = ig_model::chain(&result.unwrap_err());
                assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
            }
        }
    }
    assert_eq!(elsewhere.asked("GET", "/cdn/").len(), 2);
    assert!(elsewhere.log().iter().all(|request| request.header("authorization").is_none()));
}

/// Scenario: a listed plain registry sends its blobs from a plain host that is not listed.
/// Guarantees: that host is not asked.
#[test]
fn plain_redirects_stay_among_listed_hosts() {
    let elsewhere = Server::plain(|_, _| Reply::Good);
    let target = elsewhere.host();
    let (server, _image) = faulty(b"layer", move |request, _| {
        if request.is("GET", "/blobs/") {
            return Reply::header(302, "Location", format!("http://{target}{}", request.path));
        }
        Reply::Good
    });
    let error = pull(&server).map(|_| ()).unwrap_err();
    assert!(ig_model::chain(&error).contains("plain HTTP to that host is not allowed"), "{error}");
    assert!(elsewhere.log().is_empty());
}

/// Scenario: a login is checked with the right password, a wrong one, at a registry that lets everybody in.
/// Guarantees: the answer is the registry's.
#[test]
fn logins_are_checked() {
    let (server, _image, _folder, options) = secured(|request, _| match request.header("authorization") {
        Some(given) if given == basic() => Reply::Good,
        _ => Reply::header(401, "WWW-Authenticate", "Basic realm=\"x\""),
    });
    let check = |password: &str| {
        let credentials =
            Credentials::Password { username: "alice".to_owned(), password: Secret::new(password) };
        block(Registry::check_login(options.clone(), &server.host(), credentials))
    };
    check("s3cret").unwrap();
    assert_eq!(check("other").unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// Scenario: a registry with a password has a mirror, which asks for one as well; then a password for the mirror is
/// configured, and one for another folder of it.
/// Guarantees: a mirror is shown its own credentials or none, never those of the registry or of another folder.
#[test]
fn mirrors_see_their_own_credentials_alone() {
    let guarded = |request: &Request, _: usize| match request.header("authorization") {
        Some(_) => Reply::Good,
        None => Reply::header(401, "WWW-Authenticate", "Basic realm=\"x\""),
    };
    let (origin, image, folder, mut options) = secured(guarded);
    let authority = Authority::new();
    let mirror = Server::tls(authority.server(2100, None), "localhost", guarded);
    let own = folder.path().join(mirror.host());
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("ca.crt"), authority.pem()).unwrap();
    options.mirrors.add(&origin.host(), &format!("{}/cache", mirror.host())).unwrap();
    let text = |key: &str| {
        let entry = |user: &str| format!(r#"{{"username":"{user}","password":"s3cret"}}"#);
        format!(
            r#"{{"auths":{{"{}":{},"{}{key}":{}}}}}"#,
            origin.host(),
            entry("alice"),
            mirror.host(),
            entry("bob")
        )
    };
    let bob = format!("Basic {}", STANDARD.encode("bob:s3cret"));
    for (key, shown) in [("/other", None), ("/cache", Some(&bob)), ("", Some(&bob))] {
        let sources = CredentialSources {
            authfile: "/nonexistent".into(),
            pull_secret: Some(Secret::new(text(key))),
            environment: AuthEnvironment::default(),
        };
        let before = mirror.log().len();
        let digest = pull_with(&origin, options.clone(), Keychain::load(&sources).unwrap()).unwrap();
        assert_eq!(digest, image.digest());
        let sent: Vec<_> = mirror.log().split_off(before);
        assert!(!sent.is_empty());
        let sent: Vec<_> = sent.iter().filter_map(|request| request.header("authorization")).collect();
        assert!(sent.iter().all(|value| Some(*value) == shown.map(String::as_str)), "{sent:?}");
        assert_eq!(sent.is_empty(), shown.is_none(), "{key}");
    }
    assert!(
        origin.log().iter().filter_map(|request| request.header("authorization")).all(|sent| sent == basic())
    );
}
