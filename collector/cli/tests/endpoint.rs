//! The whole program as its peers see it: hostile clients of its endpoint, receivers that it cannot set up.

#![cfg(test)]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Nothing is told from anything by it: a busy machine is slow, not wrong.
const PATIENCE: Duration = Duration::from_mins(2);

struct Collector {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Collector {
    /// Runs no gadget, so that it needs no privilege; `otlp` is the section of that name.
    fn start(otlp: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], ig_test_kit::port::free()));
        let document = format!(
            "apiVersion: 1\nkind: runtime-config\nexporters: {{prometheus: {{listen: '{address}'}}, otlp: {otlp}}}\n\
             gadgets: []\n"
        );
        let config = folder.path().join("run.yaml");
        fs::write(&config, document).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ig"))
            .arg("run")
            .arg("-f")
            .arg(&config)
            .env("IG_STORE", folder.path().join("store"))
            .env("HTTPS_PROXY", "http://me:secret@proxy.invalid:3128")
            .env("NO_PROXY", "")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let collector = Self { child, folder, address };
        collector.until("ready", |page| page.contains("ready"));
        collector
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// A page, or what went wrong.
    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        if page.starts_with("HTTP/1.1 200") { Ok(page) } else { Err(std::io::Error::other(page)) }
    }

    /// Asks until `/readyz` is as it should be.
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = self.get("/readyz").unwrap_or_else(|error| error.to_string());
            if is_so(&page) {
                return page;
            }
            assert!(Instant::now() < deadline, "{what}: {page}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn sample(&self, name: &str) -> f64 {
        let page = honest(self, "/metrics");
        let line =
            page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether the other side has closed the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Asks again, a few times, what has to be answered: a place may be taken for the moment of a burst.
fn honest(collector: &Collector, path: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match collector.get(path) {
            Ok(page) => return page,
            Err(error) => assert!(Instant::now() < deadline, "{path}: {error}"),
        }
        thread::sleep(Duration::from_millis(25));
    }
}

/// Scenario: a peer sends heads of 400 KB that never end, then opens hundreds of connections without a word, then asks for
/// pages that it does not read.
/// Guarantees: memory stays within a few MB; `/healthz` and a scrape are answered beside all of it; what is unfinished is
/// closed in time; and the collector's own metrics say what became of the connections.
#[test]
fn hostile_clients_cost_others_nothing() {
    let collector = Collector::start("{}");
    let before = collector.memory();
    let connect = || TcpStream::connect(collector.address).unwrap();
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = connect();
        stream.set_nonblocking(true).unwrap();
        let mut head = b"GET /metrics HTTP/1.1\r\nhost: h\r\nx: ".to_vec();
        head.resize(400_000, b'a');
        // As much as is taken; a refusal is what it asks for.
        drop(stream.write(&head));
        held.push(stream);
    }
    honest(&collector, "/healthz");
    honest(&collector, "/metrics");
    let grown = collector.memory().saturating_sub(before);
    assert!(grown < 32 << 10, "memory grew by {grown} KiB");

    held.extend((0..300).map(|_| connect()));
    honest(&collector, "/healthz");
    honest(&collector, "/metrics");
    assert!(collector.sample("ig_http_connections{") <= 64.0, "a source has a limit");

    let mut readers = Vec::new();
    for _ in 0..12 {
        let mut stream = connect();
        drop(stream.write_all(&b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n".repeat(20)));
        readers.push(stream);
    }
    honest(&collector, "/healthz");
    honest(&collector, "/metrics");

    let deadline = Instant::now() + PATIENCE;
    while !held.iter_mut().all(is_closed) {
        assert!(Instant::now() < deadline, "an unfinished connection is never closed");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(collector.sample("ig_http_connections_ended_total{reason=\"bad_request\"}") > 0.0);
    assert!(collector.sample("ig_http_connections_accepted_total") >= 500.0);
}

/// Scenario: a start with an exporter whose authorities are not there; they come, then the file is broken, then mended.
/// Guarantees: the exporter is refused by name on `/readyz` and in the metrics while the collector runs; it starts once its
/// file is there, without a signal; it goes on as it was while the file is broken, and says so. The log has the proxies
/// without their password.
#[test]
fn an_exporter_follows_its_files() {
    let collector = Collector::start("{bad: {endpoint: 'https://h', tls: {ca-file: ca.pem}}}");
    let page = collector.until("refused", |page| page.contains("exporter bad: refused (config)"));
    assert!(page.contains("ca.pem"), "{page}");
    assert!(collector.sample("ig_exporter_state{exporter=\"bad\",state=\"refused\"}") > 0.0);

    let certificate = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap().cert.pem();
    let replace = |text: &str| {
        fs::write(collector.path("new"), text).unwrap();
        fs::rename(collector.path("new"), collector.path("ca.pem")).unwrap();
    };
    replace(&certificate);
    collector.until("running", |page| !page.contains("exporter bad") && page.contains("ready"));
    assert!(collector.sample("ig_exporter_state{exporter=\"bad\",state=\"running\"}") > 0.0);
    replace("broken\n");
    collector.until("degraded", |page| page.contains("exporter bad: degraded (config)"));
    replace(&certificate);
    collector.until("running again", |page| !page.contains("exporter bad") && page.contains("ready"));

    let log = collector.log();
    assert!(log.contains("http://proxy.invalid:3128") && !log.contains("secret"), "{log}");
}

/// Scenario: `ig config check` of exporters whose files are absent, hold nothing, and of a name that is none.
/// Guarantees: what is only not here is a warning, all else is a fault by the exporter's name.
#[test]
fn the_check_reads_the_files_of_exporters() {
    let folder = tempfile::tempdir().unwrap();
    let check = |exporter: &str| {
        let file = folder.path().join("c.yaml");
        let text = format!(
            "apiVersion: 1\nkind: runtime-config\nexporters: {{otlp: {{main: {{endpoint: 'https://h', {exporter}}}}}}}\n\
             gadgets: []\n"
        );
        fs::write(&file, text).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_ig")).args(["config", "check"]).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = check("tls: {ca-file: absent.pem}");
    assert!(
        status == Some(0) && said.starts_with("warning: ") && said.contains("exporters.otlp.main"),
        "{said}"
    );
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let (status, said) = check("tls: {ca-file: empty.pem}");
    assert!(
        status == Some(2) && said.contains("exporters.otlp.main: ") && said.contains("without"),
        "{said}"
    );
    let (status, said) = check("tls: {ca-file: empty.pem, server-name: 'a b'}");
    assert!(status == Some(2) && said.contains("server-name"), "{said}");
}

/// Scenario: the store, the log and a proxy are named by variables that are set to nothing.
/// Guarantees: it is as if they were not set: no flag gets the empty text, and the log says what it says.
#[test]
fn empty_variables_are_unset() {
    let folder = tempfile::tempdir().unwrap();
    let ig = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ig"));
        command.args(arguments).env("IG_STORE", "").env("IG_LOG", "").env("HTTPS_PROXY", "");
        command.env("HOME", folder.path()).current_dir(folder.path()).output().unwrap()
    };
    let listed = ig(&["image", "list"]);
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(
        listed.status.code() != Some(2) && !said.contains("--store"),
        "an empty variable is no value: {said}"
    );

    let document = "apiVersion: 1\nkind: runtime-config\nexporters:\n  prometheus: {listen: '127.0.0.1:0'}\n  \
                    otlp: {bad: {endpoint: 'https://h', tls: {ca-file: absent.pem}}}\ngadgets: []\n";
    fs::write(folder.path().join("run.yaml"), document).unwrap();
    let log = folder.path().join("log");
    let mut run = Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["run", "-f", "run.yaml", "--store", "store"])
        .env("IG_LOG", "")
        .env("HTTPS_PROXY", "")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let said = loop {
        let said = fs::read_to_string(&log).unwrap();
        if said.contains("metrics on") || Instant::now() > deadline {
            break said;
        }
        thread::sleep(Duration::from_millis(20));
    };
    drop(run.kill());
    drop(run.wait());
    assert!(said.contains("prometheus.listening") && !said.contains("proxy.named"), "{said}");
}

/// Scenario: a registry is reached by a proxy of the environment, then listed in `NO_PROXY` with its port, then the proxy is
/// set to nothing.
/// Guarantees: registries follow the rule that receivers of metrics follow.
#[test]
fn registries_follow_the_rule_for_proxies() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let (sender, heads) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in proxy.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            sender.send(String::from_utf8_lossy(&head[..length]).into_owned()).unwrap();
            drop(
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            );
        }
    });
    let pull = |proxy: &str, direct: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_ig"))
            .args(["image", "--store", "store", "pull", "registry.invalid:5000/x:y"])
            .args(["--insecure-registries", "registry.invalid:5000"])
            .env("http_proxy", proxy)
            .env("HTTP_PROXY", "")
            .env("NO_PROXY", direct)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        heads.try_iter().collect::<Vec<_>>()
    };
    let asked = pull(&format!("http://me:secret@{address}"), "other.invalid");
    assert!(!asked.is_empty() && asked[0].starts_with("GET http://registry.invalid:5000/v2/x/"), "{asked:?}");
    assert_eq!(pull(&format!("http://{address}"), "registry.invalid:5000"), Vec::<String>::new());
    assert_eq!(pull("", ""), Vec::<String>::new());
}
