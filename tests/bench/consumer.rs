//! The baseline for the cost of events: what one would write by hand for `trace_open` and nothing else.
//!
//! The same programs and the same ring buffer, drained every ten milliseconds by aya's reader into a hash map whose
//! key is the record's own struct members. No configuration, no layouts, no other format, no endpoint.

use std::{
    io::BufRead as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use aya::maps::{Map, MapData, PerCpuArray, RingBuf};
use hashbrown::HashMap;
use ig_image::{Arch, Reference, Store};
use ig_loader::{Loader, Object};

use crate::load::OPENER;

/// As the collector sizes the ring of this gadget.
const RING: u32 = 2 << 20;
const PAUSE: Duration = Duration::from_millis(10);

/// Members of the record: command, user, error.
const COMM: std::ops::Range<usize> = 8..24;
const UID: std::ops::Range<usize> = 40..44;
const ERROR: std::ops::Range<usize> = 72..76;

/// Loads the gadget from `store` and counts until killed; answers each line with `received own lost`.
pub(crate) fn main(store: &Path) {
    let reference = Reference::parse("trace_open").unwrap();
    let gadget = Store::open(store).unwrap().load_gadget(&reference, Arch::host()).unwrap();
    let object = Object::parse("trace_open", &gadget.ebpf.unwrap()).unwrap();
    let mut loader = Loader::new(&object);
    loader.set_max_entries("events", RING).unwrap();
    let loaded = loader.load().unwrap();
    let map = |name| {
        Map::from_map_data(MapData::from_fd(loaded.map(name).unwrap().try_clone().unwrap().into()).unwrap())
    };
    let mut ring = RingBuf::try_from(map("events").unwrap()).unwrap();
    let lost: PerCpuArray<_, u64> = PerCpuArray::try_from(map("events_lost_samples").unwrap()).unwrap();
    let links: Vec<_> =
        loaded.programs().iter().map(|program| loaded.attach(&program.name).unwrap()).collect();

    let (received, own) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (all, ours) = (Arc::clone(&received), Arc::clone(&own));
    thread::spawn(move || {
        let mut counts: HashMap<([u8; 16], u32, u32), u64, foldhash::fast::RandomState> = HashMap::default();
        let mut opener = [0; 16];
        opener[..OPENER.len()].copy_from_slice(OPENER.as_bytes());
        loop {
            let mut drained = 0;
            while let Some(record) = ring.next() {
                let word = |at: std::ops::Range<usize>| u32::from_ne_bytes(record[at].try_into().unwrap());
                let key = (record[COMM].try_into().unwrap(), word(UID), word(ERROR));
                *counts.entry(key).or_insert(0) += 1;
                drained += 1;
            }
            all.fetch_add(drained, Ordering::Relaxed);
            let mine = counts.iter().filter(|((comm, ..), _)| *comm == opener).map(|(_, count)| count).sum();
            ours.store(mine, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
    });
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        let lost: u64 = lost.get(&0, 0).unwrap().iter().sum();
        println!("{} {} {lost}", received.load(Ordering::Relaxed), own.load(Ordering::Relaxed));
    }
    drop(links);
}
