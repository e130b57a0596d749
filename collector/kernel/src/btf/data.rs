//! The bytes behind a [`super::Btf`]: on the heap, or the kernel's own pages mapped.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use crate::sys::mapping::Mapping;

/// A BTF file larger than this is refused; vmlinux of a distribution has 5 to 10 MB.
const MAX_FILE: u64 = 256 << 20;

/// Shared, read-only bytes.
pub(super) enum Data {
    Heap(Arc<[u8]>),
    Mapped(Mapping),
}

impl Data {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Mapped(mapping) => mapping.bytes(),
        }
    }

    /// Maps files of sysfs, whose pages nobody can change or truncate, and reads all others.
    pub(super) fn from_file(path: &str) -> std::io::Result<Self> {
        let file = File::open(path)?;
        if path.starts_with("/sys/kernel/btf/")
            && let Ok(mapping) = Mapping::read_only(&file)
        {
            return Ok(Self::Mapped(mapping));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Self::Heap(bytes.into()))
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
