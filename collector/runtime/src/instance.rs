//! A gadget's life between plan and end: built, running, replaced, stopped.

use std::{borrow::Cow, os::fd::AsFd as _, path::Path, sync::Arc, thread, time::Duration};

use ig_datasource::Origin;
use ig_kernel::{btf::Btf, sys::bpf};
use ig_loader::{
    AttachError, AttachOptions, ErrorKind, Link, LoadError, Loaded, Loader, MapType, Object, ProgramKind,
    SkipReason,
};
use ig_model::{Hint as _, Host, KtimeNs};
use ig_operators::stats::bpfstats::Owner;
use ig_series::Registry;
use tracing::{debug, warn};

use crate::{
    owners::Place,
    pipeline::Handover,
    plan::{GadgetPlan, ProgramKey, SourcePlan},
    reader::{Feed, Reader, SourceHandle, SourceName},
    status::{Reason, ReasonKind, Status},
    wiring::{self, BuiltSource, build, feed, wire},
};

/// The value of `attach_to` that keeps a program from being attached.
const DISABLED: &str = "gadget_program_disabled";

/// Records a ring buffer should hold, so that a burst survives until the next drain.
const RING_RECORDS: usize = 2048;
/// Most bytes a ring buffer is enlarged to; it is kernel memory, whether used or not.
const RING_BYTES: usize = 2 << 20;

/// Time between the decision to switch from one instance to the next and the switch.
const SWITCH_NS: u64 = 50_000_000;

/// Loaded and attached; its ring buffers fill, nobody reads yet.
pub struct Built {
    /// Name in the configuration.
    pub name: String,
    /// What was loaded.
    pub programs: ProgramKey,
    sources: Vec<(BuiltSource, Feed)>,
    links: Links,
    /// Its programs and maps, by number.
    owner: Owner,
    operated: wiring::Loaded,
}

/// Read and delivered.
pub struct Running {
    /// Name in the configuration.
    pub name: String,
    /// What is loaded.
    pub programs: ProgramKey,
    sources: Vec<RunningSource>,
    /// What operators that are put in its way later read.
    operated: wiring::Loaded,
    links: Links,
    /// Its place among those whose programs are known.
    _place: Place,
}

struct RunningSource {
    name: String,
    handle: SourceHandle,
    /// Whether a handover divides its records by their time stamps.
    stamped: bool,
}

/// The attachments of a gadget. Closing a classic tracepoint takes the kernel about 75 ms, so they are closed on a
/// thread of their own when nobody asks to wait.
struct Links(Vec<Arc<Link>>);

impl Links {
    /// Detaches everything and waits for it.
    async fn close(mut self) {
        let links = std::mem::take(&mut self.0);
        // An error means that the closing thread panicked; the descriptors are gone with it.
        drop(tokio::task::spawn_blocking(move || drop(links)).await);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.0);
        if !links.is_empty()
            && thread::Builder::new().name("ig-detach".to_owned()).spawn(move || drop(links)).is_err()
        {
            debug!("no thread to detach on; detached in place");
        }
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Built {
    /// Loads and attaches what `plan` says. Takes milliseconds to seconds: call it on a blocking thread.
    ///
    /// # Errors
    /// The first thing the kernel refused; what was attached before is detached.
    pub fn new(plan: GadgetPlan, host: &Host) -> Result<Self, Reason> {
        let GadgetPlan { name, object, kernel_types, programs, sources, warnings, .. } = plan;
        for warning in warnings {
            warn!(name: "gadget.plan.warning", gadget = name, warning);
        }
        let feeds = |sources: Vec<SourcePlan>, loaded: Option<&Loaded>, links: &[(String, Arc<Link>)]| {
            let map = |map: &str| loaded?.map(map);
            let operated = wiring::Loaded::of(&sources, &map);
            let operated = operated.map_err(|error| Reason::new(ReasonKind::Transient, &error))?;
            let open = |source: SourcePlan| {
                let feed = feed(&source, &map, links, &operated, host)?;
                Ok((build(source, &operated, host)?, feed))
            };
            let sources = sources.into_iter().map(open).collect::<Result<Vec<_>, Reason>>()?;
            Ok((sources, operated))
        };
        let Some(object) = object else {
            let (sources, operated) = feeds(sources, None, &[])?;
            let owner = Owner { name: name.clone(), ..Owner::default() };
            return Ok(Self { name, programs, sources, links: Links(Vec::new()), owner, operated });
        };
        let loaded = load(&object, kernel_types, &programs, &sources)?;
        if loaded.programs().is_empty() && !loaded.skipped().is_empty() {
            let reasons =
                loaded.skipped().iter().map(|skipped| format!("`{}`: {}", skipped.program, skipped.reason));
            let text = reasons.collect::<Vec<_>>().join("; ");
            return Err(Reason { kind: ReasonKind::MissingHook, text });
        }
        for skipped in loaded.skipped() {
            // A gadget for several kernels brings a program for each.
            if matches!(skipped.reason, SkipReason::NotNeeded { .. }) {
                debug!(name: "gadget.program.skipped", gadget = name, program = skipped.program, "{}", skipped.reason);
            } else {
                warn!(name: "gadget.program.skipped", gadget = name, program = skipped.program, "{}", skipped.reason);
            }
        }
        let mut links = Links(Vec::new());
        let mut by_program = Vec::new();
        for program in loaded.programs() {
            if program.disabled {
                continue;
            }
            for link in attach(&loaded, program, &programs, host)? {
                let link = Arc::new(link);
                links.0.push(Arc::clone(&link));
                by_program.push((program.name.clone(), link));
            }
        }
        let (sources, operated) = feeds(sources, Some(&loaded), &by_program)?;
        let owner = owner(&name, &loaded);
        Ok(Self { name, programs, sources, links, owner, operated })
    }

    /// Begins to read and deliver. With a predecessor, delivers only what it has not.
    pub async fn start(
        self,
        reader: &Reader,
        registry: &Registry,
        status: &Status,
        replaces: Option<Running>,
    ) -> (Running, Vec<Reason>) {
        let mut refusals = Vec::new();
        let handover = if replaces.is_some() { Handover::NOT_YET } else { Handover::None };
        let mut sources = Vec::new();
        for (plan, feed) in self.sources {
            let name = plan.schema.name().to_owned();
            let pipeline = wire(&self.name, plan, registry, status, &mut refusals);
            // What stages emit was divided before they saw it.
            let stamped = matches!(feed, Feed::Emitted(_))
                || (matches!(feed, Feed::Ring(_) | Feed::Perf(_)) && pipeline.has_timestamp());
            let source = SourceName { gadget: self.name.clone(), source: name.clone() };
            let handle = reader.read(source, feed, pipeline, handover);
            sources.push(RunningSource { name, handle, stamped });
        }
        if let Some(old) = replaces {
            old.hand_over(&sources).await;
        }
        let image = status.with(|board| board.gadgets.get(&self.name).map(|gadget| gadget.image.clone()));
        let place = reader.owners().enter(Owner { image: image.unwrap_or_default(), ..self.owner });
        let running = Running {
            name: self.name,
            programs: self.programs,
            sources,
            operated: self.operated,
            links: self.links,
            _place: place,
        };
        (running, refusals)
    }
}

impl Running {
    /// Puts new operators and sinks behind the same programs; not one record is missed or seen twice. If they cannot be
    /// built, the old ones stay.
    pub async fn rewire(
        &self,
        plans: Vec<SourcePlan>,
        registry: &Registry,
        status: &Status,
        host: &Host,
    ) -> Vec<Reason> {
        let built =
            plans.into_iter().map(|plan| build(plan, &self.operated, host)).collect::<Result<Vec<_>, _>>();
        let plans = match built {
            Ok(plans) => plans,
            Err(reason) => return vec![reason],
        };
        let mut refusals = Vec::new();
        for plan in plans {
            if let Some(source) = self.sources.iter().find(|source| source.name == plan.schema.name()) {
                let pipeline = wire(&self.name, plan, registry, status, &mut refusals);
                source.handle.swap(pipeline).await;
            }
        }
        refusals
    }

    /// Brings everything the kernel has now to the sinks.
    pub async fn drain(&self) {
        for source in &self.sources {
            source.handle.drain().await;
        }
    }

    /// Waits until every source has given all it will; for ever where one of them has no end.
    pub async fn exhausted(&self) {
        for source in &self.sources {
            source.handle.exhausted().await;
        }
    }

    /// Handles of the sources, to drain without holding the gadget.
    pub fn handles(&self) -> Vec<SourceHandle> {
        self.sources.iter().map(|source| source.handle.clone()).collect()
    }

    /// Stops: drains a last time, then detaches in the background.
    pub async fn stop(self) {
        for source in &self.sources {
            source.handle.stop().await;
        }
    }

    /// Gives the events over to `successors`.
    ///
    /// Stamped records are divided by the moment of the switch, exactly. Without stamps the last drain of the old
    /// source and the first of the new one stand next to each other, microseconds apart.
    async fn hand_over(self, successors: &[RunningSource]) {
        // Rings filled since the programs were attached; the moment must not find one full.
        for successor in successors {
            successor.handle.drain().await;
        }
        // Both sides must know the moment before it comes.
        let moment = KtimeNs(KtimeNs::now().0 + SWITCH_NS);
        for successor in successors {
            let old = self.sources.iter().find(|old| old.name == successor.name);
            match old {
                Some(old) if successor.stamped => {
                    successor.handle.take_over(moment).await;
                    old.handle.hand_over(moment).await;
                }
                Some(old) => {
                    old.handle.stop().await;
                    successor.handle.take_over(moment).await;
                }
                None => successor.handle.take_over(moment).await,
            }
        }
        let now = KtimeNs::now();
        if now >= moment {
            warn!(name: "gadget.handover.late", gadget = self.name, late_ns = now.0 - moment.0,
                "events of this time may be counted twice");
        }
        tokio::time::sleep(Duration::from_nanos(moment.0.saturating_sub(now.0))).await;
        // Programs that ran at the moment of the switch have submitted their records once detaching is over.
        self.links.close().await;
        for source in &self.sources {
            source.handle.stop().await;
        }
    }
}

impl Reason {
    fn from_load(error: &LoadError) -> Self {
        Self::from_kernel(error, &error.kind(), error.hint())
    }

    fn from_attach(error: &AttachError) -> Self {
        Self::from_kernel(error, &error.kind(), error.hint())
    }

    fn from_kernel(error: &dyn std::error::Error, kind: &ErrorKind, hint: Option<Cow<'_, str>>) -> Self {
        let mut reason = Self::new(
            match kind {
                ErrorKind::NotFound => ReasonKind::MissingHook,
                ErrorKind::PermissionDenied => ReasonKind::Permission,
                ErrorKind::Verifier => ReasonKind::Verifier,
                ErrorKind::UnsupportedKernel { .. } => ReasonKind::Kernel,
                ErrorKind::Retryable => ReasonKind::Transient,
                _ => ReasonKind::Object,
            },
            error,
        );
        if let Some(hint) = hint {
            reason.text.push_str(" (");
            reason.text.push_str(&hint);
            reason.text.push(')');
        }
        reason
    }
}

/// The map of owners of sockets, and the type of its values.
const SOCKETS: &str = "gadget_sockets";
const SOCKET_OWNER: &str = "gadget_socket_value";

fn load(
    object: &Object,
    kernel_types: Option<Arc<Btf>>,
    programs: &ProgramKey,
    sources: &[SourcePlan],
) -> Result<Loaded, Reason> {
    let refused = |error: LoadError| Reason::from_load(&error);
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

/// The numbers of the programs and maps of a gadget; one that the kernel does not tell is left out.
fn owner(name: &str, loaded: &Loaded) -> Owner {
    let program = |program: &ig_loader::Program| bpf::prog_info(program.fd.as_fd()).ok().map(|info| info.id);
    Owner {
        name: name.to_owned(),
        programs: loaded.programs().iter().filter_map(program).collect(),
        maps: loaded.maps().map(|(_, map)| map.id()).collect(),
        ..Owner::default()
    }
}

/// Attaches one program; traffic-control programs go to one interface or to all that are up.
fn attach(
    loaded: &Loaded,
    program: &ig_loader::Program,
    programs: &ProgramKey,
    host: &Host,
) -> Result<Vec<Link>, Reason> {
    let hook = programs.hooks.get(&program.name).cloned().unwrap_or_default();
    let options = AttachOptions {
        iter_map: hook.iter_map.as_deref(),
        socket_map: hook.socket_map.as_deref(),
        sample_frequency: hook.sample_frequency,
        ..AttachOptions::default()
    };
    let attach = |options: &AttachOptions<'_>| {
        loaded.attach_with(&program.name, options).map_err(|error| Reason::from_attach(&error))
    };
    if program.kind != ProgramKind::Classifier {
        return match loaded.attach_with(&program.name, &options) {
            Ok(link) => Ok(vec![link]),
            // Some hooks show that they are missing only now.
            Err(error) if program.optional && error.is_missing_hook() => {
                warn!(name: "gadget.program.skipped", program = program.name, "{error}");
                Ok(Vec::new())
            }
            Err(error) => Err(Reason::from_attach(&error)),
        };
    }
    let interfaces = match &programs.interface {
        Some(interface) => vec![interface.clone()],
        None => interfaces_up(&host.sys.join("class/net"))
            .map_err(|error| Reason::new(ReasonKind::Transient, &error))?,
    };
    interfaces
        .iter()
        .map(|interface| attach(&AttachOptions { interface: Some(interface), ..options.clone() }))
        .collect()
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
