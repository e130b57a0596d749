//! The loader against the running kernel, with programs compiled here and now.
//!
//! Needs root, clang 19, bpftool and libbpf's headers; says so loudly where they are missing, because a skipped test of
//! a loader proves nothing.
#![cfg(test)]

mod choice;
mod compile;
mod core;
mod cut;
mod errors;
mod events;
mod hostile;
mod maps;
mod network;
mod pins;
mod user;

use ig_loader::{Loaded, Loader, Object};

/// Number of getpriority(2) on the machine at hand is fixed in the programs, so only this one is tested.
const _: () =
    assert!(cfg!(target_arch = "x86_64"), "the test programs know system calls of x86-64 by number");

/// Makes the system call that the programs wait for; `argument` is its second.
fn trigger(argument: i32) {
    let argument = rustix::process::Pid::from_raw(argument);
    // Fails for processes that do not exist, after the tracepoint was hit.
    let result = rustix::process::getpriority_process(argument);
    assert!(result.is_ok() || result == Err(rustix::io::Errno::SRCH));
}

/// Waits until a link that was dropped has ended: until `quiet`, which does what the program would see, says that it
/// saw nothing.
///
/// A child that another thread starts holds a copy of every descriptor until its exec, so that what was dropped here may
/// fire a little longer.
fn until_quiet(mut quiet: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !quiet() {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "the dropped link still fires");
    }
}

fn loader_for_self(object: &Object) -> Loader<'_> {
    let mut loader = Loader::new(object);
    // Of this test alone: others of this process make the same system calls at the same time.
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    loader.set_variable("wanted_thread", &thread.to_ne_bytes()).unwrap();
    loader
}

/// Reads a global variable from the running programs.
fn read_variable(object: &Object, loaded: &Loaded, name: &str) -> Vec<u8> {
    let variable = object.variable(name).unwrap();
    let map = loaded.map(&variable.section).unwrap();
    let mut value = vec![0; map.value_size() as usize];
    map.lookup(&[0; 4], &mut value).unwrap();
    value[variable.offset as usize..(variable.offset + variable.size) as usize].to_vec()
}

fn read_u64(object: &Object, loaded: &Loaded, name: &str) -> u64 {
    u64::from_ne_bytes(read_variable(object, loaded, name).try_into().unwrap())
}

pub(crate) fn object(name: &str) -> Object {
    Object::parse(name, &compile::compile(name)).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}
