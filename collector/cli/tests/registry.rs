//! `ig login`, `ig logout`, `ig image pull` and `ig image push` against the registry server of Debian.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests fail like tests"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

const USER: &str = "alice";
const PASSWORD: &str = "s3cret";

/// A registry with a password, and a folder for everything else.
struct Site {
    server: Child,
    folder: tempfile::TempDir,
    host: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/tools.sh test installs it"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        let key = at("key.pem");
        let certificate = at("cert.pem");
        run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                &key,
                "-out",
                &certificate,
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                names,
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
        );
        run("htpasswd", &["-Bbc", &at("htpasswd"), USER, PASSWORD]);
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: 127.0.0.1:0, tls: {{certificate: {certificate}, key: {key}}}}}\n\
             auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            at("data"),
            at("htpasswd")
        );
        fs::write(at("config.yml"), config).unwrap();
        let mut server = Command::new("docker-registry")
            .args(["serve", &at("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is installed by tests/tools.sh test");
        let mut log = BufReader::new(server.stderr.take().unwrap());
        let host = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "docker-registry ended");
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break format!("localhost:{digits}");
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let own = folder.path().join("certs").join(&host);
        fs::create_dir_all(&own).unwrap();
        fs::copy(&certificate, own.join("ca.crt")).unwrap();
        Self { server, folder, host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ig(&self, arguments: &[&str], input: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ig"))
            .args(arguments)
            .env("IG_CERTS_DIR", self.path("certs"))
            .env("IG_STORE", self.path("store"))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env_remove("DOCKER_AUTH_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone by now.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// Puts an image with one layer into the store, made by hand as any OCI program would.
    fn put_image(&self, name: &str) {
        let layout = self.path("layout");
        fs::create_dir_all(&layout).unwrap();
        fs::write(layout.join("layer"), "layer").unwrap();
        let store = ig_image::Store::open(self.path("store")).unwrap();
        let config = store.put_blob(ig_image::manifest::METADATA, b"name: x\n").unwrap();
        let layer = store.put_blob(ig_image::manifest::EBPF, b"pretend").unwrap();
        let manifest =
            ig_image::manifest::Manifest::gadget(config, vec![layer], ig_image::manifest::Annotations::new());
        let content = ig_image::manifest::to_json(&manifest).unwrap();
        let entry = store.put_blob(ig_image::manifest::MANIFEST, &content).unwrap();
        let index = ig_image::manifest::Index::of(vec![entry], ig_image::manifest::Annotations::new());
        store.put_index(&index, Some(&ig_image::Reference::parse(name).unwrap())).unwrap();
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Scenario: log in, push, remove the store, pull, log out, pull again; then odd usage of each command.
/// Guarantees: texts, streams and exit statuses are the documented ones; the password is in the file only.
#[test]
fn a_day_with_a_registry() {
    let site = Site::new();
    let (host, authfile) = (site.host.as_str(), site.path("auth.json"));
    let authfile = authfile.to_str().unwrap();
    let name = format!("{host}/team/gadget:v1");
    site.put_image(&name);

    let output = site.ig(&["login", host, "-u", USER, "--password-stdin", "--authfile", authfile], "wrong\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("refuses access") && !stderr(&output).contains("wrong"),
        "{}",
        stderr(&output)
    );
    assert!(!fs::exists(authfile).unwrap());
    let output =
        site.ig(&["login", host, "-u", USER, "--password-stdin", "--authfile", authfile], "s3cret\n");
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("Login Succeeded\n", Some(0)),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::metadata(authfile).unwrap().permissions().mode() & 0o777, 0o600);

    let output = site.ig(&["image", "push", &name, "--authfile", authfile], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stderr(&output);
    let (first, last) = (text.lines().next().unwrap(), text.lines().last().unwrap());
    assert_eq!(first, format!("Pushing {name}..."));
    assert!(last.starts_with(&format!("Successfully pushed {name}@sha256:")), "{text}");
    assert_eq!(stdout(&output), "");

    fs::remove_dir_all(site.path("store")).unwrap();
    let output = site.ig(&["image", "pull", &name, "--authfile", authfile], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().next().unwrap(), format!("Pulling {name}..."));
    let pulled = stderr(&output).lines().last().unwrap().to_owned();
    assert_eq!(pulled, last.replace("pushed", "pulled"));
    let digest = pulled.rsplit_once('@').unwrap().1;
    let by_digest = format!("{host}/team/gadget@{digest}");
    let output = site.ig(&["image", "pull", &by_digest, "--authfile", authfile], "");
    assert!(
        stderr(&output).contains(&format!("Successfully pulled {host}/team/gadget:@{digest}")),
        "{}",
        stderr(&output)
    );

    let output = site.ig(&["logout", host, "--authfile", authfile], "");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("Logout Succeeded\n", Some(0)));
    let output = site.ig(&["logout", host, "--authfile", authfile], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("not logged in to `{host}`")), "{}", stderr(&output));
    let output = site.ig(&["image", "pull", &name, "--authfile", authfile], "");
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("failed to perform \"FetchReference\" on source"), "{text}");
    assert!(text.contains(&format!("ig login {host}")), "{text}");

    let both = "both a user name and a password are needed";
    for (arguments, input, expected) in [
        (&["login", host, "-u", USER][..], "", both),
        (&["login", host, "--password-stdin"], "x", both),
        (&["login", host, "-u", USER, "--password-stdin"], "\n", both),
        (&["login", "https://x", "-u", "a", "-p", "b"], "", "`https://x` is not a registry"),
        (&["login", host, "-u", "a", "-p", "b", "--tls-verify=false"], "", "always verified"),
        (&["logout"], "", "required"),
        (&["image", "pull", "UPPER/case:x y"], "", "invalid image name"),
        (&["image", "push", &name, "--mirror", "nonsense"], "", "expected a mirror as HOST=MIRROR"),
    ] {
        let mut arguments = arguments.to_vec();
        if arguments != ["logout"] {
            arguments.extend(["--authfile", authfile]);
        }
        let output = site.ig(&arguments, input);
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
    let output = site.ig(&["image", "push", "localhost:1/absent", "--authfile", authfile], "");
    assert!(stderr(&output).contains("failed to perform \"Resolve\" on source"), "{}", stderr(&output));
    let absent = site.path("absent.json");
    let output = site.ig(&["image", "pull", &name, "--authfile", absent.to_str().unwrap()], "");
    assert!(stderr(&output).contains("absent.json` does not exist"), "{}", stderr(&output));
}

/// Scenario: the file names a credential helper; login, pull and logout use it; then it fails, and says too much.
/// Guarantees: the secret goes to the helper and not into the file; the helper's failure is told, bounded.
#[test]
fn helpers_keep_secrets() {
    let site = Site::new();
    let (host, authfile) = (site.host.as_str(), site.path("auth.json"));
    let text = authfile.to_str().unwrap().to_owned();
    let name = format!("{host}/team/gadget:v1");
    site.put_image(&name);
    fs::write(&authfile, r#"{"credsStore":"ig-test"}"#).unwrap();
    fs::create_dir(site.path("bin")).unwrap();
    let helper = site.path("bin/docker-credential-ig-test");
    let kept = site.path("kept");
    let script = |body: &str| {
        ig_test_kit::executable::script(&helper, &format!("#!/bin/sh\nkept={}\n{body}\n", kept.display()));
    };
    script(
        "case $1 in\n store) cat > \"$kept\";;\n get) cat > /dev/null; cat \"$kept\" 2>/dev/null || \
         { echo 'credentials not found in native keychain'; exit 1; };;\n erase) rm \"$kept\";;\nesac",
    );
    let output = site.ig(&["login", host, "-u", USER, "-p", PASSWORD, "--authfile", &text], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!fs::read_to_string(&authfile).unwrap().contains("auth\":"), "the file holds a secret");
    assert!(fs::read_to_string(&kept).unwrap().contains(PASSWORD));
    let output = site.ig(&["image", "push", &name, "--authfile", &text], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = site.ig(&["logout", host, "--authfile", &text], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!kept.exists());
    let output = site.ig(&["image", "pull", &name, "--authfile", &text], "");
    assert!(stderr(&output).contains("ig login"), "{}", stderr(&output));

    script("echo 'the vault is sealed'; exit 1");
    let output = site.ig(&["image", "pull", &name, "--authfile", &text], "");
    assert!(stderr(&output).contains("failed to get: the vault is sealed"), "{}", stderr(&output));
    script("cat > /dev/null; yes");
    let output = site.ig(&["image", "pull", &name, "--authfile", &text], "");
    assert!(stderr(&output).contains("it says more than 1048576 bytes"), "{}", stderr(&output));
}
