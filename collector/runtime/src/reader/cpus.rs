//! Following the CPUs: what is open once for each of them is opened for those that come.
//!
//! The kernel tells nobody cheaply: its messages about devices say nothing of a suspend, which takes all CPUs but one
//! offline. So the list of those that are online is read once a second, and a suspend shows in the distance of two
//! clocks, of which one stands still meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use ig_kernel::map::online_cpus;
use ig_loader::Link;
use rustix::time::{ClockId, clock_gettime};
use tracing::{info, warn};

use crate::status::Status;

/// Time in which a CPU that comes is covered.
const PAUSE: Duration = Duration::from_secs(1);
/// The two clocks are not read at one instant.
const LEAST_SUSPEND_NS: i128 = 100_000_000;

/// What is open once for each CPU.
pub(crate) trait FollowCpus: Send + Sync {
    /// Follows the CPUs; `None` if it is not bound to any. See [`ig_kernel::cpus::PerCpu::follow`].
    fn follow(&self, online: &[u32], anew: bool) -> Option<Coverage>;
}

/// What following the CPUs came to.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// CPUs that came.
    pub(crate) came: Vec<u32>,
    /// CPUs that are online and not covered.
    pub(crate) uncovered: Vec<u32>,
    /// Why not.
    pub(crate) error: Option<String>,
}

impl FollowCpus for Link {
    fn follow(&self, online: &[u32], anew: bool) -> Option<Coverage> {
        let followed = self.follow_cpus(online, anew)?;
        // Closing may take the kernel a while: not on the thread that reads. Without another one it is done here.
        let left = followed.left;
        if !left.is_empty() {
            tokio::task::spawn_blocking(move || drop(left));
        }
        let error = followed.error.map(|error| ig_model::chain(&error));
        Some(Coverage { came: followed.came, uncovered: followed.uncovered, error })
    }
}

/// Everything that follows the CPUs, by gadget; entries go with what they stand for.
#[derive(Clone, Default)]
pub(crate) struct Followers(Arc<Mutex<Vec<Follower>>>);

/// A gadget, and what it has open for each CPU.
type Follower = (String, Weak<dyn FollowCpus>);

impl std::fmt::Debug for Followers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followers").finish_non_exhaustive()
    }
}

impl Followers {
    /// Adds one.
    pub(crate) fn enter(&self, gadget: &str, follower: Weak<dyn FollowCpus>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((gadget.to_owned(), follower));
    }

    /// Whether nothing is open for each CPU.
    fn is_empty(&self) -> bool {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|(_, follower)| follower.strong_count() > 0);
        followers.is_empty()
    }

    /// Has all follow to these CPUs; how many are not covered, by gadget.
    pub(super) fn follow(&self, online: &[u32], anew: bool) -> BTreeMap<String, Coverage> {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|(_, follower)| follower.strong_count() > 0);
        let mut all: BTreeMap<String, Coverage> = BTreeMap::new();
        for (gadget, follower) in followers.iter() {
            let Some(Some(one)) = follower.upgrade().map(|follower| follower.follow(online, anew)) else {
                continue;
            };
            let sum = all.entry(gadget.clone()).or_default();
            for (sum, news) in [(&mut sum.came, one.came), (&mut sum.uncovered, one.uncovered)] {
                sum.extend(news);
                sum.sort_unstable();
                sum.dedup();
            }
            sum.error = sum.error.take().or(one.error);
        }
        all
    }
}

/// Follows the CPUs for as long as it is polled.
pub(super) async fn follow(followers: Followers, status: Status) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut suspended = suspended_ns();
    let mut uncovered: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    loop {
        ticks.tick().await;
        let now = suspended_ns();
        let anew = now - suspended > LEAST_SUSPEND_NS;
        suspended = now;
        if followers.is_empty() {
            continue;
        }
        for (gadget, coverage) in followers.follow(&online_cpus(), anew) {
            if !coverage.came.is_empty() {
                info!(name: "gadget.cpus.came", gadget, cpus = ?coverage.came, after_suspend = anew);
            }
            let before = uncovered.insert(gadget.clone(), coverage.uncovered.clone());
            if !coverage.uncovered.is_empty() && before.as_ref() != Some(&coverage.uncovered) {
                warn!(
                    name: "gadget.cpus.uncovered", gadget, cpus = ?coverage.uncovered,
                    error = coverage.error.unwrap_or_default(), "what runs there is not seen; it is tried again"
                );
            }
            status.cpus_uncovered(&gadget, coverage.uncovered.len() as u64);
        }
    }
}

/// How long the machine was suspended since it booted, but for a constant.
fn suspended_ns() -> i128 {
    let read = |clock| {
        let time = clock_gettime(clock);
        i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
    };
    read(ClockId::Boottime) - read(ClockId::Monotonic)
}
