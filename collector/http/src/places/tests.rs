use std::time::Duration;

use super::*;

fn places(connections: usize, per_source: usize) -> Arc<Places> {
    let eviction_grace = Duration::from_secs(1);
    let limits =
        Limits { connections, connections_per_source: per_source, eviction_grace, ..Limits::default() };
    Arc::new(Places::new(limits))
}

fn is_closed(place: &Place) -> bool {
    place.handle.closed.is_cancelled()
}

async fn seconds(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

/// Scenario: one source has all the connections it may have: a request under way, an idle one, an unfinished head.
/// Guarantees: a new one takes the place of the one that has kept us waiting longest, never that of a request under way
/// or of another source; within the grace, and where all are busy, it is refused.
#[tokio::test(start_paused = true)]
async fn who_waits_longest_makes_room() {
    let (places, source) = (places(10, 3), Source::User(Some(1)));
    let other = places.take(Source::User(Some(2))).unwrap();
    let busy = places.take(source).unwrap();
    busy.pulse.request_begins();
    let unfinished = places.take(source).unwrap();
    seconds(5).await;
    let idle = places.take(source).unwrap();
    idle.pulse.request_begins();
    idle.pulse.response_ends();
    let fourth = places.take(source).unwrap();
    assert!(is_closed(&unfinished) && !is_closed(&idle) && !is_closed(&busy) && !is_closed(&other));
    assert_eq!(places.take(source).unwrap_err(), Ending::SourceFull, "all waited for less than the grace");
    seconds(2).await;
    let fifth = places.take(source).unwrap();
    assert!(is_closed(&idle) || is_closed(&fourth));
    drop((unfinished, idle, fourth));
    let sixth = places.take(source).unwrap();
    for place in [&fifth, &sixth] {
        place.pulse.request_begins();
    }
    seconds(60).await;
    assert_eq!(places.take(source).unwrap_err(), Ending::SourceFull, "nobody waits for a peer");
    assert!(!is_closed(&other));
}

/// Scenario: the limit of all is reached by sources that are within theirs; places are given back twice over.
/// Guarantees: the longest waiting of all makes room; no place is lost or counted twice.
#[tokio::test(start_paused = true)]
async fn the_limit_of_all_holds() {
    let places = places(2, 2);
    let first = places.take(Source::User(Some(1))).unwrap();
    seconds(1).await;
    let second = places.take(Source::User(Some(2))).unwrap();
    let third = places.take(Source::User(Some(3))).unwrap();
    assert!(is_closed(&first) && !is_closed(&second));
    assert_eq!(places.open(), 2);
    assert_eq!(places.take(Source::User(Some(4))).unwrap_err(), Ending::Full);
    drop(first);
    assert_eq!(places.open(), 2, "the place of an evicted connection was given away already");
    drop(third);
    drop(second);
    assert_eq!(places.open(), 0);
}

/// Scenario: two sources take every place within the grace, again and again; a third, then a fourth comes.
/// Guarantees: whoever has few gets a place at once, at the cost of whoever has most.
#[tokio::test(start_paused = true)]
async fn whoever_takes_most_keeps_nobody_out() {
    let places = places(8, 6);
    let greedy: Vec<Place> = (0..6).map(|_| places.take(Source::User(Some(1))).unwrap()).collect();
    let modest: Vec<Place> = (0..2).map(|_| places.take(Source::User(Some(2))).unwrap()).collect();
    let third = places.take(Source::User(Some(3))).unwrap();
    third.pulse.request_begins();
    let fourth = places.take(Source::User(Some(4))).unwrap();
    assert_eq!(greedy.iter().filter(|place| is_closed(place)).count(), 2);
    assert!(!modest.iter().chain([&third, &fourth]).any(is_closed));
    assert_eq!(places.open(), 8);
    for place in &greedy {
        place.pulse.request_begins();
    }
    assert_eq!(places.take(Source::User(Some(5))).unwrap_err(), Ending::Full, "requests under way stay");
}

/// Scenario: hundreds of silent connections of one source come within a second, under the limits that are served with.
/// Guarantees: the source itself has a place again after a moment that no probe notices.
#[tokio::test(start_paused = true)]
async fn a_burst_keeps_its_own_source_out_for_a_moment_only() {
    let (places, source) = (Arc::new(Places::new(Limits::default())), Source::User(Some(1)));
    let mut held: Vec<_> = (0..400).map(|_| places.take(source)).collect();
    tokio::time::advance(Duration::from_millis(50)).await;
    held.push(places.take(source));
    assert!(held.last().unwrap().is_ok());
}
