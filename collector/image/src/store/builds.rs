//! Which images were built on this machine: they need no signature to run here.
//!
//! Whoever may write the store may also build into it, so a list in the store says nothing that its owner could not
//! have said. It does not travel: an image that was exported or pushed and came back from elsewhere has the same
//! digest, and so the same content.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::error::StoreError;
use super::{Store, blob, layout};
use crate::Digest;

const FILE: &str = "built-here";
/// Most bytes of the list that are read.
const MAX_LIST: u64 = 4 << 20;

impl Store {
    /// Notes that an image was built here, and forgets those that are gone.
    ///
    /// # Errors
    /// [`StoreError`] if the list cannot be written.
    pub fn record_build(&self, digest: Digest) -> Result<(), StoreError> {
        self.check_writable()?;
        let _gate = layout::lock(self.path())?;
        let mut builds = self.builds();
        builds.retain(|known| blob::path(self.path(), *known).exists());
        builds.insert(digest);
        let lines: String = builds.iter().map(|digest| format!("{digest}\n")).collect();
        layout::replace(self.path(), FILE, lines.as_bytes())
    }

    /// Whether an image was built here.
    pub fn was_built_here(&self, digest: Digest) -> bool {
        self.builds().contains(&digest)
    }

    fn builds_path(&self) -> PathBuf {
        self.path().join(FILE)
    }

    /// A list that cannot be read is as good as none: what it would say is then refused for want of a signature.
    fn builds(&self) -> BTreeSet<Digest> {
        let read = || -> io::Result<String> {
            let file = std::fs::File::open(self.builds_path())?;
            io::read_to_string(io::Read::take(file, MAX_LIST))
        };
        let text = read().unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}
