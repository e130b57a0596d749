//! The registry server of Debian, with skopeo, oras and oci-client as the other clients.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ig_model::Hint as _;

use crate::*;

const USER: &str = "alice";
const PASSWORD: &str = "s3cret";

/// How the server is reached.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    /// TLS with an authority of its own, asking for a client's certificate.
    Mutual,
    /// TLS, with a list of passwords.
    Passwords,
}

struct Real {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    kind: Kind,
}

impl Drop for Real {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Runs a program and demands success.
fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Output {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{} cannot run: {error}; tests/tools.sh test installs it", program.display())
    });
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// oras, unpacked from a later Debian.
fn oras() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    run(root.join("tests/later.sh"), &[root.join("target/later").to_str().unwrap(), "oras"]);
    root.join("target/later/root/usr/bin/oras")
}

impl Real {
    fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut http = String::from("addr: 127.0.0.1:0");
        let mut auth = String::new();
        if kind != Kind::Plain {
            certificates(folder.path());
            http.push_str(&format!(", tls: {{certificate: {}, key: {}", at("server.pem"), at("server.key")));
            if kind == Kind::Mutual {
                http.push_str(&format!(", clientcas: [{}]", at("ca.crt")));
            }
            http.push('}');
        }
        if kind == Kind::Passwords {
            run("htpasswd", &["-Bbc", &at("htpasswd"), USER, PASSWORD]);
            auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", at("htpasswd"));
        }
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{{http}}}\n{auth}",
            at("data")
        );
        fs::write(at("config.yml"), config).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", &at("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is installed by tests/tools.sh test");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let port = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "docker-registry ended: {said}");
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break digits.parse().unwrap();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log.take(u64::MAX), &mut std::io::sink()));
        let this = Self { child, folder, port, kind };
        if kind != Kind::Plain {
            let own = this.path("certs.d").join(this.host());
            fs::create_dir_all(&own).unwrap();
            for (from, to) in
                [("ca.crt", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")]
            {
                fs::copy(this.path(from), own.join(to)).unwrap();
            }
        }
        this
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn registry(&self) -> Registry {
        let mut options = RegistryOptions::default();
        options.certificates = self.path("certs.d");
        if self.kind == Kind::Plain {
            options.insecure = vec![self.host()];
        }
        let keychain = match self.kind {
            Kind::Passwords => keychain(&self.host(), USER, PASSWORD),
            _ => Keychain::default(),
        };
        Registry::new(options, keychain)
    }

    fn name(&self, text: &str) -> Reference {
        Reference::parse(&format!("{}/{text}", self.host())).unwrap()
    }

    /// skopeo, told how to reach this server as source or destination.
    fn skopeo(&self, side: &str, arguments: &[&str]) -> Output {
        let mut all = vec!["--insecure-policy".to_owned(), "copy".to_owned(), "--all".to_owned()];
        match self.kind {
            Kind::Plain => all.push(format!("--{side}-tls-verify=false")),
            _ => all.push(format!("--{side}-cert-dir={}", self.path("certs.d").join(self.host()).display())),
        }
        if self.kind == Kind::Passwords {
            all.push(format!("--{side}-creds={USER}:{PASSWORD}"));
        }
        all.extend(arguments.iter().map(|text| (*text).to_owned()));
        run("skopeo", &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// oras, told the same.
    fn oras(&self, arguments: &[&str]) -> Output {
        let mut all: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        // It takes any localhost for plain HTTP.
        all.push(format!("--plain-http={}", self.kind == Kind::Plain));
        if self.kind != Kind::Plain {
            all.push(format!("--ca-file={}", self.path("ca.crt").display()));
        }
        if self.kind == Kind::Mutual {
            all.push(format!("--cert-file={}", self.path("client.pem").display()));
            all.push(format!("--key-file={}", self.path("client.key").display()));
        }
        if self.kind == Kind::Passwords {
            all.extend(["--username", USER, "--password", PASSWORD].map(str::to_owned));
        }
        run(oras(), &all.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// An authority, a server's certificate and a client's, in files.
fn certificates(folder: &Path) {
    let authority = trust::Authority::new();
    let write = |name: &str, content: &str| fs::write(folder.join(name), content).unwrap();
    write("ca.crt", &authority.pem());
    let (certificate, key) = authority.server_pem();
    write("server.pem", &certificate);
    write("server.key", &key);
    let (certificate, key) = authority.client();
    write("client.pem", &certificate);
    write("client.key", &key);
}

/// A store with an image under `name`.
fn stored(name: &Reference, layer: &[u8]) -> (tempfile::TempDir, Store, Image) {
    let (folder, store) = store();
    let image = Image::with_layer(layer);
    for content in [&image.metadata, &image.layer, &image.manifest] {
        store.put_blob("", content).unwrap();
    }
    let index: Index = serde_json::from_slice(&image.index).unwrap();
    assert_eq!(store.put_index(&index, Some(name)).unwrap(), image.digest());
    (folder, store, image)
}

fn pull_from(server: &Real, name: &Reference) -> (tempfile::TempDir, Store, Pulled) {
    let (folder, store) = store();
    let pulled = block(server.registry().pull(name, &store, PullOptions::default(), &())).unwrap();
    (folder, store, pulled)
}

/// Scenario: an image is pushed to the real server in plain text, over TLS with a client's certificate, and with a
/// password; it is pulled back, and copied out by skopeo.
/// Guarantees: what comes back is byte for byte what was pushed, for us and for skopeo.
#[test]
fn what_we_push_others_read() {
    for kind in [Kind::Plain, Kind::Mutual, Kind::Passwords] {
        let server = Real::start(kind);
        let name = server.name("team/gadget:v1");
        let layer = noise(2 << 20);
        let (_folder, store, image) = stored(&name, &layer);
        for _ in 0..2 {
            let pushed = block(server.registry().push(&name, &store, PushOptions::default(), &())).unwrap();
            assert_eq!(pushed.digest, image.digest());
        }
        let (_other, again, pulled) = pull_from(&server, &name);
        assert_eq!((pulled.digest, pulled.warnings.len()), (image.digest(), 0), "{:?}", pulled.warnings);
        assert_eq!(again.load_gadget(&name, Arch::Arm64).unwrap().ebpf.unwrap(), layer);
        assert_eq!(block(server.registry().resolve(&name)).unwrap(), image.digest());

        let out = server.path("out");
        let target = format!("oci:{}:v1", out.display());
        server.skopeo("src", &[&format!("docker://{name}"), &target]);
        let blob = |digest: Digest| fs::read(out.join("blobs/sha256").join(digest.hex())).unwrap();
        assert_eq!(blob(image.digest()), image.index);
        assert_eq!(blob(Digest::of(&layer)), layer);
    }
}

/// Scenario: oras, from a later Debian than this one, asks for the manifest of what we pushed.
/// Guarantees: it gets it byte for byte.
#[test]
#[ignore = "long: fetches packages of a later Debian; tests/long.sh runs it"]
fn long_oras_reads_what_we_push() {
    for kind in [Kind::Plain, Kind::Mutual, Kind::Passwords] {
        let server = Real::start(kind);
        let name = server.name("team/gadget:v1");
        let (_folder, store, image) = stored(&name, &noise(50_000));
        block(server.registry().push(&name, &store, PushOptions::default(), &())).unwrap();
        let fetched = server.oras(&["manifest", "fetch", &name.to_string()]);
        assert_eq!(fetched.stdout, image.index);
    }
}

/// Scenario: skopeo copies an image to the server.
/// Guarantees: we pull it as it is.
#[test]
fn what_skopeo_pushes_we_read() {
    for kind in [Kind::Plain, Kind::Mutual, Kind::Passwords] {
        let server = Real::start(kind);
        let name = server.name("team/copied:v1");
        let local = Reference::parse("example.org/local:v1").unwrap();
        let (_folder, store, image) = stored(&local, &noise(100_000));
        let source = format!("oci:{}:{local}", store.path().display());
        server.skopeo("dest", &[&source, &format!("docker://{name}")]);
        let (_a, _copied, pulled) = pull_from(&server, &name);
        assert_eq!(pulled.digest, image.digest());
    }
}

/// Scenario: oras pushes an artefact of its own and attaches a signature to it.
/// Guarantees: we pull it as it is, with the signature, which we push on to a second repository, where oras finds it.
#[test]
#[ignore = "long: fetches packages of a later Debian; tests/long.sh runs it"]
fn long_what_oras_pushes_we_read() {
    for kind in [Kind::Plain, Kind::Mutual, Kind::Passwords] {
        let server = Real::start(kind);
        let payload = server.path("payload.bin");
        fs::write(&payload, noise(50_000)).unwrap();
        let file = format!("{}:application/x-anything", payload.display());
        let name = server.name("team/artefact:v1");
        let text = name.to_string();
        let typed = ["--disable-path-validation", "--artifact-type", "application/x-own"];
        server.oras(&[&["push", &text, &file][..], &typed].concat());
        let kind_of_signature = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let attached = ["--disable-path-validation", "--artifact-type", kind_of_signature];
        server.oras(&[&["attach", &text, &file][..], &attached].concat());

        let (_b, store, pulled) = pull_from(&server, &name);
        assert_eq!(pulled.signatures, 1, "{:?}", pulled.warnings);
        let found = store.referrers(pulled.digest).unwrap();
        assert!(found.iter().any(|referrer| referrer.artifact_type == kind_of_signature), "{found:?}");

        let second = server.name("team/second:v2");
        store.tag(&name, &second).unwrap();
        let pushed = block(server.registry().push(&second, &store, PushOptions::default(), &())).unwrap();
        assert_eq!((pushed.digest, pushed.signatures), (pulled.digest, 1));
        let found = server.oras(&["discover", "--format", "json", &second.to_string()]);
        let found = String::from_utf8(found.stdout).unwrap();
        assert!(found.contains(kind_of_signature), "{found}");
    }
}

/// Scenario: oci-client, the library our vocabulary comes from, reads from the server what we pushed.
/// Guarantees: it finds the same digest, list of platforms and layer.
#[test]
fn oci_client_reads_what_we_push() {
    use oci_client::client::{ClientConfig, ClientProtocol};
    use oci_client::manifest::OciManifest;
    use oci_client::secrets::RegistryAuth;

    drop(rustls::crypto::ring::default_provider().install_default());
    let server = Real::start(Kind::Plain);
    let name = server.name("team/gadget:v1");
    let (_folder, store, image) = stored(&name, &noise(5000));
    block(server.registry().push(&name, &store, PushOptions::default(), &())).unwrap();
    let config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(vec![server.host()]),
        ..ClientConfig::default()
    };
    let client = oci_client::Client::new(config);
    let theirs: oci_client::Reference = name.to_string().parse().unwrap();
    block(async {
        let (manifest, digest) = client.pull_manifest(&theirs, &RegistryAuth::Anonymous).await.unwrap();
        assert_eq!(digest, image.digest().to_string());
        let OciManifest::ImageIndex(index) = manifest else { panic!("not an index") };
        assert_eq!(index.manifests.len(), 2);
        let mut layer = Vec::new();
        let digest = Digest::of(&image.layer).to_string();
        client.pull_blob(&theirs, digest.as_str(), &mut layer).await.unwrap();
        assert_eq!(layer, image.layer);
    });
}

/// Scenario: no password, a wrong one, no client certificate, an image that is not there, at the real server.
/// Guarantees: each is told apart, with what to do about it.
#[test]
fn refusals_are_told_apart() {
    let server = Real::start(Kind::Passwords);
    let name = server.name("team/gadget:v1");
    let (_folder, store) = store();
    let with = |keychain: Keychain| {
        let mut options = RegistryOptions::default();
        options.certificates = server.path("certs.d");
        let registry = Registry::new(options, keychain);
        block(registry.pull(&name, &store, PullOptions::default(), &())).unwrap_err()
    };
    let error = with(Keychain::default());
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.hint().unwrap().contains("ig login"), "{error}");
    let error = with(keychain(&server.host(), USER, "wrong"));
    assert!(error.hint().unwrap().contains("this login"), "{error}");
    let error = with(keychain(&server.host(), USER, PASSWORD));
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", ig_model::chain(&error));

    let server = Real::start(Kind::Mutual);
    fs::remove_file(server.path("certs.d").join(server.host()).join("client.cert")).unwrap();
    let error = block(server.registry().resolve(&server.name("x:1"))).unwrap_err();
    assert!(error.hint().unwrap().contains("client.cert"), "{}", ig_model::chain(&error));
}
