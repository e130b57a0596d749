//! Packet filters against tcpdump.
//!
//! tcpdump compiles each expression for the classic machine; that program and ours are run over the same frames, by
//! interpreters here. The kernel runs ours over them in the loader's tests. Needs tcpdump.
#![cfg(test)]

mod corpus;
mod expressions;
mod frames;
mod machine;
mod oracle;

use ig_packet_filter::compile;
use proptest::{prelude::*, test_runner::RngSeed};

use corpus::{ACCEPTED, LENIENT, REFUSED};
use frames::Frame;
use oracle::Oracle;

/// Compares verdicts on one frame; where libpcap's optimiser changes its own verdict, either will do.
fn check(expression: &str, filter: &machine::Filter, oracle: &Oracle, frame: &[u8]) -> bool {
    let (optimised, plain) = oracle.verdicts(frame);
    let ours = filter.matches(frame, None);
    assert!(
        ours == optimised || ours == plain,
        "`{expression}` on {frame:02x?}: ours says {ours}, tcpdump {optimised}"
    );
    ours
}

/// Scenario: expressions of every kind over frames of every kind, whole and cut off at each length.
/// Guarantees: ours accept what tcpdump's accept. Each expression that can tell frames apart does.
#[test]
fn verdicts_are_those_of_libpcap() {
    let frames = frames::pool();
    let mut dull = Vec::new();
    for expression in ACCEPTED {
        let filter =
            machine::Filter::new(&compile(expression).unwrap_or_else(|e| panic!("`{expression}`: {e}")));
        let oracle = Oracle::new(expression).unwrap_or_else(|e| panic!("`{expression}`: {e}"));
        let matched = frames.iter().filter(|frame| check(expression, &filter, &oracle, frame)).count();
        if matched == 0 || matched == frames.len() {
            dull.push(*expression);
        }
    }
    assert!(ACCEPTED.len() >= 200, "{}", ACCEPTED.len());
    assert!(dull.len() * 10 < ACCEPTED.len(), "the frames tell nothing about {dull:?}");
}

/// Guarantees: what tcpdump refuses is refused here, with the column of the fault; a few texts are taken though tcpdump
/// does not, each with the meaning of another that it does take.
#[test]
fn faults_are_those_of_libpcap() {
    let mut wrong = Vec::new();
    for (expression, column, message) in REFUSED {
        let error = compile(expression).expect_err(expression);
        if error.column() != *column || !error.to_string().contains(message) {
            wrong.push(format!("`{expression}`: {error}"));
        }
        if Oracle::new(expression).is_ok() != corpus::LEFT_OUT.contains(expression) {
            wrong.push(format!("`{expression}`: tcpdump does not agree"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (expression, same) in LENIENT {
        assert!(Oracle::new(expression).is_err(), "`{expression}` is fine for tcpdump now");
        assert_eq!(compile(expression), compile(same), "`{expression}`");
    }
    for frame in frames::pool() {
        for (expression, same) in corpus::MENDED {
            let matches =
                |expression| machine::Filter::new(&compile(expression).unwrap()).matches(&frame, None);
            assert_eq!(matches(expression), matches(same), "`{expression}` on {frame:02x?}");
        }
    }
}

/// Scenario: a file of frames and tcpdump reading it.
/// Guarantees: the frames it prints are those that ours accept.
#[test]
fn a_capture_is_filtered_alike() {
    let frames: Vec<Frame> = frames::pool().into_iter().filter(|frame| frame.len() >= 14).collect();
    let capture = oracle::Capture::new(&frames);
    for expression in ["tcp port 80", "not arp", "ip6 or vlan", "src net 10.0.0.0/8 and udp", "greater 100"] {
        let filter = machine::Filter::new(&compile(expression).unwrap());
        let ours: Vec<&Frame> = frames.iter().filter(|frame| filter.matches(frame, None)).collect();
        let theirs = capture.read(expression);
        assert!(!ours.is_empty() && ours.len() < frames.len(), "`{expression}`");
        assert!(ours.into_iter().eq(&theirs), "`{expression}`");
    }
}

/// Guarantees: a tag that the kernel keeps beside the frame is the first that `vlan` sees, and moves nothing; without the
/// word it is not looked at.
#[test]
fn tags_beside_the_frame_count() {
    let whole = frames::tcp4([10, 0, 0, 1], [10, 0, 0, 2], 1234, 80);
    let tagged = frames::tagged(0x8100, 7, &whole);
    let matches = |expression: &str, frame: &[u8], tag| {
        machine::Filter::new(&compile(expression).unwrap()).matches(frame, tag)
    };
    for (expression, verdict) in [
        ("vlan", true),
        ("vlan 7", true),
        ("vlan 8", false),
        ("vlan 7 and tcp port 80", true),
        ("vlan and udp", false),
        ("not vlan", false),
        ("vlan 7 and vlan 7", false),
    ] {
        assert_eq!(matches(expression, &tagged, None), verdict, "{expression}, in the frame");
        assert_eq!(matches(expression, &whole, Some(0x6007)), verdict, "{expression}, beside the frame");
        assert_eq!(matches(expression, &whole, None), expression == "not vlan", "{expression}, no tag");
    }
    assert!(matches("vlan 7 and vlan 9 and tcp", &frames::tagged(0x8100, 9, &whole), Some(7)));
    assert!(matches("tcp port 80", &whole, Some(7)));
}

/// Guarantees: the empty expression adds nothing, and the one that refuses all does.
#[test]
fn nothing_and_everything() {
    for empty in ["", " \t\n"] {
        assert_eq!(compile(empty).unwrap(), []);
    }
    let frame = frames::tcp4([10, 0, 0, 1], [10, 0, 0, 2], 1, 2);
    assert!(!machine::Filter::new(&compile("__reject_all__").unwrap()).matches(&frame, None));
    assert!(machine::Filter::new(&compile("1 = 1").unwrap()).matches(&frame, None));
}

/// Scenario: conditions that no frame can change, beside some that look at bytes which a short frame does not have.
/// Guarantees: on whole frames the verdict is tcpdump's; on the short one it is what the words say, where libpcap refuses
/// the frame for bytes that it need not have looked at.
#[test]
fn constants_are_known_before_any_byte() {
    let (whole, short) = (frames::tcp4([10, 0, 0, 1], [10, 0, 0, 2], 1, 2), [0; 12]);
    for (expression, verdict) in [
        ("ip or 2 != -0", true),
        ("tcp[0] > 1 or 1 != 2", true),
        ("not (arp and 1 = 2)", true),
        ("ip6 and 1 = 2", false),
    ] {
        let filter = machine::Filter::new(&compile(expression).unwrap());
        assert_eq!(
            check(expression, &filter, &Oracle::new(expression).unwrap(), &whole),
            verdict,
            "{expression}"
        );
        assert_eq!(filter.matches(&short, None), verdict, "{expression}");
    }
}

/// Scenario: conditions on the length alone, beside some on bytes, and a frame without any.
/// Guarantees: the length decides where it can, as in libpcap; a frame without bytes is refused where a byte is looked at.
#[test]
fn a_frame_without_bytes_has_a_length() {
    for (expression, verdict) in
        [("less 60 or ip", true), ("ip or less 60", false), ("less 60 and ip", false)]
    {
        let filter = machine::Filter::new(&compile(expression).unwrap());
        assert_eq!(
            check(expression, &filter, &Oracle::new(expression).unwrap(), &[]),
            verdict,
            "{expression}"
        );
    }
}

/// Guarantees: size and depth are limited, with an error and not with the stack's end; what is allowed is compiled.
#[test]
fn size_is_limited() {
    let many = |count: usize| vec!["host 10.1.2.3"; count].join(" or ");
    assert!(compile(&many(500)).is_ok());
    assert!(compile(&many(600)).unwrap_err().to_string().contains("more than 1024"));
    assert!(compile(&vec!["ip and udp or tcp"; 340].join(" and ")).is_ok());
    let ports = vec!["tcp[0] * tcp[1] - ip[ip[0] & 15] = udp[4:4] / icmp[icmptype]"; 140].join(" or ");
    assert!(compile(&ports).unwrap_err().to_string().contains("1024"));
    for (open, inner, close) in
        [("(", "ip", ")"), ("not ", "ip", ""), ("-", "1 = 1", ""), ("ip[", "0", "] = 1")]
    {
        let nested = |count: usize| open.repeat(count) + inner + &close.repeat(count);
        compile(&nested(20)).map(drop).or_else(|e| if open == "ip[" { Ok(()) } else { Err(e) }).unwrap();
        let error = compile(&nested(100_000)).unwrap_err().to_string();
        assert!(error.contains("64 levels") || error.contains("64 KiB"), "{error}");
        assert!(compile(&nested(5000)).unwrap_err().to_string().contains("64 levels"));
    }
    assert!(compile(&"ip or ".repeat(20_000)).unwrap_err().to_string().contains("64 KiB"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// Scenario: texts made of the language's own pieces, and any text at all.
    /// Guarantees: no panic; what compiles is of bounded size, and the verdict on any bytes is reached.
    #[test]
    fn any_text_is_survived(text in expressions::jumble(), bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(insns) = compile(&text) {
            prop_assert!(insns.len() <= 32_010);
            if !insns.is_empty() {
                machine::Filter::new(&insns).matches(&bytes, None);
            }
        }
    }
}

/// The same expressions in every run: a difference to libpcap is something to look at, not the fault of whatever change
/// happens to meet it. `PROPTEST_RNG_SEED=N` looks elsewhere.
fn settled() -> ProptestConfig {
    let config = ProptestConfig { cases: 256, ..ProptestConfig::default() };
    match config.rng_seed {
        RngSeed::Random => ProptestConfig { rng_seed: RngSeed::Fixed(1), ..config },
        RngSeed::Fixed(_) => config,
    }
}

proptest! {
    #![proptest_config(settled())]

    /// Scenario: random expressions of the grammar over frames that are random from some byte on.
    /// Guarantees: tcpdump understands each of them, and the verdicts are the same.
    #[test]
    fn random_expressions_mean_the_same(
        expression in expressions::expression(),
        frames in prop::collection::vec(frames::strategy(), 40),
    ) {
        match (compile(&expression), Oracle::new(&expression)) {
            (Ok(insns), Ok(oracle)) => {
                let filter = machine::Filter::new(&insns);
                for frame in &frames {
                    check(&expression, &filter, &oracle, frame);
                }
            }
            (Err(_), Err(_)) => {}
            // What ours folds to a division by zero, libpcap's optimiser may drop unseen.
            (Err(error), Ok(_)) if error.to_string().contains("by zero") || error.to_string().contains("31 bits") => {}
            // libpcap takes an index of zero for the divisor.
            (Ok(_), Err(message)) if message.contains("by zero") || message.contains("31 bits") => {}
            (ours, theirs) => prop_assert!(false, "`{expression}`: {:?} {:?}", ours.map(drop), theirs.map(drop)),
        }
    }
}
