//! Programs that see packets: socket filters, traffic control, XDP.
//!
//! Gadgets expect the number of the network namespace in `skb->cb[0]`. So a tiny dispatcher is attached in their place: it
//! writes the number and tail-calls the gadget's program, which can thus serve many namespaces at once.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use ig_kernel::map::{Map, MapCreate, MapType};
use ig_kernel::sys::bpf::{self, AttachFlags, AttachType, LinkTarget, ProgLoad, ProgramType};
use ig_kernel::sys::net;

use super::netlink::Filter;
use super::{AttachOptions, Link, namespace};
use crate::error::AttachError;
use crate::insn::{self, CALL, Insn, LD_IMM64, PSEUDO_MAP_FD};
use crate::loader::Program;

/// `TC_ACT_UNSPEC`: the packet goes on to whatever else is attached.
const GO_ON: i32 = -1;

/// Which way packets go, seen from the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Into the machine.
    Ingress,
    /// Out of it.
    Egress,
}

/// A packet socket that passes every packet of the namespace to the program and delivers none.
pub(super) fn socket_filter(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let failed = |source| program.failed("packets of the network namespace".to_owned(), source);
    let attach = || {
        let dispatcher = dispatcher(program, ProgramType::SOCKET_FILTER, 0, options)?;
        let socket = namespace::within(options.network, net::packet_socket)?;
        net::attach_filter(socket.as_fd(), dispatcher.program.as_fd())?;
        // Only now does it receive: nothing passes unfiltered.
        net::bind_packet(socket.as_fd(), 0)?;
        let mut link = program.link(Vec::new(), Vec::new());
        link.held.extend([socket, dispatcher.program, dispatcher.slot.into()]);
        Ok(link)
    };
    attach().map_err(failed)
}

pub(super) fn classifier(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let side = program.target.split('/').next();
    let direction = match (options.direction, side) {
        (Some(direction), _) => direction,
        (None, Some("ingress")) => Direction::Ingress,
        (None, Some("egress")) => Direction::Egress,
        _ => return Err(program.unsupported("neither its section nor its caller says which direction")),
    };
    let (name, interface) = interface(program, options)?;
    let failed = |source| program.failed(format!("traffic of interface `{name}`"), source);
    let attach = || {
        let dispatcher = dispatcher(program, ProgramType::SCHED_CLS, GO_ON, options)?;
        let mut link = program.link(Vec::new(), Vec::new());
        let attach_type = match direction {
            Direction::Ingress => AttachType::TCX_INGRESS,
            Direction::Egress => AttachType::TCX_EGRESS,
        };
        let by_link = || {
            let target = LinkTarget::Interface(interface);
            // Ahead of the programs that are there, which may end a packet's way.
            bpf::Link::create(dispatcher.program.as_fd(), attach_type, target, AttachFlags::BEFORE)
        };
        match namespace::within(options.network, || {
            if options.classic_filter { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { by_link() }
        }) {
            Ok(tcx) => link.links.push(tcx),
            // Before Linux 6.6 there are no such links.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let filter = namespace::within(options.network, || {
                    let ingress = direction == Direction::Ingress;
                    Filter::add(interface, ingress, &program.name, dispatcher.program.as_fd())
                })?;
                link.filters.push(filter);
            }
            Err(error) => return Err(error),
        }
        link.held.extend([dispatcher.program, dispatcher.slot.into()]);
        Ok(link)
    };
    attach().map_err(failed)
}

pub(super) fn xdp(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let (name, interface) = interface(program, options)?;
    let link = namespace::within(options.network, || program.create_link(LinkTarget::Interface(interface)));
    let link = link.map_err(|source| program.failed(format!("XDP of interface `{name}`"), source))?;
    Ok(program.link(vec![link], Vec::new()))
}

/// Name and number of the interface asked for.
fn interface<'a>(program: &Program, options: &AttachOptions<'a>) -> Result<(&'a str, u32), AttachError> {
    let name = options.interface.ok_or_else(|| program.unsupported("it needs an interface"))?;
    let target = || AttachError::Target {
        program: program.name.clone(),
        target: name.to_owned(),
        form: "a network interface",
    };
    let text = CString::new(name).map_err(|_nul| target())?;
    match namespace::within(options.network, || net::interface_index(&text)) {
        Ok(index) => Ok((name, index)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Err(AttachError::MissingHook {
            program: program.name.clone(),
            hook: format!("interface `{name}`"),
        }),
        Err(error) => Err(program.failed(format!("interface `{name}`"), error)),
    }
}

/// The program that goes where the gadget's would, and the array that leads to it. Both have to live on: an array that no
/// process holds is emptied.
struct Dispatcher {
    program: OwnedFd,
    slot: Map,
}

/// `skb->cb[0] = network; tail call of the gadget's program; return otherwise`.
fn dispatcher(
    program: &Program,
    prog_type: ProgramType,
    otherwise: i32,
    options: &AttachOptions<'_>,
) -> io::Result<Dispatcher> {
    /// Offset of `cb[0]` in `struct __sk_buff`.
    const CB: i16 = 48;
    const TAIL_CALL: i32 = 12;
    let network = options.network_id.map_or_else(|| namespace::identity(options.network), Ok)?;
    let slot = Map::create(&MapCreate {
        name: "ig_dispatch",
        kind: MapType::PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapCreate::default()
    })?;
    slot.update(&[0; 4], &program.fd.as_raw_fd().to_ne_bytes())?;
    let insns = [
        Insn { code: 0xb4, regs: 0x02, off: 0, imm: network as i32 },
        Insn { code: 0x63, regs: 0x21, off: CB, imm: 0 },
        Insn { code: LD_IMM64, regs: PSEUDO_MAP_FD << 4 | 0x02, off: 0, imm: slot.as_fd().as_raw_fd() },
        Insn::default(),
        Insn { code: 0xb4, regs: 0x03, off: 0, imm: 0 },
        Insn { code: CALL, regs: 0, off: 0, imm: TAIL_CALL },
        Insn { code: 0xb4, regs: 0, off: 0, imm: otherwise },
        Insn { code: 0x95, regs: 0, off: 0, imm: 0 },
    ];
    let request = ProgLoad {
        name: "ig_dispatch",
        prog_type,
        expected_attach_type: program.attach_type,
        insns: &insn::encode(&insns),
        license: c"GPL",
        ..ProgLoad::default()
    };
    Ok(Dispatcher { program: bpf::prog_load(&request, None)?, slot })
}
