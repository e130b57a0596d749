//! Where connections come from: TCP and unix sockets.

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};

/// Connections the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// A bound socket. A unix socket's file goes with its listener.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(Arc<TcpListener>),
    /// A unix socket.
    Unix(UnixListener, SocketFile),
}

/// A TCP listener that another one is to replace; it may be gone already.
#[derive(Clone, Debug, Default)]
pub struct Predecessor(Weak<TcpListener>);

/// The file of a unix socket, removed when dropped unless another has taken its name.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// From this address.
    Tcp(SocketAddr),
    /// As this user; `None` if the kernel does not say.
    Unix(Option<u32>),
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Ip(IpAddr),
    User(Option<u32>),
}

impl Listener {
    /// Listens on TCP.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(Arc::new(TcpListener::bind(address).await?)))
    }

    /// Listens on TCP also where `old` has the same port, at an address that contains this one or is contained by it:
    /// `0.0.0.0:80` beside `127.0.0.1:80`. New connections go to the narrower address until `old` is closed.
    ///
    /// # Errors
    /// Those of [`Listener::tcp`], for everything else that is in the way.
    pub async fn tcp_after(address: SocketAddr, old: &Predecessor) -> io::Result<Self> {
        let in_use = match Self::tcp(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => error,
            other => return other,
        };
        let Some(old) = old.0.upgrade() else { return Err(in_use) };
        if !old.local_addr().is_ok_and(|bound| bound.port() == address.port() && bound != address) {
            return Err(in_use);
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // The kernel lets two sockets share a port only while both say so, and ours do for this moment alone: two
        // collectors must not share one.
        let old = SockRef::from(old.as_ref());
        old.set_reuse_port(true)?;
        // listen(2) looks for conflicts once more.
        let listener = socket
            .set_reuseport(true)
            .and_then(|()| socket.bind(address))
            .and_then(|()| socket.listen(BACKLOG));
        old.set_reuse_port(false)?;
        let listener = listener?;
        SockRef::from(&listener).set_reuse_port(false)?;
        Ok(Self::Tcp(Arc::new(listener)))
    }

    /// What [`Listener::tcp_after`] needs to know of it.
    pub fn predecessor(&self) -> Predecessor {
        match self {
            Self::Tcp(listener) => Predecessor(Arc::downgrade(listener)),
            Self::Unix(..) => Predecessor::default(),
        }
    }

    /// Listens on a unix socket of mode `mode`, which nobody can connect to before it has that mode. A socket that
    /// nobody listens on is replaced; the folder must exist.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] if somebody listens there, [`ErrorKind::AlreadyExists`] if the path is something other
    /// than a socket, and those of the file system.
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let metadata = std::fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), inode: (metadata.dev(), metadata.ino()) };
        // Before listen(2) every connection is refused, so the mode that the umask left matters to nobody.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        Ok(Self::Unix(socket.listen(BACKLOG)?, file))
    }

    /// The address it is bound to, if it is TCP.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The next connection.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
                Ok((Stream::Unix(stream), Peer::Unix(user)))
            }
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "file exists and is not a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.inode);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(name: "http.socket.left", path = %self.path.display(), %error);
        }
    }
}

impl Peer {
    pub(crate) fn source(self) -> Source {
        match self {
            Self::Tcp(address) => Source::Ip(match address.ip().to_canonical() {
                IpAddr::V4(ip) => IpAddr::V4(ip),
                // Whoever has one address of a network usually has all of it.
                IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << 64)).into()),
            }),
            Self::Unix(user) => Source::User(user),
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

macro_rules! either {
    ($self:expr, $stream:ident => $then:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $then,
            Stream::Unix($stream) => $then,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, from))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, from))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
