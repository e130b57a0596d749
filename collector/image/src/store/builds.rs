//! Which images were built on this machine: they need no signature to run here.
//!
//! The list counts only if it was written by the user this process runs as, or by root: a store of somebody else says
//! nothing about what root may run. It does not travel: an image that was exported or pushed and came back from elsewhere has the same
//! digest, and so the same content.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::error::StoreError;
use super::{Store, blob, layout, lock};
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
        let _gate = lock::lock(self.path())?;
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
            let file = layout::open_regular(&self.builds_path())?;
            let owner = file.metadata()?.uid();
            if owner != 0 && owner != rustix::process::geteuid().as_raw() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            io::read_to_string(io::Read::take(file, MAX_LIST))
        };
        let text = read().unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Digest, Store};

    /// Scenario: an image is built, another one is not; the list is then given to another user.
    /// Guarantees: only what was built counts, and nothing does in a list that somebody else may have written.
    #[test]
    fn only_ones_own_list_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let blob = store.put_blob("text/plain", b"built").unwrap();
        let built: Digest = blob.digest.parse().unwrap();
        let other: Digest = Digest::of(b"not built");
        store.record_build(built).unwrap();
        assert!(store.was_built_here(built) && !store.was_built_here(other));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(store.builds_path(), Some(65_534), None).unwrap();
            assert!(!store.was_built_here(built));
        }
    }
}
