//! Protocols: those of frames, those of packets, and the bytes within them.

use super::{FilterError, Meaning, equal, quote};
use crate::ast::{Protocol, Qualifiers, Span};
use crate::ir::{Alu, Node, Relation, Size, Value};
use crate::words;

/// Greatest length of a frame; what is more at its place is a type.
const MAX_LENGTH: u32 = 1500;
/// Type of frames with IPv4.
pub(super) const IP: u32 = 0x0800;
/// Type of frames with IPv6.
pub(super) const IP6: u32 = 0x86dd;
/// Type of frames with ARP.
pub(super) const ARP: u32 = 0x0806;
/// Type of frames with RARP.
pub(super) const RARP: u32 = 0x8035;
const ATALK: u32 = 0x809b;
const AARP: u32 = 0x80f3;
const IPX: u32 = 0x8137;
/// Service access points of IEEE 802.2.
const SAP_ISO: u32 = 0xfe;
const SAP_IP: u32 = 0x06;
const SAP_NETBEUI: u32 = 0xf0;
const SAP_IPX: u32 = 0xe0;
const SAP_STP: u32 = 0x42;
/// Header of IPv6 that says "fragment".
const FRAGMENT: u32 = 44;
pub(super) const TCP: u32 = 6;
pub(super) const UDP: u32 = 17;
pub(super) const SCTP: u32 = 132;
const ICMP6: u32 = 58;

/// The number of a protocol in frames.
fn frame_type(protocol: Protocol) -> Option<u32> {
    Some(match protocol {
        Protocol::Ip => IP,
        Protocol::Ip6 => IP6,
        Protocol::Arp => ARP,
        Protocol::Rarp => RARP,
        Protocol::Atalk => ATALK,
        Protocol::Aarp => AARP,
        Protocol::Decnet => 0x6003,
        Protocol::Lat => 0x6004,
        Protocol::Sca => 0x6007,
        Protocol::Mopdl => 0x6001,
        Protocol::Moprc => 0x6002,
        Protocol::Iso => SAP_ISO,
        Protocol::Stp => SAP_STP,
        Protocol::Ipx => SAP_IPX,
        Protocol::Netbeui => SAP_NETBEUI,
        _ => return None,
    })
}

/// The number of a protocol in packets.
fn packet_type(protocol: Protocol) -> Option<u32> {
    Some(match protocol {
        Protocol::Icmp => 1,
        Protocol::Igmp => 2,
        Protocol::Tcp => TCP,
        Protocol::Igrp => 9,
        Protocol::Udp => UDP,
        Protocol::Esp => 50,
        Protocol::Ah => 51,
        Protocol::Icmp6 => ICMP6,
        Protocol::Pim => 103,
        Protocol::Vrrp | Protocol::Carp => 112,
        Protocol::Sctp => SCTP,
        _ => return None,
    })
}

impl Meaning<'_> {
    /// `tcp`, `arp` and so on.
    pub(super) fn protocol(&self, protocol: Protocol, span: &Span) -> Result<Node, FilterError> {
        if let Some(number) = frame_type(protocol) {
            return Ok(self.link_type(number));
        }
        let number = packet_type(protocol).ok_or_else(|| {
            self.fault(span, "`ether` alone says nothing").hint("try `ether host` or `ether proto`")
        })?;
        Ok(match protocol {
            Protocol::Icmp | Protocol::Igmp | Protocol::Igrp | Protocol::Vrrp | Protocol::Carp => {
                self.carried_by_ip(number)
            }
            Protocol::Icmp6 => self.carried_by_ip6(number),
            _ => self.carried_by_ip(number).or(self.carried_by_ip6(number)),
        })
    }

    /// `ip proto 6`, `ether proto 0x88cc`.
    pub(super) fn proto(
        &self,
        qualifiers: Qualifiers,
        number: u32,
        span: &Span,
    ) -> Result<Node, FilterError> {
        if qualifiers.direction.is_some() {
            return Err(self.fault(span, "a protocol has no direction"));
        }
        match qualifiers.protocol {
            None => Ok(self.carried_by_ip(number).or(self.carried_by_ip6(number))),
            Some(Protocol::Ip) => Ok(self.carried_by_ip(number)),
            Some(Protocol::Ip6) => Ok(self.carried_by_ip6(number)),
            Some(Protocol::Link) => Ok(self.link_type(number)),
            Some(other) => {
                let problem = format!("`{} proto` makes no sense", words::name(other));
                Err(self.fault(span, problem).hint("`ip`, `ip6` and `ether` carry protocols"))
            }
        }
    }

    pub(super) fn proto_named(
        &self,
        qualifiers: Qualifiers,
        name: &str,
        span: &Span,
    ) -> Result<u32, FilterError> {
        let of_frames = qualifiers.protocol == Some(Protocol::Link);
        let word = match words::word(name) {
            Some(words::Word::Protocol(protocol)) if of_frames => frame_type(protocol),
            Some(words::Word::Protocol(protocol)) => packet_type(protocol),
            _ => None,
        };
        let table = if of_frames { words::ETHER_TYPES } else { words::IP_PROTOCOLS };
        let listed = || table.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        word.or_else(listed).ok_or_else(|| {
            let whose = if of_frames { "Ethernet" } else { "IP" };
            self.fault(span, format!("no protocol over {whose} is called {}", quote(name)))
                .hint("use its number")
        })
    }

    /// The frame carries a protocol: one of Ethernet, or below 1501 one of IEEE 802.2.
    pub(super) fn link_type(&self, number: u32) -> Node {
        let link_type = || Value::load(self.link_type, Size::Half);
        let typed = |number| equal(link_type(), number);
        let has_length = || Node::test(link_type(), Relation::Greater, Value::Constant(MAX_LENGTH)).negate();
        let half = || Value::load(self.payload, Size::Half);
        let byte = || Value::load(self.payload, Size::Byte);
        match number {
            SAP_ISO | SAP_IP | SAP_NETBEUI => has_length().and(equal(half(), number << 8 | number)),
            SAP_IPX => {
                let raw = equal(byte(), SAP_IPX).or(equal(half(), 0xffff));
                typed(IPX).or(has_length().and(self.snap(0, IPX).or(raw)))
            }
            ATALK => typed(number).or(has_length().and(self.snap(0x08_0007, number))),
            AARP => typed(number).or(has_length().and(self.snap(0, number))),
            0..=MAX_LENGTH => has_length().and(equal(byte(), number)),
            _ => typed(number),
        }
    }

    /// The header that names an organisation and its type of frame.
    fn snap(&self, organisation: u32, number: u32) -> Node {
        let low = equal(Value::load(self.payload + 4, Size::Word), organisation << 16 | number);
        low.and(equal(Value::load(self.payload, Size::Word), 0xaaaa_0300 | organisation >> 16))
    }

    pub(super) fn carried_by_ip(&self, number: u32) -> Node {
        self.link_type(IP).and(equal(self.ip_protocol(), number))
    }

    /// The next header, or the one behind the header of a fragment.
    pub(super) fn carried_by_ip6(&self, number: u32) -> Node {
        let behind = equal(self.next_header(), FRAGMENT)
            .and(equal(Value::load(self.payload + 40, Size::Byte), number));
        self.link_type(IP6).and(equal(self.next_header(), number).or(behind))
    }

    pub(super) fn ip_protocol(&self) -> Value {
        Value::load(self.payload + 9, Size::Byte)
    }

    pub(super) fn next_header(&self) -> Value {
        Value::load(self.payload + 6, Size::Byte)
    }

    /// An IPv4 packet that is whole, or the first fragment of one: the others lack the header of what they carry.
    pub(super) fn first_fragment(&self) -> Node {
        let offset = Value::load(self.payload + 6, Size::Half);
        Node::test(offset, Relation::AnyBit, Value::Constant(0x1fff)).negate()
    }

    /// Bytes of the IPv4 header.
    pub(super) fn ip_header(&self) -> Value {
        let words = Value::load(self.payload, Size::Byte).masked(0xf);
        Value::Alu(Alu::ShiftLeft, Box::new(words), Box::new(Value::Constant(2)))
    }

    /// `tcp[index:size]`; `checks` are what the index asks for.
    pub(super) fn load(
        &self,
        protocol: Protocol,
        checks: Node,
        index: Value,
        size: Size,
        span: &Span,
    ) -> Result<(Node, Value), FilterError> {
        let own = |payload| Value::load_at(payload, index.clone(), size);
        if protocol == Protocol::Link {
            return Ok((checks, own(0)));
        }
        if let Some(number) = frame_type(protocol) {
            return Ok((checks.and(self.link_type(number)), own(self.payload)));
        }
        let number = packet_type(protocol).unwrap_or_default();
        match protocol {
            Protocol::Icmp6 => {
                let carried = self.link_type(IP6).and(equal(self.next_header(), number));
                Ok((checks.and(carried), own(self.payload + 40)))
            }
            Protocol::Ah | Protocol::Esp => {
                let problem = format!("bytes of `{}` cannot be asked for", words::name(protocol));
                Err(self.fault(span, problem).hint("count from `ip` or `ip6` instead"))
            }
            _ => {
                let carried = equal(self.ip_protocol(), number).and(self.first_fragment());
                let value = match index {
                    // A header and so little do not wrap around.
                    Value::Constant(index @ 0..=0xffff) => {
                        Value::load_at(self.payload + index, self.ip_header(), size)
                    }
                    index => {
                        let place = Value::Alu(Alu::Add, Box::new(self.ip_header()), Box::new(index));
                        Value::load_at(self.payload, place, size)
                    }
                };
                Ok((self.link_type(IP).and(checks).and(carried), value))
            }
        }
    }
}
