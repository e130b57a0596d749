//! Filters in programs that the kernel verifies and runs, over the expressions and frames that the compiler is held
//! against tcpdump with. Needs root and what the loader's other tests need.
#![cfg(test)]

#[path = "../kernel/compile.rs"]
#[expect(dead_code, reason = "the loader's other tests use the rest")]
mod compile;
#[path = "../../../packet-filter/tests/libpcap/corpus.rs"]
#[expect(dead_code, reason = "the compiler's own tests use the rest")]
mod corpus;
#[path = "../../../packet-filter/tests/libpcap/frames.rs"]
#[expect(dead_code, reason = "the compiler's own tests use the rest")]
mod frames;
#[path = "../../../packet-filter/tests/libpcap/machine.rs"]
mod machine;

use std::os::fd::AsFd as _;
use std::path::Path;

use ig_kernel::sys::bpf;
use ig_loader::{ErrorKind, LoadError, Loaded, Loader, Object};
use ig_packet_filter::compile;

use compile::{compile_file, compile_with};
use corpus::ACCEPTED;
use frames::Frame;
use machine::Filter;

fn object() -> Object {
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gadgets/include");
    let bytes = compile_with("packet_filter", &["-I", headers.to_str().unwrap()]);
    Object::parse("packet_filter", &bytes).unwrap()
}

fn load(object: &Object, filters: &[(&str, &str)]) -> Loaded {
    let mut loader = Loader::new(object);
    for (hook, expression) in filters {
        loader.set_packet_filter(hook, expression).unwrap();
    }
    loader
        .load()
        .unwrap_or_else(|error| panic!("{filters:?}: {error}\n{}", error.verifier_log().unwrap_or("")))
}

fn run(loaded: &Loaded, program: &str, frame: &[u8]) -> u32 {
    bpf::prog_test_run(loaded.program(program).unwrap().fd.as_fd(), frame, &[])
        .unwrap_or_else(|error| panic!("{program} on {frame:02x?}: {error}"))
}

/// Every so many of the frames that the kernel takes for a test run: not empty, and with a whole IP header if any.
fn some_frames(step: usize) -> Vec<Frame> {
    let whole = |frame: &Frame| match frame.get(12..14) {
        Some([0x08, 0x00] | [0x86, 0xdd]) => frame.len() >= 54,
        _ => frame.len() > 14,
    };
    frames::pool().into_iter().filter(whole).step_by(step).collect()
}

/// Scenario: every expression in a classifier and in a socket filter, run by the kernel on frames of every kind.
/// Guarantees: the verifier takes each, and the verdicts are those of the interpreter, which are tcpdump's.
#[test]
fn the_kernel_agrees() {
    let object = object();
    let frames = some_frames(29);
    assert!(frames.len() > 50, "{}", frames.len());
    for expression in ACCEPTED {
        let filter = Filter::new(&compile(expression).unwrap());
        let loaded = load(&object, &[("", expression)]);
        for frame in &frames {
            let verdict = filter.matches(frame, None);
            let expected = (u32::from(verdict) + 2, if verdict { 8 } else { 4 });
            // A test run keeps the link's header from socket filters; a packet socket does not.
            let behind_header = [&[0; 14][..], frame].concat();
            let seen = (run(&loaded, "incoming", frame), run(&loaded, "packets", &behind_header));
            assert_eq!(seen, expected, "`{expression}` on {frame:02x?}");
        }
    }
}

/// Guarantees: hooks are told by name, each has a filter of its own or none, and one that does not exist is an error.
#[test]
fn each_hook_has_its_filter() {
    let object = object();
    let mut hooks: Vec<&str> = object.packet_filters().collect();
    hooks.sort_unstable();
    assert_eq!(hooks, ["", "second"]);
    let tcp = frames::tcp4([10, 0, 0, 1], [10, 0, 0, 2], 1234, 80);
    for (filters, verdict) in [
        (&[][..], 3),
        (&[("", ""), ("second", " ")], 3),
        (&[("", "udp")], 2),
        (&[("second", "udp")], 1),
        (&[("", "tcp port 80"), ("second", "host 10.0.0.2")], 3),
        (&[("", "__reject_all__"), ("second", "src port 80")], 0),
        (&[("", "1 = 1"), ("second", "1 = 2")], 1),
        (&[("", "udp"), ("", "tcp")], 3),
    ] {
        assert_eq!(run(&load(&object, filters), "incoming", &tcp), verdict, "{filters:?}");
    }
    let mut loader = Loader::new(&object);
    let error = loader.set_packet_filter("third", "tcp").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no packet filter `third`, only `"), "{error}");
    let error = loader.set_packet_filter("second", "tcp prt 80").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "failed to compile the packet filter of hook `second`");
    let LoadError::PacketFilter { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.column(), 5);
    assert!(source.to_string().ends_with("; did you mean `port`?"), "{source}");
}

/// Guarantees: the largest filters that compile are small enough for the verifier.
#[test]
fn large_filters_are_verified() {
    let object = object();
    let hosts: Vec<String> =
        (0..500).map(|number| format!("host 10.0.{}.{}", number / 250, number % 250)).collect();
    let ports: Vec<String> = (0..500).map(|number| format!("tcp[{number}] != ip[{number}]")).collect();
    let tags = vec!["vlan and ip"; 200];
    for expression in
        [hosts.join(" or "), ports[..200].join(" or "), ports[..200].join(" and "), tags.join(" or ")]
    {
        load(&object, &[("", &expression)]);
    }
}

/// Guarantees: the gadget tcpdump loads with a filter, although nobody has laid out the owners of sockets.
#[test]
fn the_gadget_takes_a_filter() {
    let gadgets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gadgets");
    let (source, headers) = (gadgets.join("tcpdump/program.bpf.c"), gadgets.join("include"));
    let object =
        Object::parse("tcpdump", &compile_file(&source, &["-I", headers.to_str().unwrap()])).unwrap();
    assert!(object.packet_filters().eq([""]));
    let refused = Loader::new(&object).load().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Verifier, "{refused}");
    let mut loader = Loader::new(&object);
    loader.use_own_type("gadget_socket_value").set_max_entries("gadget_sockets", 1).unwrap();
    loader.set_packet_filter("", "tcp port 80 or icmp6 or vlan 5").unwrap();
    let loaded =
        loader.load().unwrap_or_else(|error| panic!("{error}\n{}", error.verifier_log().unwrap_or("")));
    assert_eq!(loaded.programs().len(), 2);
}
