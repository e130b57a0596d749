//! File modes and open flags.

use super::join;

/// Letters of bits 31 to 19, high to low.
const TYPES: &[u8; 13] = b"dalTLDpSugct?";
/// Letters of bits 8 to 0, high to low.
const PERMISSIONS: &[u8; 9] = b"rwxrwxrwx";

/// Open flags in the order in which they are listed; the numbers are those of x86 for every machine.
const FLAGS: [(u32, &str); 14] = [
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o1_0000, "O_DSYNC"),
    (0o2_0000, "O_FASYNC"),
    (0o4_0000, "O_DIRECT"),
    (0o10_0000, "O_LARGEFILE"),
    (0o20_0000, "O_DIRECTORY"),
    (0o40_0000, "O_NOFOLLOW"),
    (0o100_0000, "O_NOATIME"),
    (0o200_0000, "O_CLOEXEC"),
];

/// Appends a mode as a type letter and permissions: `-rw-r--r--`.
///
/// Reads the number as Go's file mode does: the type is in bits 31 to 19, and the kernel's type bits (`S_IFMT`)
/// mean nothing.
pub fn file_mode(mode: u32, out: &mut String) {
    let start = out.len();
    let is_set = |bit: usize| mode.checked_shr(u32::try_from(bit).unwrap_or(u32::MAX)).unwrap_or(0) & 1 == 1;
    for (index, letter) in TYPES.iter().enumerate() {
        if is_set(31 - index) {
            out.push(char::from(*letter));
        }
    }
    if out.len() == start {
        out.push('-');
    }
    for (index, letter) in PERMISSIONS.iter().enumerate() {
        out.push(if is_set(8 - index) { char::from(*letter) } else { '-' });
    }
}

/// Appends access mode and flags of `open(2)`: `O_RDONLY|O_CLOEXEC`.
///
/// The access mode 3 and unknown flags have no name and are left out.
pub fn file_flags(flags: u32, out: &mut String) {
    let access = match flags & 3 {
        0 => Some("O_RDONLY"),
        1 => Some("O_WRONLY"),
        2 => Some("O_RDWR"),
        _ => None,
    };
    let set = FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name);
    join(access.into_iter().chain(set), "|", out);
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    /// Scenario: kernel modes, every permission, the type letters at both ends, all bits.
    /// Guarantees: permissions show, `S_IFMT` does not, types come first in the order of their bits.
    #[test]
    fn modes() {
        let mode = |value| text(|out| file_mode(value, out));
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_755), "-rwxr-xr-x");
        assert_eq!(mode(0), "----------");
        assert_eq!(mode(0o777), "-rwxrwxrwx");
        assert_eq!(mode(1 << 31 | 0o750), "drwxr-x---");
        assert_eq!(mode(1 << 27 | 1 << 19), "L?---------");
        assert_eq!(mode(1 << 18), "----------");
        assert_eq!(mode(u32::MAX), "dalTLDpSugct?rwxrwxrwx");
    }

    /// Scenario: each access mode, flags in arbitrary order of bits, unknown bits, all bits.
    /// Guarantees: access mode first, flags in fixed order, what has no name is left out.
    #[test]
    fn flags() {
        let flags = |value| text(|out| file_flags(value, out));
        assert_eq!(flags(0), "O_RDONLY");
        assert_eq!(flags(0o200_0001), "O_WRONLY|O_CLOEXEC");
        assert_eq!(flags(0o1102), "O_RDWR|O_CREAT|O_TRUNC");
        assert_eq!(flags(3), "");
        assert_eq!(flags(3 | 0o2000), "O_APPEND");
        assert_eq!(flags(0o1000_0000), "O_RDONLY");
        assert_eq!(
            flags(u32::MAX),
            "O_CREAT|O_EXCL|O_NOCTTY|O_TRUNC|O_APPEND|O_NONBLOCK|O_DSYNC|O_FASYNC|O_DIRECT|O_LARGEFILE|\
             O_DIRECTORY|O_NOFOLLOW|O_NOATIME|O_CLOEXEC"
        );
    }
}
