//! From loaded programs to links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use ig_kernel::cpus::Followed;
use ig_kernel::sys::bpf::{self, AttachFlags, AttachType, Attachment, LinkTarget};
use ig_kernel::sys::perf;
use ig_kernel::tracefs::KprobeEvent;

use crate::error::AttachError;
use crate::loader::{Loaded, Program};
use crate::section::ProgramKind;

mod cgroup;
mod interface;
mod multi;
mod namespace;
mod netlink;
mod probe;
mod sampler;
mod uprobe;
mod usdt;

pub use cgroup::cgroup2_mount;
pub use interface::Direction;
pub use uprobe::{FileId, UprobeSet};

/// What attaching may need beyond the object.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions<'a> {
    /// Map whose elements an `iter/bpf_map_elem` walks, by name.
    pub iter_map: Option<&'a str>,
    /// How often a second a `perf_event` program samples each CPU.
    pub sample_frequency: Option<u64>,
    /// Process whose use of a file a uprobe watches; all without.
    pub pid: Option<i32>,
    /// Root directory in which a uprobe's file is looked up, such as `/proc/PID/root`; that of this process without.
    pub root: Option<&'a Path>,
    /// Network namespace that a socket filter, `sk_lookup`, traffic-control or XDP program goes to; that of the calling
    /// thread without.
    pub network: Option<BorrowedFd<'a>>,
    /// What a socket filter or traffic-control program finds in `skb->cb[0]`; the inode number of the network
    /// namespace without.
    pub network_id: Option<u32>,
    /// Interface of a traffic-control or XDP program, by name.
    pub interface: Option<&'a str>,
    /// Side of the interface, when not the one that the section names.
    pub direction: Option<Direction>,
    /// Attach a traffic-control program as a filter even where the kernel has TCX links.
    pub classic_filter: bool,
    /// Directory of the cgroup that a cgroup program goes to; the root of the second hierarchy without.
    pub cgroup: Option<&'a Path>,
    /// procfs in which the makers of kernel probes that were defined by name are looked up: the host's, so that a
    /// collector in another PID namespace is not taken for dead; `/proc` without.
    pub procfs: Option<&'a Path>,
    /// Map whose sockets an `sk_skb` or `sk_msg` program serves, by name.
    pub socket_map: Option<&'a str>,
}

impl AttachOptions<'_> {
    fn procfs(&self) -> &Path {
        self.procfs.unwrap_or(Path::new("/proc"))
    }
}

/// A program at its hook; dropping it detaches.
///
/// Closing the link of a classic tracepoint waits for the kernel to notice on all CPUs, about 75 ms: drop such links
/// where nobody waits, such as a blocking thread, and several of them at the same time on several threads.
#[derive(Debug)]
pub struct Link {
    program: String,
    // Links go before the events they hang on: fields are dropped in order.
    links: Vec<bpf::Link>,
    events: Vec<OwnedFd>,
    // Definitions that cannot be removed while an event is open on them.
    defined: Vec<KprobeEvent>,
    // What has no link and is undone when dropped.
    filters: Vec<netlink::Filter>,
    attached: Vec<Attachment>,
    /// The clocks of a program that samples CPUs.
    sampler: Option<sampler::Sampler>,
    /// What the attachment needs to stay alive: dispatchers, their maps, sockets.
    held: Vec<OwnedFd>,
}

impl Link {
    /// Name of the program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Starts a walk of an iterator. Reading the file to its end runs the program over all there is; what it writes
    /// with `bpf_seq_write` is what is read.
    ///
    /// # Errors
    /// [`AttachError::Iterator`]; also when the program is none.
    pub fn iter_reader(&self) -> Result<File, AttachError> {
        self.iter_reader_in(None)
    }

    /// [`Link::iter_reader`] for iterators over sockets: what is walked are those of the network namespace that `network`
    /// is a descriptor of (`/proc/PID/ns/net`), or of this process's own.
    ///
    /// # Errors
    /// As for [`Link::iter_reader`], and when the namespace cannot be entered (`CAP_SYS_ADMIN`).
    ///
    /// # Kernel
    /// The namespace is fixed when the walk starts, not when it is read.
    pub fn iter_reader_in(&self, network: Option<BorrowedFd<'_>>) -> Result<File, AttachError> {
        let failed = |source| AttachError::Iterator { program: self.program.clone(), source };
        let link = self.links.first().ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        let walk = namespace::within(network, || link.iterate()).map_err(failed)?;
        Ok(File::from(walk))
    }

    /// Takes over another link's attachments.
    fn join(&mut self, other: Self) {
        self.links.extend(other.links);
        self.events.extend(other.events);
        self.defined.extend(other.defined);
        self.filters.extend(other.filters);
        self.attached.extend(other.attached);
        self.held.extend(other.held);
    }

    /// Perf events the program hangs on.
    pub fn event_count(&self) -> usize {
        self.events.len() + self.sampler.as_ref().map_or(0, sampler::Sampler::len)
    }

    /// Follows the CPUs, for a program that samples them; `None` for all others. See
    /// [`ig_kernel::cpus::PerCpu::follow`].
    ///
    /// What comes back in `left` is best dropped where nobody waits.
    pub fn follow_cpus(&self, online: &[u32], anew: bool) -> Option<Followed<Self, AttachError>> {
        Some(self.sampler.as_ref()?.follow(online, anew))
    }
}

impl Loaded {
    /// Attaches a program to where its section (or the loader's caller) says.
    ///
    /// # Errors
    /// Any [`AttachError`].
    pub fn attach(&self, program: &str) -> Result<Link, AttachError> {
        self.attach_with(program, &AttachOptions::default())
    }

    /// Attaches a program that needs more than its section says.
    ///
    /// # Errors
    /// Any [`AttachError`].
    pub fn attach_with(&self, program: &str, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
        let program = self.enabled(program)?;
        match program.kind {
            ProgramKind::Tracepoint => probe::tracepoint(program),
            ProgramKind::RawTracepoint => probe::raw_tracepoint(program),
            ProgramKind::TracepointBtf
            | ProgramKind::Fentry
            | ProgramKind::Fexit
            | ProgramKind::FmodRet
            | ProgramKind::Lsm => probe::traced(program),
            ProgramKind::Iter => self.iterator(program, options),
            ProgramKind::Kprobe | ProgramKind::Kretprobe => probe::kprobe(program, &program.target, options),
            ProgramKind::Ksyscall | ProgramKind::Kretsyscall => probe::syscall_kprobe(program, options),
            ProgramKind::KprobeMulti | ProgramKind::KretprobeMulti => multi::attach(program),
            ProgramKind::Uprobe | ProgramKind::Uretprobe => uprobe::attach(program, options),
            ProgramKind::Usdt => usdt::attach(self, program, options),
            ProgramKind::SocketFilter => interface::socket_filter(program, options),
            ProgramKind::Classifier | ProgramKind::Tcx => interface::classifier(program, options),
            ProgramKind::Xdp => interface::xdp(program, options),
            ProgramKind::SkLookup | ProgramKind::FlowDissector => namespace::attach(program, options),
            ProgramKind::Cgroup | ProgramKind::SockOps | ProgramKind::LsmCgroup => {
                cgroup::attach(program, options)
            }
            ProgramKind::SkSkb | ProgramKind::SkMsg => self.socket_map(program, options),
            ProgramKind::PerfEvent => sampler::attach(program, options),
            _ => Err(program.unsupported("the loader knows no way to attach this kind of program")),
        }
    }

    /// A program that is loaded and meant to be attached.
    fn enabled(&self, name: &str) -> Result<&Program, AttachError> {
        let program = self.program(name).ok_or_else(|| AttachError::UnknownProgram(name.to_owned()))?;
        if program.disabled { Err(AttachError::Disabled(program.name.clone())) } else { Ok(program) }
    }

    fn iterator(&self, program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
        let map = match options.iter_map {
            None if program.target == "bpf_map_elem" => {
                return Err(program.unsupported("an iterator over map elements needs the map"));
            }
            None => None,
            Some(name) => Some(self.map(name).ok_or_else(|| AttachError::Target {
                program: program.name.clone(),
                target: name.to_owned(),
                form: "a map of the object",
            })?),
        };
        let target = map.map_or(LinkTarget::Program, |map| LinkTarget::MapElements(map.as_fd()));
        let link =
            program.create_link(target).map_err(|source| program.failed(program.target.clone(), source))?;
        Ok(program.link(vec![link], Vec::new()))
    }
}

impl Loaded {
    fn socket_map(&self, program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
        let name =
            options.socket_map.ok_or_else(|| program.unsupported("it needs the map of its sockets"))?;
        let map = self.map(name).ok_or_else(|| AttachError::Target {
            program: program.name.clone(),
            target: name.to_owned(),
            form: "a map of the object",
        })?;
        cgroup::attach_without_link(program, map.as_fd(), AttachFlags::NONE, || {
            format!("sockets of map `{name}`")
        })
    }
}

impl Program {
    /// The same program with a descriptor of its own.
    fn try_clone(&self) -> io::Result<Self> {
        let (name, section, target) = (self.name.clone(), self.section.clone(), self.target.clone());
        Ok(Self { name, section, target, fd: self.fd.try_clone()?, ..*self })
    }

    fn link(&self, links: Vec<bpf::Link>, events: Vec<OwnedFd>) -> Link {
        Link {
            program: self.name.clone(),
            links,
            events,
            defined: Vec::new(),
            filters: Vec::new(),
            attached: Vec::new(),
            sampler: None,
            held: Vec::new(),
        }
    }

    /// A link of the kernel to where programs of this kind go.
    fn create_link(&self, target: LinkTarget<'_>) -> io::Result<bpf::Link> {
        bpf::Link::create(self.fd.as_fd(), self.attach_type, target, AttachFlags::NONE)
    }

    fn failed(&self, hook: String, source: io::Error) -> AttachError {
        if source.raw_os_error() == Some(libc::ENOENT) {
            return AttachError::MissingHook { program: self.name.clone(), hook };
        }
        AttachError::Io { program: self.name.clone(), hook, source }
    }

    fn unsupported(&self, problem: &'static str) -> AttachError {
        AttachError::Unsupported { program: self.name.clone(), section: self.section.clone(), problem }
    }

    fn bad_target(&self, form: &'static str) -> AttachError {
        AttachError::Target { program: self.name.clone(), target: self.target.clone(), form }
    }

    /// Hangs the program on an open perf event.
    fn hang_on(&self, event: OwnedFd) -> io::Result<Link> {
        self.hang_on_with(event, 0)
    }

    /// The same with a number for the program to read; refused where the kernel is too old for one.
    fn hang_on_with(&self, event: OwnedFd, cookie: u64) -> io::Result<Link> {
        let target = LinkTarget::PerfEvent { event: event.as_fd(), cookie };
        match bpf::Link::create(self.fd.as_fd(), AttachType::PERF_EVENT, target, AttachFlags::NONE) {
            Ok(link) => {
                perf::enable(event.as_fd())?;
                Ok(self.link(vec![link], vec![event]))
            }
            // Before Linux 5.15 there are no links of perf events.
            Err(error) if cookie == 0 && error.raw_os_error() == Some(libc::EINVAL) => {
                perf::set_bpf(event.as_fd(), self.fd.as_fd())?;
                perf::enable(event.as_fd())?;
                Ok(self.link(Vec::new(), vec![event]))
            }
            Err(error) => Err(error),
        }
    }
}
