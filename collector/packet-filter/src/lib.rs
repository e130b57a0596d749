//! Packet filters: from a pcap expression to instructions that a program runs before it looks at a packet.
//!
//! Why it exists: users know tcpdump's filter language, and a packet that the kernel refuses costs no record. libpcap
//! would be a C library in the binary, and its programs are for another machine; so the way from text to eBPF is ours:
//!
//! 1. [`lexer`] and [`parser`] make an [`ast`] with places, so that each error points at its column;
//! 2. [`meaning`] says what a primitive asks of an Ethernet frame, as a tree of tests ([`ir`]) without words;
//! 3. [`lower`] turns the tree into instructions.
//!
//! All of that is pure: text in, instructions out. Size and depth of expressions are limited.
//!
//! # Equal to libpcap
//! A filter accepts the frames that tcpdump accepts with `-y EN10MB`. In particular: a load beyond the end of the frame
//! refuses it, whatever stands around the load; ports are looked for in first fragments without IPv6 extension
//! headers only; `tcp[…]` is IPv4, and within `a + b` only `a` demands its protocol; what stands to the right of `vlan` is looked for behind the tag. Tests that cannot
//! change the verdict are left out, and with them their loads.
//!
//! A tag that the kernel keeps beside the frame counts as the first one for `vlan`, as in libpcap's live captures.
//!
//! # What is left out
//! Names of hosts and networks (nothing is resolved), `gateway`, `ip broadcast` (the netmask is not known),
//! `protochain`, `inbound`, `outbound`, `ifindex`, `mpls`, `pppoed`, `pppoes`, `geneve`, `llc`, IS-IS, DECnet and ARCnet
//! addresses, and the words of 802.11, ATM, SS7 and pf. Each is refused by name.

use ig_model::Insn;

mod ast;
mod error;
mod ir;
mod lexer;
mod lower;
mod meaning;
mod parser;
mod words;

pub use error::FilterError;

/// The expression that no packet matches.
pub const REJECT_ALL: &str = "__reject_all__";

/// Compiles an expression into the instructions that go in front of a hook's body.
///
/// # Shape
/// On entry R1 is the context of a classifier or a socket filter. Behind the last instruction R1, R2, R3 and R5 are zero and
/// R4 says whether the packet matches. At most 32,000 instructions and 160 bytes of stack; R6 to R9 are used. An empty
/// expression gives no instructions: the hook stays as it is and matches everything.
/// # Errors
/// [`FilterError`]: the first thing in the text that cannot be understood or is not supported, with its column.
/// # Kernel
/// 5.1, for jumps that compare 32 bits.
/// # Source
/// pcap-filter(7) of libpcap 1.10.
pub fn compile(expression: &str) -> Result<Vec<Insn>, FilterError> {
    if expression.trim_ascii() == REJECT_ALL {
        return Ok(lower::verdict(false));
    }
    let Some(parsed) = parser::parse(expression)? else { return Ok(Vec::new()) };
    let tests = meaning::tests(expression, &parsed)?;
    lower::lower(&tests).map_err(|lower::TooLarge| {
        FilterError::of_all(expression, "the filter takes more than 32,000 instructions")
            .hint("join addresses to networks, or ports to ranges")
    })
}
