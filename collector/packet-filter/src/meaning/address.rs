//! Addresses and ports.

use super::protocol::{ARP, IP, IP6, RARP, SCTP, TCP, UDP};
use super::{FilterError, Meaning, directed, equal, quote};
use crate::ast::{Dotted, Id, Kind, Protocol, Qualifiers, Span};
use crate::ir::{Node, Relation, Size, Value};
use crate::words;

/// Source and destination in the header of IPv4, and in ARP between IPv4 and Ethernet.
const IP_ADDRESSES: (u32, u32) = (12, 16);
const ARP_ADDRESSES: (u32, u32) = (14, 24);
/// Source and destination in the header of IPv6, and its length.
const IP6_ADDRESSES: (u32, u32) = (8, 24);
const IP6_HEADER: u32 = 40;

impl Meaning<'_> {
    /// `host`, `net`, or neither.
    pub(super) fn host(&self, qualifiers: Qualifiers, id: &Id, span: &Span) -> Result<Node, FilterError> {
        let net = qualifiers.kind == Some(Kind::Net);
        let networks_only = || self.fault(span, "a prefix or a mask needs `net`");
        match id {
            Id::Number(number) if net => {
                // `net 10` is 10.0.0.0/8.
                let shift = if *number == 0 { 0 } else { number.leading_zeros() / 8 * 8 };
                self.host4(qualifiers, number << shift, u32::MAX << shift, span)
            }
            Id::Number(number) => self.host4(qualifiers, *number, u32::MAX, span),
            Id::V4(dotted) => {
                let (address, mask) = promoted(*dotted);
                self.host4(qualifiers, address, mask, span)
            }
            Id::V4Prefix(..) | Id::V4Mask(..) if !net => Err(networks_only()),
            Id::V4Prefix(dotted, len) => {
                let mask = match len {
                    0 => 0,
                    1..=32 => u32::MAX << (32 - len),
                    _ => {
                        return Err(
                            self.fault(span, format!("an IPv4 prefix has at most 32 bits, not {len}"))
                        );
                    }
                };
                self.host4(qualifiers, self.network(promoted(*dotted).0, mask, span)?, mask, span)
            }
            Id::V4Mask(dotted, mask) => {
                let mask = promoted(*mask).0;
                self.host4(qualifiers, self.network(promoted(*dotted).0, mask, span)?, mask, span)
            }
            Id::V6(address) => self.host6(qualifiers, u128::from(*address), u128::MAX, span),
            Id::V6Prefix(_, len) if !net && *len != 128 => Err(networks_only()),
            Id::V6Prefix(address, len) => {
                let mask = match len {
                    0 => 0,
                    1..=128 => u128::MAX << (128 - len),
                    _ => {
                        return Err(
                            self.fault(span, format!("an IPv6 prefix has at most 128 bits, not {len}"))
                        );
                    }
                };
                let address = u128::from(*address);
                if address & !mask != 0 {
                    return Err(self.not_a_network(span));
                }
                self.host6(qualifiers, address, mask, span)
            }
            Id::Mac(_) | Id::Name(_) => Err(self.fault(span, "this is no IP address")),
        }
    }

    fn network(&self, address: u32, mask: u32, span: &Span) -> Result<u32, FilterError> {
        if address & !mask == 0 { Ok(address) } else { Err(self.not_a_network(span)) }
    }

    fn not_a_network(&self, span: &Span) -> FilterError {
        let piece = quote(self.text.get(span.clone()).unwrap_or_default());
        self.fault(span, format!("{piece}: bits of the address beyond the prefix are set"))
            .hint("a network's address ends in zeros")
    }

    fn host4(
        &self,
        qualifiers: Qualifiers,
        address: u32,
        mask: u32,
        span: &Span,
    ) -> Result<Node, FilterError> {
        let within = |link_type, places: (u32, u32)| {
            let one = |source| {
                let place = self.payload + if source { places.0 } else { places.1 };
                if mask == 0 {
                    return Node::Constant(true);
                }
                equal(Value::load(place, Size::Word).masked(mask), address)
            };
            self.link_type(link_type).and(directed(qualifiers.direction, one))
        };
        match qualifiers.protocol {
            Some(Protocol::Ip) => Ok(within(IP, IP_ADDRESSES)),
            Some(Protocol::Arp) => Ok(within(ARP, ARP_ADDRESSES)),
            Some(Protocol::Rarp) => Ok(within(RARP, ARP_ADDRESSES)),
            None => {
                let resolution = within(ARP, ARP_ADDRESSES).or(within(RARP, ARP_ADDRESSES));
                Ok(within(IP, IP_ADDRESSES).or(resolution))
            }
            Some(other) => Err(self.has_no_addresses(other, "IPv4", span)),
        }
    }

    fn host6(
        &self,
        qualifiers: Qualifiers,
        address: u128,
        mask: u128,
        span: &Span,
    ) -> Result<Node, FilterError> {
        if let Some(other) = qualifiers.protocol.filter(|protocol| *protocol != Protocol::Ip6) {
            return Err(self.has_no_addresses(other, "IPv6", span));
        }
        let one = |source| {
            let start = self.payload + if source { IP6_ADDRESSES.0 } else { IP6_ADDRESSES.1 };
            let words = words_of(address).into_iter().zip(words_of(mask)).zip((start..).step_by(4));
            words.filter(|((_, mask), _)| *mask != 0).fold(
                Node::Constant(true),
                |all, ((word, mask), place)| {
                    all.and(equal(Value::load(place, Size::Word).masked(mask), word))
                },
            )
        };
        Ok(self.link_type(IP6).and(directed(qualifiers.direction, one)))
    }

    fn has_no_addresses(&self, protocol: Protocol, kind: &str, span: &Span) -> FilterError {
        let protocol = words::name(protocol);
        let error = self.fault(span, format!("`{protocol}` has no {kind} addresses"));
        match protocol {
            "ether" => error.hint("an Ethernet address is written 0:1:2:a:b:c"),
            "ip" | "ip6" | "arp" | "rarp" => error,
            _ => error.hint(format!("join two conditions: `{protocol} and host …`")),
        }
    }

    /// `ether host`
    pub(super) fn ether_host(
        &self,
        qualifiers: Qualifiers,
        address: [u8; 6],
        span: &Span,
    ) -> Result<Node, FilterError> {
        match qualifiers {
            Qualifiers { protocol: Some(Protocol::Link), kind: None | Some(Kind::Host), direction } => {
                Ok(directed(direction, |source| ethernet(if source { 6 } else { 0 }, address)))
            }
            _ => Err(self.fault(span, "an Ethernet address needs `ether`").hint("try `ether host`")),
        }
    }

    pub(super) fn broadcast(&self, protocol: Option<Protocol>, span: &Span) -> Result<Node, FilterError> {
        match protocol {
            None | Some(Protocol::Link) => Ok(ethernet(0, [0xff; 6])),
            Some(Protocol::Ip) => Err(self
                .fault(span, "`ip broadcast` is not supported: the netmask is not known")
                .hint("name the address, as in `dst host 10.0.0.255`")),
            Some(other) => Err(self.fault(span, format!("`{}` has no broadcast", words::name(other)))),
        }
    }

    pub(super) fn multicast(&self, protocol: Option<Protocol>, span: &Span) -> Result<Node, FilterError> {
        let byte = |place| Value::load(place, Size::Byte);
        match protocol {
            None | Some(Protocol::Link) => Ok(Node::test(byte(0), Relation::AnyBit, Value::Constant(1))),
            Some(Protocol::Ip) => {
                let first = byte(self.payload + IP_ADDRESSES.1);
                Ok(self.link_type(IP).and(Node::test(first, Relation::GreaterOrEqual, Value::Constant(224))))
            }
            Some(Protocol::Ip6) => {
                Ok(self.link_type(IP6).and(equal(byte(self.payload + IP6_ADDRESSES.1), 255)))
            }
            Some(other) => Err(self.fault(span, format!("`{}` has no multicast", words::name(other)))),
        }
    }

    /// `port` and `portrange`.
    pub(super) fn ports(
        &self,
        qualifiers: Qualifiers,
        first: u32,
        last: u32,
        span: &Span,
    ) -> Result<Node, FilterError> {
        if let Some(port) = [first, last].into_iter().find(|port| *port > 0xffff) {
            return Err(self.fault(span, format!("port {port} does not exist: numbers go from 0 to 65535")));
        }
        let range = (first.min(last), first.max(last));
        let carried: &[u32] = match qualifiers.protocol {
            None => &[SCTP, TCP, UDP],
            Some(Protocol::Tcp) => &[TCP],
            Some(Protocol::Udp) => &[UDP],
            Some(Protocol::Sctp) => &[SCTP],
            Some(other) => {
                let problem = format!("`{}` has no ports", words::name(other));
                return Err(self.fault(span, problem).hint("`tcp`, `udp` and `sctp` have"));
            }
        };
        let any = |field: &dyn Fn() -> Value| {
            carried.iter().fold(Node::Constant(false), |any, number| any.or(equal(field(), *number)))
        };
        let ports = |port: &dyn Fn(u32) -> Value| {
            directed(qualifiers.direction, |source| in_range(|| port(if source { 0 } else { 2 }), range))
        };
        let over_ip6 = self
            .link_type(IP6)
            .and(any(&|| self.next_header()))
            .and(ports(&|place| Value::load(self.payload + IP6_HEADER + place, Size::Half)));
        let over_ip = self
            .link_type(IP)
            .and(any(&|| self.ip_protocol()))
            .and(self.first_fragment())
            .and(ports(&|place| Value::load_at(self.payload + place, self.ip_header(), Size::Half)));
        Ok(over_ip6.or(over_ip))
    }
}

fn in_range(port: impl Fn() -> Value, (first, last): (u32, u32)) -> Node {
    if first == last {
        return equal(port(), first);
    }
    let from = Node::test(port(), Relation::GreaterOrEqual, Value::Constant(first));
    from.and(Node::test(port(), Relation::Greater, Value::Constant(last)).negate())
}

/// Last four bytes first.
fn ethernet(place: u32, address: [u8; 6]) -> Node {
    let number = address.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    #[expect(clippy::cast_possible_truncation, reason = "the upper bytes are compared by themselves")]
    let low = equal(Value::load(place + 2, Size::Word), number as u32);
    let high = (number >> 32) as u32;
    low.and(equal(Value::load(place, Size::Half), high))
}

/// The numbers that were written are the first of the address.
fn promoted(dotted: Dotted) -> (u32, u32) {
    let missing = 32_u32.saturating_sub(dotted.bits);
    (dotted.value << missing, u32::MAX << missing)
}

fn words_of(address: u128) -> [u32; 4] {
    let bytes = address.to_be_bytes();
    let (words, _) = bytes.as_chunks::<4>();
    let mut out = [0; 4];
    for (word, bytes) in out.iter_mut().zip(words) {
        *word = u32::from_be_bytes(*bytes);
    }
    out
}
