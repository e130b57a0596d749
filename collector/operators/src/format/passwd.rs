//! Names of users and groups, from the host's `/etc/passwd` and `/etc/group`.
//!
//! The files are read when a name is first asked for and again when they have changed, which is looked at no more
//! than once a second. A file that vanishes, or cannot be read for a moment, keeps its last known names.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::push;

/// Most bytes read of a file, and most names kept of it.
const MAX_SIZE: u64 = 4 << 20;
const MAX_ENTRIES: usize = 65_536;
/// Longest name kept; the kernel's own limit for login names is 32.
const MAX_NAME: usize = 256;
const PAUSE: Duration = Duration::from_secs(1);

/// The names of users and groups on a host.
///
/// Safe to share between threads; a look-up holds a lock for the time of a hash.
#[derive(Debug)]
pub struct Accounts {
    users: Mutex<Database>,
    groups: Mutex<Database>,
}

impl Accounts {
    /// The accounts of the host whose root folder is `root`. Reads nothing yet.
    pub fn in_root(root: &Path) -> Self {
        Self {
            users: Mutex::new(Database::new(root.join("etc/passwd"))),
            groups: Mutex::new(Database::new(root.join("etc/group"))),
        }
    }

    /// Appends the login name of a user, `uid:1234` if it has none.
    pub fn user(&self, uid: u32, out: &mut String) {
        write(&self.users, uid, "uid", Instant::now(), out);
    }

    /// Appends the name of a group, `gid:1234` if it has none.
    pub fn group(&self, gid: u32, out: &mut String) {
        write(&self.groups, gid, "gid", Instant::now(), out);
    }
}

impl Default for Accounts {
    /// The accounts of this host.
    fn default() -> Self {
        Self::in_root(Path::new("/"))
    }
}

fn write(database: &Mutex<Database>, id: u32, prefix: &str, now: Instant, out: &mut String) {
    let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
    database.refresh(now);
    match database.names.get(&id) {
        Some(name) => out.push_str(name),
        None => push(out, format_args!("{prefix}:{id}")),
    }
}

/// One file and what was read from it.
#[derive(Debug)]
struct Database {
    path: PathBuf,
    /// When the file was last looked at.
    checked: Option<Instant>,
    /// The file that `names` came from.
    version: Option<Version>,
    names: HashMap<u32, Box<str>>,
}

/// Tells one state of a file from another.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Database {
    fn new(path: PathBuf) -> Self {
        Self { path, checked: None, version: None, names: HashMap::new() }
    }

    fn refresh(&mut self, now: Instant) {
        if self.checked.is_some_and(|checked| now.saturating_duration_since(checked) < PAUSE) {
            return;
        }
        self.checked = Some(now);
        let Ok(metadata) = fs::metadata(&self.path) else { return };
        if self.version.as_ref() == Some(&Version::of(&metadata)) || !metadata.is_file() {
            return;
        }
        match read(&self.path) {
            Ok((version, names)) => {
                self.version = Some(version);
                self.names = names;
            }
            Err(error) => {
                let (error, path): (&dyn std::error::Error, _) = (&error, self.path.display());
                tracing::debug!(name: "accounts.read.failed", %path, error);
            }
        }
    }
}

fn read(path: &Path) -> io::Result<(Version, HashMap<u32, Box<str>>)> {
    let file = File::open(path)?;
    let version = Version::of(&file.metadata()?);
    let mut content = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut content)?;
    Ok((version, parse(&content)))
}

/// Lines of `name:password:id:...`; the first line of an id counts, others are skipped.
fn parse(content: &[u8]) -> HashMap<u32, Box<str>> {
    let mut names = HashMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        let Some((id, name)) = std::str::from_utf8(line).ok().and_then(entry) else { continue };
        if names.len() == MAX_ENTRIES {
            break;
        }
        names.entry(id).or_insert_with(|| name.into());
    }
    names
}

fn entry(line: &str) -> Option<(u32, &str)> {
    let mut parts = line.split(':');
    let name = parts.next().filter(|name| !name.is_empty() && name.len() <= MAX_NAME)?;
    let id = parts.nth(1)?.parse().ok()?;
    (!name.starts_with(['#', '+', '-'])).then_some((id, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text;
    use super::*;

    struct Host {
        root: tempfile::TempDir,
        accounts: Accounts,
        now: Instant,
    }

    impl Host {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("etc")).unwrap();
            let accounts = Accounts::in_root(root.path());
            Self { root, accounts, now: Instant::now() }
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.root.path().join("etc").join(name), content).unwrap();
        }

        fn user(&self, uid: u32) -> String {
            text(|out| write(&self.accounts.users, uid, "uid", self.now, out))
        }
    }

    /// Scenario: the files of a host, with comments, NIS lines, broken lines and ids used twice.
    /// Guarantees: the first name of an id counts; ids without a name show the number.
    #[test]
    fn names_are_read() {
        let host = Host::new();
        host.write(
            "passwd",
            "root:x:0:0::/root:/bin/sh\n#c:x:5:\n+nis:x:6:\nbroken\n:x:7:\nbad:x:-1:\na:x:8:8\nb:x:8:8",
        );
        host.write("group", "wheel:x:0:root\nbig:x:4294967294:\n");
        assert_eq!((host.user(0), host.user(8)), ("root".into(), "a".into()));
        for uid in [5, 6, 7, u32::MAX] {
            assert_eq!(host.user(uid), format!("uid:{uid}"));
        }
        assert_eq!(text(|out| host.accounts.group(0, out)), "wheel");
        assert_eq!(text(|out| host.accounts.group(4_294_967_294, out)), "big");
        assert_eq!(text(|out| host.accounts.group(7, out)), "gid:7");
    }

    /// Scenario: the file is edited, replaced, removed and comes back.
    /// Guarantees: changes show after a second and not before; a missing file keeps the names.
    #[test]
    fn changes_show_after_a_second() {
        let mut host = Host::new();
        assert_eq!(host.user(1), "uid:1", "no file yet");
        host.write("passwd", "one:x:1:1");
        assert_eq!(host.user(1), "uid:1");
        host.now += PAUSE;
        assert_eq!(host.user(1), "one");

        host.write("new", "two:x:1:1");
        let etc = host.root.path().join("etc");
        fs::rename(etc.join("new"), etc.join("passwd")).unwrap();
        host.now += Duration::from_nanos(999_999_999);
        assert_eq!(host.user(1), "one");
        host.now += Duration::from_nanos(1);
        assert_eq!(host.user(1), "two");

        fs::remove_file(etc.join("passwd")).unwrap();
        host.now += PAUSE;
        assert_eq!(host.user(1), "two");
        fs::create_dir(etc.join("passwd")).unwrap();
        host.now += PAUSE;
        assert_eq!(host.user(1), "two");
        fs::remove_dir(etc.join("passwd")).unwrap();
        host.write("passwd", "three:x:1:1");
        host.now += PAUSE;
        assert_eq!(host.user(1), "three");
    }

    /// Scenario: more users than are kept, and names longer than are kept.
    /// Guarantees: memory is bounded.
    #[test]
    fn entries_are_bounded() {
        let mut many = String::new();
        (0..MAX_ENTRIES + 10).for_each(|id| push(&mut many, format_args!("u{id}:x:{id}:\n")));
        assert_eq!(parse(many.as_bytes()).len(), MAX_ENTRIES);
        let long = format!("{}:x:1:", "n".repeat(MAX_NAME + 1));
        assert!(parse(long.as_bytes()).is_empty());
    }

    proptest! {
        /// Scenario: arbitrary bytes instead of accounts.
        /// Guarantees: no panic, and no name that a line did not begin with.
        #[test]
        fn garbage_is_skipped(content in prop::collection::vec(prop_oneof![Just(b':'), Just(b'\n'), b'0'..=b'9', any::<u8>()], 0..200)) {
            let text = String::from_utf8_lossy(&content).into_owned();
            for name in parse(&content).values() {
                prop_assert!(text.contains(&**name));
            }
        }
    }
}
