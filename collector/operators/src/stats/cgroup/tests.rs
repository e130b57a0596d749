use proptest::prelude::*;

use super::*;

fn number(record: &[u8], name: &str) -> f64 {
    source().field(name).unwrap().number(record).unwrap().as_f64()
}

fn cgroup(path: &[u8], inode: u64, stat: CpuStat) -> Cgroup<'_> {
    Cgroup {
        path,
        inode,
        stat,
        limit: Limit { quota_us: 50_000, period_us: 100_000 },
        pressure: Pressure { some_avg10: 1.5, some_avg60: 0.25 },
        mount_namespace: 7,
    }
}

/// Scenario: the files of both versions as kernels write them, without a limit, and broken.
/// Guarantees: limits and counters are read alike, in the same units; no limit is none.
#[test]
fn files_of_both_versions() {
    let limit = Some(Limit { quota_us: 50_000, period_us: 100_000 });
    assert_eq!(Limit::parse(b"50000 100000\n"), limit);
    assert_eq!(Limit::of_v1(b"50000\n", b"100000\n"), limit);
    for text in [b"max 100000\n".as_slice(), b"", b"50000", b"50000 0", b"-1 100000"] {
        assert_eq!(Limit::parse(text), None, "{text:?}");
    }
    assert_eq!(Limit::of_v1(b"-1\n", b"100000\n"), None);
    let v2 = b"usage_usec 9\nuser_usec 1\nnr_periods 10\nnr_throttled 4\nthrottled_usec 25\nnr_bursts 0\n";
    let expected = CpuStat { periods: 10, throttled: 4, throttled_ns: 25_000 };
    assert_eq!(CpuStat::parse(v2), expected);
    assert_eq!(CpuStat::parse(b"nr_periods 10\nnr_throttled 4\nthrottled_time 25000\n"), expected);
    let text =
        b"some avg10=1.50 avg60=0.25 avg300=0.00 total=9\nfull avg10=9.00 avg60=9.00 avg300=0.00 total=9\n";
    assert_eq!(Pressure::parse(text), Pressure { some_avg10: 1.5, some_avg60: 0.25 });
    assert_eq!(Pressure::parse(b"full avg10=9.00"), Pressure::default());
}

/// Scenario: the mount tables of a hybrid machine and of one with version 2 alone, with a blank in a path.
/// Guarantees: the hierarchy with the processor controller is found, and version 2 beside it.
#[test]
fn hierarchies_are_found() {
    let hybrid = b"30 25 0:26 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
31 25 0:27 / /sys/fs/cgroup/cpu\\040acct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/unified rw,relatime shared:4 master:2 - cgroup2 cgroup2 rw
33 25 0:28 / /other rw,relatime - cgroup2 cgroup2 rw
broken
";
    let expected =
        Mounts { v1: Some("/sys/fs/cgroup/cpu acct".into()), v2: Some("/sys/fs/cgroup/unified".into()) };
    assert_eq!(Mounts::parse(hybrid), expected);
    let only = Mounts::parse(b"25 20 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
    assert_eq!(only, Mounts { v1: None, v2: Some("/sys/fs/cgroup".into()) });
    assert_eq!(Mounts::parse(b""), Mounts::default());
}

/// Scenario: a cgroup at three readings, one that is made between two of them, and one that gets its limit later.
/// Guarantees: increments add up to what the kernel counted since the first reading; only what can be told is told.
#[test]
fn increments_add_up() {
    let stat = |periods, throttled| CpuStat { periods, throttled, throttled_ns: throttled * 1000 };
    let mut sampler = Sampler::default();
    for inode in [1, 3] {
        sampler.see(inode);
    }
    sampler.note(1, stat(100, 10));
    assert!(!sampler.is_active(1, stat(100, 10)), "a first reading compares with nothing");
    sampler.end();

    for inode in [1, 2, 3] {
        sampler.see(inode);
        sampler.note(inode, stat(110, 15));
    }
    assert!(sampler.is_active(1, stat(110, 15)));
    let record = sampler.record(&cgroup(b"/a", 1, stat(110, 15))).to_vec();
    assert!(sampler.is_active(2, stat(110, 15)), "made since");
    assert!(!sampler.is_active(3, stat(110, 15)), "was there without a limit");
    sampler.end();
    for (name, value) in [
        ("nrPeriods", 10.0),
        ("nrThrottled", 5.0),
        ("throttledTime_raw", 5000.0),
        ("throttleRatio", 50.0),
        ("cpuQuota_raw", 50e6),
        ("cpuPeriod_raw", 100e6),
        ("cpuLimitCores", 0.5),
        ("psiSomeAvg10", 1.5),
        ("psiSomeAvg60", 0.25),
        ("mountnsid", 7.0),
    ] {
        assert!((number(&record, name) - value).abs() < 1e-9, "{name}");
    }
    assert_eq!(source().field("cgroupPath").unwrap().c_string(&record), Some(b"/a".as_slice()));
    assert_eq!(record.len(), source().record_size);

    assert!(!sampler.is_active(1, stat(110, 15)), "idle");
    assert!(sampler.is_active(3, stat(111, 15)));
    // Counters that go back began anew.
    let record = sampler.record(&cgroup(b"/a", 1, stat(3, 1)));
    assert!((number(record, "nrPeriods") - 3.0).abs() < 1e-9);
}

proptest! {
    /// Scenario: any bytes as any of the files, and paths of any length.
    /// Guarantees: reading never panics; a path too long keeps its end.
    #[test]
    fn hostile_texts(junk in proptest::collection::vec(any::<u8>(), 0..300), path in proptest::collection::vec(1_u8.., 0..1200)) {
        let _ = (CpuStat::parse(&junk), Limit::parse(&junk), Pressure::parse(&junk), Mounts::parse(&junk));
        let mut sampler = Sampler::default();
        let record = sampler.record(&cgroup(&path, 1, CpuStat::parse(&junk)));
        let shown = source().field("cgroupPath").unwrap().c_string(record).unwrap();
        prop_assert_eq!(shown, &path[path.len().saturating_sub(PATH)..]);
        prop_assert_eq!(record.len(), source().record_size);
    }
}
