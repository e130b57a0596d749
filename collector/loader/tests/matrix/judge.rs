//! One feature, loaded twice.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd};

use ig_kernel::map::Map;
use ig_kernel::sys::bpf::{self, ProgramType};
use ig_loader::{Loader, Object};
use libbpf_rs::{MapCore as _, ObjectBuilder};

use crate::features::Feature;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Both load it, with equal instructions and behaviour.
    Same,
    /// Neither loads it.
    Neither,
    OursOnly,
    LibbpfOnly,
    /// Both load it, but not as the same.
    Differs,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Neither => "neither",
            Self::OursOnly => "ours only",
            Self::LibbpfOnly => "libbpf only",
            Self::Differs => "differs",
        })
    }
}

pub(crate) struct Row {
    pub(crate) feature: String,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

/// What is compared of a loaded object.
#[derive(PartialEq, Eq, Debug, Default)]
struct Outcome {
    /// Tag and rewritten instructions by program.
    programs: BTreeMap<String, ([u8; 8], Vec<[u8; 8]>)>,
    /// What the programs that can be run once return and write.
    results: Vec<Result<u32, i32>>,
    written: Vec<u8>,
}

pub(crate) fn compare(feature: &Feature) -> Row {
    let row = |verdict, detail| Row { feature: feature.title.clone(), verdict, detail };
    match (ours(&feature.object), libbpf(&feature.object)) {
        (Ok(ours), Ok(libbpf)) if ours == libbpf => row(Verdict::Same, String::new()),
        (Ok(ours), Ok(libbpf)) => row(Verdict::Differs, format!("ours {ours:?}\nlibbpf {libbpf:?}")),
        (Ok(_), Err(error)) => row(Verdict::OursOnly, error),
        (Err(error), Ok(_)) => row(Verdict::LibbpfOnly, error),
        (Err(error), Err(_)) => row(Verdict::Neither, error),
    }
}

fn ours(bytes: &[u8]) -> Result<Outcome, String> {
    let object = Object::parse("feature", bytes).map_err(|error| format!("{error:?}"))?;
    let mut loader = Loader::new(&object);
    // libbpf leaves them to its caller.
    for program in object.programs().iter().filter(|program| program.optional) {
        loader.skip(&program.name).unwrap();
    }
    let loaded = loader.load().map_err(|error| format!("{error:?}"))?;
    let mut outcome = Outcome::default();
    for program in loaded.programs() {
        outcome.examine(&program.name, program.fd.as_fd());
    }
    if let Some(map) = loaded.map(".bss") {
        outcome.written = value(map);
    }
    Ok(outcome)
}

fn libbpf(bytes: &[u8]) -> Result<Outcome, String> {
    let text = |error: libbpf_rs::Error| format!("{error:?}");
    let open = ObjectBuilder::default().name("feature").map_err(text)?.open_memory(bytes).map_err(text)?;
    let loaded = open.load().map_err(text)?;
    let mut outcome = Outcome::default();
    for program in loaded.progs().filter(libbpf_rs::ProgramImpl::autoload) {
        outcome.examine(&program.name().to_string_lossy(), program.as_fd());
    }
    if let Some(map) = loaded.maps().find(|map| map.name().to_string_lossy().ends_with(".bss")) {
        outcome.written = value(&Map::from_fd(map.as_fd().try_clone_to_owned().unwrap()).unwrap());
    }
    Ok(outcome)
}

impl Outcome {
    fn examine(&mut self, name: &str, fd: BorrowedFd<'_>) {
        let info = bpf::prog_info(fd).unwrap();
        self.programs.insert(name.to_owned(), (info.tag, instructions(fd)));
        let context: [[u8; 8]; 12] = [7u64.to_ne_bytes(); 12];
        let result = match info.prog_type {
            ProgramType::RAW_TRACEPOINT => bpf::prog_test_run(fd, &[], context.as_flattened()),
            ProgramType::SOCKET_FILTER | ProgramType::SCHED_CLS => bpf::prog_test_run(fd, &[5; 64], &[]),
            _ => return,
        };
        self.results.push(result.map_err(|error| error.raw_os_error().unwrap_or_default()));
    }
}

/// The rewritten instructions without ids of maps and addresses that the verifier put in: they differ from load to load.
fn instructions(fd: BorrowedFd<'_>) -> Vec<[u8; 8]> {
    const WIDE_LOAD: u8 = 0x18;
    let mut insns = bpf::prog_instructions(fd).unwrap().as_chunks::<8>().0.to_vec();
    for at in 0..insns.len() {
        let [code, registers, ..] = insns[at];
        let in_kernel = |second: &[u8; 8]| second[7] & 0x80 != 0;
        // One and two in the source register: a map, an address within a map's value.
        if code == WIDE_LOAD && (matches!(registers >> 4, 1 | 2) || insns.get(at + 1).is_some_and(in_kernel))
        {
            insns[at][4..].fill(0);
            if matches!(registers >> 4, 0) {
                insns[at + 1][4..].fill(0);
            }
        }
    }
    insns
}

fn value(map: &Map) -> Vec<u8> {
    let mut value = vec![0; map.value_size() as usize];
    map.lookup(&[0; 4], &mut value).unwrap();
    value
}
