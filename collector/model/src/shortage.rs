//! Want of something that may be there again later, told by the error number and not by the step that failed.
//!
//! Why it exists: every step of a start takes descriptors and memory, so each can fail for want of them, in words of its
//! own. Who decides whether to try again looks here, at the cause that all of them keep.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// What was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The process has as many descriptors as it may (`EMFILE`).
    Descriptors,
    /// The machine has as many open files as it may (`ENFILE`).
    OpenFiles,
    /// Memory (`ENOMEM`).
    Memory,
    /// Time: the call was cut short or asks to be made again (`EINTR`, `EAGAIN`).
    Time,
}

impl Shortage {
    /// What an error or one of its causes lacked; `None` when it is of another kind.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::once(error).chain(crate::causes(error)).find_map(Self::of_one)
    }

    /// The same for one error number.
    pub fn of_errno(number: i32) -> Option<Self> {
        match Errno::from_raw_os_error(number) {
            Errno::MFILE => Some(Self::Descriptors),
            Errno::NFILE => Some(Self::OpenFiles),
            Errno::NOMEM => Some(Self::Memory),
            Errno::INTR | Errno::AGAIN => Some(Self::Time),
            _ => None,
        }
    }

    fn of_one(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(errno) = error.downcast_ref::<Errno>() {
            return Self::of_errno(errno.raw_os_error());
        }
        let error = error.downcast_ref::<io::Error>()?;
        match (error.raw_os_error(), error.get_ref()) {
            (Some(number), _) => Self::of_errno(number),
            // What it wraps is not among its causes.
            (None, Some(inner)) => Self::of(inner),
            (None, None) => None,
        }
    }

    /// What a person can do about it; it is tried again in any case.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "it is tried again; raise the limit of open files: `ulimit -n`, or LimitNOFILE= of the service"
            }
            Self::OpenFiles => {
                "it is tried again; raise the machine's limit of open files: sysctl fs.file-max"
            }
            Self::Memory => "it is tried again; give the machine or its cgroup more memory",
            Self::Time => "it is tried again",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::Shortage;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open it")]
    struct Open(#[source] Box<dyn std::error::Error + Send + Sync>);

    /// Scenario: error numbers at any depth of a chain, as `io::Error`, as `Errno`, and wrapped by an `io::Error`.
    /// Guarantees: what was short is found wherever it stands, and nothing else is taken for it.
    #[test]
    fn a_shortage_is_told_by_its_number_at_any_depth() {
        let io = |errno: Errno| io::Error::from(errno);
        let open = |error: io::Error| Open(Box::new(error));
        assert_eq!(Shortage::of(&io(Errno::MFILE)), Some(Shortage::Descriptors));
        assert_eq!(Shortage::of(&open(io(Errno::NFILE))), Some(Shortage::OpenFiles));
        assert_eq!(Shortage::of(&Open(Box::new(Errno::NOMEM))), Some(Shortage::Memory));
        assert_eq!(Shortage::of(&open(io::Error::other(io(Errno::MFILE)))), Some(Shortage::Descriptors));
        let wrapped = io::Error::other(open(io(Errno::INTR)));
        assert_eq!(Shortage::of(&Open(Box::new(wrapped))), Some(Shortage::Time));
        for other in [Errno::NOENT, Errno::PERM, Errno::INVAL, Errno::BUSY] {
            assert_eq!(Shortage::of(&open(io(other))), None, "{other}");
        }
    }
}
