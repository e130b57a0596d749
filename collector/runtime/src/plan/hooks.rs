//! What attaching a program needs beyond what its object says.
//!
//! # Source
//! The reference's contract: `gadget_mapelem_iter_target_<program>___<map>` and `gadget_sk_prog_target_<program>___<map>`
//! are markers; the settings of `perf_event/NAME` stand in gadget.yaml under `programs.NAME`. Ours alone is
//! `programs.PROGRAM.instead_of`, for images that serve several kernels.

use std::collections::BTreeMap;

use ig_config::metadata::Metadata;
use ig_kernel::btf::Type;
use ig_loader::{Object, ProgramKind};

/// How one program is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// Map whose elements an `iter/bpf_map_elem` walks.
    pub iter_map: Option<String>,
    /// Map whose sockets an `sk_skb` or `sk_msg` program serves.
    pub socket_map: Option<String>,
    /// Samples a second and CPU of a `perf_event` program.
    pub sample_frequency: Option<u64>,
    /// Programs that it stands in for where this kernel lacks their hooks.
    pub instead_of: Vec<String>,
}

/// Settings by program; programs that need none have no entry.
pub(super) fn plan(object: &Object, metadata: &Metadata) -> Result<BTreeMap<String, Hook>, Vec<String>> {
    let mut hooks: BTreeMap<String, Hook> = BTreeMap::new();
    let mut faults = Vec::new();
    for (_, ty) in object.btf().types() {
        let Type::Var(variable) = ty else { continue };
        let targets = [
            ("gadget_mapelem_iter_target_", (|hook, map| hook.iter_map = Some(map)) as fn(&mut Hook, String)),
            ("gadget_sk_prog_target_", |hook, map| hook.socket_map = Some(map)),
        ];
        for (prefix, set) in targets {
            let Some(rest) = variable.name.strip_prefix(prefix) else { continue };
            match rest.split_once("___") {
                Some((program, map)) if object.program(program).is_some() && object.map(map).is_some() => {
                    set(hooks.entry(program.to_owned()).or_default(), map.to_owned());
                }
                _ => faults.push(format!(
                    "marker `{}`: expected `{prefix}<program>___<map>` with a program and a map of the object",
                    variable.name
                )),
            }
        }
    }
    for program in object.programs().iter().filter(|program| program.kind == ProgramKind::PerfEvent) {
        let name = program.section.split_once('/').map_or("", |(_, name)| name);
        match sample_frequency(name, metadata) {
            Ok(frequency) => {
                hooks.entry(program.name.clone()).or_default().sample_frequency = Some(frequency);
            }
            Err(problem) => faults.push(format!("program `{}`: {problem}", program.name)),
        }
    }
    for program in object.programs() {
        let key = format!("programs.{}.instead_of", program.name);
        let others = metadata.get(&key).into_iter().flat_map(|list| list.split(',')).map(str::trim);
        for other in others.filter(|other| !other.is_empty()) {
            if other != program.name && object.program(other).is_some() {
                hooks.entry(program.name.clone()).or_default().instead_of.push(other.to_owned());
            } else {
                faults.push(format!(
                    "gadget.yaml: `{key}` is `{other}`; expected another program of the object"
                ));
            }
        }
    }
    if faults.is_empty() { Ok(hooks) } else { Err(faults) }
}

fn sample_frequency(name: &str, metadata: &Metadata) -> Result<u64, String> {
    let setting = |key: &str| metadata.get(&format!("programs.{name}.{key}"));
    let known =
        [("perf.type", "software"), ("perf.config", "count_sw_cpu_clock"), ("perf.sampleType", "sample_raw")];
    for (key, only) in known {
        match setting(key) {
            Some(value) if value == only => {}
            Some(value) => {
                return Err(format!(
                    "gadget.yaml: `programs.{name}.{key}` is `{value}`; only `{only}` is known"
                ));
            }
            None => {
                return Err(format!("gadget.yaml: `programs.{name}.{key}` is missing; expected `{only}`"));
            }
        }
    }
    let key = format!("programs.{name}.sampler.frequency");
    let text = metadata.get(&key).ok_or_else(|| format!("gadget.yaml: `{key}` is missing"))?;
    text.parse()
        .ok()
        .filter(|frequency| *frequency > 0)
        .ok_or_else(|| format!("gadget.yaml: `{key}` is `{text}`; expected samples a second, above 0"))
}
