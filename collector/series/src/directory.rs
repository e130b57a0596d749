//! What is exposed: families by name with the instruments that feed them, and the tables behind these.

use std::collections::HashMap;

use ig_model::InstrumentKind;

use crate::table::Table;

/// What is exposed at one point in time; made anew when a table comes or goes.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// In order of name.
    pub families: Vec<Family>,
    /// Every registered table.
    pub tables: Vec<Listed>,
    /// Every sample or family name in use.
    pub(crate) names: HashMap<String, Claim>,
    /// Family and scope to the table that shows it.
    pub(crate) scopes: HashMap<(String, String), Claim>,
}

impl Directory {
    /// Whether a family has this name or puts it on a page.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }
}

/// One metric family and the instruments that feed it.
#[derive(Clone, Debug)]
pub struct Family {
    /// The exposed name, a counter's suffix included.
    pub name: String,
    /// The kind of all its members.
    pub kind: InstrumentKind,
    /// The unit word if the name ends with it.
    pub unit: Option<String>,
    /// The instruments, each of another table.
    pub members: Vec<Member>,
}

/// An instrument of a table.
#[derive(Clone, Debug)]
pub struct Member {
    /// The table; this handle does not keep it registered.
    pub table: Table,
    /// The instrument's position.
    pub instrument: usize,
}

/// A table with the instruments of it that are exposed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The table; this handle does not keep it registered.
    pub table: Table,
    /// Positions of the exposed instruments, growing.
    pub instruments: Vec<usize>,
}

/// Who holds a name.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) family: String,
    pub(crate) kind: InstrumentKind,
    pub(crate) table: u64,
    pub(crate) gadget: String,
}
