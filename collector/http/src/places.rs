//! Who holds a connection, and who has to go when there are too many.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::listen::Source;
use crate::pulse::Pulse;
use crate::stats::Ending;

/// The open connections of a server.
#[derive(Debug)]
pub(crate) struct Places {
    limits: Limits,
    held: Mutex<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    source: Source,
    pulse: Arc<Pulse>,
    handle: ConnectionHandle,
}

/// Closes a connection from elsewhere. It is among the extensions of each request.
#[derive(Clone, Debug, Default)]
pub struct ConnectionHandle {
    closed: CancellationToken,
    ending: Arc<OnceLock<Ending>>,
}

impl ConnectionHandle {
    /// Closes the connection, whatever it is doing, and frees what its response holds.
    pub fn give_up(&self) {
        self.close(Ending::GivenUp);
    }

    fn close(&self, ending: Ending) {
        self.ending.get_or_init(|| ending);
        self.closed.cancel();
    }

    /// Completes once the connection shall be closed.
    pub(crate) async fn closed(&self) -> Ending {
        self.closed.cancelled().await;
        self.ending.get().copied().unwrap_or(Ending::GivenUp)
    }
}

/// A place, held until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) handle: ConnectionHandle,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, held: Mutex::default() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn open(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a connection of `source`, if need be the place of one that keeps us waiting: among those of
    /// the same source if it has too many, else among those of a source that has more than it, at once, else among all.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn take(self: &Arc<Self>, source: Source) -> Result<Place, Ending> {
        let now = Instant::now();
        let mut held = self.lock();
        let of_source = held.iter().filter(|held| held.source == source).count();
        if of_source >= self.limits.connections_per_source {
            let grace = self.limits.eviction_grace;
            make_room(&mut held, now, grace, |held| held.source == source).ok_or(Ending::SourceFull)?;
        } else if held.len() >= self.limits.connections {
            self.make_room_for(&mut held, now, of_source).ok_or(Ending::Full)?;
        }
        let place = Place {
            places: Arc::clone(self),
            pulse: Arc::new(Pulse::new()),
            handle: ConnectionHandle::default(),
        };
        held.push(Held { source, pulse: Arc::clone(&place.pulse), handle: place.handle.clone() });
        Ok(place)
    }

    /// Closes a connection for a source that has `own` of them. A source that has more gives way at once: whoever takes
    /// most keeps nobody else out, however fast it comes back.
    fn make_room_for(&self, held: &mut Vec<Held>, now: Instant, own: usize) -> Option<()> {
        let mut counts = HashMap::<Source, usize>::new();
        for held in held.iter() {
            *counts.entry(held.source).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        if let Some((greedy, _)) = most.filter(|(_, count)| *count > own.saturating_add(1))
            && make_room(held, now, Duration::ZERO, |held| held.source == greedy).is_some()
        {
            return Some(());
        }
        make_room(held, now, self.limits.eviction_grace, |_| true)
    }
}

/// Closes the connection that has kept us waiting longest, and for as long as `grace`.
fn make_room(
    held: &mut Vec<Held>,
    now: Instant,
    grace: Duration,
    may_go: impl Fn(&Held) -> bool,
) -> Option<()> {
    let waiting = held.iter().enumerate().filter(|(_, held)| may_go(held));
    let waiting = waiting.filter_map(|(at, held)| Some((held.pulse.waiting_since()?, at)));
    let (since, at) = waiting.min()?;
    if now.duration_since(since) < grace {
        return None;
    }
    held.swap_remove(at).handle.close(Ending::MadeRoom);
    Some(())
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().retain(|held| !Arc::ptr_eq(&held.pulse, &self.pulse));
    }
}
