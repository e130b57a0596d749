//! The programs of a gadget, into the kernel and to their hooks.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ig_datasource::Origin;
use ig_kernel::btf::Btf;
use ig_loader::{
    AttachError, AttachOptions, ErrorKind, Link, LoadError, Loaded, Loader, MapType, Object, Program,
    ProgramKind, cgroup2_mount,
};
use ig_model::Host;
use tracing::{debug, warn};

use crate::{
    plan::{ProgramKey, SourcePlan},
    status::{Reason, ReasonKind},
};

/// The value of `attach_to` that keeps a program from being attached.
const DISABLED: &str = "gadget_program_disabled";

/// Records a ring buffer should hold, so that a burst survives until the next drain.
const RING_RECORDS: usize = 2048;
/// Most bytes a ring buffer is enlarged to; it is kernel memory, whether used or not.
const RING_BYTES: usize = 2 << 20;

/// The map of owners of sockets, and the type of its values.
const SOCKETS: &str = "gadget_sockets";
const SOCKET_OWNER: &str = "gadget_socket_value";

/// Loads the programs with everything that the plan sets.
pub(super) fn load(
    object: &Object,
    kernel_types: Option<Arc<Btf>>,
    programs: &ProgramKey,
    sources: &[SourcePlan],
) -> Result<Loaded, Reason> {
    let refused = refused_load;
    let mut loader = Loader::new(object);
    if let Some(types) = kernel_types {
        loader.set_kernel_btf(types);
    }
    for (variable, bytes) in &programs.variables {
        loader.set_variable(variable, bytes).map_err(refused)?;
    }
    for (hook, expression) in &programs.packet_filters {
        loader.set_packet_filter(hook, expression).map_err(refused)?;
    }
    if object.map(SOCKETS).is_some() {
        // Nobody fills it yet: a lookup finds nothing, and an entry for each socket would be memory for nothing.
        loader.use_own_type(SOCKET_OWNER).set_max_entries(SOCKETS, 1).map_err(refused)?;
    }
    for (program, target) in &programs.attach_to {
        if target == DISABLED {
            loader.disable(program).map_err(refused)?;
        } else {
            loader.set_attach_target(program, target).map_err(refused)?;
        }
    }
    for (program, hook) in &programs.hooks {
        for other in &hook.instead_of {
            loader.instead_of(program, other).map_err(refused)?;
        }
    }
    for source in sources {
        if let Origin::Tracer { map } = &source.schema.source().origin
            && let Some(spec) = object.map(map)
            && spec.kind == MapType::RINGBUF
        {
            let bytes = ring_bytes(spec.max_entries, source.schema.layout().kernel_size());
            loader.set_max_entries(map, bytes).map_err(refused)?;
        }
    }
    loader.load().map_err(refused)
}

/// Attaches one program; traffic-control programs go to one interface or to all that are up.
pub(super) fn attach(
    loaded: &Loaded,
    program: &Program,
    programs: &ProgramKey,
    host: &Host,
) -> Result<Vec<Link>, Reason> {
    let hook = programs.hooks.get(&program.name).cloned().unwrap_or_default();
    let of_cgroup =
        matches!(program.kind, ProgramKind::Cgroup | ProgramKind::SockOps | ProgramKind::LsmCgroup);
    let cgroup = if of_cgroup { host_cgroup(host) } else { None };
    let options = AttachOptions {
        cgroup: cgroup.as_deref(),
        procfs: Some(&host.proc),
        iter_map: hook.iter_map.as_deref(),
        socket_map: hook.socket_map.as_deref(),
        sample_frequency: hook.sample_frequency,
        ..AttachOptions::default()
    };
    let attach =
        |options: &AttachOptions<'_>| loaded.attach_with(&program.name, options).map_err(refused_attach);
    if program.kind != ProgramKind::Classifier {
        return match loaded.attach_with(&program.name, &options) {
            Ok(link) => Ok(vec![link]),
            // Some hooks show that they are missing only now.
            Err(error) if program.optional && error.is_missing_hook() => {
                warn!(name: "gadget.program.skipped", program = program.name, "{error}");
                Ok(Vec::new())
            }
            Err(error) => Err(refused_attach(error)),
        };
    }
    let interfaces = match &programs.interface {
        Some(interface) => vec![interface.clone()],
        None => interfaces_up(&host.sys.join("class/net"))
            .map_err(|error| Reason::new(ReasonKind::Transient, error))?,
    };
    interfaces
        .iter()
        .map(|interface| attach(&AttachOptions { interface: Some(interface), ..options.clone() }))
        .collect()
}

/// The root cgroup of the host, where it can be told and reached; else the loader looks for that of this process.
fn host_cgroup(host: &Host) -> Option<PathBuf> {
    let mounts = std::fs::read(host.proc.join("1/mounts")).ok()?;
    let path = host.visible(&cgroup2_mount(&mounts)?);
    path.exists().then_some(path)
}

/// Network interfaces that are up, in order of their names.
fn interfaces_up(folder: &Path) -> std::io::Result<Vec<String>> {
    let is_up = |path: &Path| {
        let flags = std::fs::read_to_string(path.join("flags")).unwrap_or_default();
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & 1 != 0)
    };
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| is_up(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Size of a ring buffer: what the object asks for, or more where that holds few records.
fn ring_bytes(declared: u32, record: usize) -> u32 {
    let wanted = record.saturating_mul(RING_RECORDS).min(RING_BYTES).next_power_of_two();
    declared.max(u32::try_from(wanted).unwrap_or(declared))
}

fn refused_load(error: LoadError) -> Reason {
    if let Some(log) = error.verifier_log() {
        debug!(name: "gadget.verifier.log", "{error}; the whole log of the verifier:\n{log}");
    }
    Reason::hinted(reason_kind(&error.kind()), error)
}

fn refused_attach(error: AttachError) -> Reason {
    Reason::hinted(reason_kind(&error.kind()), error)
}

/// What kind of reason an error of the loader is.
fn reason_kind(kind: &ErrorKind) -> ReasonKind {
    match kind {
        ErrorKind::NotFound => ReasonKind::MissingHook,
        ErrorKind::PermissionDenied => ReasonKind::Permission,
        ErrorKind::Verifier => ReasonKind::Verifier,
        ErrorKind::UnsupportedKernel { .. } => ReasonKind::Kernel,
        ErrorKind::Retryable => ReasonKind::Transient,
        _ => ReasonKind::Object,
    }
}
