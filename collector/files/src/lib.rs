//! Contents that are read by path: configuration, secrets, certificates, keys, policies, credentials.
//!
//! - [`read_bounded`] reads one: whole, with a limit, never from a device or a pipe, never waiting.
//! - [`Follower`] tells its subscribers which of the paths they named lead to other contents now.
//! - [`FileVersion`] ties the two together: a reader hands it on with what it read, and a change between reading and
//!   following is noticed.
//!
//! The crate knows nothing of what the contents mean.

mod follow;
mod read;
mod version;

pub use follow::{Changed, FollowError, Followed, Follower, Subscription};
pub use read::{Content, Opened, ReadError, open_regular, read_bounded};
pub use version::{FileVersion, Version};
