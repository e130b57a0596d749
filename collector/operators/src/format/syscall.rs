//! Names of system calls.

use super::push;

mod aarch64;
mod x86_64;

/// System calls with consecutive numbers.
struct Run {
    first: u16,
    names: &'static [&'static str],
}

/// The machines whose system call numbers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallTable {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl SyscallTable {
    /// The table of the machine this program runs on.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// The lower-case name of a system call.
    pub fn name(self, number: u64) -> Option<&'static str> {
        let runs = match self {
            Self::X86_64 => x86_64::TABLE,
            Self::Aarch64 => aarch64::TABLE,
        };
        runs.iter().find_map(|run| {
            let index = number.checked_sub(run.first.into())?;
            run.names.get(usize::try_from(index).ok()?).copied()
        })
    }
}

/// Appends the name of a system call of this machine, `SYS_OPENAT`, or `SYS_UNKNOWN`.
pub fn syscall(number: u64, out: &mut String) {
    syscall_of(SyscallTable::host(), number, out);
}

/// Appends the name of a system call of a given machine, as [`syscall`] does.
pub fn syscall_of(table: SyscallTable, number: u64, out: &mut String) {
    out.push_str("SYS_");
    let start = out.len();
    push(out, format_args!("{}", table.name(number).unwrap_or("unknown")));
    if let Some(name) = out.get_mut(start..) {
        name.make_ascii_uppercase();
    }
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    /// Scenario: first, last and well-known numbers of both machines, the gaps, and absurd numbers.
    /// Guarantees: each has its machine's name; the rest is unknown.
    #[test]
    fn names() {
        let x86 = |number| text(|out| syscall_of(SyscallTable::X86_64, number, out));
        assert_eq!(
            (x86(0), x86(59), x86(257)),
            ("SYS_READ".into(), "SYS_EXECVE".into(), "SYS_OPENAT".into())
        );
        assert_eq!((x86(156), x86(334)), ("SYS__SYSCTL".into(), "SYS_RSEQ".into()));
        assert_eq!(
            (x86(424), x86(435), x86(462)),
            ("SYS_PIDFD_SEND_SIGNAL".into(), "SYS_CLONE3".into(), "SYS_MSEAL".into())
        );
        let arm = |number| text(|out| syscall_of(SyscallTable::Aarch64, number, out));
        assert_eq!(
            (arm(0), arm(56), arm(221)),
            ("SYS_IO_SETUP".into(), "SYS_OPENAT".into(), "SYS_EXECVE".into())
        );
        assert_eq!(
            (arm(79), arm(260), arm(435)),
            ("SYS_NEWFSTATAT".into(), "SYS_WAIT4".into(), "SYS_CLONE3".into())
        );
        for number in [336, 423, 9999, 1 << 32, u64::MAX] {
            assert_eq!((x86(number), arm(number)), ("SYS_UNKNOWN".into(), "SYS_UNKNOWN".into()), "{number}");
        }
        assert_eq!(arm(250), "SYS_UNKNOWN");
    }

    /// Scenario: both tables.
    /// Guarantees: runs do not overlap, every entry is a lower-case identifier, system calls added since the two
    /// machines share numbers have the same one.
    #[test]
    fn tables_are_sound() {
        for table in [x86_64::TABLE, aarch64::TABLE] {
            let mut next = 0;
            for run in table {
                assert!(run.first >= next && !run.names.is_empty());
                next = run.first + u16::try_from(run.names.len()).unwrap();
                let is_name = |name: &&str| {
                    !name.is_empty()
                        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                };
                assert!(run.names.iter().all(is_name));
            }
        }
        for number in 424..470 {
            let differ = SyscallTable::X86_64.name(number) != SyscallTable::Aarch64.name(number);
            assert!(!differ, "{number}");
        }
    }
}
