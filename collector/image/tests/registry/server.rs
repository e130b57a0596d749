//! A registry in memory, of plain threads and sockets so that it can break HTTP at any point.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use ig_image::Digest;

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What it gets.
pub(crate) enum Reply {
    /// What a good registry would say.
    Good,
    /// A whole answer: status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Bytes as they are; the connection ends with them.
    Raw(Vec<Step>),
}

pub(crate) enum Step {
    Send(Vec<u8>),
    /// Again and again until the client has had enough.
    Endless(Vec<u8>),
    /// Nothing more, until the client goes away.
    Stall,
}

type Fault = dyn Fn(&Request, usize) -> Reply + Send + Sync;

pub(crate) struct Server {
    state: Arc<State>,
    port: u16,
    host: &'static str,
}

struct State {
    fault: Box<Fault>,
    tls: Option<Arc<ServerConfig>>,
    manifests: Mutex<HashMap<String, (String, Vec<u8>)>>,
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    log: Mutex<Vec<Request>>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }

    pub(crate) fn header(status: u16, name: &'static str, value: impl Into<String>) -> Self {
        Self::Whole(status, vec![(name, value.into())], Vec::new())
    }

    /// A head that announces `length` bytes, then something else.
    pub(crate) fn announced(length: usize, then: Step) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        Self::Raw(vec![Step::Send(head.into_bytes()), then])
    }
}

impl Server {
    /// Speaks plain HTTP. `fault` sees each request and how many of its kind came before.
    pub(crate) fn plain(fault: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Box::new(fault), None, "127.0.0.1")
    }

    /// Speaks TLS, as `localhost` or `127.0.0.1`.
    pub(crate) fn tls(
        config: ServerConfig,
        host: &'static str,
        fault: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Box::new(fault), Some(Arc::new(config)), host)
    }

    fn start(fault: Box<Fault>, tls: Option<Arc<ServerConfig>>, host: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            fault,
            tls,
            manifests: Mutex::default(),
            blobs: Mutex::default(),
            log: Mutex::default(),
        });
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                // What a client breaks off is an error here and none of the test's business.
                thread::spawn(move || drop(state.connection(stream)));
            }
        });
        Self { state, port, host }
    }

    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) fn put_blob(&self, content: &[u8]) {
        self.state.blobs.lock().unwrap().insert(Digest::of(content).to_string(), content.to_vec());
    }

    pub(crate) fn put_manifest(&self, tag: Option<&str>, media_type: &str, content: &[u8]) {
        let mut manifests = self.state.manifests.lock().unwrap();
        for name in tag.map(str::to_owned).into_iter().chain([Digest::of(content).to_string()]) {
            manifests.insert(name, (media_type.to_owned(), content.to_vec()));
        }
    }

    pub(crate) fn manifest(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.state.manifests.lock().unwrap().get(name)?.1.clone())
    }

    pub(crate) fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        self.state.blobs.lock().unwrap().get(&digest.to_string()).cloned()
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// The requests of one kind so far.
    pub(crate) fn asked(&self, method: &str, part: &str) -> Vec<Request> {
        self.log().into_iter().filter(|request| request.is(method, part)).collect()
    }
}

impl State {
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => {
                let connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
                self.serve(StreamOwned::new(connection, stream))
            }
            None => self.serve(stream),
        }
    }

    fn serve<S: Read + Write>(&self, stream: S) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let request = match read(&mut stream) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return stream.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                }
                Err(error) => return Err(error),
            };
            let before = {
                let mut log = self.log.lock().unwrap();
                let same =
                    |other: &&Request| (&other.method, &other.path) == (&request.method, &request.path);
                let before = log.iter().filter(same).count();
                log.push(request.clone());
                before
            };
            let reply = match (self.fault)(&request, before) {
                Reply::Good => self.good(&request),
                other => other,
            };
            let out = stream.get_mut();
            match reply {
                Reply::Raw(steps) => {
                    for step in steps {
                        match step {
                            Step::Send(bytes) => out.write_all(&bytes)?,
                            Step::Endless(bytes) => loop {
                                out.write_all(&bytes)?;
                            },
                            Step::Stall => drop(out.read(&mut [0; 1])),
                        }
                        out.flush()?;
                    }
                    return Ok(());
                }
                Reply::Whole(status, headers, body) => {
                    let mut head = format!("HTTP/1.1 {status} X\r\n");
                    let own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
                    for (name, value) in headers {
                        head.push_str(&format!("{name}: {value}\r\n"));
                    }
                    if !own {
                        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                    }
                    head.push_str("\r\n");
                    out.write_all(head.as_bytes())?;
                    if request.method != "HEAD" {
                        out.write_all(&body)?;
                    }
                    out.flush()?;
                }
                Reply::Good => {}
            }
        }
    }

    fn good(&self, request: &Request) -> Reply {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let name = path.rsplit('/').next().unwrap_or_default();
        let reads = matches!(request.method.as_str(), "GET" | "HEAD");
        if path == "/v2/" {
            return Reply::status(200);
        }
        if path.contains("/manifests/") && reads {
            let manifests = self.manifests.lock().unwrap();
            let Some((media_type, content)) = manifests.get(name) else { return Reply::status(404) };
            let headers = vec![
                ("Content-Type", media_type.clone()),
                ("Docker-Content-Digest", Digest::of(content).to_string()),
                ("Content-Length", content.len().to_string()),
            ];
            return Reply::Whole(200, headers, content.clone());
        }
        if path.contains("/blobs/sha256:") && reads {
            let blobs = self.blobs.lock().unwrap();
            let Some(mut content) = blobs.get(name).cloned() else { return Reply::status(404) };
            let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
            let start = range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
            return match start {
                None => {
                    Reply::Whole(200, vec![("Content-Length", content.len().to_string())], content.clone())
                }
                Some(start) => {
                    let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
                    Reply::Whole(206, vec![("Content-Range", range)], content.split_off(start))
                }
            };
        }
        match request.method.as_str() {
            "POST" if path.ends_with("/blobs/uploads/") => {
                Reply::header(202, "Location", format!("{path}one?state=x"))
            }
            "PUT" if path.contains("/blobs/uploads/") => {
                let digest =
                    query.split('&').find_map(|pair| pair.strip_prefix("digest=")).unwrap_or_default();
                let digest = digest.replace("%3A", ":");
                if Digest::of(&request.body).to_string() != digest {
                    return Reply::status(400);
                }
                self.blobs.lock().unwrap().insert(digest, request.body.clone());
                Reply::header(201, "Location", "/x")
            }
            "PUT" if path.contains("/manifests/") => {
                let media_type = request.header("content-type").unwrap_or_default().to_owned();
                let mut manifests = self.manifests.lock().unwrap();
                for name in [name.to_owned(), Digest::of(&request.body).to_string()] {
                    manifests.insert(name, (media_type.clone(), request.body.clone()));
                }
                Reply::status(201)
            }
            _ => Reply::status(404),
        }
    }
}

fn read(stream: &mut BufReader<impl Read>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body }))
}
