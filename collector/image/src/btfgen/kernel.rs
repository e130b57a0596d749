//! Which kernel it is, in the words of archives.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{EXTENSION, SelectError};

/// A kernel by distribution, machine and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `ID` of os-release, such as `ubuntu`; empty if unknown.
    pub id: String,
    /// `VERSION_ID` of os-release, such as `20.04`; rolling distributions have none.
    pub version_id: String,
    /// What uname calls the machine, such as `x86_64` or `aarch64`.
    pub machine: String,
    /// Release of the kernel, such as `5.4.0-90-generic`.
    pub release: String,
}

/// Most bytes of an os-release file.
const MAX_OS_RELEASE: u64 = 64 << 10;
/// Where the file is, the second for systems without the link.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

impl Kernel {
    /// The running kernel and the distribution below `root`, which is `/` or where the host's is mounted.
    ///
    /// # Errors
    /// [`SelectError::Distribution`] if no os-release can be read.
    pub fn running(root: &Path) -> Result<Self, SelectError> {
        let mut failure = None;
        for path in OS_RELEASE.map(|name| root.join(name)) {
            let mut text = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(MAX_OS_RELEASE).read_to_end(&mut text));
            match read {
                Ok(_) => {
                    let uname = rustix::system::uname();
                    let [machine, release] =
                        [uname.machine(), uname.release()].map(|text| text.to_string_lossy().into_owned());
                    return Ok(Self::new(&String::from_utf8_lossy(&text), &machine, &release));
                }
                Err(error) => failure = failure.or(Some((path, error))),
            }
        }
        let (path, source) =
            failure.unwrap_or_else(|| (root.to_owned(), io::Error::from(io::ErrorKind::NotFound)));
        Err(SelectError::Distribution { path, source })
    }

    /// A kernel by the text of an os-release and two answers of uname.
    pub fn new(os_release: &str, machine: &str, release: &str) -> Self {
        let value = |key: &str| {
            // As in a shell, the last assignment counts.
            let lines = os_release.lines().rev();
            let mut values = lines.filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            unquoted(values.next().unwrap_or_default().trim()).to_owned()
        };
        Self {
            id: value("ID"),
            version_id: value("VERSION_ID"),
            machine: machine.to_owned(),
            release: release.to_owned(),
        }
    }

    /// The file that a layer should have for it.
    pub fn file(&self) -> String {
        let Self { id, version_id, machine, release } = self;
        format!("{id}/{version_id}/{machine}/{release}{EXTENSION}")
    }

    /// Names the architecture goes by: uname's, and that of others.
    pub(super) fn machines(&self) -> [&str; 2] {
        let machine = self.machine.as_str();
        [
            machine,
            match machine {
                "aarch64" => "arm64",
                "arm64" => "aarch64",
                "x86_64" => "amd64",
                "amd64" => "x86_64",
                other => other,
            },
        ]
    }

    /// How well the name of an entry fits.
    pub(super) fn fit(&self, name: &str) -> Fit {
        let release = |file: &str| file.strip_suffix(EXTENSION) == Some(&self.release);
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            [id, version, machine, file] => {
                let same = *id == self.id && *version == self.version_id && self.machines().contains(machine);
                match (same, release(file)) {
                    (true, true) => Fit::Exact,
                    (true, false) => Fit::Near,
                    (false, _) => Fit::None,
                }
            }
            [file] if release(file) => Fit::Flat,
            _ => Fit::None,
        }
    }
}

/// How an entry of a layer relates to a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It is for this kernel.
    Exact,
    /// It has the release and nothing else to go by.
    Flat,
    /// Another release of the same distribution.
    Near,
    /// None of the above.
    None,
}

/// A value without the quotes around it.
fn unquoted(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}
