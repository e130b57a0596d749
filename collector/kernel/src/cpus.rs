//! What there is one of for each CPU, while CPUs go and come.
//!
//! Why it exists: the kernel ends what is bound to a CPU when that goes offline, for good and without a word: what is there
//! when the CPU comes back counts nothing. So whoever opens something for each CPU has to open it again.

use std::collections::BTreeMap;
use std::mem;

/// One `T` for each CPU.
#[derive(Debug)]
pub struct PerCpu<T> {
    covered: BTreeMap<u32, T>,
}

impl<T> Default for PerCpu<T> {
    fn default() -> Self {
        Self { covered: BTreeMap::new() }
    }
}

/// What following CPUs came to.
#[derive(Debug)]
pub struct Followed<T, E> {
    /// What belonged to CPUs that went.
    pub left: Vec<T>,
    /// CPUs that something was opened for.
    pub came: Vec<u32>,
    /// CPUs that are online and have nothing; to be tried again.
    pub uncovered: Vec<u32>,
    /// The first error of opening.
    pub error: Option<E>,
}

impl<T> PerCpu<T> {
    /// Takes away what belongs to CPUs that are not online, and opens for those that have nothing; for all of them
    /// `anew`, after a suspend, which takes CPUs offline and back. `open` answers `None` for a CPU that went meanwhile.
    ///
    /// An empty list changes nothing: some CPU is always online.
    pub fn follow<E>(
        &mut self,
        online: &[u32],
        anew: bool,
        mut open: impl FnMut(u32) -> Result<Option<T>, E>,
    ) -> Followed<T, E> {
        let mut followed =
            Followed { left: Vec::new(), came: Vec::new(), uncovered: Vec::new(), error: None };
        if online.is_empty() {
            return followed;
        }
        for (cpu, one) in mem::take(&mut self.covered) {
            if anew || !online.contains(&cpu) {
                followed.left.push(one);
            } else {
                self.covered.insert(cpu, one);
            }
        }
        for cpu in online {
            if self.covered.contains_key(cpu) {
                continue;
            }
            match open(*cpu) {
                Ok(Some(one)) => {
                    self.covered.insert(*cpu, one);
                    followed.came.push(*cpu);
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    followed.error.get_or_insert(error);
                }
            }
            followed.uncovered.push(*cpu);
        }
        followed
    }

    /// What is there, in order of the CPUs.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.covered.values_mut()
    }

    /// CPUs that have something.
    pub fn len(&self) -> usize {
        self.covered.len()
    }

    /// Whether no CPU has anything.
    pub fn is_empty(&self) -> bool {
        self.covered.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::PerCpu;

    /// Scenario: a CPU goes, comes back, and a new one comes; then the machine was suspended; then the list is unreadable.
    /// Guarantees: each CPU has one that was opened since it last came, and what belonged to those that went is given back.
    #[test]
    fn cpus_that_come_are_covered_anew() {
        let mut opened = 0;
        let mut open = |_cpu| {
            opened += 1;
            Ok::<_, ()>(Some(opened))
        };
        let mut all = PerCpu::default();
        assert_eq!(all.follow(&[0, 1], false, &mut open).came, [0, 1]);
        let gone = all.follow(&[0], false, &mut open);
        assert_eq!((gone.left, gone.came.is_empty(), gone.uncovered.is_empty()), (vec![2], true, true));
        let back = all.follow(&[0, 1, 2], false, &mut open);
        assert_eq!((back.left.is_empty(), back.came), (true, vec![1, 2]));
        assert_eq!(all.values_mut().map(|one| *one).collect::<Vec<_>>(), [1, 3, 4]);
        let resumed = all.follow(&[0, 1, 2], true, &mut open);
        assert_eq!((resumed.left, resumed.came), (vec![1, 3, 4], vec![0, 1, 2]));
        assert!(all.follow(&[], false, &mut open).left.is_empty());
        assert_eq!(all.len(), 3);
    }

    /// Scenario: opening fails for one CPU, another has gone meanwhile; later both can be opened.
    /// Guarantees: the others are covered, those two are told, with the error, and are tried again.
    #[test]
    fn what_cannot_be_opened_is_told_and_tried_again() {
        let mut all = PerCpu::default();
        let tried = all.follow(&[0, 1, 2], false, |cpu| match cpu {
            0 => Ok(Some(cpu)),
            1 => Ok(None),
            _ => Err("no descriptor"),
        });
        assert_eq!((tried.uncovered, tried.error), (vec![1, 2], Some("no descriptor")));
        assert_eq!(all.len(), 1);
        let again = all.follow(&[0, 1, 2], false, |cpu| Ok::<_, ()>(Some(cpu)));
        assert_eq!((again.came, again.uncovered.is_empty()), (vec![1, 2], true));
    }
}
