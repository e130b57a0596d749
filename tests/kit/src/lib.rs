//! What tests of all crates share, so that none of them fails by luck: executables that can be run, and ports that
//! nobody else takes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "test support: a broken assumption must end the test where it broke"
)]

pub mod executable;
pub mod port;
