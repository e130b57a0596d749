//! Which instruments are exposed, and under which name, when tables disagree.
//!
//! A scrape that shows one name with two types, or one series twice, is refused as a whole by its reader. So every
//! change of the set of tables runs through [`resolve`], a pure function from tables and
//! [`Naming`] to a [`Directory`]:
//! - between gadgets, the one that came first keeps the name and the instrument of the other is refused, naming
//!   the first; it is exposed once the first has gone;
//! - within a gadget, the newest table wins and the older one is passed over in silence: it belongs to the
//!   instance that a reload is about to stop;
//! - within a table, the first instrument wins.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ig_model::InstrumentKind;

use crate::directory::{Claim, Directory, Family, Listed, Member};
use crate::naming::{FamilyName, Naming};
use crate::spec::Refusal;
use crate::table::Table;

/// A table in the order that decides conflicts.
pub(crate) struct Candidate {
    /// When the gadget's first table came; gadgets keep it over reloads.
    pub(crate) gadget_seniority: u64,
    /// When this table was last registered.
    pub(crate) registered: u64,
    pub(crate) table: Table,
}

/// Works out what is exposed, and what is refused for each table (by its id).
pub(crate) fn resolve(
    mut candidates: Vec<Candidate>,
    naming: &dyn Naming,
) -> (Directory, HashMap<u64, Vec<Refusal>>) {
    candidates.sort_by_key(|c| (c.gadget_seniority, std::cmp::Reverse(c.registered)));
    let mut resolver = Resolver::new(naming);
    for candidate in &candidates {
        resolver.add(&candidate.table);
    }
    let Resolver { families, tables, names, scopes, refused, .. } = resolver;
    (Directory { families: families.into_values().collect(), tables, names, scopes }, refused)
}

/// Adds a table to a directory if no other one has to give way for it, nor it for any: then the result is what [`resolve`]
/// gives for all of them, but for the order of tables and members. `false` leaves the directory as it was.
pub(crate) fn append(directory: &mut Directory, table: &Table, naming: &dyn Naming) -> bool {
    let families: Vec<FamilyName> = table
        .instruments()
        .iter()
        .map(|instrument| naming.family(&instrument.name, &instrument.unit, instrument.kind))
        .collect();
    let mut own = BTreeSet::new();
    for (name, instrument) in families.iter().zip(table.instruments()) {
        let samples = naming.samples(&name.full, instrument.kind);
        let is_taken = naming.reserved(&name.full).is_some()
            || samples
                .iter()
                .any(|sample| directory.names.contains_key(sample) || !own.insert(sample.clone()))
            || directory.families.binary_search_by(|family| family.name.cmp(&name.full)).is_ok();
        if is_taken {
            return false;
        }
    }
    for (instrument, (name, described)) in families.into_iter().zip(table.instruments()).enumerate() {
        let kind = described.kind;
        let claim = Claim::of(table, &name, kind);
        directory
            .names
            .extend(naming.samples(&name.full, kind).into_iter().map(|sample| (sample, claim.clone())));
        directory.scopes.insert((name.full.clone(), table.scope().to_owned()), claim);
        let members = vec![Member { table: table.clone(), instrument }];
        if let Err(at) = directory.families.binary_search_by(|family| family.name.cmp(&name.full)) {
            directory.families.insert(at, Family { name: name.full, kind, unit: name.unit, members });
        }
    }
    let instruments = (0..table.instruments().len()).collect();
    directory.tables.push(Listed { table: table.clone(), instruments });
    true
}

impl Claim {
    fn of(table: &Table, name: &FamilyName, kind: InstrumentKind) -> Self {
        Self { family: name.full.clone(), kind, table: table.id(), gadget: table.gadget().to_owned() }
    }
}

struct Resolver<'a> {
    naming: &'a dyn Naming,
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

impl<'a> Resolver<'a> {
    fn new(naming: &'a dyn Naming) -> Self {
        Self {
            naming,
            families: BTreeMap::new(),
            tables: Vec::new(),
            names: HashMap::new(),
            scopes: HashMap::new(),
            refused: HashMap::new(),
        }
    }

    fn add(&mut self, table: &Table) {
        let mut exposed = Vec::new();
        let mut refusals = Vec::new();
        for (position, instrument) in table.instruments().iter().enumerate() {
            let kind = instrument.kind;
            let name = self.naming.family(&instrument.name, &instrument.unit, kind);
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
            self.refused.insert(table.id(), refusals);
        }
        self.tables.push(Listed { table: table.clone(), instruments: exposed });
    }

    fn judge(&self, table: &Table, name: &FamilyName, kind: InstrumentKind) -> Verdict {
        let samples = self.naming.samples(&name.full, kind);
        let names = std::iter::once(&name.full).chain(&samples);
        if let Some(reason) = names.into_iter().find_map(|name| self.naming.reserved(name)) {
            return Verdict::Refuse(reason);
        }
        for sample in samples {
            if let Some(claim) = self.names.get(&sample)
                && (claim.family != name.full || claim.kind != kind)
            {
                return verdict(table, claim, || {
                    format!(
                        "`{sample}` is part of the {} `{}` of gadget `{}`",
                        claim.kind.name(),
                        claim.family,
                        claim.gadget
                    )
                });
            }
        }
        if let Some(claim) = self.scopes.get(&(name.full.clone(), table.scope().to_owned())) {
            return verdict(table, claim, || {
                format!("gadget `{}` already exposes it in scope `{}`", claim.gadget, table.scope())
            });
        }
        Verdict::Expose
    }

    fn claim(&mut self, table: &Table, instrument: usize, name: FamilyName, kind: InstrumentKind) {
        let claim = Claim::of(table, &name, kind);
        for sample in self.naming.samples(&name.full, kind) {
            self.names.entry(sample).or_insert_with(|| claim.clone());
        }
        self.scopes.insert((name.full.clone(), table.scope().to_owned()), claim);
        let member = Member { table: table.clone(), instrument };
        self.families
            .entry(name.full.clone())
            .or_insert_with(|| Family { name: name.full, kind, unit: name.unit, members: Vec::new() })
            .members
            .push(member);
    }
}

fn verdict(table: &Table, claim: &Claim, reason: impl FnOnce() -> String) -> Verdict {
    if claim.gadget == table.gadget() && claim.table != table.id() {
        Verdict::PassOver
    } else if claim.table == table.id() {
        Verdict::Refuse(format!("another instrument of the same table is exposed as {}", claim.family))
    } else {
        Verdict::Refuse(reason())
    }
}
