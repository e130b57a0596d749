//! The machine that is observed, as this process sees it.
//!
//! Why it exists: in a container the files of the host lie elsewhere than at `/`, and its processes are those of another
//! PID namespace. Where they are is decided once, at the edge, and handed to everything that reads them; nothing below
//! looks at the environment.
//!
//! # Source
//! Inspektor Gadget: `HOST_ROOT` names the folder with the host's files, procfs of the host is `$HOST_ROOT/proc`;
//! `NODE_NAME` is the Kubernetes node.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{BootClock, Hint};

/// What is linked to by `ns/pid` of a process in the first PID namespace of a kernel.
///
/// # Source
/// `PROC_PID_INIT_INO` in `include/linux/proc_ns.h`.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The machine that is observed.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where its files are: `/`, or the folder that they are mounted at in a container.
    pub root: PathBuf,
    /// Its procfs. In a container with a PID namespace of its own this is not `/proc`.
    pub proc: PathBuf,
    /// sysfs of this process: what is attached to a network interface is attached in our own network namespace.
    pub sys: PathBuf,
    /// Its name as a Kubernetes node, if it is one.
    pub node: Option<String>,
    /// Translates times since boot.
    pub clock: BootClock,
    /// Clock ticks a second, as files of procfs count.
    pub ticks_per_second: u64,
    /// Bytes of a page, as files of procfs count.
    pub page_size: u64,
    /// The environment of this process when it started.
    variables: BTreeMap<OsString, OsString>,
}

/// The folder that `HOST_ROOT` names is not that of a host.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// It would mean another folder after each change of the working directory.
    #[error("HOST_ROOT is `{}`, expected an absolute path", .0.display())]
    Relative(PathBuf),
    /// It, or `proc` in it, is not there, is no folder, or may not be looked at.
    #[error("expected a folder of the host at `{}`", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be used.
        #[source]
        cause: io::Error,
    },
    /// Nothing is mounted there.
    #[error("expected procfs at `{}`, got a folder without `self`", .0.display())]
    NotProcfs(PathBuf),
    /// procfs of a PID namespace beside ours, such as that of another container.
    #[error("expected the host's procfs at `{}`, got that of a PID namespace this process is not part of", .0.display())]
    ForeignProcesses(PathBuf),
    /// procfs of the container itself.
    #[error("expected the host's procfs at `{}`, got that of this container", .0.display())]
    OwnProcesses(PathBuf),
}

impl Hint for HostError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Relative(_) => "set HOST_ROOT to where the host's files are mounted, such as /host",
            Self::Folder { .. } => {
                "mount the host's `/` there, or at least its `/proc`, or unset HOST_ROOT outside of containers"
            }
            Self::NotProcfs(_) | Self::ForeignProcesses(_) | Self::OwnProcesses(_) => {
                "mount the host's `/proc` there (a hostPath volume, or `-v /proc:/host/proc`)"
            }
        };
        Some(hint.into())
    }
}

impl Host {
    /// The host as the environment of this process describes it: `HOST_ROOT`, `NODE_NAME`. Empty variables are unset
    /// ones.
    ///
    /// Nothing is looked at yet: see [`Host::check`].
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// The host that these environment variables describe.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables: BTreeMap<OsString, OsString> = variables.into_iter().collect();
        let given = |name: &str| variables.get(OsStr::new(name)).filter(|value| !value.is_empty());
        let root = given("HOST_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Self {
            proc: root.join("proc"),
            root,
            sys: PathBuf::from("/sys"),
            node: given("NODE_NAME").map(|name| name.to_string_lossy().into_owned()),
            clock: BootClock::measure(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            page_size: rustix::param::page_size() as u64,
            variables,
        }
    }

    /// A variable of the environment that this process started with; `None` too where it is not UTF-8.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(OsStr::new(name))?.to_str()
    }

    /// Whether the host's files lie elsewhere than our own.
    pub fn is_elsewhere(&self) -> bool {
        self.root != Path::new("/")
    }

    /// A path of the host as it is opened from here.
    ///
    /// Below the root where it is mounted there; else by way of the host's first process, whose root is the host's; else
    /// as it is written.
    pub fn visible(&self, path: &Path) -> PathBuf {
        if !self.is_elsewhere() {
            return path.to_owned();
        }
        let below = path.strip_prefix("/").unwrap_or(path);
        [self.root.join(below), self.proc.join("1/root").join(below)]
            .into_iter()
            .find(|candidate| candidate.exists())
            .unwrap_or_else(|| path.to_owned())
    }

    /// Looks whether the root is that of a host, where it was named. What cannot be found out counts as right.
    ///
    /// # Errors
    /// [`HostError`]: what would be read there is not what is meant.
    pub fn check(&self) -> Result<(), HostError> {
        if self.is_elsewhere() { self.check_beside(Path::new("/proc")) } else { Ok(()) }
    }

    /// The check, with our own procfs at `own`.
    fn check_beside(&self, own: &Path) -> Result<(), HostError> {
        if !self.root.is_absolute() {
            return Err(HostError::Relative(self.root.clone()));
        }
        for path in [&self.root, &self.proc] {
            let is_folder = fs::metadata(path).and_then(|found| {
                if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
            });
            is_folder.map_err(|cause| HostError::Folder { path: path.clone(), cause })?;
        }
        let of_us = self.proc.join("self");
        let is_absent = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        if fs::symlink_metadata(&of_us).is_err_and(|error| is_absent(&error)) {
            return Err(HostError::NotProcfs(self.proc.clone()));
        }
        // `self` is there for everybody, and leads to a process only in PID namespaces that we are part of.
        if fs::metadata(&of_us).is_err_and(|error| is_absent(&error)) {
            return Err(HostError::ForeignProcesses(self.proc.clone()));
        }
        let namespaces =
            |process: &Path| ["ns/pid", "ns/mnt"].map(|name| fs::read_link(process.join(name)).ok());
        let [ours, first] = [namespaces(&own.join("self")), namespaces(&self.proc.join("1"))];
        // The first process of a host has other files than a container of it. A node that is a container itself has a
        // PID namespace that is not the kernel's first either, and is a host all the same.
        let is_own = ours == first && ours.iter().all(Option::is_some);
        if is_own && ours[0].as_deref() != Some(Path::new(FIRST_PID_NAMESPACE)) {
            return Err(HostError::OwnProcesses(self.proc.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
