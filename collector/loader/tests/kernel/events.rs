//! Events, counters and iterators, from the hook to the bytes in user space.

use std::io::Read as _;
use std::os::fd::AsFd as _;

use aya::maps::{Map as AyaMap, MapData, RingBuf};
use ig_kernel::map::{BatchBuffers, BatchMode, BatchWalk, DEFAULT_BATCH};

use crate::{loader_for_self, object, read_u64, trigger, until_quiet};

/// Scenario: the process makes a system call that a tracepoint, a raw tracepoint and a BTF tracepoint watch.
/// Guarantees: argument (through a flexible array), variables set before load, results of static and global
/// sub-programs and counters arrive; aya's ring buffer works on our descriptor.
#[test]
fn events_reach_a_ring_buffer_and_maps() {
    let object = object("events");
    let mut loader = loader_for_self(&object);
    loader.set_variable("text", b"changed\0").unwrap();
    loader.set_max_entries("counts", 1000).unwrap();
    let loaded = loader.load().unwrap_or_else(|error| panic!("{error:?}"));
    let links: Vec<_> =
        ["on_getpriority", "on_raw", "on_btf"].map(|name| loaded.attach(name).unwrap()).into();

    for _ in 0..3 {
        trigger(4242);
    }
    for argument in 1_000_000..1_000_010 {
        trigger(argument);
    }

    let fd = loaded.map("events").unwrap().as_fd().try_clone_to_owned().unwrap();
    let mut ring = RingBuf::try_from(AyaMap::RingBuf(MapData::from_fd(fd).unwrap())).unwrap();
    let mut arguments = Vec::new();
    while let Some(record) = ring.next() {
        assert_eq!(record.len(), 32);
        arguments.push(u64::from_ne_bytes(record[..8].try_into().unwrap()));
        assert_eq!(record[8..12], std::process::id().to_ne_bytes());
        assert_eq!(record[12..16], 42u32.to_ne_bytes());
        assert_eq!(&record[16..24], b"changed\0");
    }
    assert_eq!(&arguments[..4], [4242, 4242, 4242, 1_000_000]);
    assert_eq!(arguments.len(), 13);
    assert_eq!(read_u64(&object, &loaded, "seen_raw"), 13);
    assert_eq!(read_u64(&object, &loaded, "seen_btf"), 13);

    let mut buffers = BatchBuffers::default();
    let mut walk =
        BatchWalk::new(loaded.map("counts").unwrap(), BatchMode::Read, DEFAULT_BATCH, &mut buffers).unwrap();
    let mut counts = Vec::new();
    while let Some(entries) = walk.next_batch().unwrap() {
        let entries = entries.iter().map(|(key, value)| {
            (u32::from_ne_bytes(key.try_into().unwrap()), u64::from_ne_bytes(value.try_into().unwrap()))
        });
        counts.extend(entries);
    }
    counts.sort_unstable();
    assert_eq!(counts.len(), 11);
    assert_eq!(counts[0], (4242, 3));

    drop(links);
    until_quiet(|| {
        trigger(4242);
        let mut quiet = true;
        while ring.next().is_some() {
            quiet = false;
        }
        quiet
    });
}

/// Guarantees: what the variable `<map>_max_entries` says is what the kernel gets, and a call overrides it.
#[test]
fn entries_follow_their_variable() {
    let object = object("events");
    let loaded = loader_for_self(&object).load().unwrap();
    let entries = |loaded: &ig_loader::Loaded| loaded.map("sized").unwrap().max_entries();
    assert_eq!(entries(&loaded), 77);
    let mut loader = loader_for_self(&object);
    loader.set_variable("sized_max_entries", &5u32.to_ne_bytes()).unwrap();
    assert_eq!(entries(&loader.load().unwrap()), 5);
}

/// Guarantees: an iterator over tasks finds this process and its parent, again on each walk.
#[test]
fn tasks_are_walked() {
    let object = object("iterator");
    let loaded = ig_loader::Loader::new(&object).load().unwrap();
    let link = loaded.attach("each_task").unwrap();
    for _ in 0..2 {
        let mut bytes = Vec::new();
        link.iter_reader().unwrap().read_to_end(&mut bytes).unwrap();
        let own = bytes.chunks_exact(24).find(|record| record[..4] == std::process::id().to_ne_bytes());
        assert_eq!(own.unwrap()[4..8], std::os::unix::process::parent_id().to_ne_bytes());
    }
}

/// Guarantees: an iterator over map elements walks the map it was given, and refuses to go without one.
#[test]
fn map_elements_are_walked() {
    let object = object("iterator");
    let loaded = ig_loader::Loader::new(&object).load().unwrap();
    let map = loaded.map("numbers").unwrap();
    for number in 1u32..=3 {
        map.update(&number.to_ne_bytes(), &(number * 10).to_ne_bytes()).unwrap();
    }
    let error = loaded.attach("each_number").unwrap_err();
    assert!(error.to_string().contains("needs the map"), "{error}");
    let options = ig_loader::AttachOptions { iter_map: Some("numbers"), ..Default::default() };
    let link = loaded.attach_with("each_number", &options).unwrap();
    let mut bytes = Vec::new();
    link.iter_reader().unwrap().read_to_end(&mut bytes).unwrap();
    let mut numbers: Vec<_> =
        bytes.chunks_exact(4).map(|number| u32::from_ne_bytes(number.try_into().unwrap())).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [10, 20, 30]);
}
