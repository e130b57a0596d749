//! Opening files that others own.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _},
    path::Path,
};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};

/// `statfs` type of file systems that a process of anybody serves: reading could wait for ever.
const FUSE: i64 = 0x6573_5546;

/// Opens a regular file below `root` as a process with that root would, without following links of /proc.
pub(crate) fn in_root(root: impl AsFd, path: &Path) -> io::Result<File> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    regular(&File::from(openat2(root, path, flags, Mode::empty(), resolve)?))
}

/// Opens the regular file that a link of /proc stands for.
pub(crate) fn by_link(link: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    regular(&File::from(rustix::fs::open(link, flags, Mode::empty())?))
}

/// A directory as the root of lookups.
pub(crate) fn root(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Nothing is opened for good before it is known to be no pipe, no device, and not at the mercy of a process.
fn regular(found: &File) -> io::Result<File> {
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    if !found.metadata()?.is_file() {
        return refuse("no regular file");
    }
    let kind = fstatfs(found)?.f_type;
    if kind == FUSE {
        return refuse("on a file system that a process serves");
    }
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}
