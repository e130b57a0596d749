//! Maps of all forms, and what programs take from the kernel by name.

use std::sync::Arc;

use ig_kernel::btf::Btf;
use ig_kernel::map::{Map, MapCreate, MapFlags, possible_cpus};
use ig_kernel::release::KernelRelease;
use ig_loader::{ErrorKind, LoadError, Loader, MapType, ProgramKind};

use crate::{loader_for_self, object, read_u64, read_variable, trigger};

/// Guarantees: maps within maps, program arrays with contents, weak and strong symbols, configuration values, kernel
/// functions, callbacks and tail calls work together.
#[test]
fn odd_maps_and_symbols_work() {
    let object = object("maps");
    let loaded = loader_for_self(&object).load().unwrap_or_else(|error| panic!("{error:?}"));
    let first = loaded.map("first").unwrap();
    first.update(&0u32.to_ne_bytes(), &99u64.to_ne_bytes()).unwrap();
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
    percpu.lookup(&[0; 4], &mut values).unwrap();
    let sum: u64 = values.chunks_exact(8).map(|value| u64::from_ne_bytes(value.try_into().unwrap())).sum();
    assert_eq!(sum, 6);
    assert_eq!(loaded.map("perf").unwrap().max_entries(), possible_cpus().unwrap());
    assert_eq!(loaded.map("perf_of").unwrap().kind(), MapType::HASH_OF_MAPS);
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

/// Scenario: a sampler is attached at a rate the kernel allows, then at one that no kernel does.
/// Guarantees: it hangs on each CPU that is online, and on those that come, anew; the second is refused with the name of the limit.
#[test]
fn samplers_attach_to_each_cpu() {
    let object = object("maps");
    let loaded = loader_for_self(&object).load().unwrap();
    let options = ig_loader::AttachOptions { sample_frequency: Some(49), ..Default::default() };
    let link = loaded.attach_with("sample", &options).unwrap();
    let online = ig_kernel::map::online_cpus();
    assert_eq!(link.event_count(), online.len());

    let followed = link.follow_cpus(&online[..1], false).unwrap();
    assert_eq!((followed.left.len(), link.event_count()), (online.len() - 1, 1));
    let followed = link.follow_cpus(&online, false).unwrap();
    assert_eq!((followed.came.as_slice(), link.event_count()), (&online[1..], online.len()));
    let followed = link.follow_cpus(&online, true).unwrap();
    assert_eq!((followed.left.len(), followed.came), (online.len(), online.clone()));
    // No machine has it.
    let followed = link.follow_cpus(&[online[0], 60_000], false).unwrap();
    assert_eq!(followed.uncovered, [60_000]);

    let options = ig_loader::AttachOptions { sample_frequency: Some(1 << 40), ..Default::default() };
    let error = loaded.attach_with("sample", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("perf_event_max_sample_rate"), "{error}");
}

/// Guarantees: a map from outside is used when it fits and refused with the difference when it does not.
#[test]
fn maps_from_outside_are_compared() {
    let object = object("events");
    let spec = MapCreate {
        name: "counts",
        kind: MapType::HASH,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..Default::default()
    };
    let map = Map::create(&spec).unwrap();
    let id = map.id();
    let mut loader = Loader::new(&object);
    loader.use_map("counts", map).unwrap();
    let loaded = loader.load().unwrap();
    assert_eq!(loaded.map("counts").unwrap().id(), id);

    let other = Map::create(&MapCreate { value_size: 4, ..spec }).unwrap();
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
    let error = loader.set_variable("wanted_thread", &[0; 8]).unwrap_err();
    assert_eq!(error.to_string(), "variable `wanted_thread` has 4 bytes, not 8");
    assert_eq!(*loader.variable("addend").unwrap(), 40u32.to_ne_bytes());
    assert_eq!(object.initial_value(object.variable("text").unwrap()), b"unset\0\0\0");
    assert!(object.variable("wanted_thread").unwrap().read_only);
    assert!(!object.variable("calls").unwrap().global);
}

/// The types of `struct value` as it is laid out at run time: eight bytes, then two texts of sixteen.
fn layout() -> Btf {
    let strings = b"\0long\0char\0value\0fixed\0first\0second\0";
    let (int, array, composite) = (1 << 24, 3 << 24, 4 << 24);
    #[rustfmt::skip]
    let types: [u32; 26] = [
        1, int, 8, 64,
        6, int, 1, 8,
        0, array, 0, 2, 1, 16,
        11, composite | 3, 40,
        17, 1, 0,
        23, 3, 8 * 8,
        29, 3, 24 * 8,
    ];
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    let len = u32::try_from(types.len() * 4).unwrap();
    for word in [24, 0, len, len, u32::try_from(strings.len()).unwrap()].iter().chain(&types) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(strings);
    Btf::parse(Arc::<[u8]>::from(bytes), None).unwrap()
}

/// Scenario: the values of a map are laid out at run time: its size and flags are set, and the layout is given as types.
/// Guarantees: the kernel's map is of that size and has the flags, and the program finds the last field where the layout
/// has it.
#[test]
fn values_laid_out_at_run_time_are_read() {
    const NO_PREALLOCATION: MapFlags = MapFlags(1);
    let object = object("sized");
    let mut loader = loader_for_self(&object);
    loader.set_value_size("values", 40).unwrap();
    loader.set_map_flags("values", NO_PREALLOCATION).unwrap();
    loader.set_map_flags("declared", MapFlags::default()).unwrap();
    loader.add_btf(Arc::new(layout()));
    let loaded = loader.load().unwrap_or_else(|error| panic!("{error:?}"));
    let values = loaded.map("values").unwrap();
    assert_eq!((values.value_size(), values.flags()), (40, NO_PREALLOCATION));
    assert_eq!(loaded.map("declared").unwrap().flags(), MapFlags::default());

    let mut value = [0; 40];
    value[24..32].copy_from_slice(b"exepath\0");
    values.update(&7u32.to_ne_bytes(), &value).unwrap();
    let link = loaded.attach("reads").unwrap();
    trigger(1);
    drop(link);
    assert_eq!(read_variable(&object, &loaded, "found"), b"exepath\0");
}

/// Scenario: a map of the size and flags that were set is given from outside, then one of other flags.
/// Guarantees: the first is taken, the second refused with the difference.
#[test]
fn maps_from_outside_are_compared_with_what_was_set() {
    let object = object("sized");
    let spec = MapCreate {
        name: "values",
        kind: MapType::HASH,
        key_size: 4,
        value_size: 40,
        max_entries: 8,
        flags: MapFlags(1),
        ..Default::default()
    };
    let load = |spec: &MapCreate<'_>| {
        let mut loader = loader_for_self(&object);
        loader.set_value_size("values", 40).unwrap();
        loader.set_map_flags("values", MapFlags(1)).unwrap();
        loader.use_map("values", Map::create(spec).unwrap()).unwrap();
        loader.add_btf(Arc::new(layout()));
        loader.load()
    };
    assert_eq!(load(&spec).unwrap().map("values").unwrap().value_size(), 40);
    let error = load(&MapCreate { flags: MapFlags(0), ..spec }).unwrap_err();
    assert_eq!(error.to_string(), "the map given for `values` does not fit: its set of flags is 0, not 1");
}

/// Scenario: flags the kernel does not have, and flags or a size for the object's variables.
/// Guarantees: both are refused with the map's name.
#[test]
fn impossible_sizes_and_flags_are_refused() {
    let object = object("events");
    let mut loader = Loader::new(&object);
    for error in [
        loader.set_map_flags(".rodata", MapFlags::default()).unwrap_err(),
        loader.set_value_size(".bss", 8).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("holds variables of the object"), "{error}");
    }
    let mut loader = Loader::new(&object);
    loader.set_map_flags("counts", MapFlags(1 << 31)).unwrap();
    let error = loader.load().unwrap_err();
    assert_eq!(error.to_string(), "failed to create map `counts`");
}
