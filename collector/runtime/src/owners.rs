//! Which programs and maps in the kernel belong to which gadget of this process.
//!
//! Kept for the statistics of eBPF programs, which otherwise see numbers without owners. A gadget is in the list while
//! it runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ig_operators::{feed::RunningGadgets, stats::bpfstats::Owner};

/// The gadgets that run now.
#[derive(Clone, Debug, Default)]
pub struct Owners(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    /// By the number of their entry, so that they are in order of entering.
    entries: BTreeMap<u64, Owner>,
    next: u64,
}

/// A gadget's entry in the list; it leaves the list when this is dropped.
#[derive(Debug)]
pub struct Registered {
    owners: Owners,
    number: u64,
}

impl Owners {
    /// Enters a gadget.
    pub fn enter(&self, owner: Owner) -> Registered {
        let mut list = self.lock();
        let number = list.next;
        list.next += 1;
        list.entries.insert(number, owner);
        Registered { owners: self.clone(), number }
    }

    /// The gadgets in the list, in order of entering.
    pub fn list(&self) -> Vec<Owner> {
        self.lock().entries.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.owners.lock().entries.remove(&self.number);
    }
}

impl RunningGadgets for Owners {
    fn list(&self) -> Vec<Owner> {
        Self::list(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two gadgets enter, the first leaves, a third enters.
    /// Guarantees: the list holds those that are there, in order, and nothing of those that left.
    #[test]
    fn gadgets_come_and_go() {
        let owners = Owners::default();
        let enter = |name: &str| owners.enter(Owner { name: name.to_owned(), ..Owner::default() });
        let names = || owners.list().into_iter().map(|owner| owner.name).collect::<Vec<_>>();
        let (first, _second) = (enter("a"), enter("b"));
        assert_eq!(names(), ["a", "b"]);
        drop(first);
        let _third = enter("c");
        assert_eq!(names(), ["b", "c"]);
    }
}
