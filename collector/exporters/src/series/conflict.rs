//! Which instruments are exposed, and under which name, when tables disagree.
//!
//! A scrape that shows one name with two types, or one series twice, is refused as a whole by its reader. So every
//! change of the set of tables runs through [`resolve`], a pure function from tables to a [`Directory`]:
//! - between gadgets, the one that came first keeps the name and the instrument of the other is refused, naming
//!   the first; it is exposed once the first has gone;
//! - within a gadget, the newest table wins and the older one is passed over in silence: it belongs to the
//!   instance that a reload is about to stop;
//! - within a table, the first instrument wins.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::spec::{InstrumentKind, Refusal};
use super::table::TableInner;
use crate::prometheus::names::{self, MetricName};

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
}

impl FamilyKind {
    pub(crate) fn of(kind: &InstrumentKind) -> Self {
        match kind {
            InstrumentKind::Counter { .. } => Self::Counter,
            InstrumentKind::Gauge { .. } => Self::Gauge,
            InstrumentKind::Histogram { .. } => Self::Histogram,
        }
    }

    /// The word of `# TYPE`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric family and the instruments that feed it.
#[derive(Debug)]
pub(crate) struct Family {
    /// The exposed name, a counter's `_total` included.
    pub(crate) name: String,
    pub(crate) kind: FamilyKind,
    /// The unit word if the name ends with it.
    pub(crate) unit: Option<String>,
    pub(crate) members: Vec<Member>,
}

/// An instrument of a table.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) table: Arc<TableInner>,
    pub(crate) instrument: usize,
}

/// A table with the instruments of it that are exposed.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) table: Arc<TableInner>,
    /// Positions of the exposed instruments, growing.
    pub(crate) instruments: Vec<usize>,
}

/// What is exposed.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// In order of name.
    pub(crate) families: Vec<Family>,
    pub(crate) tables: Vec<Listed>,
    /// Every sample or family name in use.
    pub(crate) names: HashMap<String, Claim>,
}

/// Who holds a name.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    family: String,
    kind: FamilyKind,
    table: u64,
    gadget: String,
}

/// A table in the order that decides conflicts.
pub(crate) struct Candidate {
    /// When the gadget's first table came; gadgets keep it over reloads.
    pub(crate) gadget_seniority: u64,
    /// When this table was last registered.
    pub(crate) registered: u64,
    pub(crate) table: Arc<TableInner>,
}

/// Works out what is exposed, and what is refused for each table (by its id).
pub(crate) fn resolve(mut candidates: Vec<Candidate>) -> (Directory, HashMap<u64, Vec<Refusal>>) {
    candidates.sort_by_key(|c| (c.gadget_seniority, std::cmp::Reverse(c.registered)));
    let mut resolver = Resolver::default();
    for candidate in &candidates {
        resolver.add(&candidate.table);
    }
    let Resolver { families, tables, names, refused, .. } = resolver;
    (Directory { families: families.into_values().collect(), tables, names }, refused)
}

#[derive(Default)]
struct Resolver {
    families: BTreeMap<String, Family>,
    tables: Vec<Listed>,
    names: HashMap<String, Claim>,
    /// Family and scope to the table that shows it.
    scopes: HashMap<(String, String), Claim>,
    refused: HashMap<u64, Vec<Refusal>>,
}

enum Verdict {
    Expose,
    PassOver,
    Refuse(String),
}

impl Resolver {
    fn add(&mut self, table: &Arc<TableInner>) {
        let mut exposed = Vec::new();
        let mut refusals = Vec::new();
        for (position, instrument) in table.instruments.iter().enumerate() {
            let kind = FamilyKind::of(&instrument.kind);
            let name = names::metric(&instrument.name, &instrument.unit, kind);
            match self.judge(table, &name, kind) {
                Verdict::Expose => {
                    self.claim(table, position, name, kind);
                    exposed.push(position);
                }
                Verdict::PassOver => {}
                Verdict::Refuse(reason) => refusals.push(Refusal { metric: name.full, reason }),
            }
        }
        if !refusals.is_empty() {
            self.refused.insert(table.id, refusals);
        }
        self.tables.push(Listed { table: Arc::clone(table), instruments: exposed });
    }

    fn judge(&self, table: &TableInner, name: &MetricName, kind: FamilyKind) -> Verdict {
        if let Some(reason) = names::reserved(&name.full) {
            return Verdict::Refuse(reason);
        }
        for sample in samples(&name.full, kind) {
            if let Some(claim) = self.names.get(&sample)
                && (claim.family != name.full || claim.kind != kind)
            {
                return verdict(table, claim, || {
                    format!(
                        "`{sample}` is part of the {} `{}` of gadget `{}`",
                        claim.kind.word(),
                        claim.family,
                        claim.gadget
                    )
                });
            }
        }
        if let Some(claim) = self.scopes.get(&(name.full.clone(), table.scope.clone())) {
            return verdict(table, claim, || {
                format!("gadget `{}` already exposes it in scope `{}`", claim.gadget, table.scope)
            });
        }
        Verdict::Expose
    }

    fn claim(&mut self, table: &Arc<TableInner>, instrument: usize, name: MetricName, kind: FamilyKind) {
        let claim = Claim { family: name.full.clone(), kind, table: table.id, gadget: table.gadget.clone() };
        for sample in samples(&name.full, kind) {
            self.names.entry(sample).or_insert_with(|| claim.clone());
        }
        self.scopes.insert((name.full.clone(), table.scope.clone()), claim);
        let member = Member { table: Arc::clone(table), instrument };
        self.families
            .entry(name.full.clone())
            .or_insert_with(|| Family { name: name.full, kind, unit: name.unit, members: Vec::new() })
            .members
            .push(member);
    }
}

fn verdict(table: &TableInner, claim: &Claim, reason: impl FnOnce() -> String) -> Verdict {
    if claim.gadget == table.gadget && claim.table != table.id {
        Verdict::PassOver
    } else if claim.table == table.id {
        Verdict::Refuse(format!("another instrument of the same table is exposed as {}", claim.family))
    } else {
        Verdict::Refuse(reason())
    }
}

/// Every name that a family of this kind puts on a page, in either format.
fn samples(full: &str, kind: FamilyKind) -> Vec<String> {
    match kind {
        FamilyKind::Counter => {
            let base = full.strip_suffix("_total").unwrap_or(full);
            vec![full.to_owned(), base.to_owned(), format!("{base}_created")]
        }
        FamilyKind::Gauge => vec![full.to_owned()],
        FamilyKind::Histogram => ["", "_bucket", "_sum", "_count", "_created"]
            .iter()
            .map(|suffix| format!("{full}{suffix}"))
            .collect(),
    }
}
