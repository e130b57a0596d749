//! What becomes of one object and each of its programs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ig_kernel::sys::bpf;
use ig_loader::core_relo::Relocator;
use ig_loader::{ErrorKind, LoadError, Loaded, Loader, MapSpec, Object, ProgramSpec};
use ig_model::{Hint as _, chain};

use super::Target;
use super::hooks::{self, Hook};

/// Objects are a few hundred KiB; the parser's own limit is the same.
const MAX_FILE: u64 = 64 << 20;
const NO_LOAD_HINT: &str = "needs root, or CAP_BPF with CAP_PERFMON (and CAP_NET_ADMIN for network programs); --no-load opens and relocates without";

/// The map of the sockets' owners and the type of its values, which collectors lay out when they load a gadget.
const SOCKETS: &str = "gadget_sockets";
const SOCKET_OWNER: &str = "gadget_socket_value";

/// How far an object came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Read,
    Open,
    Relocate,
    Load,
}

/// Why something failed.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    /// The verifier's log, whole.
    pub(crate) log: Option<String>,
}

/// The verdict on a program.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The verifier let it pass.
    Loaded(Statistics),
    /// It was opened and relocated; loading was not asked for.
    Relocated,
    /// It was refused.
    Failed(Fault),
    /// It is optional and was left out; the text says why.
    Skipped(String),
    /// A fault of the object as a whole came first.
    NotReached,
}

/// What the kernel tells about a loaded program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// Instructions the verifier looked at, on all paths; kernels before 5.16 do not say.
    pub(crate) verified_insns: Option<u64>,
    /// Bytes after the verifier rewrote them.
    pub(crate) translated_bytes: u32,
    /// Bytes of machine code.
    pub(crate) jited_bytes: u32,
    /// Maps in use.
    pub(crate) maps: u32,
    /// The kernel's hash of the program.
    pub(crate) tag: String,
}

/// One program.
#[derive(Clone, Debug)]
pub(crate) struct ProgramReport {
    pub(crate) spec: ProgramSpec,
    pub(crate) hook: Hook,
    pub(crate) verdict: Verdict,
}

/// One object.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) file: PathBuf,
    pub(crate) stage: Stage,
    /// What stopped the object as a whole.
    pub(crate) fault: Option<Fault>,
    pub(crate) maps: Vec<MapSpec>,
    pub(crate) sections: Vec<String>,
    pub(crate) programs: Vec<ProgramReport>,
}

impl Report {
    /// Whether the object and all its programs are fine, those left aside that may be missing.
    pub(crate) fn passed(&self) -> bool {
        let refused = |program: &ProgramReport| matches!(program.verdict, Verdict::Failed(_));
        self.fault.is_none() && !self.programs.iter().any(refused)
    }
}

impl Fault {
    fn new(error: &(dyn std::error::Error + 'static), hint: Option<Cow<'_, str>>) -> Self {
        Self { reason: chain(error), hint: hint.map(Cow::into_owned), log: None }
    }

    fn load(error: &LoadError) -> Self {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => Some(NO_LOAD_HINT.into()),
            _ => error.hint(),
        };
        let mut fault = Self::new(error, hint);
        fault.log = error.verifier_log().map(str::to_owned);
        if fault.log.is_some() {
            // The summary says it; the error number behind it says nothing more.
            fault.reason = error.to_string();
        }
        fault
    }
}

/// Opens, relocates and, if asked to, loads.
pub(crate) fn check(file: &Path, target: &Target, load: bool) -> Report {
    let mut report = Report {
        file: file.to_owned(),
        stage: Stage::Read,
        fault: None,
        maps: Vec::new(),
        sections: Vec::new(),
        programs: Vec::new(),
    };
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.fault = Some(Fault::new(&error, None));
            return report;
        }
    };
    report.stage = Stage::Open;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // As gadgets are named: the stem, without what compilers and people put behind it.
    let name = name.split('.').next().unwrap_or_default();
    let object = match Object::parse(name, &bytes) {
        Ok(object) => object,
        Err(error) => {
            report.fault = Some(Fault::new(&error, error.hint()));
            return report;
        }
    };
    report.stage = Stage::Relocate;
    report.maps = object.maps().to_vec();
    report.sections = sections(&object);
    let mut answers = hooks::Answers::new(target, object.programs());
    report.programs = object
        .programs()
        .iter()
        .map(|spec| ProgramReport {
            spec: spec.clone(),
            hook: answers.hook(spec),
            verdict: Verdict::Relocated,
        })
        .collect();
    if !relocate(&object, target, &mut report) || !load {
        return report;
    }
    report.stage = Stage::Load;
    let pins = Pins::before(&object);
    load_all(&object, target, &mut report);
    pins.restore();
    report
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a larger file, which the parser refuses by its size.
    File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Sections that hold programs and data, in the object's order.
fn sections(object: &Object) -> Vec<String> {
    let programs = object.programs().iter().map(|program| &program.section);
    let data = object.maps().iter().map(|map| &map.name).filter(|name| name.starts_with('.'));
    let mut names: Vec<String> = Vec::new();
    for name in programs.chain(data) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Whether all relocations could be carried out; notes those that could not.
fn relocate(object: &Object, target: &Target, report: &mut Report) -> bool {
    let mut relocator = Relocator::new(object.btf(), vec![&target.btf]);
    let failures = object.check_relocations(&mut relocator);
    let mut rest = Vec::new();
    for (function, error) in &failures {
        let program = report.programs.iter_mut().find(|program| program.spec.name == *function);
        match program {
            Some(program) if matches!(program.verdict, Verdict::Relocated) => {
                program.verdict = Verdict::Failed(Fault::new(error, None));
            }
            Some(_) => {}
            None => rest.push(format!("`{function}`: {}", chain(error))),
        }
    }
    if !rest.is_empty() {
        report.fault = Some(Fault { reason: rest.join("; "), hint: None, log: None });
    }
    failures.is_empty()
}

/// Loads every program, whatever becomes of the others.
fn load_all(object: &Object, target: &Target, report: &mut Report) {
    let mut loader = Loader::new(object);
    loader.set_kernel_btf(Arc::clone(&target.btf));
    if object.map(SOCKETS).is_some() && loader.set_max_entries(SOCKETS, 1).is_ok() {
        loader.use_own_type(SOCKET_OWNER);
    }
    let (loaded, refused) = match loader.load_each() {
        Ok(verdicts) => verdicts,
        Err(error) => {
            report.fault = Some(Fault::load(&error));
            for program in &mut report.programs {
                program.verdict = Verdict::NotReached;
            }
            return;
        }
    };
    for program in &mut report.programs {
        let name = &program.spec.name;
        let refused = refused.iter().find(|refused| refused.program == *name);
        let skipped = loaded.skipped().iter().find(|skipped| skipped.program == *name);
        program.verdict = match (refused, skipped) {
            (Some(refused), _) => Verdict::Failed(Fault::load(&refused.error)),
            (None, Some(skipped)) => Verdict::Skipped(skipped.reason.to_string()),
            (None, None) => judged(&loaded, name),
        };
    }
}

fn judged(loaded: &Loaded, name: &str) -> Verdict {
    let Some(program) = loaded.program(name) else { return Verdict::NotReached };
    let fd = program.fd.as_fd();
    let info = bpf::prog_info(fd).unwrap_or_default();
    let described = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap_or_default();
    let described: HashMap<&str, &str> =
        described.lines().filter_map(|line| line.split_once(":\t")).collect();
    Verdict::Loaded(Statistics {
        verified_insns: described.get("verified_insns").and_then(|number| number.trim().parse().ok()),
        translated_bytes: info.xlated_prog_len,
        jited_bytes: info.jited_prog_len,
        maps: info.nr_map_ids,
        tag: info.tag.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// Maps that an object shares by pinning them; a check leaves none behind that was not there before.
struct Pins(Vec<PathBuf>);

impl Pins {
    fn before(object: &Object) -> Self {
        let pinned = object.maps().iter().filter(|map| map.pinned_by_name);
        let paths = pinned.map(|map| Path::new("/sys/fs/bpf").join(&map.name));
        Self(paths.filter(|path| !path.exists()).collect())
    }

    fn restore(self) {
        for path in self.0 {
            // Not there if the load failed before the map was made.
            drop(fs::remove_file(path));
        }
    }
}
