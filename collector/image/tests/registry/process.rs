//! Pulls of several processes, and of processes that are killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::*;

const SERVER: &str = "IG_TEST_PULL_SERVER";
const STORE: &str = "IG_TEST_PULL_STORE";

/// Not a test by itself: what the child processes of the others do.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn child() {
    let (host, store) = (std::env::var(SERVER).unwrap(), std::env::var(STORE).unwrap());
    let mut options = RegistryOptions::default();
    options.insecure = vec![host.clone()];
    let store = Store::open(store).unwrap();
    let name = Reference::parse(&format!("{host}/{REPOSITORY}:v1")).unwrap();
    let registry = Registry::new(options, Keychain::default());
    block(registry.pull(&name, &store, PullOptions::default(), &())).unwrap();
}

fn command(server: &Server, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--ignored", "process::child"])
        .env(SERVER, server.host())
        .env(STORE, store)
        .stdout(Stdio::null());
    command
}

fn start(server: &Server, store: &Path) -> Child {
    command(server, store).spawn().unwrap()
}

/// Scenario: a machine without certificates of authorities, as a slim container is, and a registry over plain HTTP.
/// Guarantees: images are pulled; nothing needs a certificate.
#[test]
fn plain_http_needs_no_certificates() {
    let (server, image) = faulty(b"layer", |_, _| Reply::Good);
    let (folder, store) = store();
    let mut command = command(&server, store.path());
    let nothing = folder.path().join("nothing");
    command.env("SSL_CERT_FILE", &nothing).env("SSL_CERT_DIR", &nothing);
    assert!(command.status().unwrap().success());
    assert_eq!(store.resolve(&name(&server)).unwrap().digest, image.digest());
}

/// Scenario: a process is killed with SIGKILL when two thirds of a layer have arrived; another one pulls again.
/// Guarantees: the second asks only for what the first had not stored, and the image is whole.
#[test]
fn a_killed_pull_goes_on() {
    let layer = noise(3 << 20);
    let (content, digest) = (layer.clone(), Digest::of(&layer));
    let (hung, wait) = mpsc::sync_channel(1);
    let (server, image) = faulty(&layer, move |request, before| {
        if !request.is("GET", &digest.to_string()) || before > 0 {
            return Reply::Good;
        }
        hung.send(()).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        Reply::Raw(vec![Step::Send(head.into_bytes()), Step::Send(content[..2 << 20].to_vec()), Step::Stall])
    });
    let (_folder, store) = store();
    let mut first = start(&server, store.path());
    wait.recv().unwrap();
    let partial = store.path().join("ingest").join(format!("{}_resume", digest.hex()));
    // The file grows by batches while the connection hangs; the first batch is enough to go on from.
    while std::fs::metadata(&partial).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(first.try_wait().unwrap().is_none(), "the pull ended by itself");
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let kept = std::fs::metadata(&partial).unwrap().len();
    assert!(start(&server, store.path()).wait().unwrap().success());

    let ranges = server.asked("GET", &digest.to_string());
    assert_eq!(ranges.len(), 2);
    assert_eq!(ranges[1].header("range").unwrap(), format!("bytes={kept}-"));
    assert_eq!(store.resolve(&name(&server)).unwrap().digest, image.digest());
    assert_eq!(store.read_blob(digest, u64::MAX).unwrap(), layer);
}

/// Scenario: three processes pull the same image into the same store at once.
/// Guarantees: all succeed; the store has one image, whole, and no partial files.
#[test]
fn several_processes_pull_the_same() {
    let layer = noise(2 << 20);
    let (server, image) = faulty(&layer, |_, _| Reply::Good);
    let (_folder, store) = store();
    let children: Vec<_> = (0..3).map(|_| start(&server, store.path())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.resolve(&name(&server)).unwrap().digest, image.digest());
    assert_eq!(store.load_gadget(&name(&server), Arch::Amd64).unwrap().ebpf.unwrap(), layer);
    assert_eq!(std::fs::read_dir(store.path().join("ingest")).unwrap().count(), 0);
}
