//! The one HTTP server for all that listens.
//!
//! The caller makes a router, binds a [`Listener`] and runs a [`Server`] with [`Limits`]; what is served is none of this
//! crate's business. Peers are anybody who can connect, so everything a peer can hold is bounded:
//! - *connections*, in all and from one source. Where a limit is reached, the connection that has kept us waiting
//!   longest makes room, so that idle, unfinished and slow peers cost others nothing;
//! - *memory*: a connection buffers [`Limits::most_head_bytes`] in either direction, a request body has a limit too;
//! - *waiting*: for a head, for the next request, for a reader that does not read, for a whole request.
//!
//! A panic in a handler ends its connection alone and is counted. What ends otherwise than by the peer's or the
//! caller's wish is counted by reason ([`Stats`]).

mod body;
mod handshake;
mod limits;
mod listen;
mod places;
mod pulse;
mod server;
mod stats;
mod status_page;

pub use handshake::{Handshake, Plain};
pub use limits::Limits;
pub use listen::{Listener, Peer, Predecessor, Stream};
pub use places::ConnectionHandle;
pub use server::{Server, StatsReader};
pub use stats::{Ending, Stats};
pub use status_page::{StatusReport, status_page};
