//! bpf(2), one function per command in use.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

mod attr;
pub mod stats;

use attr::{
    BatchAttr, BtfInfo, BtfLoadAttr, ElementAttr, FdAttr, InfoAttr, IterCreateAttr, KprobeMultiAttr,
    LinkCreateAttr, MapCreateAttr, NextIdAttr, ObjectPathAttr, ProgAttachAttr, ProgLoadAttr,
    RawTracepointAttr, TestRunAttr,
};
pub use attr::{MapInfo, ProgInfo};

/// Length of an object name in the kernel, the final NUL included.
pub const NAME_LEN: usize = 16;

/// `BPF_F_RDONLY_PROG`: programs may only read the map.
pub const F_RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`: the map can be mapped by processes.
pub const F_MMAPABLE: u32 = 1 << 10;
/// `BPF_F_SLEEPABLE`: the program may sleep.
pub const F_SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS`: the program can deal with packets of several buffers.
pub const F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// Value of `attach_type` in links of perf events (`BPF_PERF_EVENT`).
pub const ATTACH_PERF_EVENT: u32 = 41;

/// What to create with [`map_create`]; field names are those of bpf(2).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct MapCreate<'a> {
    pub name: &'a str,
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub map_extra: u64,
    pub inner_map: Option<BorrowedFd<'a>>,
    pub numa_node: u32,
    pub btf: Option<BorrowedFd<'a>>,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
}

/// What to load with [`prog_load`]; field names are those of bpf(2).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct ProgLoad<'a> {
    pub name: &'a str,
    pub prog_type: u32,
    pub expected_attach_type: u32,
    /// Instructions, eight bytes each.
    pub insns: &'a [u8],
    pub license: &'a CStr,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub btf: Option<BorrowedFd<'a>>,
    pub func_info: &'a [u8],
    pub func_info_rec_size: u32,
    pub line_info: &'a [u8],
    pub line_info_rec_size: u32,
    pub attach_btf_id: u32,
    /// The BTF object that holds `attach_btf_id`, when it is a module's.
    pub attach_btf_obj: Option<BorrowedFd<'a>>,
    /// Descriptors that calls of modules' functions refer to by place.
    pub fd_array: &'a [RawFd],
}

/// Creates a map.
///
/// # Errors
/// `errno` of `BPF_MAP_CREATE`.
pub fn map_create(spec: &MapCreate<'_>) -> io::Result<OwnedFd> {
    let mut attr = MapCreateAttr {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.map_flags,
        inner_map_fd: raw_or(spec.inner_map, 0) as u32,
        numa_node: spec.numa_node,
        map_name: object_name(spec.name),
        btf_fd: raw_or(spec.btf, 0) as u32,
        btf_key_type_id: spec.btf_key_type_id,
        btf_value_type_id: spec.btf_value_type_id,
        map_extra: spec.map_extra,
        ..MapCreateAttr::default()
    };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    let fd = unsafe { bpf(0, &mut attr) }?;
    owned(fd)
}

/// Loads a program. With `log`, the verifier writes its log there, cut to the buffer; its text ends at the first NUL.
///
/// # Errors
/// `errno` of `BPF_PROG_LOAD`; `ENOSPC` also means that the log did not fit.
pub fn prog_load(spec: &ProgLoad<'_>, log: Option<(&mut [u8], u32)>) -> io::Result<OwnedFd> {
    let records = |bytes: &[u8], size: u32| match size {
        0 => 0,
        size => count(bytes.len() / size as usize),
    };
    let (log, log_level) = log.unwrap_or_default();
    let mut attr = ProgLoadAttr {
        prog_type: spec.prog_type,
        insn_cnt: count(spec.insns.len() / 8),
        insns: address(spec.insns),
        license: spec.license.as_ptr() as u64,
        log_level,
        log_size: count(log.len()),
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kern_version: spec.kern_version,
        prog_flags: spec.prog_flags,
        prog_name: object_name(spec.name),
        expected_attach_type: spec.expected_attach_type,
        prog_btf_fd: raw_or(spec.btf, 0) as u32,
        func_info_rec_size: spec.func_info_rec_size,
        func_info: address(spec.func_info),
        func_info_cnt: records(spec.func_info, spec.func_info_rec_size),
        line_info_rec_size: spec.line_info_rec_size,
        line_info: address(spec.line_info),
        line_info_cnt: records(spec.line_info, spec.line_info_rec_size),
        attach_btf_id: spec.attach_btf_id,
        attach_btf_obj_fd: raw_or(spec.attach_btf_obj, 0) as u32,
        fd_array: if spec.fd_array.is_empty() { 0 } else { spec.fd_array.as_ptr() as u64 },
        ..ProgLoadAttr::default()
    };
    // SAFETY: every pointer is to a slice that lives through the call with the length given beside it; the kernel
    // writes only to the log buffer, which is borrowed mutably; the license ends with NUL by its type.
    let fd = unsafe { bpf(5, &mut attr) }?;
    owned(fd)
}

/// Opens the BTF that the kernel holds for one of its modules.
///
/// # Errors
/// `NotFound` when no module of that name has BTF, else `errno` of the three commands it takes.
///
/// # Kernel
/// 5.11.
pub fn module_btf(name: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        let mut next = NextIdAttr { start_id: id, ..NextIdAttr::default() };
        // SAFETY: the attribute belongs to the command and holds no pointers.
        unsafe { bpf(23, &mut next) }?;
        id = next.next_id;
        let mut open = NextIdAttr { start_id: id, ..NextIdAttr::default() };
        // SAFETY: as above.
        let fd = match unsafe { bpf(19, &mut open) } {
            Ok(fd) => owned(fd)?,
            // Gone since its number was read.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => return Err(error),
        };
        // Module names have at most 55 bytes.
        let mut text = [0u8; 64];
        let mut info =
            BtfInfo { name: text.as_mut_ptr() as u64, name_len: count(text.len()), ..BtfInfo::default() };
        let mut attr = InfoAttr {
            fd: fd.as_raw_fd() as u32,
            info_len: count(size_of::<BtfInfo>()),
            info: (&raw mut info) as u64,
        };
        // SAFETY: the kernel writes at most `info_len` bytes to `info` and `name_len` bytes to `text`, both alive.
        match unsafe { bpf(15, &mut attr) } {
            // The name is too long to be ours.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => continue,
            result => result?,
        };
        let found = text.split(|byte| *byte == 0).next().unwrap_or_default();
        if info.kernel_btf != 0 && found == name.as_bytes() {
            return Ok(fd);
        }
    }
}

/// Loads BTF. With `log`, the kernel says there what it dislikes.
///
/// # Errors
/// `errno` of `BPF_BTF_LOAD`.
pub fn btf_load(btf: &[u8], log: Option<&mut [u8]>) -> io::Result<OwnedFd> {
    let log = log.unwrap_or_default();
    let mut attr = BtfLoadAttr {
        btf: address(btf),
        btf_log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        btf_size: count(btf.len()),
        btf_log_size: count(log.len()),
        btf_log_level: u32::from(!log.is_empty()),
        ..BtfLoadAttr::default()
    };
    // SAFETY: both pointers are to slices that live through the call; the kernel writes only to the log.
    let fd = unsafe { bpf(18, &mut attr) }?;
    owned(fd)
}

/// Reads the value of a key into `value`, which must have the map's value size (per-CPU maps: of all possible CPUs).
///
/// # Errors
/// `InvalidInput` for buffers smaller than the map needs, `errno` of `BPF_MAP_LOOKUP_ELEM` otherwise.
pub fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    check_element(map, key.len(), Some(value.len()))?;
    let mut attr = ElementAttr::new(map, address(key), value.as_mut_ptr() as u64, 0);
    // SAFETY: `check_element` compared both buffers with the sizes of the map; they live through the call.
    unsafe { bpf(1, &mut attr) }.map(drop)
}

/// Writes the value of a key; `flags` as in bpf(2).
///
/// # Errors
/// `InvalidInput` for buffers smaller than the map needs, `errno` of `BPF_MAP_UPDATE_ELEM` otherwise.
pub fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    check_element(map, key.len(), Some(value.len()))?;
    let mut attr = ElementAttr::new(map, address(key), address(value), flags);
    // SAFETY: as for `map_lookup`; the kernel only reads.
    unsafe { bpf(2, &mut attr) }.map(drop)
}

/// Removes a key.
///
/// # Errors
/// `InvalidInput` for a short key, `errno` of `BPF_MAP_DELETE_ELEM` otherwise.
pub fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    check_element(map, key.len(), None)?;
    let mut attr = ElementAttr::new(map, address(key), 0, 0);
    // SAFETY: as for `map_lookup`.
    unsafe { bpf(3, &mut attr) }.map(drop)
}

/// Writes the key after `key` (or the first) to `next`.
///
/// # Errors
/// `NotFound` after the last key, `InvalidInput` for short buffers, other `errno` of `BPF_MAP_GET_NEXT_KEY`.
pub fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
    check_element(map, next.len().min(key.map_or(usize::MAX, <[u8]>::len)), None)?;
    let mut attr = ElementAttr::new(map, key.map_or(0, address), next.as_mut_ptr() as u64, 0);
    // SAFETY: as for `map_lookup`.
    unsafe { bpf(4, &mut attr) }.map(drop)
}

/// Makes a map read-only for processes, for good.
///
/// # Errors
/// `errno` of `BPF_MAP_FREEZE`.
pub fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = FdAttr { fd: map.as_raw_fd() as u32, pad: 0 };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    unsafe { bpf(22, &mut attr) }.map(drop)
}

/// Whether [`map_batch`] leaves the entries or takes them out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchMode {
    /// `BPF_MAP_LOOKUP_BATCH`.
    Read,
    /// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`.
    Drain,
}

/// Buffers of one batch call; [`map_batch`] checks their lengths against `capacity`.
pub struct BatchBuffersMut<'a> {
    /// Position after the previous call; `None` for the first.
    pub position: Option<&'a [u8]>,
    /// Receives the position after this call.
    pub next_position: &'a mut [u8],
    /// Receives the keys.
    pub keys: &'a mut [u8],
    /// Receives the values.
    pub values: &'a mut [u8],
    /// Most entries to read.
    pub capacity: u32,
}

/// Sizes of one entry as the kernel copies it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntrySizes {
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value; in per-CPU maps of all possible CPUs together, each rounded up to eight.
    pub value: u32,
}

/// Reads a batch of entries. Returns how many arrived and how the call ended: the count is right on `NotFound` (the
/// end of the map) too, zero on all other errors.
pub fn map_batch(
    map: BorrowedFd<'_>,
    mode: BatchMode,
    sizes: EntrySizes,
    buffers: BatchBuffersMut<'_>,
) -> (usize, io::Result<()>) {
    let BatchBuffersMut { position, next_position, keys, values, capacity } = buffers;
    let needs = |size: u32| capacity as usize * size as usize;
    // The position is a key in arrays and a 32-bit number in hashes.
    let position_len = (sizes.key as usize).max(4);
    let fits = keys.len() >= needs(sizes.key)
        && values.len() >= needs(sizes.value)
        && next_position.len() >= position_len
        && position.is_none_or(|position| position.len() >= position_len)
        && entry_sizes(map).is_ok_and(|real| real == sizes);
    if !fits {
        return (0, Err(io::ErrorKind::InvalidInput.into()));
    }
    let mut attr = BatchAttr {
        in_batch: position.map_or(0, address),
        out_batch: next_position.as_mut_ptr() as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: capacity,
        map_fd: map.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    let command = match mode {
        BatchMode::Read => 24,
        BatchMode::Drain => 25,
    };
    // SAFETY: the four buffers live through the call and were compared above with `capacity` entries of the sizes
    // that the map itself reports; the kernel writes at most `count` entries and one position.
    let result = unsafe { bpf(command, &mut attr) }.map(drop);
    let valid = match &result {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == Some(libc::ENOENT),
    };
    (if valid { attr.count.min(capacity) as usize } else { 0 }, result)
}

/// Sizes of an entry of a map, as batch calls copy it.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn entry_sizes(map: BorrowedFd<'_>) -> io::Result<EntrySizes> {
    let info = map_info(map)?;
    Ok(EntrySizes { key: info.key_size, value: info.copied_value_size()? })
}

/// What the kernel says about a map.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = MapInfo::default();
    let mut attr = InfoAttr {
        fd: map.as_raw_fd() as u32,
        info_len: count(size_of::<MapInfo>()),
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes at most `info_len` bytes, the size of the plain-integer struct behind the pointer.
    // For a descriptor of another kind it fills other integers into it, or fails.
    unsafe { bpf(15, &mut attr) }?;
    Ok(info)
}

/// What the kernel says about a program.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn prog_info(prog: BorrowedFd<'_>) -> io::Result<ProgInfo> {
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        fd: prog.as_raw_fd() as u32,
        info_len: count(size_of::<ProgInfo>()),
        info: (&raw mut info) as u64,
    };
    // SAFETY: as in `map_info`; array pointers inside the struct are zero with zero counts, so nothing else is written.
    unsafe { bpf(15, &mut attr) }?;
    Ok(info)
}

/// The instructions of a loaded program as the kernel rewrote them, eight bytes each. Addresses are hidden by the kernel.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn prog_instructions(prog: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let len = prog_info(prog)?.xlated_prog_len;
    let mut insns = vec![0; len as usize];
    let mut info = ProgInfo {
        xlated_prog_len: len,
        xlated_prog_insns: insns.as_mut_ptr() as u64,
        ..ProgInfo::default()
    };
    let mut attr = InfoAttr {
        fd: prog.as_raw_fd() as u32,
        info_len: count(size_of::<ProgInfo>()),
        info: (&raw mut info) as u64,
    };
    // SAFETY: as in `map_info`; the one array pointer is to `insns`, whose length stands in `xlated_prog_len`. For a
    // descriptor that is no program `prog_info` above fails or gives a length of its own buffer only.
    unsafe { bpf(15, &mut attr) }?;
    Ok(insns)
}

/// Runs a program once, outside of its hook; answers what it returns. `input` is what the program's type takes: packet
/// bytes for `data`, the context for `context`.
///
/// # Errors
/// `errno` of `BPF_PROG_TEST_RUN`.
pub fn prog_test_run(prog: BorrowedFd<'_>, data: &[u8], context: &[u8]) -> io::Result<u32> {
    let mut attr = TestRunAttr {
        prog_fd: prog.as_raw_fd() as u32,
        data_size_in: count(data.len()),
        data_in: address(data),
        ctx_size_in: count(context.len()),
        ctx_in: address(context),
        ..TestRunAttr::default()
    };
    // SAFETY: both inputs live through the call with their lengths beside them; no output buffer is given.
    unsafe { bpf(10, &mut attr) }?;
    Ok(attr.retval)
}

/// Attaches a program to a raw tracepoint (by name) or to the BTF hook it was loaded for (without a name).
///
/// # Errors
/// `errno` of `BPF_RAW_TRACEPOINT_OPEN`.
pub fn raw_tracepoint_open(name: Option<&CStr>, prog: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = RawTracepointAttr {
        name: name.map_or(0, |name| name.as_ptr() as u64),
        prog_fd: prog.as_raw_fd() as u32,
        ..RawTracepointAttr::default()
    };
    // SAFETY: the name ends with NUL by its type and lives through the call.
    let fd = unsafe { bpf(17, &mut attr) }?;
    owned(fd)
}

/// What [`link_create`] attaches to.
#[derive(Clone, Copy, Debug)]
pub enum LinkTarget<'a> {
    /// Nothing but what the program was loaded for (fentry, LSM, tp_btf).
    Program,
    /// An open descriptor: a perf event, a cgroup, a network namespace.
    Fd(BorrowedFd<'a>),
    /// A perf event, and the number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    PerfEvent {
        /// The event.
        event: BorrowedFd<'a>,
        /// The number.
        cookie: u64,
    },
    /// A network interface.
    Interface(u32),
    /// The elements of a map (`iter/bpf_map_elem`).
    MapElements(BorrowedFd<'a>),
}

/// Creates a link of a program.
///
/// # Errors
/// `errno` of `BPF_LINK_CREATE`.
pub fn link_create(prog: BorrowedFd<'_>, attach_type: u32, target: LinkTarget<'_>) -> io::Result<OwnedFd> {
    link_create_with(prog, attach_type, target, 0)
}

/// The same with flags of the kind of link.
///
/// # Errors
/// `errno` of `BPF_LINK_CREATE`.
pub fn link_create_with(
    prog: BorrowedFd<'_>,
    attach_type: u32,
    target: LinkTarget<'_>,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr =
        LinkCreateAttr { prog_fd: prog.as_raw_fd() as u32, attach_type, flags, ..LinkCreateAttr::default() };
    // `union bpf_iter_link_info`: a descriptor in its first word, sixteen bytes in all.
    let mut iter_info = [0u32; 4];
    match target {
        LinkTarget::PerfEvent { event, cookie } => {
            attr.target_fd = event.as_raw_fd() as u32;
            // `perf_event.bpf_cookie` shares its place with `iter_info`.
            attr.iter_info = cookie;
        }
        LinkTarget::Program => {}
        LinkTarget::Fd(fd) => attr.target_fd = fd.as_raw_fd() as u32,
        LinkTarget::Interface(index) => attr.target_fd = index,
        LinkTarget::MapElements(map) => {
            iter_info = [map.as_raw_fd() as u32, 0, 0, 0];
            attr.iter_info = (&raw const iter_info) as u64;
            // Kernels before 6.1 know four bytes and accept more only if they are zero.
            attr.iter_info_len = count(size_of_val(&iter_info));
        }
    }
    // SAFETY: the only pointer is to `iter_info`, which lives through the call with its length beside it.
    let fd = unsafe { bpf(28, &mut attr) };
    // Keeps the buffer alive up to here.
    let _: [u32; 4] = iter_info;
    owned(fd?)
}

/// Attaches a program to several kernel functions at once.
///
/// # Errors
/// `InvalidInput` for more names than the kernel's counter holds, else `errno` of `BPF_LINK_CREATE`.
///
/// # Kernel
/// 5.18 with `CONFIG_FPROBE`.
pub fn link_kprobe_multi(
    prog: BorrowedFd<'_>,
    attach_type: u32,
    functions: &[&CStr],
    on_return: bool,
) -> io::Result<OwnedFd> {
    let names: Vec<u64> = functions.iter().map(|name| name.as_ptr() as u64).collect();
    let mut attr = KprobeMultiAttr {
        prog_fd: prog.as_raw_fd() as u32,
        attach_type,
        multi_flags: u32::from(on_return),
        count: u32::try_from(names.len()).map_err(io::Error::other)?,
        names: names.as_ptr() as u64,
        ..KprobeMultiAttr::default()
    };
    // SAFETY: the only pointer is to `names`, which lives through the call with its length beside it and holds
    // pointers to strings that end with NUL by their type.
    let fd = unsafe { bpf(28, &mut attr) };
    drop(names);
    owned(fd?)
}

/// `BPF_F_ALLOW_MULTI`: a cgroup keeps the programs it has.
pub const ATTACH_ALLOW_MULTI: u32 = 1 << 1;

/// Attaches a program to a map or cgroup without a link (`BPF_PROG_ATTACH`).
///
/// # Errors
/// `errno` of `BPF_PROG_ATTACH`.
pub fn prog_attach(
    prog: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    attach_type: u32,
    flags: u32,
) -> io::Result<()> {
    let mut attr = ProgAttachAttr {
        attach_flags: flags,
        target_fd: target.as_raw_fd() as u32,
        attach_bpf_fd: prog.as_raw_fd() as u32,
        attach_type,
        ..ProgAttachAttr::default()
    };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    unsafe { bpf(8, &mut attr) }.map(drop)
}

/// Undoes [`prog_attach`].
///
/// # Errors
/// `errno` of `BPF_PROG_DETACH`.
pub fn prog_detach(prog: BorrowedFd<'_>, target: BorrowedFd<'_>, attach_type: u32) -> io::Result<()> {
    let mut attr = ProgAttachAttr {
        target_fd: target.as_raw_fd() as u32,
        attach_bpf_fd: prog.as_raw_fd() as u32,
        attach_type,
        ..ProgAttachAttr::default()
    };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    unsafe { bpf(9, &mut attr) }.map(drop)
}

/// Starts a walk of an iterator link; reading the descriptor runs the program.
///
/// # Errors
/// `errno` of `BPF_ITER_CREATE`.
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = IterCreateAttr { link_fd: link.as_raw_fd() as u32, flags: 0 };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    let fd = unsafe { bpf(33, &mut attr) }?;
    owned(fd)
}

/// Pins an object under a path of a BPF file system.
///
/// # Errors
/// `errno` of `BPF_OBJ_PIN`.
pub fn object_pin(path: &CStr, object: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = ObjectPathAttr {
        pathname: path.as_ptr() as u64,
        bpf_fd: object.as_raw_fd() as u32,
        ..ObjectPathAttr::default()
    };
    // SAFETY: the path ends with NUL by its type and lives through the call.
    unsafe { bpf(6, &mut attr) }.map(drop)
}

/// Opens a pinned object.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET`.
pub fn object_get(path: &CStr) -> io::Result<OwnedFd> {
    let mut attr = ObjectPathAttr { pathname: path.as_ptr() as u64, ..ObjectPathAttr::default() };
    // SAFETY: as in `object_pin`.
    let fd = unsafe { bpf(7, &mut attr) }?;
    owned(fd)
}

/// Issues one command, again when a signal or (for loads) memory pressure cut it short.
///
/// # Safety
/// `T` must be the attribute layout of `command`, and each pointer in it must be valid for what the command does.
unsafe fn bpf<T>(command: i64, attr: &mut T) -> io::Result<i64> {
    const TRIES: usize = 5;
    let mut tries = 0;
    loop {
        // SAFETY: the caller vouches for layout and pointers; the size is that of the live attribute.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        tries += 1;
        match error.raw_os_error() {
            // The verifier answers EAGAIN when a signal is pending.
            Some(libc::EINTR | libc::EAGAIN) if tries < TRIES => {}
            _ => return Err(error),
        }
    }
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the commands that end here return a descriptor that is new and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Compares buffers with the sizes that the map itself reports, so that the kernel cannot run past them.
fn check_element(map: BorrowedFd<'_>, key: usize, value: Option<usize>) -> io::Result<()> {
    let info = map_info(map)?;
    let value_fits = match value {
        Some(value) => value >= info.copied_value_size()? as usize,
        None => true,
    };
    if key >= info.key_size as usize && value_fits {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer is smaller than the map's key or value"))
}

/// Object names may hold letters, digits, `_` and `.`; others are replaced, and the rest is cut.
fn object_name(name: &str) -> [u8; NAME_LEN] {
    let mut out = [0; NAME_LEN];
    for (place, byte) in out.iter_mut().take(NAME_LEN - 1).zip(name.bytes()) {
        *place = if byte.is_ascii_alphanumeric() || byte == b'.' { byte } else { b'_' };
    }
    out
}

fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn raw_or(fd: Option<BorrowedFd<'_>>, none: RawFd) -> RawFd {
    fd.map_or(none, |fd| fd.as_raw_fd())
}
