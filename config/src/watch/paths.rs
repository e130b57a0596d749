//! Which directories lead to a document, and how to tell that it is another one now.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

/// Most symbolic links followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// The identity of every document; two are equal if no document was written or replaced in between.
pub(super) type Fingerprint = BTreeMap<PathBuf, Option<Identity>>;

/// What changes when a file is written or replaced: device, inode, size, times of change of content and of inode.
pub(super) type Identity = (u64, u64, u64, (i64, i64), (i64, i64));

/// The identities of `paths`; for a directory those of the documents in it.
pub(super) fn fingerprint<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Fingerprint {
    let mut all = Fingerprint::new();
    for path in paths {
        for document in documents(path) {
            let identity = fs::metadata(&document).ok().map(|metadata| identity(&metadata));
            all.insert(document, identity);
        }
        // A directory that is empty differs from none.
        let exists = path.is_dir().then_some((0, 0, 0, (0, 0), (0, 0)));
        all.entry(path.to_owned()).or_insert(exists);
    }
    all
}

fn identity(metadata: &Metadata) -> Identity {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), metadata.size(), modified, changed)
}

/// `path` itself, or the documents in it if it is a directory.
fn documents(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let named = |path: &PathBuf| matches!(path.extension().and_then(OsStr::to_str), Some("yaml" | "yml"));
    entries.map(|entry| entry.path()).filter(named).collect()
}

/// The directories in which an event may mean that `path` leads to something else or that it was written.
pub(super) fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    follow(path, &mut found);
    if path.is_dir() {
        for document in documents(path).iter().filter(|document| document.is_symlink()) {
            follow(document, &mut found);
        }
    }
    found
}

/// Walks `path` and adds the directory of each link on the way, and where the way ends.
fn follow(path: &Path, found: &mut BTreeSet<PathBuf>) {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match step(&path, found) {
            Some(next) => path = next,
            None => return,
        }
    }
}

/// Walks to the first link, adds its directory, and gives the path with the link replaced by its target; at the end
/// of the way adds where it ends.
fn step(path: &Path, found: &mut BTreeSet<PathBuf>) -> Option<PathBuf> {
    let mut so_far = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        if component == Component::ParentDir {
            // Every link before this was replaced by its target, so the directory above is the one in the path.
            so_far.pop();
            continue;
        }
        so_far.push(component);
        let Some(above) = so_far.parent() else { continue };
        match so_far.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {
                found.insert(above.to_owned());
                let target = fs::read_link(&so_far).ok()?;
                return Some(above.join(target).join(components.as_path()));
            }
            Ok(_) => {}
            // What is missing may appear here.
            Err(_) => {
                found.insert(above.to_owned());
                return None;
            }
        }
    }
    if so_far.is_dir() {
        found.insert(so_far.clone());
    }
    // The directory above is where a file is replaced, and where a directory is.
    found.extend(so_far.parent().map(Path::to_owned));
    None
}
