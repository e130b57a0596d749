//! Random expressions: some of the grammar, some of its pieces only.

use proptest::prelude::*;
use proptest::sample::select;

/// Conditions that are fine by themselves.
fn primitive() -> impl Strategy<Value = String> {
    let qualified = (
        select(vec!["", "tcp ", "udp ", "ip ", "ip6 ", "arp ", "ether ", "sctp ", "rarp ", "icmp "]),
        select(vec!["", "src ", "dst ", "src or dst ", "src and dst "]),
        select(vec![
            "host 10.0.0.1",
            "net 10.0.0.0/8",
            "net 192.168.1",
            "net 10",
            "port 80",
            "port 53",
            "portrange 1000-2000",
            "host ::1",
            "net 2001:db8::/32",
            "host 0:11:22:33:44:55",
            "proto 6",
            "proto 17",
        ]),
    );
    let plain = select(vec![
        "ip",
        "ip6",
        "arp",
        "rarp",
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "igmp",
        "esp",
        "vlan",
        "vlan 5",
        "broadcast",
        "multicast",
        "ip multicast",
        "ip6 multicast",
        "less 60",
        "greater 90",
        "byte 12 = 8",
        "byte 13 > 6",
        "atalk",
        "ipx",
        "stp",
        "iso",
        "netbeui",
        "aarp",
    ]);
    let relation = (frame_number(), select(vec!["=", "!=", "<", "<=", ">", ">=", "=="]), number());
    prop_oneof![
        3 => qualified.prop_map(|(protocol, direction, id)| format!("{protocol}{direction}{id}")),
        2 => plain.prop_map(str::to_owned),
        2 => relation.prop_map(|(left, relation, right)| format!("{left} {relation} {right}")),
    ]
}

/// A number that the frame has a part in: what is compared with constants alone is known before a byte is looked at,
/// and libpcap looks at the bytes before it nevertheless, unless its optimiser sees through it.
fn frame_number() -> impl Strategy<Value = String> {
    let first =
        select(vec!["len", "ether[12:2]", "ip[0]", "ip[2:2]", "tcp[tcpflags]", "udp[4:2]", "arp[6:2]"]);
    let joint = select(vec!["+", "-", "*", "&", "|"]);
    prop_oneof![
        first.clone().prop_map(str::to_owned),
        (first, joint, number()).prop_map(|(first, joint, other)| format!("{first} {joint} ({other})")),
    ]
}

fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec!["0", "1", "4", "13", "40", "0xff", "80", "2048", "4294967295", "010"])
            .prop_map(str::to_owned),
        Just("len".to_owned()),
        Just("tcp-syn".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let load = (
            select(vec!["ether", "ip", "ip6", "tcp", "udp", "icmp", "icmp6", "arp", "igmp", "sctp"]),
            inner.clone(),
            select(vec!["", ":1", ":2", ":4"]),
        );
        let binary =
            (inner.clone(), select(vec!["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"]), inner.clone());
        prop_oneof![
            3 => load.prop_map(|(protocol, index, size)| format!("{protocol}[{index}{size}]")),
            2 => binary.prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
            1 => inner.clone().prop_map(|inner| format!("({inner})")),
            1 => inner.prop_map(|inner| format!("- {inner}")),
        ]
    })
}

/// Expressions of the grammar; the meaning of some makes no sense.
pub(crate) fn expression() -> impl Strategy<Value = String> {
    primitive().prop_recursive(4, 8, 2, |inner| {
        let binary = (inner.clone(), select(vec!["and", "or", "&&", "||"]), inner.clone());
        prop_oneof![
            4 => binary.prop_map(|(left, joint, right)| format!("{left} {joint} {right}")),
            1 => inner.clone().prop_map(|inner| format!("not {inner}")),
            2 => inner.prop_map(|inner| format!("({inner})")),
        ]
    })
}

/// Pieces of the language in any order, with others among them.
pub(crate) fn jumble() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => select(vec![
            "ip", "tcp", "ether", "src", "dst", "host", "net", "port", "portrange", "proto", "and", "or", "not",
            "(", ")", "[", "]", ":", "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "=", "!=", "<", ">=", "80",
            "0", "10.0.0.1", "10.0", "::1", "2001:db8::", "0:1:2:3:4:5", "vlan", "len", "less", "byte", "mask",
            "multicast", "tcpflags", "\\tcp", "80-90", "gateway", "http", "0xffffffff", "4294967296", "256.1.1.1",
        ])
        .prop_map(str::to_owned),
        1 => primitive(),
        1 => ".{0,6}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.join(" "))
}
