//! How many pages may be written at once.
//!
//! A reader that stops reading would hold its place for ever, since nobody then asks its body for more. So a place
//! is a lease: when all are taken, one that is too old is given away, and its page ends where it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The places.
#[derive(Debug)]
pub(super) struct Slots {
    places: Mutex<Vec<Place>>,
    most_age: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Counts the leases of this place; only the latest is valid.
    turn: u64,
    since: Option<Instant>,
}

impl Slots {
    pub(super) fn new(places: usize, most_age: Duration) -> Self {
        Self { places: Mutex::new(vec![Place::default(); places.max(1)]), most_age }
    }

    /// Takes a free place, or one held for too long.
    pub(super) fn take(self: &Arc<Self>) -> Option<Lease> {
        let now = Instant::now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let free = places.iter().position(|place| place.since.is_none());
        let at = free.or_else(|| {
            places.iter().position(|place| place.since.is_some_and(|since| now - since >= self.most_age))
        })?;
        let place = places.get_mut(at)?;
        place.turn += 1;
        place.since = Some(now);
        Some(Lease { slots: Arc::clone(self), at, turn: place.turn })
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
    /// Whether the place has not been given away.
    pub(super) fn holds(&self) -> bool {
        let places = self.slots.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(self.at).is_some_and(|place| place.turn == self.turn)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut places = self.slots.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(self.at)
            && place.turn == self.turn
        {
            place.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two places, both taken; one is given back, then a reader stalls past the limit.
    /// Guarantees: never more than two leases hold, and a stalled one cannot lock others out.
    #[tokio::test(start_paused = true)]
    async fn a_stalled_lease_is_given_away() {
        let slots = Arc::new(Slots::new(2, Duration::from_mins(1)));
        let first = slots.take().unwrap();
        let second = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(second);
        let third = slots.take().unwrap();
        tokio::time::advance(Duration::from_secs(61)).await;
        let fourth = slots.take().unwrap();
        assert!(!first.holds() && fourth.holds() && third.holds());
        drop(first);
        assert!(fourth.holds(), "a lease that was given away frees nothing");
    }
}
