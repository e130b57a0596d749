//! What is known about every gadget at this moment; written by the parts that know, read by health and metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use ig_model::Losses;
pub use ig_model::{LossCounters, Reason, ReasonKind};
use ig_operators::{SinkLedger, operator::StageCounter};

/// Numbers of one data source since the gadget was first started under its name.
///
/// They balance as the ledger of [`ig_model::loss`] says.
#[derive(Debug, Default)]
pub struct SourceStats {
    /// Records taken out of the kernel.
    pub received: Counter,
    /// Records that reached the sinks.
    pub delivered: Counter,
    /// Records that did not, by reason.
    pub losses: LossCounters,
    /// What each kind of sink was handed, and what it lost.
    pub sinks: SinkBook,
    /// Values an instrument could not take (a negative increment of a counter).
    pub rejected_values: Counter,
    /// What operators count beside losses.
    pub counters: CounterBook,
    /// Fetches of maps and iterators.
    pub fetches: Counter,
    /// Fetches that failed.
    pub failed_fetches: Counter,
    /// Nanoseconds spent in fetches.
    pub fetch_ns: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        // Relaxed: the numbers are independent of each other and of everything else.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The present value.
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the operators of one data source count; they are built anew at each reload, their numbers stay.
#[derive(Debug, Default)]
pub struct CounterBook(Mutex<Vec<CounterEntry>>);

/// A number of one operator.
#[derive(Debug)]
struct CounterEntry {
    metric: &'static str,
    reason: &'static str,
    /// Of those that are gone.
    past: u64,
    counts: Vec<Arc<AtomicU64>>,
}

impl CounterBook {
    /// Enters a counter of a new stage.
    pub fn enter(&self, counter: StageCounter) {
        let StageCounter { metric, reason, count } = counter;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = entries.iter_mut().find(|entry| (entry.metric, entry.reason) == (metric, reason));
        let Some(CounterEntry { past, counts, .. }) = known else {
            entries.push(CounterEntry { metric, reason, past: 0, counts: vec![count] });
            return;
        };
        counts.retain(|known| {
            // Nobody else can count in it any more.
            let is_held = Arc::strong_count(known) > 1;
            if !is_held {
                *past += known.load(Ordering::Relaxed);
            }
            is_held
        });
        counts.push(count);
    }

    /// The numbers so far: metric, reason, number.
    pub fn totals(&self) -> Vec<(&'static str, &'static str, u64)> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |entry: &CounterEntry| {
            let live: u64 = entry.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
            (entry.metric, entry.reason, entry.past + live)
        };
        entries.iter().map(sum).collect()
    }
}

/// The ledgers of the sinks of one data source; sinks come and go, their numbers stay.
#[derive(Debug, Default)]
pub struct SinkBook(Mutex<Vec<SinkEntry>>);

/// Numbers of one kind of sink.
#[derive(Debug)]
struct SinkEntry {
    name: &'static str,
    /// Of sinks that are gone.
    past: SinkTotals,
    /// Those of sinks that others still hold.
    ledgers: Vec<Arc<SinkLedger>>,
}

/// What became of the records that the sinks of one kind were handed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkTotals {
    /// Records they were handed.
    pub received: u64,
    /// Records they did not take.
    pub lost: Losses,
}

impl SinkTotals {
    fn add(&mut self, ledger: &SinkLedger) {
        self.received += ledger.received();
        for (loss, count) in ledger.lost().snapshot().iter() {
            self.lost.add(loss, count);
        }
    }
}

impl SinkBook {
    /// Enters the ledger of a new sink.
    pub fn enter(&self, ledger: &Arc<SinkLedger>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = entries.iter().position(|entry| entry.name == ledger.name()).unwrap_or_else(|| {
            entries.push(SinkEntry { name: ledger.name(), past: SinkTotals::default(), ledgers: Vec::new() });
            entries.len() - 1
        });
        let Some(entry) = entries.get_mut(place) else { return };
        let SinkEntry { past, ledgers, .. } = entry;
        ledgers.retain(|known| {
            // Nobody else can count in it any more.
            let is_held = Arc::strong_count(known) > 1;
            if !is_held {
                past.add(known);
            }
            is_held
        });
        ledgers.push(Arc::clone(ledger));
    }

    /// The numbers so far, by kind of sink.
    pub fn totals(&self) -> Vec<(&'static str, SinkTotals)> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |entry: &SinkEntry| {
            let mut sum = entry.past.clone();
            entry.ledgers.iter().for_each(|ledger| sum.add(ledger));
            (entry.name, sum)
        };
        entries.iter().map(sum).collect()
    }
}

/// Where a gadget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Known from the configuration, not loaded yet, or waiting for the next try.
    Pending,
    /// Loaded, attached and read.
    Running,
    /// Running, but something it should do it does not.
    Degraded,
    /// Not running, with a reason.
    Refused,
}

impl State {
    /// Every state, for metrics that show one series each.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Degraded, Self::Refused];

    /// Whether its programs are attached and read.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Running | Self::Degraded)
    }

    /// The word shown to people and used as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Refused => "refused",
        }
    }
}

/// Everything known about one gadget.
#[derive(Clone, Debug)]
pub struct GadgetStatus {
    /// Where it stands.
    pub state: State,
    /// Why, unless it is simply running; the first one is the label.
    pub reasons: Vec<Reason>,
    /// The image as written in the configuration.
    pub image: String,
    /// Digest of the image in force, when known.
    pub digest: Option<String>,
    /// How often its programs were replaced while it ran.
    pub restarts: u64,
    /// CPUs that are online and that its programs do not see, while they cannot be covered.
    pub uncovered_cpus: u64,
    /// Numbers per data source.
    pub sources: BTreeMap<String, Arc<SourceStats>>,
    /// What was said of it, before what is wrong with its data sources is added.
    said: (State, Vec<Reason>),
    /// Data sources that give nothing any more, and why; they stay so until other programs are read.
    broken: BTreeMap<String, Reason>,
    /// Data sources that lose records.
    losing: BTreeMap<String, Reason>,
}

impl GadgetStatus {
    /// A gadget of which nothing else is known yet.
    pub fn new(state: State, image: String) -> Self {
        Self {
            state,
            reasons: Vec::new(),
            image,
            digest: None,
            restarts: 0,
            uncovered_cpus: 0,
            sources: BTreeMap::new(),
            said: (state, Vec::new()),
            broken: BTreeMap::new(),
            losing: BTreeMap::new(),
        }
    }

    /// A gadget that runs with sources that are broken or lose records is degraded, whoever says that it runs.
    fn show(&mut self) {
        (self.state, self.reasons) = self.said.clone();
        if self.state.is_read() && !(self.broken.is_empty() && self.losing.is_empty()) {
            self.state = State::Degraded;
            self.reasons.extend(self.broken.values().chain(self.losing.values()).cloned());
        }
    }
}

/// Where an exporter stands.
#[derive(Clone, Debug)]
pub struct ExporterStatus {
    /// Running, degraded (it runs as it was before its files changed) or refused.
    pub state: State,
    /// Why, unless it is simply running.
    pub reason: Option<Reason>,
}

impl ExporterStatus {
    /// An exporter that runs as it should.
    pub fn running() -> Self {
        Self { state: State::Running, reason: None }
    }
}

/// What became of the configuration file.
#[derive(Clone, Debug, Default)]
pub struct ReloadStatus {
    /// Reloads that were carried out.
    pub succeeded: u64,
    /// Reloads that were refused.
    pub failed: u64,
    /// Whether the last one was carried out.
    pub last_success: bool,
    /// When the configuration in force was applied.
    pub applied_at: Option<SystemTime>,
    /// Hash of the configuration in force.
    pub hash: String,
    /// Faults of the last refused one, none after a success.
    pub faults: Vec<Reason>,
}

/// The shared board of gadget states and the fate of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Status {
    inner: Arc<Mutex<Board>>,
}

/// The contents of the board.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// By gadget name.
    pub gadgets: BTreeMap<String, GadgetStatus>,
    /// OTLP exporters by name.
    pub exporters: BTreeMap<String, ExporterStatus>,
    /// Fate of the configuration.
    pub reload: ReloadStatus,
}

impl Status {
    /// Looks at or changes the board; keep it short, scrapes wait.
    pub fn with<T>(&self, change: impl FnOnce(&mut Board) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes one gadget's entry, if it is there.
    pub fn gadget(&self, name: &str, change: impl FnOnce(&mut GadgetStatus)) {
        self.with(|board| {
            if let Some(gadget) = board.gadgets.get_mut(name) {
                change(gadget);
            }
        });
    }

    /// Moves a gadget to a state.
    pub fn set(&self, name: &str, state: State, reasons: Vec<Reason>) {
        self.gadget(name, |gadget| {
            gadget.said = (state, reasons);
            gadget.show();
        });
    }

    /// Notes that a data source of a gadget gives nothing any more, which degrades the gadget for as long as its present
    /// programs are read.
    pub fn source_broke(&self, gadget: &str, source: &str, reason: Reason) {
        self.gadget(gadget, |gadget| {
            gadget.broken.insert(source.to_owned(), reason);
            gadget.show();
        });
    }

    /// Notes that a data source of a gadget loses records, or does so no more.
    pub fn source_loses(&self, gadget: &str, source: &str, reason: Option<Reason>) {
        self.gadget(gadget, |gadget| {
            match reason {
                Some(reason) => drop(gadget.losing.insert(source.to_owned(), reason)),
                None => drop(gadget.losing.remove(source)),
            }
            gadget.show();
        });
    }

    /// Notes how many CPUs a gadget does not cover.
    pub(crate) fn cpus_uncovered(&self, gadget: &str, cpus: u64) {
        self.gadget(gadget, |gadget| gadget.uncovered_cpus = cpus);
    }

    /// Notes that other programs of a gadget are read from now on.
    pub fn sources_begin(&self, gadget: &str) {
        self.gadget(gadget, |gadget| {
            gadget.broken.clear();
            gadget.losing.clear();
        });
    }

    /// The numbers of a data source, kept across restarts of the gadget.
    pub fn source(&self, gadget: &str, source: &str) -> Arc<SourceStats> {
        self.with(|board| match board.gadgets.get_mut(gadget) {
            Some(status) => Arc::clone(status.sources.entry(source.to_owned()).or_default()),
            None => Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a data source breaks before its gadget is said to run, the gadget's sinks change, it is refused, and then
    /// other programs are read.
    /// Guarantees: while the broken source is the gadget's, a gadget that runs is degraded by that reason, once; refused
    /// is refused; with other programs it is forgotten.
    #[test]
    fn a_broken_source_is_shown_as_long_as_it_lasts() {
        let status = Status::default();
        status.with(|board| board.gadgets.insert("a".into(), GadgetStatus::new(State::Pending, "a".into())));
        let shown =
            || status.with(|board| (board.gadgets["a"].state, Reason::join(&board.gadgets["a"].reasons)));
        status.sources_begin("a");
        status.source_broke("a", "events", Reason::new(ReasonKind::Object, "broken"));
        assert_eq!(shown(), (State::Pending, String::new()));
        status.set("a", State::Running, Vec::new());
        assert_eq!(shown(), (State::Degraded, "broken".into()));
        status.source_broke("a", "events", Reason::new(ReasonKind::Object, "broken"));
        assert_eq!(shown(), (State::Degraded, "broken".into()));
        status.set("a", State::Degraded, vec![Reason::new(ReasonKind::MetricConflict, "taken")]);
        assert_eq!(shown(), (State::Degraded, "taken; broken".into()));
        status.set("a", State::Refused, vec![Reason::new(ReasonKind::Image, "gone")]);
        assert_eq!(shown(), (State::Refused, "gone".into()));
        status.sources_begin("a");
        status.set("a", State::Running, Vec::new());
        assert_eq!(shown(), (State::Running, String::new()));
    }
}
