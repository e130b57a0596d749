//! The release of the running kernel.

/// A kernel release, comparable: `KernelRelease::new(5, 8, 0)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KernelRelease {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number; the kernel itself cuts it to eight bits in `LINUX_VERSION_CODE`.
    pub patch: u8,
}

impl KernelRelease {
    /// A release by its numbers.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// The release of the running kernel, as uname(2) tells it.
    ///
    /// Debian's release string names the ABI, not the version; there the real version stands in the version string.
    pub fn running() -> Self {
        let names = rustix::system::uname();
        let version = names.version().to_string_lossy();
        let debian = version.split_once("Debian ").and_then(|(_, rest)| Self::parse(rest));
        debian.or_else(|| Self::parse(&names.release().to_string_lossy())).unwrap_or(Self::new(0, 0, 0))
    }

    /// `LINUX_VERSION_CODE`: what `LINUX_KERNEL_VERSION` in a gadget reads.
    pub const fn code(self) -> u32 {
        (self.major as u32) << 16 | (self.minor as u32) << 8 | self.patch as u32
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let mut next = || numbers.next().and_then(Result::ok).map(|n| u8::try_from(n).unwrap_or(u8::MAX));
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

impl std::fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::KernelRelease;

    #[test]
    fn releases_are_read_from_uname_text() {
        assert_eq!(KernelRelease::parse("6.18.44-fc-v445"), Some(KernelRelease::new(6, 18, 44)));
        assert_eq!(KernelRelease::parse("6.1.0-27-amd64"), Some(KernelRelease::new(6, 1, 0)));
        assert_eq!(KernelRelease::parse("4.19.325"), Some(KernelRelease::new(4, 19, 255)));
        assert_eq!(KernelRelease::parse("7.2-rc1"), Some(KernelRelease::new(7, 2, 0)));
        assert_eq!(KernelRelease::parse("none"), None);
        assert_eq!(KernelRelease::new(6, 1, 2).code(), 0x06_01_02);
    }
}
