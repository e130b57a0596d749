//! Programs: loaded, asked about, run outside of their hooks.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use super::attr::{InfoAttr, ProgLoadAttr, TestRunAttr};
pub use super::info::ProgInfo;
use super::{AttachType, Command, ProgramFlags, ProgramType, address, call, count, object_name, open, raw};

/// What to load with [`prog_load`]; field names are those of bpf(2).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct ProgLoad<'a> {
    pub name: &'a str,
    pub prog_type: ProgramType,
    pub expected_attach_type: AttachType,
    /// Instructions, eight bytes each.
    pub insns: &'a [u8],
    pub license: &'a CStr,
    pub kern_version: u32,
    pub prog_flags: ProgramFlags,
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
        prog_type: spec.prog_type.0,
        insn_cnt: count(spec.insns.len() / 8),
        insns: address(spec.insns),
        license: spec.license.as_ptr() as u64,
        log_level,
        log_size: count(log.len()),
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kern_version: spec.kern_version,
        prog_flags: spec.prog_flags.0,
        prog_name: object_name(spec.name),
        expected_attach_type: spec.expected_attach_type.0,
        prog_btf_fd: raw(spec.btf),
        func_info_rec_size: spec.func_info_rec_size,
        func_info: address(spec.func_info),
        func_info_cnt: records(spec.func_info, spec.func_info_rec_size),
        line_info_rec_size: spec.line_info_rec_size,
        line_info: address(spec.line_info),
        line_info_cnt: records(spec.line_info, spec.line_info_rec_size),
        attach_btf_id: spec.attach_btf_id,
        attach_btf_obj_fd: raw(spec.attach_btf_obj),
        fd_array: if spec.fd_array.is_empty() { 0 } else { spec.fd_array.as_ptr() as u64 },
        ..ProgLoadAttr::default()
    };
    // SAFETY: every pointer is to a slice that lives through the call with the length given beside it; the kernel
    // writes only to the log buffer, which is borrowed mutably; the license ends with NUL by its type. The command
    // gives a descriptor.
    unsafe { open(Command::ProgLoad, &mut attr) }
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
    // SAFETY: the kernel writes at most `info_len` bytes, the size of the plain-integer struct behind the pointer; array
    // pointers inside the struct are zero with zero counts, so nothing else is written.
    unsafe { call(Command::ObjGetInfoByFd, &mut attr) }?;
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
    // SAFETY: as in `prog_info`; the one array pointer is to `insns`, whose length stands in `xlated_prog_len`. For a
    // descriptor that is no program `prog_info` above fails or gives a length of its own buffer only.
    unsafe { call(Command::ObjGetInfoByFd, &mut attr) }?;
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
    unsafe { call(Command::ProgTestRun, &mut attr) }?;
    Ok(attr.retval)
}
