use proptest::prelude::*;

use super::*;
use crate::{FormatContext, Value, ValueScratch, format::Accounts};

const STAT: &[u8] = b"4242 (a) R (b\n c) S 17 4242 4242 0 -1 4194560 1 2 3 4 120 30 5 6 20 -5 3 0 900 8192000 250 18446744073709551615 1 1 0\n";

fn scale(elapsed: Option<Duration>) -> Scale {
    Scale { ticks_per_second: 100, page_size: 4096, cpus: 4, memory: 10_240_000, elapsed }
}

fn process(stat: Stat<'_>) -> Process<'_> {
    Process { pid: 4242, stat, status: Status { uid: 7, shared_bytes: 4096 }, mount_namespace: 4_026_531_841 }
}

fn columns(shown: &Shown) -> Columns {
    let source = source(shown);
    let accounts = Arc::new(Accounts::in_root(std::path::Path::new("/nonexistent")));
    let clock = BootClock::with_offset(1_767_319_445_000_000_000);
    let mut columns = Columns::plan(&source, &FormatContext { clock, accounts });
    let mut host = Host::of([]);
    (host.clock, host.ticks_per_second) = (clock, 100);
    complete(&source, &host, &mut columns).unwrap();
    columns
}

fn shown(columns: &Columns, record: &[u8], name: &str) -> String {
    let mut scratch = ValueScratch::default();
    match columns.find(name).unwrap().value(record, &mut scratch) {
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Float(number) => format!("{number:.1}"),
        other => panic!("{other:?}"),
    }
}

/// Scenario: a process with blanks, parentheses and a line break in its name, at two readings two seconds apart.
/// Guarantees: every field of the record is what the texts say, under its name; usage is of the time between.
#[test]
fn every_field_is_in_its_place() {
    let stat = Stat::parse(STAT).unwrap();
    let mut sampler = Sampler::default();
    sampler.record(&process(stat), &scale(None));
    sampler.end();
    let later = Stat { cpu_ticks: 250, ..stat };
    let record = sampler.record(&process(later), &scale(Some(Duration::from_secs(2)))).to_vec();
    let columns = columns(&Shown::default());
    let expected = [
        ("pid", "4242"),
        ("ppid", "17"),
        ("comm", "a) R (b\n c"),
        ("priority", "20"),
        ("nice", "-5"),
        ("cpuUsage", "50.0"),
        ("cpuUsageRelative", "12.5"),
        ("memoryRSS_raw", "1024000"),
        ("memoryRSS", "1.0 MB"),
        ("memoryVirtual_raw", "8192000"),
        ("memoryShared", "4.1 kB"),
        ("memoryRelative", "10.0"),
        ("threadCount", "3"),
        ("state", "S"),
        ("uid", "7"),
        ("startTime", "900"),
        ("startTimeStr", "2026-01-02T02:04:14Z"),
        ("cpuTime", "250"),
        ("cpuTimeStr", "0:02.500"),
        ("mountnsid", "4026531841"),
    ];
    for (name, value) in expected {
        assert_eq!(shown(&columns, &record, name), value, "{name}");
    }
    assert_eq!(columns.iter().count(), 22);
    assert_eq!(source(&Shown::default()).record_size, record.len());
}

/// Scenario: a number that is used again by another process, and a process that begins between two readings.
/// Guarantees: neither is compared with what another process used; what a new one used was used since.
#[test]
fn a_reused_number_is_another_process() {
    let stat = Stat::parse(STAT).unwrap();
    let mut sampler = Sampler::default();
    sampler.record(&process(Stat { cpu_ticks: 1_000_000, ..stat }), &scale(None));
    sampler.end();
    let columns = columns(&Shown::default());
    let other = Stat { cpu_ticks: 50, start_ticks: 901, ..stat };
    let record = sampler.record(&process(other), &scale(Some(Duration::from_secs(1))));
    assert_eq!(shown(&columns, record, "cpuUsage"), "50.0");
    sampler.end();
    let back = Stat { cpu_ticks: 40, ..other };
    let record = sampler.record(&process(back), &scale(Some(Duration::ZERO)));
    assert_eq!(shown(&columns, record, "cpuUsage"), "0.0");
}

/// Scenario: lists of fields, with the words of the reference, and one that is mistyped.
/// Guarantees: those named and the two that are always there are shown; what nobody shows is not read.
#[test]
fn fields_are_chosen() {
    let listed = ["comm", "memoryRSS", "startTimeStr", "cpuUsge"].map(str::to_owned);
    let (few, unknown) = Shown::parse(&listed);
    assert_eq!(
        unknown,
        ["operator.process.fields: processes have no field `cpuUsge`; did you mean `cpuUsage`?"]
    );
    let columns = columns(&few);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        names,
        ["pid", "comm", "memoryRSS_raw", "startTime", "mountnsid", "memoryRSS", "startTimeStr"]
    );
    assert!(!few.needs_status());
    assert!(Shown::default().needs_status() && Shown::parse(&["uid".to_owned()]).0.needs_status());
    let all = source(&Shown::default());
    assert_eq!(source(&few).field("mountnsid").unwrap().offset, all.field("mountnsid").unwrap().offset);
}

/// Scenario: texts of /proc as kernels write them.
/// Guarantees: what is there is read; what is missing is 0.
#[test]
fn texts_of_proc() {
    let status = b"Name:\tx\\nUid: 9\nUid:\t1000\t0\t0\t0\nRssFile:\t    12 kB\nRssShmem:\t3 kB\n";
    assert_eq!(Status::parse(status), Status { uid: 1000, shared_bytes: 15 * 1024 });
    assert_eq!(Status::parse(b""), Status::default());
    assert_eq!(total_memory(b"MemTotal:       24626180 kB\nMemFree: 1 kB\n"), Some(24_626_180 * 1024));
    assert_eq!(total_memory(b"MemFree: 1 kB\n"), None);
    assert_eq!(namespace_inode(b"mnt:[4026531841]"), 4_026_531_841);
    assert_eq!(namespace_inode(b""), 0);
    let thread = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0";
    assert!(Stat::parse(thread).unwrap().is_kernel_thread);
    assert_eq!(Stat::parse(b"2 (kthreadd) S 0 0"), None);
}

proptest! {
    /// Scenario: any bytes as the text of a process, and any name in a whole one.
    /// Guarantees: reading never panics; the name comes back, and the numbers behind it do not move.
    #[test]
    fn hostile_texts(junk in proptest::collection::vec(any::<u8>(), 0..300), name in proptest::collection::vec(1_u8.., 0..70)) {
        let _ = Stat::parse(&junk);
        let _ = Status::parse(&junk);
        let _ = (total_memory(&junk), namespace_inode(&junk));
        let text = [b"1 (".as_slice(), &name, b") R 17 1 1 0 -1 4194560 1 2 3 4 120 30 5 6 20 0 3 0 900 1 2"].concat();
        let stat = Stat::parse(&text).unwrap();
        prop_assert_eq!(stat.comm, name.as_slice());
        prop_assert_eq!((stat.ppid, stat.cpu_ticks, stat.resident_pages), (17, 150, 2));
        let mut sampler = Sampler::default();
        prop_assert_eq!(sampler.record(&process(stat), &scale(None)).len(), source(&Shown::default()).record_size);
    }
}
