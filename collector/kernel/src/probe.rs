//! What this kernel can do, asked of the kernel itself.
//!
//! Answers have three values: a probe that could not be carried out (no permission, no memory) is
//! [`Probe::Inconclusive`] and must not be remembered as a "no".

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::btf::{Kind, vmlinux};
use crate::sys::bpf::{self, BatchBuffersMut, BatchMode, EntrySizes, MapCreate, ProgLoad};
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Feature {
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuffer,
    /// `BPF_MAP_LOOKUP_BATCH` on hash maps.
    BatchLookup,
    /// The helper `bpf_ktime_get_boot_ns`.
    KtimeGetBootNs,
    /// Kprobes, through perf events or tracefs.
    Kprobe,
    /// Uprobes through perf events.
    Uprobe,
    /// Programs of type fentry and fexit.
    Fentry,
    /// LSM programs.
    Lsm,
    /// Iterators over tasks.
    Iterators,
    /// Tracepoints with BTF (`tp_btf`).
    TracepointBtf,
}

/// Asks the kernel whether it has a feature.
pub fn probe(feature: Feature) -> Probe {
    match feature {
        Feature::RingBuffer => ring_buffer(),
        Feature::BatchLookup => batch_lookup(),
        Feature::KtimeGetBootNs => helper(125, "Linux 5.8"),
        Feature::Kprobe => kprobe(),
        Feature::Uprobe => pmu("uprobe", "CONFIG_UPROBE_EVENTS"),
        Feature::Fentry => fentry(),
        Feature::Lsm => lsm(),
        Feature::Iterators => btf_type("bpf_iter_task", Kind::Func, "Linux 5.8 with BTF"),
        Feature::TracepointBtf => btf_type("btf_trace_sched_switch", Kind::Typedef, "Linux 5.5 with BTF"),
    }
}

/// Whether a raw tracepoint of this name exists, as far as BTF tells.
pub fn raw_tracepoint(name: &str) -> Probe {
    btf_type(&format!("btf_trace_{name}"), Kind::Typedef, "a kernel with this tracepoint")
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
    let spec = MapCreate { name: "probe", map_type: 27, max_entries, ..MapCreate::default() };
    judge(bpf::map_create(&spec).map(drop), "Linux 5.8")
}

fn batch_lookup() -> Probe {
    let spec = MapCreate {
        name: "probe",
        map_type: 1,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapCreate::default()
    };
    let map = match bpf::map_create(&spec) {
        Ok(map) => map,
        Err(error) => return Probe::Inconclusive(error),
    };
    let buffers = BatchBuffersMut {
        position: None,
        next_position: &mut [0; 4],
        keys: &mut [0; 4],
        values: &mut [0; 4],
        capacity: 1,
    };
    let sizes = EntrySizes { key: 4, value: 4 };
    match bpf::map_batch(map.as_fd(), BatchMode::Read, sizes, buffers).1 {
        Ok(()) => Probe::Supported,
        // The map is empty: that is for the command to say.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Probe::Supported,
        Err(error) if matches!(error.raw_os_error(), Some(524 | libc::EINVAL | libc::EOPNOTSUPP)) => {
            Probe::Unsupported { needs: "Linux 5.6" }
        }
        Err(error) => Probe::Inconclusive(error),
    }
}

/// Loads a tracepoint program that calls a helper without arguments.
fn helper(number: u8, needs: &'static str) -> Probe {
    let insns = [
        [0x85, 0, 0, 0, number, 0, 0, 0], // call
        [0xb7, 0, 0, 0, 0, 0, 0, 0],      // r0 = 0
        [0x95, 0, 0, 0, 0, 0, 0, 0],      // exit
    ];
    let spec = ProgLoad {
        name: "probe",
        prog_type: 5,
        insns: insns.as_flattened(),
        license: LICENSE,
        ..ProgLoad::default()
    };
    judge(bpf::prog_load(&spec, None).map(drop), needs)
}

/// Number of a helper that every kernel has.
const KTIME_GET_NS: u8 = 5;
const LICENSE: &CStr = c"GPL";
/// `r0 = 0; exit`
const RETURN_ZERO: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

fn fentry() -> Probe {
    const NEEDS: &str = "Linux 5.5 on x86 (6.4 on arm64) with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";
    let (tracing, at_entry) = (26, 24);
    match traced("bpf_fentry_test1", tracing, at_entry) {
        Ok(Some(prog)) => judge_traced(bpf::raw_tracepoint_open(None, prog.as_fd()).map(drop), NEEDS),
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
        Err(unreadable) => {
            let (lsm, mandatory) = (29, 27);
            match traced("bpf_lsm_file_open", lsm, mandatory) {
                Ok(Some(_)) => Probe::Inconclusive(unreadable),
                Ok(None) => Probe::Unsupported { needs: NEEDS },
                Err(error) => judge_traced(Err(error), NEEDS),
            }
        }
    }
}

/// Loads the least program for a kernel function; `None` when there is no such function.
fn traced(function: &str, prog_type: u32, expected_attach_type: u32) -> io::Result<Option<OwnedFd>> {
    let btf = vmlinux().map_err(io::Error::other)?;
    let Some(id) = btf.type_by_name(function, Kind::Func) else { return Ok(None) };
    let spec = ProgLoad {
        name: "probe",
        prog_type,
        expected_attach_type,
        insns: RETURN_ZERO.as_flattened(),
        license: LICENSE,
        attach_btf_id: id.0,
        ..ProgLoad::default()
    };
    bpf::prog_load(&spec, None).map(Some)
}

fn judge_traced(result: io::Result<()>, needs: &'static str) -> Probe {
    match result {
        Ok(()) => Probe::Supported,
        // 524: the kernel's ENOTSUPP. The others are what kernels without trampolines or ftrace answer.
        Err(error)
            if matches!(error.raw_os_error(), Some(524 | libc::EINVAL | libc::ENOENT | libc::EBUSY)) =>
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
        _ if tracefs::has_kprobe_events() => Probe::Supported,
        answer => answer,
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

fn btf_type(name: &str, kind: Kind, needs: &'static str) -> Probe {
    match vmlinux() {
        Ok(btf) if btf.type_by_name(name, kind).is_some() => Probe::Supported,
        Ok(_) => Probe::Unsupported { needs },
        Err(error) => Probe::Inconclusive(io::Error::other(error)),
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
    use super::{Feature, Probe, helper, pmu_type, probe, raw_tracepoint};
    use crate::tracefs::has_kprobe_events;

    /// Guarantees: what every supported kernel has is answered with yes, what no kernel has with no.
    #[test]
    fn sure_answers_are_given() {
        assert!(probe(Feature::RingBuffer).is_supported());
        assert!(probe(Feature::BatchLookup).is_supported());
        assert!(probe(Feature::KtimeGetBootNs).is_supported());
        assert!(probe(Feature::Iterators).is_supported());
        assert!(probe(Feature::TracepointBtf).is_supported());
        assert!(raw_tracepoint("sched_switch").is_supported());
        assert!(raw_tracepoint("no_such_tracepoint").is_unsupported());
        assert!(helper(255, "never").is_unsupported());
    }

    /// Guarantees: the kprobe answer agrees with the PMU or tracefs, and no probe of a readable kernel is left open.
    #[test]
    fn optional_features_get_a_clear_answer() {
        let kprobes = pmu_type("kprobe").is_ok() || has_kprobe_events();
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
