//! What happens on a connection before HTTP is spoken on it.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::listen::Stream;

/// Turns an accepted stream into the one that HTTP is spoken on: nothing is to be done for plain HTTP, TLS shakes hands
/// here. It runs in the connection's own task and within [`Limits::head_timeout`](crate::Limits::head_timeout), so a
/// peer that does not take part costs no other anything.
pub trait Handshake: Clone + Send + Sync + 'static {
    /// What comes out.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Shakes hands.
    ///
    /// # Errors
    /// Any; the connection is closed and counted.
    fn shake(&self, stream: Stream) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

/// No handshake.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Handshake for Plain {
    type Io = Stream;

    async fn shake(&self, stream: Stream) -> io::Result<Stream> {
        Ok(stream)
    }
}
