//! From a plan to programs that run and that nobody reads yet.

use std::{os::fd::AsFd as _, sync::Arc};

use ig_kernel::sys::bpf;
use ig_loader::{Link, Loaded, Program, SkipReason};
use ig_model::Host;
use ig_operators::stats::bpfstats::Owner;
use tracing::{debug, warn};

use super::{
    links::Links,
    load::{attach, load},
};
use crate::{
    plan::{GadgetPlan, ProgramKey, SinkFactory, SourcePlan, open_sinks},
    reader::Feed,
    status::{Reason, ReasonKind},
    wiring::{self, BuiltSource, build, feed},
};

/// Loaded and attached; its ring buffers fill, nobody reads yet.
pub struct Built {
    /// Name in the configuration.
    pub name: String,
    /// What was loaded.
    pub programs: ProgramKey,
    pub(super) sources: Vec<(BuiltSource, Feed)>,
    pub(super) links: Links,
    /// Its programs and maps, by number.
    pub(super) owner: Owner,
    pub(super) operated: wiring::Loaded,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The links of a gadget by the names of their programs.
type ByProgram = Vec<(String, Arc<Link>)>;

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
        let Some(object) = object else {
            let (sources, operated) = feeds(sources, None, &[], host)?;
            let owner = Owner { name: name.clone(), ..Owner::default() };
            return Ok(Self { name, programs, sources, links: Links::default(), owner, operated });
        };
        let loaded = load(&object, kernel_types, &programs, &sources)?;
        check_skipped(&name, &loaded)?;
        let mut links = Links::default();
        let mut by_program = ByProgram::new();
        for program in loaded.programs().iter().filter(|program| !program.disabled) {
            for link in attach(&loaded, program, &programs, host)? {
                let link = Arc::new(link);
                links.push(Arc::clone(&link));
                by_program.push((program.name.clone(), link));
            }
        }
        let (sources, operated) = feeds(sources, Some(&loaded), &by_program, host)?;
        let owner = owner(&name, &loaded);
        Ok(Self { name, programs, sources, links, owner, operated })
    }
}

impl Built {
    /// Gives every data source the sinks that `factory` makes for it.
    ///
    /// # Errors
    /// What does not fit the data sources, in words.
    pub fn open_sinks(&mut self, factory: &dyn SinkFactory) -> Result<(), Vec<String>> {
        let sources = self.sources.iter_mut().map(|(source, _)| source.sinks());
        open_sinks(factory, &self.name, sources)
    }
}

/// Opens the kernel side of every source and builds its operators, which keep what they read later.
fn feeds(
    sources: Vec<SourcePlan>,
    loaded: Option<&Loaded>,
    links: &[(String, Arc<Link>)],
    host: &Host,
) -> Result<(Vec<(BuiltSource, Feed)>, wiring::Loaded), Reason> {
    let map = |map: &str| loaded?.map(map);
    let operated = wiring::Loaded::of(&sources, &map);
    let operated = operated.map_err(|error| Reason::new(ReasonKind::Transient, error))?;
    let open = |source: SourcePlan| {
        let feed = feed(&source, &map, links, &operated, host)?;
        Ok((build(source, &operated, host)?, feed))
    };
    let sources = sources.into_iter().map(open).collect::<Result<Vec<_>, Reason>>()?;
    Ok((sources, operated))
}

/// Says which programs were left out.
///
/// # Errors
/// All of them were.
fn check_skipped(gadget: &str, loaded: &Loaded) -> Result<(), Reason> {
    if loaded.programs().is_empty() && !loaded.skipped().is_empty() {
        let reasons =
            loaded.skipped().iter().map(|skipped| format!("`{}`: {}", skipped.program, skipped.reason));
        return Err(Reason::new(ReasonKind::MissingHook, reasons.collect::<Vec<_>>().join("; ")));
    }
    for skipped in loaded.skipped() {
        // A gadget for several kernels brings a program for each.
        if matches!(skipped.reason, SkipReason::NotNeeded { .. }) {
            debug!(name: "gadget.program.skipped", gadget, program = skipped.program, "{}", skipped.reason);
        } else {
            warn!(name: "gadget.program.skipped", gadget, program = skipped.program, "{}", skipped.reason);
        }
    }
    Ok(())
}

/// The numbers of the programs and maps of a gadget; one that the kernel does not tell is left out.
fn owner(name: &str, loaded: &Loaded) -> Owner {
    let program = |program: &Program| bpf::prog_info(program.fd.as_fd()).ok().map(|info| info.id);
    Owner {
        name: name.to_owned(),
        programs: loaded.programs().iter().filter_map(program).collect(),
        maps: loaded.maps().map(|(_, map)| map.id()).collect(),
        ..Owner::default()
    }
}
