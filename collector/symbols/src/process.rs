//! Whose stack it is.

/// The executable of a process, as the kernel knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExeId {
    /// Major number of its device.
    pub major: u32,
    /// Minor number of its device.
    pub minor: u32,
    /// Inode.
    pub inode: u64,
    /// Seconds of the time of its last change.
    pub mtime_sec: i64,
    /// Nanoseconds beside them.
    pub mtime_nsec: u32,
}

/// A process between two calls of exec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// Differs from process to process and changes with each exec.
    pub generation: u32,
    /// What it runs.
    pub exe: ExeId,
}
