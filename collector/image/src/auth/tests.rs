use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use ig_model::Hint as _;
use proptest::prelude::*;

use super::*;

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password { username: username.to_owned(), password: Secret::new(password) }
}

fn sources(authfile: &Path) -> CredentialSources {
    CredentialSources {
        authfile: authfile.to_owned(),
        pull_secret: None,
        environment: AuthEnvironment::default(),
    }
}

fn found(text: &str, registry: &str) -> Result<Option<Credentials>, AuthError> {
    found_for(text, registry, "any/repository")
}

fn found_for(text: &str, registry: &str, repository: &str) -> Result<Option<Credentials>, AuthError> {
    let mut sources = sources(Path::new("/nonexistent"));
    sources.pull_secret = Some(Secret::new(text));
    block(Keychain::load(&sources)?.credentials(registry, repository))
}

/// Scenario: the forms in which programs write entries, and keys that are URLs.
/// Guarantees: each registry gets its own credentials, Docker Hub under its own names, others none.
#[test]
fn entries_are_found() {
    let text = r#"{"auths":{
        "one.example":{"auth":"YWxpY2U6czNjcmV0"},
        "https://two.example:5000/v1/":{"username":"bob","password":"pw"},
        "three.example":{"identitytoken":"tok"},
        "four.example":{},
        "https://index.docker.io/v1/":{"auth":"aHViOng="},
        "bad.example":{"auth":"not base64!"}},
        "HttpHeaders":{"x":"y"}, "currentContext":"default"}"#;
    assert_eq!(found(text, "one.example").unwrap(), Some(password("alice", "s3cret")));
    assert_eq!(found(text, "two.example:5000").unwrap(), Some(password("bob", "pw")));
    assert_eq!(found(text, "three.example").unwrap(), Some(Credentials::IdentityToken(Secret::new("tok"))));
    assert_eq!(found(text, "docker.io").unwrap(), Some(password("hub", "x")));
    for none in ["four.example", "two.example", "one.example:443", "five.example"] {
        assert_eq!(found(text, none).unwrap(), None, "{none}");
    }
    let error = found(text, "bad.example").unwrap_err();
    assert!(error.to_string().contains("bad.example") && !error.to_string().contains("base64!"), "{error}");
}

/// Scenario: keys of a host, of folders below it and of one repository, with and without the host's own; names that
/// begin like one of them.
/// Guarantees: the longest key that covers a repository counts, by whole components; what no key covers is asked for
/// without a password.
#[test]
fn keys_count_for_their_folders_alone() {
    let user = |name: &str| format!(r#"{{"username":"{name}","password":"x"}}"#);
    let text = format!(
        r#"{{"auths":{{"h.example/team-a":{a},"h.example/team-a/deep/gadget":{deep},"https://h.example/v2/":{h},
        "only.example:5000/team-a/":{a},"https://url.example/team-a":{a},"docker.io/team-a":{a},
        "named.example/v1":{a}}}}}"#,
        a = user("a"),
        deep = user("deep"),
        h = user("host")
    );
    for (registry, repository, expected) in [
        ("h.example", "team-a", Some("a")),
        ("h.example", "team-a/gadget", Some("a")),
        ("h.example", "team-a/deep/gadget", Some("deep")),
        ("h.example", "team-a/deep/gadget2", Some("a")),
        ("h.example", "team-b/gadget", Some("host")),
        ("H.Example", "team-abc/gadget", Some("host")),
        ("only.example:5000", "team-a/gadget", Some("a")),
        ("only.example:5000", "team-b/gadget", None),
        ("only.example:5000", "team-a2", None),
        ("only.example:5000", "x/team-a", None),
        ("only.example", "team-a/gadget", None),
        ("url.example", "team-a/gadget", Some("a")),
        ("url.example", "team-b/gadget", None),
        ("docker.io", "team-a/gadget", Some("a")),
        ("docker.io", "library/gadget", None),
        ("named.example", "v1/gadget", Some("a")),
        ("named.example", "gadget", None),
    ] {
        let found = found_for(&text, registry, repository).unwrap();
        assert_eq!(found, expected.map(|user| password(user, "x")), "{registry}/{repository}");
    }
}

/// Scenario: a folder's key beside a store for everything, and helpers for a folder alone.
/// Guarantees: an entry with a longer key goes before the store; a helper of one folder is not asked for another.
#[test]
fn helpers_count_for_their_folders_alone() {
    let text = r#"{"credsStore":"ig-surely-absent","auths":{"h.example/team-a":{"username":"a","password":"x"},
        "h.example/left":{}}}"#;
    assert_eq!(found_for(text, "h.example", "team-a/gadget").unwrap(), Some(password("a", "x")));
    for other in ["left/gadget", "team-b/gadget"] {
        assert!(matches!(found_for(text, "h.example", other), Err(AuthError::HelperRun { .. })), "{other}");
    }
    let text = r#"{"credHelpers":{"h.example/team-a":"ig-surely-absent"}}"#;
    assert!(matches!(found_for(text, "h.example", "team-a/x"), Err(AuthError::HelperRun { .. })));
    assert_eq!(found_for(text, "h.example", "team-b/x").unwrap(), None);
}

/// Scenario: files that are empty, blank, `null`, or have `null` in any place; a login and a logout in such a file.
/// Guarantees: they say nothing, and what else is in them counts; a login works.
#[test]
fn files_that_say_nothing_are_accepted() {
    for text in [
        "",
        " \n",
        "null",
        "{}",
        r#"{"auths":null,"credHelpers":null,"credsStore":null}"#,
        r#"{"auths":{"h.example":null},"credHelpers":{"h.example":null}}"#,
        r#"{"auths":{"h.example":{"auth":null,"username":null,"password":null,"identitytoken":null}}}"#,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, text).unwrap();
        let get = || block(Keychain::load(&sources(&path)).unwrap().credentials("h.example", "x")).unwrap();
        assert_eq!(get(), None, "{text}");
        let logins = Logins::in_file(&path);
        block(logins.add("h.example", &password("a", "b"))).unwrap();
        assert_eq!(get(), Some(password("a", "b")), "{text}");
        block(logins.remove("h.example")).unwrap();
    }
    let text = r#"{"auths":{"h.example":{"auth":null,"username":"a","password":"b"}}}"#;
    assert_eq!(found(text, "h.example").unwrap(), Some(password("a", "b")));
}

/// Scenario: a file has entries for a host and for folders of it; a login and a logout of the host.
/// Guarantees: the folders' entries stay.
#[test]
fn logouts_leave_other_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let text = r#"{"auths":{"h.example/team-a":{"username":"a","password":"x"},"https://h.example/v1/":{}}}"#;
    fs::write(&path, text).unwrap();
    let logins = Logins::in_file(&path);
    block(logins.add("h.example", &password("host", "x"))).unwrap();
    block(logins.remove("h.example")).unwrap();
    let get = |repository: &str| {
        block(Keychain::load(&sources(&path)).unwrap().credentials("h.example", repository)).unwrap()
    };
    assert_eq!((get("team-a/x"), get("team-b/x")), (Some(password("a", "x")), None));
}

/// Scenario: a user other than root, who has capabilities only, meets root's file in the default place; then the same
/// file is named.
/// Guarantees: the default one is as good as absent and still followed; the named one is an error.
#[test]
fn default_files_of_others_are_left_alone() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (private, home) = (folder.path().join("private"), folder.path().join("home"));
    fs::create_dir_all(home.join(".docker")).unwrap();
    fs::create_dir(&private).unwrap();
    let file = private.join("config.json");
    fs::write(&file, r#"{"auths":{"h.example":{"username":"root","password":"x"}}}"#).unwrap();
    fs::write(
        home.join(".docker/config.json"),
        r#"{"auths":{"h.example":{"username":"me","password":"x"}}}"#,
    )
    .unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut sources = sources(&file);
    sources.environment.home = Some(home);
    for (mode, of_file) in [(0o700, 0o644), (0o755, 0o600)] {
        fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(of_file)).unwrap();
        let (sources, file) = (sources.clone(), file.clone());
        // Who a thread is concerns that thread alone.
        let (beside, named) = std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            (Keychain::load_beside(&sources, &file), Keychain::load(&sources))
        })
        .join()
        .unwrap();
        let keychain = beside.unwrap();
        let found = block(keychain.credentials("h.example", "x")).unwrap();
        assert_eq!(found, Some(password("me", "x")));
        assert_eq!(keychain.files().len(), 2, "{keychain:?}");
        assert_eq!(named.unwrap_err().kind(), crate::ErrorKind::PermissionDenied);
    }
}

/// Scenario: files that are absent, malformed, too large, pipes; a fault in the middle of a password.
/// Guarantees: each is told with the path; nothing of the content is.
#[test]
fn files_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let load = || Keychain::load(&sources(&path)).map(drop);
    assert!(matches!(load(), Err(AuthError::Missing { .. })));
    fs::write(&path, "{\"auths\":{\n\"h\":{\"password\":s3cret").unwrap();
    let error = load().unwrap_err();
    assert!(error.to_string().ends_with("fault in line 2, column 17"), "{error}");
    assert!(!format!("{error:?} {error}").contains("s3cret"));
    fs::write(&path, "x".repeat(2 << 20)).unwrap();
    assert!(ig_model::chain(&load().unwrap_err()).contains("larger than 1048576 bytes"));
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(ig_model::chain(&load().unwrap_err()).contains("not a regular file"));
    let keychain = format!("{:?}", found(r#"{"auths":{"h":{"auth":"YTpi","password":"s3cret"}}}"#, "h"));
    assert!(!keychain.contains("s3cret") && !keychain.contains("\"b\""), "{keychain}");
}

/// Scenario: the environment names credentials of one registry and a file of another; the default file is absent.
/// Guarantees: the variable wins for its registry; the fallback file serves the others; a named file that is absent
/// has no fallback.
#[test]
fn sources_have_an_order() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |user: &str| format!(r#"{{"auths":{{"h.example":{{"username":"{user}","password":"x"}}}}}}"#);
    let file = folder.path().join("auth.json");
    fs::write(&file, entry("file")).unwrap();
    let docker = folder.path().join("docker");
    fs::create_dir_all(folder.path().join("home/.docker")).unwrap();
    fs::create_dir(&docker).unwrap();
    fs::write(docker.join("config.json"), entry("docker")).unwrap();
    fs::write(folder.path().join("home/.docker/config.json"), entry("home")).unwrap();
    let user = |sources: &CredentialSources| match block(
        Keychain::load(sources).unwrap().credentials("h.example", "x"),
    )
    .unwrap()
    {
        Some(Credentials::Password { username, .. }) => username,
        other => panic!("{other:?}"),
    };
    let mut sources = sources(Path::new(DEFAULT_AUTHFILE));
    sources.environment.home = Some(folder.path().join("home"));
    if !Path::new(DEFAULT_AUTHFILE).exists() {
        assert_eq!(user(&sources), "home");
        sources.environment.docker_config = Some(docker);
        assert_eq!(user(&sources), "docker");
        sources.environment.registry_auth_file = Some(file.clone());
        assert_eq!(user(&sources), "file");
    }
    sources.authfile = file;
    sources.environment.docker_auth_config = Some(Secret::new(entry("variable")));
    assert_eq!(user(&sources), "variable");
    sources.authfile = folder.path().join("absent");
    assert!(Keychain::load(&sources).is_err());
}

/// Scenario: logins and logouts in a file with other content, reached through a link, used by skopeo's format.
/// Guarantees: the file keeps what else is in it, belongs to its owner alone, and gives back what was kept.
#[test]
fn logins_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
    fs::write(&real, r#"{"HttpHeaders":{"a":"b"},"auths":{"https://h.example/v1/":{"auth":"b2xkOng="}}}"#)
        .unwrap();
    symlink(&real, &link).unwrap();
    let logins = Logins::in_file(&link);
    let get =
        |registry: &str| block(Keychain::load(&sources(&link)).unwrap().credentials(registry, "x")).unwrap();
    block(logins.add("h.example", &password("new", "p:w"))).unwrap();
    block(logins.add("docker.io", &password("hub", "x"))).unwrap();
    assert_eq!(get("h.example"), Some(password("new", "p:w")));
    assert_eq!(get("docker.io"), Some(password("hub", "x")));
    let text = fs::read_to_string(&real).unwrap();
    assert!(text.contains("HttpHeaders") && text.contains("https://index.docker.io/v1/"), "{text}");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

    block(logins.remove("h.example")).unwrap();
    assert_eq!(get("h.example"), None);
    assert!(matches!(block(logins.remove("h.example")), Err(AuthError::NotLoggedIn { .. })));
    block(logins.remove_all()).unwrap();
    assert_eq!(get("docker.io"), None);
    let fresh = Logins::in_file(folder.path().join("new/folder/config.json"));
    block(fresh.add("h.example", &password("a", "b"))).unwrap();
}

/// Scenario: helpers whose names lead elsewhere or nowhere.
/// Guarantees: they are refused by name, the absent one with a hint.
#[test]
fn odd_helpers_are_refused() {
    for name in ["../../bin/sh", "a b", "x/y", "$(id)"] {
        let text = format!(r#"{{"credsStore":"{name}"}}"#);
        assert!(matches!(found(&text, "h.example"), Err(AuthError::HelperName { .. })), "{name}");
    }
    let error = found(r#"{"credHelpers":{"h.example":"ig-surely-absent"}}"#, "h.example").unwrap_err();
    assert!(error.hint().unwrap().contains("install `docker-credential-ig-surely-absent`"), "{error}");
    assert_eq!(found(r#"{"credHelpers":{"h.example":"ig-surely-absent"}}"#, "other.example").unwrap(), None);
}

proptest! {
    /// Scenario: any text as a file, any registry.
    /// Guarantees: reading it ends without a panic.
    #[test]
    fn any_file_is_survived(text in r#"[{}"\[\]:,a-z0-9 =]{0,200}"#, registry in "[a-z.:0-9]{0,20}") {
        drop(found(&text, &registry));
    }
}
