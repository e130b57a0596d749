//! The way from a path to a file: which directories to watch, and which names in them matter.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

/// Most symbolic links followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// How a path leads to a file now.
#[derive(Debug, Default)]
pub(super) struct Resolution {
    /// Every name on the way whose replacement makes the path lead elsewhere: links, and the end of the way.
    pub(super) names: BTreeSet<PathBuf>,
    /// The directories in which such a name is a link, or is missing.
    pub(super) passed: BTreeSet<PathBuf>,
    /// The directory in which the file itself is.
    pub(super) last: Option<PathBuf>,
}

impl Resolution {
    /// Walks `path`, which must be absolute.
    pub(super) fn of(path: &Path) -> Self {
        let mut resolution = Self::default();
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match resolution.step(&path) {
                Some(next) => path = next,
                None => break,
            }
        }
        resolution
    }

    /// Walks to the first link and gives the path with the link replaced by its target; nothing at the end of the
    /// way.
    fn step(&mut self, path: &Path) -> Option<PathBuf> {
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
            let found = so_far.symlink_metadata();
            if found.as_ref().is_ok_and(|found| !found.is_symlink()) {
                continue;
            }
            self.passed.insert(above.to_owned());
            self.names.insert(so_far.clone());
            // A name that is missing may appear; there is no further to go.
            let target = fs::read_link(&so_far).ok().filter(|_| found.is_ok())?;
            return Some(above.join(target).join(components.as_path()));
        }
        if so_far.is_dir() {
            // It may be replaced as a whole.
            self.passed.extend(so_far.parent().map(Path::to_owned));
            self.last = Some(so_far.clone());
        } else {
            self.last = so_far.parent().map(Path::to_owned);
        }
        self.names.insert(so_far);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::Resolution;

    /// Scenario: a link to a file behind a linked directory; a link to itself; a path of which nothing exists.
    /// Guarantees: every directory that holds a link or lacks a name is passed, the one with the file is the last,
    /// and a loop ends.
    #[test]
    fn every_directory_on_the_way_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/dir")).unwrap();
        fs::write(root.join("real/dir/file"), "1").unwrap();
        symlink("real", root.join("alias")).unwrap();
        symlink("alias/dir/../dir/file", root.join("link")).unwrap();
        let resolution = Resolution::of(&root.join("link"));
        assert_eq!(resolution.passed.iter().collect::<Vec<_>>(), [&root]);
        assert_eq!(resolution.last, Some(root.join("real/dir")));
        let names = ["alias", "link", "real/dir/file"].map(|name| root.join(name));
        assert!(resolution.names.iter().eq(&names), "{:?}", resolution.names);

        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(Resolution::of(&root.join("loop")).last, None);
        let nowhere = Resolution::of(Path::new("/nowhere/at/all"));
        assert!(nowhere.passed.contains(Path::new("/")) && nowhere.names.contains(Path::new("/nowhere")));
        assert_eq!(nowhere.last, None);
    }
}
