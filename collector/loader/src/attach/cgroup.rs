//! Programs of cgroups, and programs that are attached without a link.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use ig_kernel::sys::bpf::{AttachFlags, Attachment, LinkTarget};

use super::{AttachOptions, Link};
use crate::error::AttachError;
use crate::loader::Program;

/// Where the root of the second hierarchy is mounted by convention.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// `f_type` of a cgroup v2 file system.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

pub(super) fn attach(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let path = match options.cgroup {
        Some(path) => path,
        None => ROOTS.iter().map(Path::new).find(|path| is_cgroup2(path)).ok_or_else(|| {
            AttachError::UnsupportedKernel {
                program: program.name.clone(),
                hook: "the root cgroup".to_owned(),
                needs: "cgroup v2 mounted on /sys/fs/cgroup or /sys/fs/cgroup/unified",
            }
        })?,
    };
    let hook = || format!("cgroup `{}`", path.display());
    let directory = File::open(path).map_err(|source| program.failed(hook(), source))?;
    match program.create_link(LinkTarget::Fd(directory.as_fd())) {
        Ok(link) => Ok(program.link(vec![link], Vec::new())),
        // Before Linux 5.7 there are no links of cgroups.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            attach_without_link(program, directory.as_fd(), AttachFlags::ALLOW_MULTI, hook)
        }
        Err(error) => Err(program.failed(hook(), error)),
    }
}

fn is_cgroup2(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type).ok() == Some(CGROUP2_MAGIC))
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
