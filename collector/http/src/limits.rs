//! What a peer may take.

use std::time::Duration;

/// Bounds of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one source: an IPv4 address, an IPv6 network of 64 bits, a user of a unix socket.
    pub connections_per_source: usize,
    /// How long a connection must have kept us waiting before it may be closed to make room.
    pub eviction_grace: Duration,
    /// Most bytes of a request's head. As much is buffered of a response beyond the frame under way.
    pub most_head_bytes: usize,
    /// Most bytes of a request's body.
    pub most_body_bytes: u64,
    /// From the connection, or the first byte of a request, to the end of the head; the handshake has as long.
    pub head_timeout: Duration,
    /// Between a response and the next request.
    pub idle_timeout: Duration,
    /// Without a byte taken by a reader that has something to read.
    pub stall_timeout: Duration,
    /// From the head of a request to the last byte of its response.
    pub request_timeout: Duration,
}

impl Default for Limits {
    /// For endpoints that answer scrapes and probes.
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_source: 64,
            // Long enough for a head that is on its way behind its connection, short enough that hundreds of new
            // connections a second keep nobody out.
            eviction_grace: Duration::from_millis(20),
            most_head_bytes: 32 << 10,
            most_body_bytes: 64 << 10,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(3),
            stall_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_mins(2),
        }
    }
}
