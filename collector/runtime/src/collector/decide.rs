//! What has to change, decided from data alone: what is desired, what stands, and what came of the preparations.
//!
//! Nothing here waits, opens or logs. The promises of a reload live here: whole or not at all, what is unchanged is not
//! touched, a gadget that this machine cannot run is refused on its own, and what may pass is tried again.

use std::{collections::BTreeMap, fmt, time::Duration};

use ig_config::runtime::{Gadget, RuntimeConfig};
use ig_image::Digest;
use tokio::time::Instant;

use crate::status::{Reason, ReasonKind};

/// Pause before the first try again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest pause between tries.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Where every known gadget stands, by name.
pub(super) type Standings = BTreeMap<String, Standing>;

/// Where a gadget stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// As the configuration in force has it.
    pub(super) spec: Gadget,
    /// The image that runs; `None` while it does not run.
    pub(super) digest: Option<Digest>,
    /// The image that ran before that one.
    pub(super) previous: Option<Digest>,
    /// How often it failed since it last ran.
    pub(super) tries: u32,
    /// When it is tried again.
    pub(super) retry_at: Option<Instant>,
}

/// Why something is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The first configuration: a gadget that cannot run is refused, the others start.
    Start,
    /// Another configuration: whole or not at all.
    Reload,
    /// The time of a gadget that was refused has come.
    Retry,
    /// An image was fetched in the background.
    Delivery,
}

/// What came of the preparation of a gadget.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The way to its image changed and leads to the image that runs.
    Same,
    /// Its programs run already; its sinks are new.
    Rewire,
    /// New programs are attached and wait.
    Switch,
    /// Its image is not here yet.
    ToFetch,
    /// It cannot run.
    Failed(Vec<Reason>),
}

/// One step from what stands to what is desired.
#[derive(Debug)]
pub(super) enum Change<'c> {
    /// It is not desired any more.
    Stop(String),
    /// It runs for the first time, or again.
    Start(&'c Gadget),
    /// New programs take over from those that run.
    Replace(&'c Gadget),
    /// New sinks go behind the programs that run.
    Rewire(&'c Gadget),
    /// Its image is fetched in the background.
    Fetch(&'c Gadget),
    /// It does not run.
    Refuse {
        gadget: &'c Gadget,
        reasons: Vec<Reason>,
        /// When to try again, if time can help.
        retry: Option<Duration>,
    },
    /// It stays as it is; with the reasons why it does so in spite of an image that was fetched for it.
    Keep { gadget: &'c Gadget, reasons: Vec<Reason> },
}

/// The gadgets of a configuration whose images have to be looked at: new ones, changed ones, and all of them where limits
/// or the way to images changed.
pub(super) fn to_prepare<'c>(
    desired: &'c RuntimeConfig,
    in_force: Option<&RuntimeConfig>,
    standings: &Standings,
    other_access: bool,
) -> Vec<&'c Gadget> {
    let same_limits = in_force.is_none_or(|config| config.limits == desired.limits);
    let is_unchanged = |gadget: &&Gadget| {
        let known = standings.get(&gadget.name);
        known.is_some_and(|known| known.spec == **gadget) && same_limits && !other_access
    };
    desired.gadgets.iter().filter(|gadget| !is_unchanged(gadget)).collect()
}

/// Whether a gadget whose image is `digest` runs already just like this.
pub(super) fn is_same(
    standing: Option<&Standing>,
    gadget: &Gadget,
    same_limits: bool,
    digest: Digest,
) -> bool {
    standing
        .is_some_and(|standing| standing.spec == *gadget && same_limits && standing.digest == Some(digest))
}

/// Every change that makes `desired` of what stands, in the order in which they are to be carried out.
///
/// Gadgets without an outcome were not prepared, because nothing of them changed.
///
/// # Errors
/// Every reason why there must be no change at all, with its place in the configuration.
pub(super) fn decide<'c>(
    occasion: Occasion,
    desired: &'c RuntimeConfig,
    standings: &Standings,
    mut outcomes: BTreeMap<String, Outcome>,
) -> Result<Vec<Change<'c>>, Vec<Reason>> {
    let mut changes = Vec::new();
    let mut faults = Vec::new();
    // First what is no longer wanted: what is started next may take over its names of metrics.
    for name in standings.keys() {
        if !desired.gadgets.iter().any(|gadget| gadget.name == *name) {
            changes.push(Change::Stop(name.clone()));
        }
    }
    for gadget in &desired.gadgets {
        let outcome = outcomes.remove(&gadget.name).unwrap_or(Outcome::Same);
        match judge(occasion, gadget, standings.get(&gadget.name), outcome) {
            Ok(change) => changes.push(change),
            Err(reasons) => faults.extend(reasons),
        }
    }
    if faults.is_empty() { Ok(changes) } else { Err(faults) }
}

/// The change of one gadget.
///
/// # Errors
/// The reasons why no gadget may be changed.
pub(super) fn judge<'c>(
    occasion: Occasion,
    gadget: &'c Gadget,
    standing: Option<&Standing>,
    outcome: Outcome,
) -> Result<Change<'c>, Vec<Reason>> {
    let is_running = standing.is_some_and(|standing| standing.digest.is_some());
    let reasons = match outcome {
        Outcome::Same => return Ok(Change::Keep { gadget, reasons: Vec::new() }),
        Outcome::Rewire => return Ok(Change::Rewire(gadget)),
        Outcome::Switch if is_running => return Ok(Change::Replace(gadget)),
        Outcome::Switch => return Ok(Change::Start(gadget)),
        Outcome::ToFetch => return Ok(Change::Fetch(gadget)),
        Outcome::Failed(reasons) => reasons,
    };
    let was_refused = standing.is_some_and(|standing| !is_running && standing.spec == *gadget);
    let is_tolerated = match occasion {
        Occasion::Start => reasons.iter().all(|reason| reason.kind != ReasonKind::Config),
        // One file may serve a fleet of kernels.
        Occasion::Reload => {
            was_refused || !is_running && reasons.iter().all(|reason| reason.kind.is_of_the_machine())
        }
        Occasion::Delivery if is_running => return Ok(Change::Keep { gadget, reasons }),
        Occasion::Retry | Occasion::Delivery => true,
    };
    if !is_tolerated {
        return Err(reasons.into_iter().map(|reason| reason.located(&gadget.at, &gadget.name)).collect());
    }
    let tries = standing.map_or(0, |standing| standing.tries);
    let may_pass = reasons.first().is_some_and(|reason| reason.kind.may_pass());
    Ok(Change::Refuse { gadget, reasons, retry: may_pass.then(|| pause(tries)) })
}

/// Time to the next try after `tries` that failed.
pub(super) fn pause(tries: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << tries.min(10)).min(LAST_RETRY)
}

impl Standing {
    /// Where a gadget stands after a change; `None` once it is gone. `image` is the one that was switched to.
    pub(super) fn after(
        before: Option<Self>,
        change: &Change<'_>,
        image: Option<Digest>,
        now: Instant,
    ) -> Option<Self> {
        let (tries, ran, previous) =
            before.as_ref().map_or((0, None, None), |before| (before.tries, before.digest, before.previous));
        let at_rest =
            |spec: &Gadget| Self { spec: spec.clone(), digest: None, previous, tries, retry_at: None };
        match change {
            Change::Stop(_) => None,
            Change::Start(spec) | Change::Replace(spec) => Some(Self {
                digest: image,
                previous: if ran.is_some() && ran != image { ran } else { previous },
                tries: 0,
                ..at_rest(spec)
            }),
            Change::Rewire(spec) => Some(Self { digest: ran, tries: 0, ..at_rest(spec) }),
            Change::Fetch(spec) => Some(Self { retry_at: Some(now + LAST_RETRY), ..at_rest(spec) }),
            Change::Refuse { gadget: spec, retry, .. } => Some(Self {
                retry_at: retry.map(|pause| now + pause),
                tries: tries.saturating_add(u32::from(retry.is_some())),
                ..at_rest(spec)
            }),
            // Positions may have moved without a change of meaning.
            Change::Keep { gadget: spec, .. } => {
                before.map(|before| Self { spec: (*spec).clone(), ..before })
            }
        }
    }
}

/// How many gadgets a reload changed in which way.
#[derive(Debug, Default)]
pub(super) struct Summary {
    started: usize,
    replaced: usize,
    rewired: usize,
    stopped: usize,
    untouched: usize,
}

impl Summary {
    pub(super) fn of(changes: &[Change<'_>]) -> Self {
        let mut summary = Self::default();
        for change in changes {
            match change {
                Change::Stop(_) => summary.stopped += 1,
                Change::Start(_) => summary.started += 1,
                Change::Replace(_) => summary.replaced += 1,
                Change::Rewire(_) => summary.rewired += 1,
                Change::Keep { .. } => summary.untouched += 1,
                Change::Fetch(_) | Change::Refuse { .. } => {}
            }
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { started, replaced, rewired, stopped, untouched } = self;
        write!(
            f,
            "{started} started, {replaced} replaced, {rewired} rewired, {stopped} stopped, {untouched} untouched"
        )
    }
}
