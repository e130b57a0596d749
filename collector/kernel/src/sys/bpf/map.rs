//! Maps: created or taken over with what the kernel says about them, then read and written within their sizes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use super::attr::{ElementAttr, FdAttr, InfoAttr, MapCreateAttr};
use super::info::MapInfo;
use super::{Command, MapFlags, MapType, address, call, count, object_name, open, pin, raw};
use crate::map::possible_cpus;

mod batch;

pub use batch::{BatchBuffersMut, BatchMode, EntrySizes};

/// What to create with [`Map::create`].
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct MapCreate<'a> {
    pub name: &'a str,
    pub kind: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: MapFlags,
    pub extra: u64,
    pub inner_map: Option<BorrowedFd<'a>>,
    pub numa_node: u32,
    pub btf: Option<BorrowedFd<'a>>,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
}

/// A map in the kernel, and its sizes as the kernel told them when it was opened. They never change.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    // Private, and read from the kernel: the checks that keep the kernel within buffers rest on them.
    info: MapInfo,
}

impl Map {
    /// Creates a map.
    ///
    /// # Errors
    /// `errno` of `BPF_MAP_CREATE`.
    pub fn create(spec: &MapCreate<'_>) -> io::Result<Self> {
        let mut attr = MapCreateAttr {
            map_type: spec.kind.0,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags: spec.flags.0,
            inner_map_fd: raw(spec.inner_map),
            numa_node: spec.numa_node,
            map_name: object_name(spec.name),
            btf_fd: raw(spec.btf),
            btf_key_type_id: spec.btf_key_type_id,
            btf_value_type_id: spec.btf_value_type_id,
            map_extra: spec.extra,
            ..MapCreateAttr::default()
        };
        // SAFETY: the attribute belongs to the command and holds no pointers; the command gives a descriptor.
        Self::from_fd(unsafe { open(Command::MapCreate, &mut attr) }?)
    }

    /// Takes over an open map.
    ///
    /// # Errors
    /// `errno` of `BPF_OBJ_GET_INFO_BY_FD`. A descriptor of another kind may pass; the kernel refuses every call on it.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let mut info = MapInfo::default();
        let mut attr = InfoAttr {
            fd: fd.as_raw_fd() as u32,
            info_len: count(size_of::<MapInfo>()),
            info: (&raw mut info) as u64,
        };
        // SAFETY: the kernel writes at most `info_len` bytes, the size of the plain-integer struct behind the pointer.
        // For a descriptor of another kind it fills other integers into it, or fails.
        unsafe { call(Command::ObjGetInfoByFd, &mut attr) }?;
        Ok(Self { fd, info })
    }

    /// Opens the map pinned at a path of a BPF file system.
    ///
    /// # Errors
    /// `errno` of `BPF_OBJ_GET` and as [`Self::from_fd`].
    pub fn pinned(path: &CStr) -> io::Result<Self> {
        Self::from_fd(pin::get(path)?)
    }

    /// Another descriptor of the same map.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, info: self.info })
    }

    /// The number of the map in this kernel.
    pub fn id(&self) -> u32 {
        self.info.id
    }

    /// The type of the map.
    pub fn kind(&self) -> MapType {
        self.info.map_type
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> u32 {
        self.info.key_size
    }

    /// Bytes of a value; in per-CPU maps of the value of one CPU.
    pub fn value_size(&self) -> u32 {
        self.info.value_size
    }

    /// Most entries; bytes in ring buffers.
    pub fn max_entries(&self) -> u32 {
        self.info.max_entries
    }

    /// How the map was created.
    pub fn flags(&self) -> MapFlags {
        self.info.map_flags
    }

    /// Sizes of an entry as calls copy it.
    ///
    /// # Errors
    /// As [`possible_cpus`], for per-CPU maps.
    pub fn entry_sizes(&self) -> io::Result<EntrySizes> {
        let MapInfo { key_size: key, value_size, .. } = self.info;
        let value = if self.kind().is_per_cpu() {
            value_size.div_ceil(8).saturating_mul(8).saturating_mul(possible_cpus()?)
        } else {
            value_size
        };
        Ok(EntrySizes { key, value })
    }

    /// Reads the value of a key into `value`, which must have the map's value size (per-CPU maps: of all possible CPUs).
    ///
    /// # Errors
    /// `InvalidInput` for buffers smaller than the map needs, `errno` of `BPF_MAP_LOOKUP_ELEM` otherwise.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.check(key.len(), Some(value.len()))?;
        let mut attr = ElementAttr::new(self.as_fd(), address(key), value.as_mut_ptr() as u64);
        // SAFETY: `check` compared both buffers with the sizes of the map; they live through the call.
        unsafe { call(Command::MapLookupElem, &mut attr) }.map(drop)
    }

    /// Writes the value of a key, whether or not there is one.
    ///
    /// # Errors
    /// `InvalidInput` for buffers smaller than the map needs, `errno` of `BPF_MAP_UPDATE_ELEM` otherwise.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check(key.len(), Some(value.len()))?;
        let mut attr = ElementAttr::new(self.as_fd(), address(key), address(value));
        // SAFETY: as for `lookup`; the kernel only reads.
        unsafe { call(Command::MapUpdateElem, &mut attr) }.map(drop)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// `InvalidInput` for a short key, `errno` of `BPF_MAP_DELETE_ELEM` otherwise.
    pub fn delete(&self, key: &[u8]) -> io::Result<()> {
        self.check(key.len(), None)?;
        let mut attr = ElementAttr::new(self.as_fd(), address(key), 0);
        // SAFETY: as for `lookup`.
        unsafe { call(Command::MapDeleteElem, &mut attr) }.map(drop)
    }

    /// Writes the key after `key` (or the first) to `next`.
    ///
    /// # Errors
    /// `NotFound` after the last key, `InvalidInput` for short buffers, other `errno` of `BPF_MAP_GET_NEXT_KEY`.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        self.check(next.len().min(key.map_or(usize::MAX, <[u8]>::len)), None)?;
        let mut attr = ElementAttr::new(self.as_fd(), key.map_or(0, address), next.as_mut_ptr() as u64);
        // SAFETY: as for `lookup`.
        unsafe { call(Command::MapGetNextKey, &mut attr) }.map(drop)
    }

    /// Makes the map read-only for processes, for good.
    ///
    /// # Errors
    /// `errno` of `BPF_MAP_FREEZE`.
    ///
    /// # Kernel
    /// 5.2.
    pub fn freeze(&self) -> io::Result<()> {
        let mut attr = FdAttr { fd: self.fd.as_raw_fd() as u32, pad: 0 };
        // SAFETY: the attribute belongs to the command and holds no pointers.
        unsafe { call(Command::MapFreeze, &mut attr) }.map(drop)
    }

    /// Compares buffers with the sizes of the map, so that the kernel cannot run past them.
    fn check(&self, key: usize, value: Option<usize>) -> io::Result<()> {
        let sizes = self.entry_sizes()?;
        if key >= sizes.key as usize && value.is_none_or(|value| value >= sizes.value as usize) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer is smaller than the map's key or value"))
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Map> for OwnedFd {
    fn from(map: Map) -> Self {
        map.fd
    }
}
