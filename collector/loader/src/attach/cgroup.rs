//! Programs of cgroups, and programs that are attached without a link.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use ig_kernel::sys::bpf::{AttachFlags, Attachment, LinkTarget};

use super::{AttachOptions, Link};
use crate::error::AttachError;
use crate::loader::Program;

pub(super) fn attach(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let path = if let Some(path) = options.cgroup {
        path.to_owned()
    } else {
        let mounts = options.procfs().join("self/mounts");
        let mounts = fs::read(&mounts)
            .map_err(|source| program.failed(format!("the cgroup in `{}`", mounts.display()), source))?;
        cgroup2_mount(&mounts).ok_or_else(|| AttachError::UnsupportedKernel {
            program: program.name.clone(),
            hook: "the root cgroup".to_owned(),
            needs: "a mounted cgroup v2",
        })?
    };
    let hook = || format!("cgroup `{}`", path.display());
    let directory = File::open(&path).map_err(|source| program.failed(hook(), source))?;
    match program.create_link(LinkTarget::Fd(directory.as_fd())) {
        Ok(link) => Ok(program.link(vec![link], Vec::new())),
        // Before Linux 5.7 there are no links of cgroups.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            attach_without_link(program, directory.as_fd(), AttachFlags::ALLOW_MULTI, hook)
        }
        Err(error) => Err(program.failed(hook(), error)),
    }
}

/// Where the second hierarchy is mounted, in a list of mounts as in `/proc/PID/mounts`.
///
/// # Source
/// proc_pid_mounts(5): the second and third word of a line are mount point and type; blanks in it are `\040`.
pub fn cgroup2_mount(mounts: &[u8]) -> Option<PathBuf> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        (kind == b"cgroup2").then(|| PathBuf::from(OsString::from_vec(unescaped(path))))
    })
}

/// Turns `\ooo` into the byte of that octal number.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let octal = behind.first_chunk::<3>().and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// Attaches to a map or cgroup by `BPF_PROG_ATTACH`.
pub(super) fn attach_without_link(
    program: &Program,
    target: BorrowedFd<'_>,
    flags: AttachFlags,
    hook: impl Fn() -> String,
) -> Result<Link, AttachError> {
    let attachment = Attachment::create(program.fd.as_fd(), target, program.attach_type, flags)
        .map_err(|source| program.failed(hook(), source))?;
    let mut link = program.link(Vec::new(), Vec::new());
    link.attached.push(attachment);
    Ok(link)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::cgroup2_mount;

    /// Scenario: mounts of a machine with both hierarchies, of one where the second is at an odd place, and of none.
    /// Guarantees: the second hierarchy is found where it is, blanks and all.
    #[test]
    fn the_second_hierarchy_is_found_by_its_mount() {
        let hybrid = b"sysfs /sys sysfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                       cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n";
        assert_eq!(cgroup2_mount(hybrid).as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        let odd = b"none /mnt/a\\040b\\134c cgroup2 rw 0 0\n";
        assert_eq!(cgroup2_mount(odd).as_deref(), Some(Path::new("/mnt/a b\\c")));
        assert_eq!(cgroup2_mount(b"cgroup /sys/fs/cgroup cgroup rw 0 0\nx\n\n"), None);
    }
}
