//! Links: programs at their hooks for as long as a descriptor is open.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use super::attr::{
    InfoAttr, IterCreateAttr, KprobeMultiAttr, LinkCreateAttr, LinkUpdateAttr, RawTracepointAttr,
};
use super::info::LinkInfoAnswer;
use super::{AttachFlags, AttachType, Command, call, count, open};

/// A link of the kernel; closing it detaches, unless it is pinned or open elsewhere.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
}

/// What the kernel says about a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Its type, a `BPF_LINK_TYPE_*`.
    pub kind: u32,
    /// The number of the link.
    pub id: u32,
    /// The number of its program; zero once it is detached.
    pub program: u32,
}

/// What [`Link::create`] attaches to.
#[derive(Clone, Copy, Debug)]
pub enum LinkTarget<'a> {
    /// Nothing but what the program was loaded for (iterators).
    Program,
    /// An open descriptor: a cgroup, a network namespace.
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

impl Link {
    /// Attaches a program.
    ///
    /// # Errors
    /// `errno` of `BPF_LINK_CREATE`.
    pub fn create(
        program: BorrowedFd<'_>,
        attach_type: AttachType,
        target: LinkTarget<'_>,
        flags: AttachFlags,
    ) -> io::Result<Self> {
        let mut attr = LinkCreateAttr {
            prog_fd: program.as_raw_fd() as u32,
            attach_type: attach_type.0,
            flags: flags.0,
            ..LinkCreateAttr::default()
        };
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
        // SAFETY: the only pointer is to `iter_info`, which lives through the call with its length beside it; the
        // command gives a descriptor.
        let fd = unsafe { open(Command::LinkCreate, &mut attr) };
        // Keeps the buffer alive up to here.
        let _: [u32; 4] = iter_info;
        Ok(Self { fd: fd? })
    }

    /// Attaches a program to several kernel functions at once.
    ///
    /// # Errors
    /// `InvalidInput` for more names than the kernel's counter holds, else `errno` of `BPF_LINK_CREATE`.
    ///
    /// # Kernel
    /// 5.18 with `CONFIG_FPROBE`.
    pub fn kprobe_multi(
        program: BorrowedFd<'_>,
        attach_type: AttachType,
        functions: &[&CStr],
        on_return: bool,
    ) -> io::Result<Self> {
        let names: Vec<u64> = functions.iter().map(|name| name.as_ptr() as u64).collect();
        let mut attr = KprobeMultiAttr {
            prog_fd: program.as_raw_fd() as u32,
            attach_type: attach_type.0,
            multi_flags: u32::from(on_return),
            count: u32::try_from(names.len()).map_err(io::Error::other)?,
            names: names.as_ptr() as u64,
            ..KprobeMultiAttr::default()
        };
        // SAFETY: the only pointer is to `names`, which lives through the call with its length beside it and holds
        // pointers to strings that end with NUL by their type; the command gives a descriptor.
        let fd = unsafe { open(Command::LinkCreate, &mut attr) };
        drop(names);
        Ok(Self { fd: fd? })
    }

    /// Attaches a program to a raw tracepoint, or without a name to the hook with BTF that it was loaded for.
    ///
    /// # Errors
    /// `errno` of `BPF_RAW_TRACEPOINT_OPEN`.
    pub fn raw_tracepoint(name: Option<&CStr>, program: BorrowedFd<'_>) -> io::Result<Self> {
        let mut attr = RawTracepointAttr {
            name: name.map_or(0, |name| name.as_ptr() as u64),
            prog_fd: program.as_raw_fd() as u32,
            ..RawTracepointAttr::default()
        };
        // SAFETY: the name ends with NUL by its type and lives through the call; the command gives a descriptor.
        let fd = unsafe { open(Command::RawTracepointOpen, &mut attr) }?;
        Ok(Self { fd })
    }

    /// What the kernel says about it.
    ///
    /// # Errors
    /// `errno` of `BPF_OBJ_GET_INFO_BY_FD`.
    ///
    /// # Kernel
    /// 5.8.
    pub fn info(&self) -> io::Result<LinkInfo> {
        let mut info = LinkInfoAnswer::default();
        let mut attr = InfoAttr {
            fd: self.fd.as_raw_fd() as u32,
            info_len: count(size_of::<LinkInfoAnswer>()),
            info: (&raw mut info) as u64,
        };
        // SAFETY: the kernel writes at most `info_len` bytes of plain integers. The names it could copy are asked for
        // by pointers and lengths, which are zero.
        unsafe { call(Command::ObjGetInfoByFd, &mut attr) }?;
        Ok(LinkInfo { kind: info.kind, id: info.id, program: info.prog_id })
    }

    /// Puts another program in the place of the one that is attached; no event in between is missed.
    ///
    /// # Errors
    /// `errno` of `BPF_LINK_UPDATE`; `EINVAL` for kinds of links that cannot.
    ///
    /// # Kernel
    /// 5.7 for cgroups, later for iterators, network namespaces, XDP and traffic control.
    pub fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut attr = LinkUpdateAttr {
            link_fd: self.fd.as_raw_fd() as u32,
            new_prog_fd: program.as_raw_fd() as u32,
            ..LinkUpdateAttr::default()
        };
        // SAFETY: the attribute belongs to the command and holds no pointers.
        unsafe { call(Command::LinkUpdate, &mut attr) }.map(drop)
    }

    /// Starts a walk of an iterator; reading the descriptor runs the program.
    ///
    /// # Errors
    /// `errno` of `BPF_ITER_CREATE`.
    ///
    /// # Kernel
    /// 5.8.
    pub fn iterate(&self) -> io::Result<OwnedFd> {
        let mut attr = IterCreateAttr { link_fd: self.fd.as_raw_fd() as u32, flags: 0 };
        // SAFETY: the attribute belongs to the command and holds no pointers; the command gives a descriptor.
        unsafe { open(Command::IterCreate, &mut attr) }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};

    use ig_model::insn::{EXIT, Insn};

    use super::{AttachFlags, AttachType, Link, LinkTarget};
    use crate::btf::{Kind, vmlinux};
    use crate::sys::bpf::{ProgLoad, ProgramType, prog_info, prog_load};

    /// A program that returns a number.
    fn program(prog_type: ProgramType, attach_type: AttachType, hook: u32, returned: i32) -> OwnedFd {
        let mov = Insn { code: 0xb7, imm: returned, ..Insn::default() };
        let insns = [mov, Insn { code: EXIT, ..Insn::default() }].map(Insn::to_bytes);
        let spec = ProgLoad {
            name: "linked",
            prog_type,
            expected_attach_type: attach_type,
            insns: insns.as_flattened(),
            license: c"GPL",
            attach_btf_id: hook,
            ..ProgLoad::default()
        };
        prog_load(&spec, None).unwrap()
    }

    /// Scenario: an iterator over tasks whose program is replaced.
    /// Guarantees: the link names the program it has, before and after; walks can be started.
    #[test]
    fn a_link_tells_its_program_and_takes_another() {
        let hook = vmlinux().unwrap().type_by_name("bpf_iter_task", Kind::Func).unwrap().0;
        let iterator = || program(ProgramType::TRACING, AttachType::TRACE_ITER, hook, 0);
        let (first, second) = (iterator(), iterator());
        let link =
            Link::create(first.as_fd(), AttachType::TRACE_ITER, LinkTarget::Program, AttachFlags::NONE)
                .unwrap();
        let before = link.info().unwrap();
        assert_eq!(before.program, prog_info(first.as_fd()).unwrap().id);
        link.update(second.as_fd()).unwrap();
        let after = link.info().unwrap();
        assert_eq!((after.id, after.program), (before.id, prog_info(second.as_fd()).unwrap().id));
        link.iterate().unwrap();
    }
}
