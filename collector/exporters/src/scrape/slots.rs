//! How many pages may be written at once.
//!
//! A reader that stops reading would hold its place for ever, since nobody then asks its body for more. So a place is a
//! lease: when all are taken, the one whose reader has let its page wait longest, and for too long, is given away, and
//! its connection is closed with whatever it holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ig_http::ConnectionHandle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The places.
#[derive(Debug)]
pub(super) struct Slots {
    places: Mutex<Vec<Place>>,
    freed: Notify,
    reader_patience: Duration,
}

#[derive(Debug, Default)]
struct Place {
    /// Counts the leases of this place; only the latest is valid.
    turn: u64,
    reader: Option<Reader>,
}

#[derive(Debug)]
struct Reader {
    connection: ConnectionHandle,
    /// When it last took something.
    took: Instant,
}

impl Slots {
    pub(super) fn new(places: usize, reader_patience: Duration) -> Self {
        let places = (0..places.max(1)).map(|_| Place::default()).collect();
        Self { places: Mutex::new(places), freed: Notify::new(), reader_patience }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for `connection` as soon as there is one.
    ///
    /// # Cancel safety
    /// Dropping the future takes none.
    pub(super) async fn take(self: &Arc<Self>, connection: ConnectionHandle) -> Lease {
        loop {
            let freed = self.freed.notified();
            let stalled_at = match self.take_now(&connection) {
                Ok(lease) => return lease,
                Err(at) => at,
            };
            // Elapsed or freed: either way there may be a place now.
            drop(timeout_at(stalled_at, freed).await);
        }
    }

    /// Takes a free place, or one whose reader is too slow.
    ///
    /// # Errors
    /// When the next reader is too slow, if it does not go on.
    fn take_now(self: &Arc<Self>, connection: &ConnectionHandle) -> Result<Lease, Instant> {
        let now = Instant::now();
        let mut places = self.lock();
        let waits = |place: &Place| place.reader.as_ref().map(|reader| reader.took);
        // A free place comes before any that is taken.
        let next = places.iter_mut().enumerate().min_by_key(|(_, place)| waits(place));
        let Some((at, place)) = next else { return Err(now + self.reader_patience) };
        if let Some(reader) = &place.reader {
            let stalled_at = reader.took + self.reader_patience;
            if now < stalled_at {
                return Err(stalled_at);
            }
            reader.connection.give_up();
        }
        place.turn += 1;
        place.reader = Some(Reader { connection: connection.clone(), took: now });
        Ok(Lease { slots: Arc::clone(self), at, turn: place.turn })
    }
}

/// A place held until dropped.
#[derive(Debug)]
pub(super) struct Lease {
    slots: Arc<Slots>,
    at: usize,
    turn: u64,
}

impl Lease {
    /// Notes that the reader takes something; false if the place has been given away.
    pub(super) fn goes_on(&self) -> bool {
        let mut places = self.slots.lock();
        let place = places.get_mut(self.at).filter(|place| place.turn == self.turn);
        let reader = place.and_then(|place| place.reader.as_mut());
        reader.map(|reader| reader.took = Instant::now()).is_some()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut places = self.slots.lock();
        if let Some(place) = places.get_mut(self.at)
            && place.turn == self.turn
        {
            place.reader = None;
            self.slots.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    async fn take(slots: &Arc<Slots>) -> (Lease, Duration) {
        let before = Instant::now();
        (slots.take(ConnectionHandle::default()).await, before.elapsed())
    }

    /// Scenario: two places, both taken; one reader goes on, the other stops; then two scrapes come, then a third.
    /// Guarantees: never more than two leases hold; the stalled place is given away when its reader has waited too long,
    /// the other not as long as its reader goes on.
    #[tokio::test(start_paused = true)]
    async fn a_stalled_lease_is_given_away() {
        let slots = Arc::new(Slots::new(2, PATIENCE));
        let (reading, waited) = take(&slots).await;
        assert_eq!(waited, Duration::ZERO);
        let (stalled, _) = take(&slots).await;
        tokio::time::advance(PATIENCE / 2).await;
        assert!(reading.goes_on());
        let (third, waited) = take(&slots).await;
        assert_eq!(waited, PATIENCE / 2);
        assert!(!stalled.goes_on() && reading.goes_on() && third.goes_on());
        drop(stalled);
        assert!(third.goes_on(), "a lease that was given away frees nothing");
    }

    /// Scenario: a scrape waits while the only page is written to its end.
    /// Guarantees: it has the place as soon as it is free.
    #[tokio::test(start_paused = true)]
    async fn a_free_place_is_taken_at_once() {
        let slots = Arc::new(Slots::new(1, PATIENCE));
        let (first, _) = take(&slots).await;
        let free = async {
            tokio::time::sleep(PATIENCE / 4).await;
            drop(first);
        };
        let ((second, waited), ()) = tokio::join!(take(&slots), free);
        assert_eq!(waited, PATIENCE / 4);
        assert!(second.goes_on());
    }
}
