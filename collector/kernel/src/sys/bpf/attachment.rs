//! Attachments from before there were links.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::attr::ProgAttachAttr;
use super::{AttachFlags, AttachType, Command, call};

/// A program at a map or cgroup without a link, as before Linux 5.7; dropping it detaches.
#[derive(Debug)]
pub struct Attachment {
    program: OwnedFd,
    target: OwnedFd,
    attach_type: AttachType,
}

impl Attachment {
    /// Attaches a program by `BPF_PROG_ATTACH`.
    ///
    /// # Errors
    /// `errno` of `BPF_PROG_ATTACH`, or when no descriptor is left.
    pub fn create(
        program: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        attach_type: AttachType,
        flags: AttachFlags,
    ) -> io::Result<Self> {
        // The descriptors come first: what is attached must be detachable.
        let (program, target) = (program.try_clone_to_owned()?, target.try_clone_to_owned()?);
        request(Command::ProgAttach, &program, &target, attach_type, flags)?;
        Ok(Self { program, target, attach_type })
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let detached =
            request(Command::ProgDetach, &self.program, &self.target, self.attach_type, AttachFlags::NONE);
        if let Err(error) = detached {
            tracing::warn!(name: "program.detach.failed", error = &error as &dyn std::error::Error);
        }
    }
}

fn request(
    command: Command,
    program: &OwnedFd,
    target: &OwnedFd,
    attach_type: AttachType,
    flags: AttachFlags,
) -> io::Result<()> {
    let mut attr = ProgAttachAttr {
        attach_flags: flags.0,
        target_fd: target.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: attach_type.0,
        ..ProgAttachAttr::default()
    };
    // SAFETY: both commands that come here have this attribute, and it holds no pointers.
    unsafe { call(command, &mut attr) }.map(drop)
}
