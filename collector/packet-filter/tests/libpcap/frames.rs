//! Frames to be filtered: few addresses and ports, so that filters match often.

use proptest::prelude::*;

pub(crate) type Frame = Vec<u8>;

const MACS: [[u8; 6]; 4] =
    [[0, 0x11, 0x22, 0x33, 0x44, 0x55], [2, 0, 0, 0, 0, 1], [0xff; 6], [0x01, 0x00, 0x5e, 0, 0, 1]];
const V4: [[u8; 4]; 6] =
    [[10, 0, 0, 1], [10, 0, 0, 2], [192, 168, 1, 1], [224, 0, 0, 251], [127, 0, 0, 1], [172, 16, 5, 4]];
const V6: [[u8; 16]; 4] = [
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2],
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb],
];
const PORTS: [u16; 8] = [80, 443, 53, 22, 1500, 2000, 65535, 1024];
const PROTOCOLS: [u8; 14] = [6, 17, 1, 2, 58, 132, 47, 50, 51, 103, 112, 9, 44, 0];
const TYPES: [u16; 14] = [
    0x0800, 0x86dd, 0x0806, 0x8035, 0x8100, 0x88a8, 0x9100, 0x809b, 0x80f3, 0x6003, 0x6004, 0x88cc, 38,
    0x8137,
];

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Frame {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

fn ports(from: u16, to: u16, rest: &[u8]) -> Frame {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), rest].concat()
}

/// `words` of header; `fragment` is the offset with its flags.
fn ip4(protocol: u8, words: u8, fragment: u16, from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Frame {
    let mut packet = vec![0x40 | words, 0x10];
    packet.extend(u16::try_from(usize::from(words) * 4 + payload.len()).unwrap().to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0xab, 0xcd]);
    packet.extend([from, to].concat());
    packet.resize((usize::from(words) * 4).max(20), 1);
    packet.extend(payload);
    packet
}

fn ip6(next: u8, from: [u8; 16], to: [u8; 16], payload: &[u8]) -> Frame {
    let mut packet = vec![0x60, 0, 0, 1];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([from, to].concat());
    packet.extend(payload);
    packet
}

fn arp(from: [u8; 4], to: [u8; 4]) -> Frame {
    [&[0, 1, 8, 0, 6, 4, 0, 1][..], &MACS[0], &from, &[0; 6], &to].concat()
}

/// What stands behind the ports of TCP: a SYN, or an acknowledgement with data.
fn tcp_rest(flags: u8) -> Frame {
    [&[0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0][..], b"GET / HTTP/1.1\r\n"].concat()
}

pub(crate) fn tcp4(from: [u8; 4], to: [u8; 4], source: u16, destination: u16) -> Frame {
    let segment = ports(source, destination, &tcp_rest(2));
    ethernet(MACS[0], MACS[1], 0x0800, &ip4(6, 5, 0, from, to, &segment))
}

/// A frame with a tag put in.
pub(crate) fn tagged(kind: u16, tag: u16, frame: &[u8]) -> Frame {
    let tag = [kind.to_be_bytes(), tag.to_be_bytes()].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

/// Frames of every kind; some of them cut off at each length.
pub(crate) fn pool() -> Vec<Frame> {
    let mut whole = Vec::new();
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        for (from, to) in [(0, 1), (1, 0), (2, 3), (4, 4), (5, 0)] {
            let (source, destination) = (PORTS[(number + from) % 8], PORTS[(number * 3 + to) % 8]);
            let body = ports(source, destination, &tcp_rest([2, 0x12, 0x18, 1, 4][to]));
            for (words, fragment) in [(5, 0), (8, 0x4000), (5, 0x2000), (5, 0x00b9), (15, 0), (0, 0)] {
                let packet = ip4(protocol, words, fragment, V4[from], V4[to], &body);
                whole.push(ethernet(MACS[to % 4], MACS[from % 4], 0x0800, &packet));
            }
            let fragment = [&[protocol, 0, 0, 1, 0, 0, 0, 7][..], &body].concat();
            for (next, payload) in [(protocol, &body), (44, &fragment), (0, &fragment)] {
                let packet = ip6(next, V6[from % 4], V6[to % 4], payload);
                whole.push(ethernet(MACS[to % 4], MACS[from % 4], 0x86dd, &packet));
            }
        }
    }
    for (kind, pair) in [(0x0806, (0, 1)), (0x0806, (2, 0)), (0x8035, (1, 0)), (0x8035, (5, 2))] {
        whole.push(ethernet(MACS[2], MACS[0], kind, &arp(V4[pair.0], V4[pair.1])));
    }
    for service in [0x4242_u16, 0xfefe, 0xf0f0, 0xe0e0, 0xffff, 0x0606, 0xaaaa, 0xe003] {
        for organisation in [[3, 8, 0, 7, 0x80, 0x9b], [3, 0, 0, 0, 0x80, 0xf3], [3, 0, 0, 0, 0x81, 0x37]] {
            let payload = [&service.to_be_bytes()[..], &organisation, &[0; 30]].concat();
            whole.push(ethernet(MACS[3], MACS[1], 38, &payload));
        }
    }
    for kind in TYPES {
        whole.push(ethernet(MACS[1], MACS[0], kind, &[0x45; 50]));
    }
    let tags: Vec<Frame> = whole
        .iter()
        .step_by(7)
        .zip([5_u16, 0x6005, 100, 4095, 0].into_iter().cycle())
        .flat_map(|(frame, tag)| {
            let one = tagged(0x8100, tag, frame);
            [tagged(0x88a8, 100, &one), tagged(0x9100, tag, frame), one]
        })
        .collect();
    whole.extend(tags);
    let cut: Vec<Frame> = whole
        .iter()
        .step_by(23)
        .flat_map(|frame| (0..frame.len()).map(|len| frame[..len].to_vec()))
        .collect();
    whole.extend(cut);
    whole.push(ethernet(MACS[0], MACS[1], 0x0800, &[0x45; 1400]));
    whole
}

/// A frame of the pool with other bytes from some place on, or other bytes here and there.
pub(crate) fn strategy() -> impl Strategy<Value = Frame> {
    let pool = pool();
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tail = prop::collection::vec(any::<u8>(), 0..40);
    (prop::sample::select(pool), bytes, tail, any::<prop::sample::Index>()).prop_map(
        |(mut frame, bytes, tail, cut)| {
            if !tail.is_empty() {
                frame.truncate(cut.index(frame.len() + 1));
                frame.extend(tail);
            }
            for (place, byte) in bytes {
                if !frame.is_empty() {
                    let place = place.index(frame.len());
                    frame[place] = byte;
                }
            }
            frame
        },
    )
}
