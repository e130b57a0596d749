//! What this kernel can do, asked of the kernel itself.
//!
//! Answers have three values. A clear yes or no holds for as long as the kernel runs and is remembered; a probe that could
//! not be carried out (no permission, no memory) is [`Probe::Inconclusive`] and asked again the next time.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use ig_model::insn::{CALL, EXIT, Insn};

use crate::btf::{Kind, vmlinux};
use crate::sys::bpf::{
    AttachType, ENOTSUPP, Link, Map, MapCreate, MapType, ProgLoad, ProgramType, prog_load,
};
use crate::tracefs;

/// The answer of a probe.
#[derive(Debug)]
pub enum Probe {
    /// The kernel can do it.
    Supported,
    /// The kernel cannot; `needs` says what would.
    Unsupported {
        /// Least release or option.
        needs: &'static str,
    },
    /// The question could not be put.
    Inconclusive(io::Error),
}

impl Probe {
    /// Whether the answer is a clear yes.
    pub fn is_supported(&self) -> bool {
        matches!(self, Self::Supported)
    }

    /// Whether the answer is a clear no.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

/// What [`probe`] can ask.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Feature {
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuffer,
    /// Kprobes, through perf events or tracefs.
    Kprobe,
    /// Uprobes through perf events.
    Uprobe,
    /// Programs of type fentry and fexit.
    Fentry,
    /// LSM programs.
    Lsm,
}

/// Asks the kernel whether it has a feature, once it has given a clear answer from memory.
pub fn probe(feature: Feature) -> Probe {
    static KNOWN: Answers = Answers(Mutex::new(BTreeMap::new()));
    KNOWN.of(feature, || match feature {
        Feature::RingBuffer => ring_buffer(),
        Feature::Kprobe => kprobe(),
        Feature::Uprobe => pmu("uprobe", "CONFIG_UPROBE_EVENTS"),
        Feature::Fentry => fentry(),
        Feature::Lsm => lsm(),
    })
}

/// The clear answers so far: what a missing feature needs, nothing for one that is there.
struct Answers(Mutex<BTreeMap<Feature, Option<&'static str>>>);

impl Answers {
    fn of(&self, feature: Feature, ask: impl FnOnce() -> Probe) -> Probe {
        // The map is whole whatever panicked beside it.
        let known =
            |answers: &Self| answers.0.lock().unwrap_or_else(PoisonError::into_inner).get(&feature).copied();
        if let Some(answer) = known(self) {
            return answer.map_or(Probe::Supported, |needs| Probe::Unsupported { needs });
        }
        // Without the lock: two may ask at once, and learn the same.
        let answer = ask();
        let clear = match &answer {
            Probe::Supported => None,
            Probe::Unsupported { needs } => Some(*needs),
            Probe::Inconclusive(_) => return answer,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(feature, clear);
        answer
    }
}

/// The number of a perf PMU, such as `kprobe`.
///
/// # Errors
/// `NotFound` when the kernel has no such PMU.
pub fn pmu_type(name: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/type"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// The bit of `config` that asks a probe PMU for the return of a function.
///
/// # Errors
/// `NotFound` when the kernel has no such PMU.
pub fn pmu_return_bit(name: &str) -> io::Result<u8> {
    let text = std::fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/format/retprobe"))?;
    let bit = text.trim().strip_prefix("config:").ok_or(io::ErrorKind::InvalidData)?;
    bit.parse().map_err(io::Error::other)
}

fn ring_buffer() -> Probe {
    // A multiple of every page size in use.
    let max_entries = 64 << 10;
    let spec = MapCreate { name: "probe", kind: MapType::RINGBUF, max_entries, ..MapCreate::default() };
    judge(Map::create(&spec).map(drop), "Linux 5.8")
}

/// Loads a tracepoint program that calls a helper without arguments.
fn helper(number: i32, needs: &'static str) -> Probe {
    let call = Insn { code: CALL, imm: number, ..Insn::default() };
    let insns = [call.to_bytes(), RETURN_ZERO[0].to_bytes(), RETURN_ZERO[1].to_bytes()];
    let spec = ProgLoad {
        name: "probe",
        prog_type: ProgramType::TRACEPOINT,
        insns: insns.as_flattened(),
        license: LICENSE,
        ..ProgLoad::default()
    };
    judge(prog_load(&spec, None).map(drop), needs)
}

/// Number of a helper that every kernel has.
const KTIME_GET_NS: i32 = 5;
const LICENSE: &CStr = c"GPL";
/// `r0 = 0; exit`
const RETURN_ZERO: [Insn; 2] =
    [Insn { code: 0xb7, regs: 0, off: 0, imm: 0 }, Insn { code: EXIT, regs: 0, off: 0, imm: 0 }];

fn fentry() -> Probe {
    const NEEDS: &str = "Linux 5.5 on x86 (6.4 on arm64) with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";
    match traced("bpf_fentry_test1", ProgramType::TRACING, AttachType::TRACE_FENTRY) {
        Ok(Some(prog)) => judge_traced(Link::raw_tracepoint(None, prog.as_fd()).map(drop), NEEDS),
        Ok(None) => Probe::Unsupported { needs: NEEDS },
        Err(error) => judge_traced(Err(error), NEEDS),
    }
}

fn lsm() -> Probe {
    const NEEDS: &str = "Linux 5.7 with CONFIG_BPF_LSM and `bpf` in the lsm= boot parameter";
    match std::fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if list.trim().split(',').any(|name| name == "bpf") => Probe::Supported,
        Ok(_) => Probe::Unsupported { needs: NEEDS },
        // Securityfs is not mounted: the kernel can still say no. A yes would not tell whether hooks are called.
        Err(unreadable) => match traced("bpf_lsm_file_open", ProgramType::LSM, AttachType::LSM_MAC) {
            Ok(Some(_)) => Probe::Inconclusive(unreadable),
            Ok(None) => Probe::Unsupported { needs: NEEDS },
            Err(error) => judge_traced(Err(error), NEEDS),
        },
    }
}

/// Loads the least program for a kernel function; `None` when there is no such function.
fn traced(
    function: &str,
    prog_type: ProgramType,
    expected_attach_type: AttachType,
) -> io::Result<Option<OwnedFd>> {
    let btf = vmlinux().map_err(io::Error::other)?;
    let Some(id) = btf.type_by_name(function, Kind::Func) else { return Ok(None) };
    let insns = RETURN_ZERO.map(Insn::to_bytes);
    let spec = ProgLoad {
        name: "probe",
        prog_type,
        expected_attach_type,
        insns: insns.as_flattened(),
        license: LICENSE,
        attach_btf_id: id.0,
        ..ProgLoad::default()
    };
    prog_load(&spec, None).map(Some)
}

fn judge_traced(result: io::Result<()>, needs: &'static str) -> Probe {
    match result {
        Ok(()) => Probe::Supported,
        // What kernels without trampolines or ftrace answer.
        Err(error)
            if matches!(error.raw_os_error(), Some(ENOTSUPP | libc::EINVAL | libc::ENOENT | libc::EBUSY)) =>
        {
            Probe::Unsupported { needs }
        }
        // A process that may load tracing programs at all is refused for want of the feature.
        Err(error)
            if error.raw_os_error() == Some(libc::EPERM) && helper(KTIME_GET_NS, "").is_supported() =>
        {
            Probe::Unsupported { needs }
        }
        Err(error) => Probe::Inconclusive(error),
    }
}

fn kprobe() -> Probe {
    match pmu("kprobe", "CONFIG_KPROBE_EVENTS") {
        Probe::Supported => Probe::Supported,
        answer => match tracefs::has_kprobe_events() {
            Ok(true) => Probe::Supported,
            Ok(false) => answer,
            Err(error) => Probe::Inconclusive(io::Error::other(error)),
        },
    }
}

fn pmu(name: &str, needs: &'static str) -> Probe {
    match pmu_type(name) {
        Ok(_) => Probe::Supported,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if std::path::Path::new("/sys/bus/event_source/devices").exists() {
                Probe::Unsupported { needs }
            } else {
                Probe::Inconclusive(error)
            }
        }
        Err(error) => Probe::Inconclusive(error),
    }
}

fn judge(result: io::Result<()>, needs: &'static str) -> Probe {
    match result {
        Ok(()) => Probe::Supported,
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Probe::Unsupported { needs },
        Err(error) => Probe::Inconclusive(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::Mutex;

    use super::{Answers, Feature, Probe, helper, pmu_type, probe};
    use crate::tracefs::has_kprobe_events;

    /// Guarantees: what every supported kernel has is answered with yes, what no kernel has with no.
    #[test]
    fn sure_answers_are_given() {
        assert!(probe(Feature::RingBuffer).is_supported());
        assert!(helper(super::KTIME_GET_NS, "always").is_supported());
        assert!(helper(255, "never").is_unsupported());
    }

    /// Scenario: a question that cannot be put at first, and then gets a no; another that gets a yes.
    /// Guarantees: what is inconclusive is asked again, a clear answer is not, and it stays what it was.
    #[test]
    fn only_clear_answers_are_remembered() {
        let answers = Answers(Mutex::new(BTreeMap::new()));
        let asked = Cell::new(0);
        let ask = |feature, answer: fn() -> Probe| {
            answers.of(feature, || {
                asked.set(asked.get() + 1);
                answer()
            })
        };
        let unclear = || Probe::Inconclusive(io::ErrorKind::PermissionDenied.into());
        let no = || Probe::Unsupported { needs: "Linux 99" };
        for _ in 0..2 {
            assert!(matches!(ask(Feature::Fentry, unclear), Probe::Inconclusive(_)));
        }
        assert_eq!(asked.get(), 2);
        for _ in 0..2 {
            assert!(matches!(ask(Feature::Fentry, no), Probe::Unsupported { needs: "Linux 99" }));
            assert!(ask(Feature::Lsm, || Probe::Supported).is_supported());
        }
        assert_eq!(asked.get(), 4);
    }

    /// Guarantees: the kprobe answer agrees with the PMU or tracefs, and no probe of a readable kernel is left open.
    #[test]
    fn optional_features_get_a_clear_answer() {
        let kprobes = pmu_type("kprobe").is_ok() || has_kprobe_events().unwrap();
        assert_eq!(probe(Feature::Kprobe).is_supported(), kprobes);
        let fentry = probe(Feature::Fentry);
        assert!(!matches!(fentry, Probe::Inconclusive(_)), "{fentry:?}");
        // Without securityfs a yes cannot be told from a maybe, but a no can.
        let lsm = probe(Feature::Lsm);
        assert!(
            lsm.is_unsupported() || lsm.is_supported() || std::fs::read("/sys/kernel/security/lsm").is_err()
        );
    }
}
