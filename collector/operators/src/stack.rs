//! Stacks: numbers under which programs file them become names of functions.
//!
//! A record holds the id of a stack; its addresses lie in a map of the gadget, which is known only once the gadget is
//! loaded. So columns are planned with a [`StackSlot`] that is bound to the [`StackMaps`] later, and a stack is looked up
//! only when a sink renders its column. Names come from [`ig_symbols`], which makes the caller wait no longer than its
//! budget allows.
//!
//! # Source
//! Inspektor Gadget: fields of type `gadget_kernel_stack` become text under the name that `ebpf.formatter.kstack` gives;
//! structs of type `gadget_user_stack` get the hidden members `addresses`, `buildid` and `symbols`. Ours alone is the
//! symbolizer `dwarf`, which `auto` contains: functions that the compiler put into others have a name of their own.

mod keep;
mod map;
mod operator;
mod resolve;
#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use ig_datasource::{DataSource, Field, annotate::BASE, template::HIDDEN};
use ig_model::nearest;
use ig_symbols::{Method, Symbols};
use thiserror::Error;

use crate::column::{Column, ColumnClash, Columns, Render, Resolver, derive};
pub use keep::{StackMap, Stacks};
pub(crate) use operator::StackOperator;
pub use operator::{SYMBOLIZERS, UNRESOLVED};
use resolve::{Addresses, BuildIds, KernelNames, Names};

/// The type of ids of kernel stacks.
const KERNEL_STACK: &str = "gadget_kernel_stack";
/// The type of user stacks.
const USER_STACK: &str = "gadget_user_stack";
/// Members of a user stack that are needed, in the order in which [`resolve`] reads them, with their bytes.
const MEMBERS: [(&str, usize); 12] = [
    ("major", 4),
    ("minor", 4),
    ("inode", 8),
    ("mtime_sec", 8),
    ("mtime_nsec", 4),
    ("base_addr_hash", 4),
    ("stack_id", 4),
    ("tgid_level0", 4),
    ("pid_level0", 4),
    ("pidns_level0", 4),
    ("pid_level1", 4),
    ("pidns_level1", 4),
];

/// The map of kernel stacks.
pub const KERNEL_MAP: &str = "ig_kstack";
/// The map of user stacks.
pub const USER_MAP: &str = "ig_ustack";
/// The map of build ids of user stacks.
pub const BUILD_ID_MAP: &str = "ig_build_id";

/// How user stacks get names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symbolizers {
    /// Not at all.
    None,
    /// From symbol tables and perf maps.
    Symtab,
    /// From debug information as well.
    #[default]
    All,
}

/// Stacks that have no text.
#[derive(Debug, Default)]
pub struct StackCounts {
    /// The program found no room for the stack in its map.
    pub full: Arc<AtomicU64>,
    /// The map did not have the stack any more.
    pub missing: Arc<AtomicU64>,
    /// Symbols were not there in time; the stack shows addresses.
    pub late: Arc<AtomicU64>,
}

/// The maps of a loaded gadget that hold stacks.
#[derive(Debug, Default)]
pub struct StackMaps {
    /// `ig_kstack`.
    pub kernel: Option<Arc<Stacks>>,
    /// `ig_ustack`, with `ig_build_id`.
    pub user: Option<Arc<Stacks>>,
}

/// What the columns of a data source are bound to once the gadget is loaded.
#[derive(Clone, Debug)]
pub struct StackSlot {
    inner: Arc<Inner>,
    /// The maps that the columns read.
    pub maps: Vec<&'static str>,
}

#[derive(Debug)]
struct Inner {
    bound: OnceLock<(Arc<StackMaps>, Arc<StackCounts>)>,
    symbols: Arc<Symbols>,
}

/// Why there are no columns for stacks.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// The name of a column is taken.
    #[error(transparent)]
    Clash(#[from] ColumnClash),
    /// The struct is not the one that is known.
    #[error("field `{field}` is a user stack without the member `{member}` of {size} bytes")]
    Member {
        /// Name of the struct.
        field: String,
        /// What it lacks.
        member: &'static str,
        /// Bytes of the member.
        size: usize,
    },
}

impl Symbolizers {
    /// Reads the parameter `symbolizers`; those that do not exist here are named in the second part.
    ///
    /// # Errors
    /// A word that is no symbolizer, in words.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        const KNOWN: [&str; 7] = [
            "none",
            "auto",
            "symtab",
            "dwarf",
            "debuginfod-cache",
            "debuginfod-cache-on-ig-server",
            "otel-ebpf-profiler",
        ];
        let mut chosen = Self::None;
        let mut absent = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "auto" | "dwarf" => chosen = Self::All,
                "symtab" if chosen == Self::None => chosen = Self::Symtab,
                "none" | "symtab" => {}
                known if KNOWN.contains(&known) => absent.push(known.to_owned()),
                unknown => {
                    let hint = nearest(unknown, KNOWN).map(|near| format!("; did you mean `{near}`?"));
                    let known = KNOWN.join(", ");
                    return Err(format!(
                        "`{unknown}` is no symbolizer{} (there are: {known})",
                        hint.unwrap_or_default()
                    ));
                }
            }
        }
        Ok((if text.trim().is_empty() { Self::All } else { chosen }, absent))
    }

    fn method(self) -> Option<Method> {
        match self {
            Self::None => None,
            Self::Symtab => Some(Method::Symtab),
            Self::All => Some(Method::Full),
        }
    }
}

/// Adds the columns for the stacks of a data source; `None` if it has no stacks.
///
/// # Errors
/// [`StackError`].
pub fn add(
    source: &DataSource,
    symbolizers: Symbolizers,
    symbols: &Arc<Symbols>,
    columns: &mut Columns,
) -> Result<Option<StackSlot>, StackError> {
    let inner = Arc::new(Inner { bound: OnceLock::new(), symbols: Arc::clone(symbols) });
    let mut maps = Vec::new();
    for (index, field) in source.fields.iter().enumerate() {
        if field.has_type(KERNEL_STACK) && field.size == 4 && field.kind.is_integer() {
            if let Some(name) = derive::target(source, field, "ebpf.formatter.kstack", None) {
                let resolver = Arc::new(KernelNames(Arc::clone(&inner)));
                columns.push(
                    Column::new(&name, vec![range(field)], Render::Resolved(resolver)).annotated(&BASE),
                )?;
            }
            columns.hide(&field.full_name);
            maps.push(KERNEL_MAP);
        } else if field.has_type(USER_STACK) {
            let inputs = members(source, index, field)?;
            columns.hide(&field.full_name);
            let method = symbolizers.method();
            let resolvers: [(&str, Arc<dyn Resolver>); 3] = [
                ("addresses", Arc::new(Addresses(Arc::clone(&inner)))),
                ("buildid", Arc::new(BuildIds(Arc::clone(&inner)))),
                ("symbols", Arc::new(Names { inner: Arc::clone(&inner), method })),
            ];
            for (name, resolver) in resolvers {
                let full = format!("{}.{name}", field.full_name);
                let mut column = Column::new(&full, inputs.clone(), Render::Resolved(resolver));
                column = column.annotated(&BASE).annotated(&[(HIDDEN, "true")]);
                column.tags = vec![format!("name:{name}"), "operator:ustack".to_owned()];
                columns.push(column)?;
            }
            maps.push(USER_MAP);
        }
    }
    maps.sort_unstable();
    maps.dedup();
    Ok((!maps.is_empty()).then_some(StackSlot { inner, maps }))
}

impl StackSlot {
    /// Brings the maps of the loaded gadget to the columns; the first call counts.
    pub fn bind(&self, maps: Arc<StackMaps>, counts: Arc<StackCounts>) {
        // A slot belongs to one plan, which is wired once.
        drop(self.inner.bound.set((maps, counts)));
    }
}

impl StackCounts {
    fn add(counter: &AtomicU64) {
        // Relaxed: the numbers are independent of each other and of everything else.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters, by what kept the text of stacks away.
    pub fn by_reason(&self) -> [(&'static str, &Arc<AtomicU64>); 3] {
        [("full", &self.full), ("missing", &self.missing), ("late", &self.late)]
    }
}

/// The ranges of the members of a user stack.
fn members(source: &DataSource, parent: usize, field: &Field) -> Result<Vec<Range<usize>>, StackError> {
    MEMBERS
        .iter()
        .map(|(member, size)| {
            let is_it =
                |child: &&Field| child.parent == Some(parent) && child.name == *member && child.size == *size;
            let found = source.fields.iter().find(is_it).map(range);
            found.ok_or_else(|| StackError::Member { field: field.full_name.clone(), member, size: *size })
        })
        .collect()
}

fn range(field: &Field) -> Range<usize> {
    field.offset..field.offset + field.size
}
