//! Which programs and maps in the kernel belong to which gadget of this process.
//!
//! Kept for the statistics of eBPF programs, which otherwise see numbers without owners. A gadget is in the list while
//! it runs.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ig_operators::{feed::RunningGadgets, stats::bpfstats::Owner};

/// The gadgets that run now.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    list: Arc<Mutex<Vec<Weak<Owner>>>>,
}

/// A gadget's entry in the list; it leaves the list when this is dropped.
#[derive(Debug)]
pub struct Registered {
    _owner: Arc<Owner>,
}

impl Owners {
    /// Enters a gadget.
    pub fn enter(&self, owner: Owner) -> Registered {
        let owner = Arc::new(owner);
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|known| known.strong_count() > 0);
        list.push(Arc::downgrade(&owner));
        Registered { _owner: owner }
    }

    /// The gadgets in the list, in order of entering.
    pub fn list(&self) -> Vec<Owner> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter_map(Weak::upgrade).map(|owner| (*owner).clone()).collect()
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
        assert_eq!(owners.list.lock().unwrap().len(), 2);
    }
}
