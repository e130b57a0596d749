//! Maps of all forms, and what programs take from the kernel by name.

use std::os::fd::AsFd as _;

use ig_kernel::map::possible_cpus;
use ig_kernel::release::KernelRelease;
use ig_kernel::sys::bpf;
use ig_loader::{ErrorKind, LoadError, Loader, MapKind, ProgramKind};

use crate::{loader_for_self, object, read_u64, trigger};

/// Guarantees: maps within maps, program arrays with contents, weak and strong symbols, configuration values, kernel
/// functions, callbacks and tail calls work together.
#[test]
fn odd_maps_and_symbols_work() {
    let object = object("maps");
    let loaded = loader_for_self(&object).load().unwrap_or_else(|error| panic!("{error:?}"));
    let first = loaded.map("first").unwrap();
    bpf::map_update(first.fd.as_fd(), &0u32.to_ne_bytes(), &99u64.to_ne_bytes(), 0).unwrap();
    let link = loaded.attach("entry").unwrap();
    trigger(1);
    drop(link);

    let read = |name| read_u64(&object, &loaded, name);
    assert_eq!(read("version"), u64::from(KernelRelease::running().code()));
    assert_eq!(read("from_inner"), 99);
    assert_eq!(read("tailed"), 1);
    assert_eq!(read("no_address"), 2);
    assert!(read("address") > 0xffff_0000_0000_0000);
    let percpu = loaded.map("percpu").unwrap();
    let mut values = vec![0; 8 * possible_cpus().unwrap() as usize];
    bpf::map_lookup(percpu.fd.as_fd(), &[0; 4], &mut values).unwrap();
    let sum: u64 = values.chunks_exact(8).map(|value| u64::from_ne_bytes(value.try_into().unwrap())).sum();
    assert_eq!(sum, 6);
    assert_eq!(loaded.map("perf").unwrap().max_entries, possible_cpus().unwrap());
    assert_eq!(loaded.map("perf_of").unwrap().kind, MapKind::HASH_OF_MAPS);
    assert!(loaded.program("optional").is_none());
    assert_eq!(loaded.program("packets").unwrap().kind, ProgramKind::SocketFilter);
}

/// Guarantees: hooks that are not there are named, and kinds that cannot be attached say so.
#[test]
fn missing_hooks_are_named() {
    let object = object("maps");
    let mut loader = loader_for_self(&object);
    loader.disable("tail").unwrap();
    let loaded = loader.load().unwrap();
    for (program, part, kind) in [
        ("nowhere", "tracepoint `syscalls:sys_enter_nothing`", ErrorKind::NotFound),
        ("nowhere_raw", "raw tracepoint `no_such_tracepoint`", ErrorKind::NotFound),
        ("user", "no_such_function_here", ErrorKind::NotFound),
        ("traffic", "classifier/ingress/main", ErrorKind::InvalidInput),
        ("sample", "frequency", ErrorKind::InvalidInput),
        ("tail", "disabled", ErrorKind::InvalidInput),
        ("absent", "no program", ErrorKind::NotFound),
    ] {
        let error = loaded.attach(program).unwrap_err();
        assert!(error.to_string().contains(part), "{program}: {error}");
        assert_eq!(error.kind(), kind, "{program}");
    }
    match loaded.attach("probe") {
        Ok(link) => assert_eq!(link.event_count(), 1),
        Err(error) => {
            let needs = ErrorKind::UnsupportedKernel { needs: "CONFIG_KPROBE_EVENTS".to_owned() };
            assert_eq!(error.kind(), needs, "{error}");
        }
    }
}

/// Guarantees: a sampler hangs on each CPU that is online.
#[test]
fn samplers_attach_to_each_cpu() {
    let object = object("maps");
    let loaded = loader_for_self(&object).load().unwrap();
    let options = ig_loader::AttachOptions { sample_frequency: Some(49), ..Default::default() };
    let link = loaded.attach_with("sample", &options).unwrap();
    assert_eq!(link.event_count(), ig_kernel::map::online_cpus().len());
}

/// Guarantees: a map from outside is used when it fits and refused with the difference when it does not.
#[test]
fn maps_from_outside_are_compared() {
    let object = object("events");
    let spec = bpf::MapCreate {
        name: "counts",
        map_type: MapKind::HASH.0,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..Default::default()
    };
    let map = bpf::map_create(&spec).unwrap();
    let id = bpf::map_info(map.as_fd()).unwrap().id;
    let mut loader = Loader::new(&object);
    loader.use_map("counts", map).unwrap();
    let loaded = loader.load().unwrap();
    assert_eq!(bpf::map_info(loaded.map("counts").unwrap().as_fd()).unwrap().id, id);

    let other = bpf::map_create(&bpf::MapCreate { value_size: 4, ..spec }).unwrap();
    let mut loader = Loader::new(&object);
    loader.use_map("counts", other).unwrap();
    let error = loader.load().unwrap_err();
    assert!(matches!(error, LoadError::IncompatibleMap { .. }));
    assert_eq!(error.to_string(), "the map given for `counts` does not fit: its value size is 4, not 8");
}

/// Guarantees: variables keep their size and unknown ones are refused by name.
#[test]
fn variables_are_checked() {
    let object = object("events");
    let mut loader = Loader::new(&object);
    let error = loader.set_variable("no_such", &[0]).unwrap_err();
    assert_eq!(error.to_string(), "the object has no variable `no_such`");
    let error = loader.set_variable("wanted_pid", &[0; 8]).unwrap_err();
    assert_eq!(error.to_string(), "variable `wanted_pid` has 4 bytes, not 8");
    assert_eq!(*loader.variable("addend").unwrap(), 40u32.to_ne_bytes());
    assert_eq!(object.initial_value(object.variable("text").unwrap()), b"unset\0\0\0");
    assert!(object.variable("wanted_pid").unwrap().read_only);
    assert!(!object.variable("calls").unwrap().global);
}
