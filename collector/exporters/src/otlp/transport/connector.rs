//! How a receiver is reached, whatever is spoken to it then: directly or by a proxy, in plain text or by TLS.
//!
//! One connector for both protocols, so that proxies, authorities, client certificates and server names mean the same to
//! both. It knows its receiver: the address that a client asks it for is not looked at.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tonic::codegen::Service;

/// Most bytes of a proxy's answer to `CONNECT`.
const MOST_HEAD_BYTES: usize = 8 << 10;

/// Connects to one receiver. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(Arc<Way>);

/// The way to a receiver.
pub(in super::super) struct Way {
    /// Scheme, host and port of the receiver.
    pub(in super::super) target: Uri,
    pub(in super::super) tls: Option<Tls>,
    pub(in super::super) proxy: Option<Proxy>,
    /// How long connecting may take, handshakes included.
    pub(in super::super) timeout: Duration,
}

/// What a peer has to prove.
pub(in super::super) struct Tls {
    pub(in super::super) config: Arc<ClientConfig>,
    /// The name its certificate must carry.
    pub(in super::super) name: ServerName<'static>,
}

/// A proxy on the way.
pub(in super::super) struct Proxy {
    /// Scheme, host and port.
    pub(in super::super) address: Uri,
    pub(in super::super) tls: Option<Tls>,
    /// `Proxy-Authorization`.
    pub(in super::super) authorization: Option<HeaderValue>,
    /// Whether it is asked for a connection to the receiver; else it passes single requests on.
    pub(in super::super) tunnels: bool,
}

/// Why a receiver cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("failed to connect to {what} {}", shown(.address))]
    Connect { what: &'static str, address: Uri, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("failed to agree on TLS with {what} `{name}`")]
    Tls { what: &'static str, name: String, source: io::Error },
    #[error("proxy {} gives no connection to the receiver", shown(.address))]
    Tunnel { address: Uri, source: io::Error },
    #[error("no connection within {} ms", .0.as_millis())]
    Late(Duration),
}

fn shown(address: &Uri) -> &str {
    address.authority().map_or("", http::uri::Authority::as_str)
}

impl Connector {
    pub(super) fn new(way: Way) -> Self {
        Self(Arc::new(way))
    }

    /// What requests carry for a proxy that passes them on.
    pub(super) fn forward_authorization(&self) -> Option<&HeaderValue> {
        let proxy = self.0.proxy.as_ref().filter(|proxy| !proxy.tunnels)?;
        proxy.authorization.as_ref()
    }
}

impl Way {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let Some(proxy) = &self.proxy else {
            let stream = self.reach("receiver", &self.target).await?;
            return Ok(Stream::new(secure("receiver", stream, self.tls.as_ref()).await?, false));
        };
        let stream = self.reach("proxy", &proxy.address).await?;
        let mut stream = secure("proxy", stream, proxy.tls.as_ref()).await?;
        if !proxy.tunnels {
            return Ok(Stream::new(stream, true));
        }
        let authority = shown(&self.target);
        tunnel(&mut stream, authority, proxy.authorization.as_ref())
            .await
            .map_err(|source| ConnectError::Tunnel { address: proxy.address.clone(), source })?;
        Ok(Stream::new(secure("receiver", stream, self.tls.as_ref()).await?, false))
    }

    /// Opens a connection; of several addresses the one that answers first.
    async fn reach(&self, what: &'static str, address: &Uri) -> Result<Box<dyn Io>, ConnectError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.timeout));
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ConnectError::Connect {
            what,
            address: address.clone(),
            source,
        };
        poll_fn(|cx| tcp.poll_ready(cx)).await.map_err(|error| failed(error.into()))?;
        let stream = tcp.call(address.clone()).await.map_err(|error| failed(error.into()))?;
        Ok(Box::new(stream.into_inner()))
    }
}

/// Speaks TLS on a connection, if that is wanted.
async fn secure(
    what: &'static str,
    stream: Box<dyn Io>,
    tls: Option<&Tls>,
) -> Result<Box<dyn Io>, ConnectError> {
    let Some(Tls { config, name }) = tls else { return Ok(stream) };
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(name.clone(), stream).await;
    let stream = stream.map_err(|source| {
        let name = name.to_str().into_owned();
        ConnectError::Tls { what, name, source }
    })?;
    Ok(Box::new(stream))
}

/// Asks a proxy for a connection to `authority`.
///
/// The answer is read byte by byte: a receiver that speaks first is heard right behind it.
///
/// # Source
/// RFC 9110, section 9.3.6.
async fn tunnel(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized),
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> io::Result<()> {
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MOST_HEAD_BYTES {
            return Err(io::Error::other("its answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=299) => Ok(()),
        Some(407) => {
            Err(io::Error::other("it asks for other credentials than the variable has (status 407)"))
        }
        Some(status) => Err(io::Error::other(format!("it answered with status {status}"))),
        None => Err(io::Error::other("its answer is no HTTP")),
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.0);
        Box::pin(async move {
            let connected = tokio::time::timeout(way.timeout, way.connect()).await;
            connected.unwrap_or_else(|_elapsed| Err(ConnectError::Late(way.timeout)))
        })
    }
}

/// What bytes go through.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to a receiver, or to a proxy that passes requests on.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    is_forwarded: bool,
}

impl Stream {
    fn new(io: Box<dyn Io>, is_forwarded: bool) -> Self {
        Self { io: TokioIo::new(io), is_forwarded }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_forwarded)
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, from)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A proxy that reads the request, answers `answer`, and what was read from it afterwards.
    async fn ask(answer: &'static [u8]) -> (String, io::Result<()>, Vec<u8>) {
        let (mut near, mut far) = duplex(64 << 10);
        let asked = async {
            let value = HeaderValue::from_static("Basic eDp5");
            let result = tunnel(&mut near, "h:4317", Some(&value)).await;
            let mut rest = Vec::new();
            if result.is_ok() {
                near.read_to_end(&mut rest).await.unwrap();
            }
            (result, rest)
        };
        let answered = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(far.read_u8().await.unwrap());
            }
            far.write_all(answer).await.unwrap();
            drop(far);
            String::from_utf8(request).unwrap()
        };
        let ((result, rest), request) = tokio::join!(asked, answered);
        (request, result, rest)
    }

    /// Scenario: a proxy opens a tunnel, and the receiver's first bytes come in the same packet as its answer.
    /// Guarantees: the request is the standard's, and not one byte of the receiver's is lost.
    #[tokio::test]
    async fn a_receiver_that_speaks_first_is_heard() {
        let (request, result, rest) = ask(b"HTTP/1.1 200 OK\r\nVia: p\r\n\r\nsettings").await;
        assert_eq!(
            request,
            "CONNECT h:4317 HTTP/1.1\r\nHost: h:4317\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
        );
        result.unwrap();
        assert_eq!(rest, b"settings");
    }

    /// Scenario: a proxy refuses, wants credentials, hangs up, is no proxy, or never ends its answer.
    /// Guarantees: each is an error that says which; nothing is read without bound.
    #[tokio::test]
    async fn a_proxy_that_refuses_is_told_from_one_that_is_none() {
        let endless: &'static [u8] = vec![b'x'; 9000].leak();
        for (answer, expected) in [
            (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], "status 403"),
            (b"HTTP/1.0 407 x\r\n\r\n", "credentials"),
            (b"HTTP/1.1 2", "end of file"),
            (b"SSH-2.0-x\r\n\r\n", "no HTTP"),
            (b"HTTP/1.1 99999999999999 x\r\n\r\n", "no HTTP"),
            (endless, "too long"),
        ] {
            let text = ask(answer).await.1.unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
