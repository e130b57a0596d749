//! What an expression says, before it is asked what that means.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::ir::{Alu, Size};

/// Bytes of the text.
pub(super) type Span = Range<usize>;

/// A condition on packets.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Expr {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Primitive(Primitive, Span),
}

/// A condition without parts.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Primitive {
    /// `tcp`
    Protocol(Protocol),
    /// `tcp src port 80`, or `80` where the qualifiers are taken over.
    Id(Qualifiers, Id),
    /// `tcp[13] & 2 != 0`
    Relation(Box<Arith>, Compare, Box<Arith>),
    /// `ether broadcast`
    Broadcast(Option<Protocol>),
    /// `ip multicast`
    Multicast(Option<Protocol>),
    /// `byte 3 & 7`
    Byte { offset: u32, operation: ByteTest, value: u32 },
    /// `less 100`
    Less(u32),
    /// `greater 100`
    Greater(u32),
    /// `vlan 5`
    Vlan(Option<u32>),
}

/// What an identifier is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Qualifiers {
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Option<Direction>,
    /// `None` says host.
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Src,
    Dst,
    /// `src or dst`, which is what none at all means too.
    Either,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

/// An address, a port, a protocol.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Id {
    Number(u32),
    V4(Dotted),
    /// `10.0.0.0/8`
    V4Prefix(Dotted, u32),
    /// `10.0.0.0 mask 255.0.0.0`
    V4Mask(Dotted, Dotted),
    V6(Ipv6Addr),
    /// `2001:db8::/32`
    V6Prefix(Ipv6Addr, u32),
    Mac([u8; 6]),
    Name(String),
}

/// One to four numbers with dots between; the value is at the low end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dotted {
    pub(super) value: u32,
    /// Bits that were written: eight for each number.
    pub(super) bits: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(super) enum Protocol {
    Link,
    Ip,
    Ip6,
    Arp,
    Rarp,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmp6,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Ah,
    Esp,
    Atalk,
    Aarp,
    Decnet,
    Lat,
    Sca,
    Moprc,
    Mopdl,
    Iso,
    Stp,
    Ipx,
    Netbeui,
}

/// A number made of numbers.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Arith {
    Number(u32),
    Len,
    /// `tcp[2:2]`
    Load(Protocol, Box<Self>, Size, Span),
    Binary(Alu, Box<Self>, Box<Self>, Span),
    Negate(Box<Self>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The operators of `byte`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ByteTest {
    Equal,
    Less,
    Greater,
    And,
    Or,
}
