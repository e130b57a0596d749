//! Batches of nodes against moments given by hand.

use std::time::{Duration, Instant};

use super::{Combined, Combiner, Merge, combined_name};
use crate::batch::Batch;

const SECOND: Duration = Duration::from_secs(1);

fn batch(records: &[&str]) -> Batch {
    records.iter().map(|record| record.as_bytes()).collect()
}

fn shown(combined: Option<Combined>) -> Option<(String, Vec<String>)> {
    let combined = combined?;
    let records: Vec<String> =
        combined.batch.iter().map(|r| String::from_utf8_lossy(r).into_owned()).collect();
    Some((records.join(" "), combined.missing))
}

/// Scenario: two nodes that fetch once, in either order.
/// Guarantees: one batch when both have answered, nothing before and nothing after.
#[test]
fn one_shot_waits_for_everybody() {
    let now = Instant::now();
    let mut combiner = Combiner::new(["a", "b"], Merge::Latest, Duration::ZERO, 1, now);
    assert_eq!((combiner.due(), shown(combiner.take("b", batch(&["b1"]), now))), (None, None));
    assert_eq!(combiner.due(), Some(now + 5 * SECOND));
    assert_eq!(shown(combiner.poll(now + 4 * SECOND)), None);
    assert_eq!(shown(combiner.take("a", batch(&["a1", "a2"]), now)), Some(("a1 a2 b1".into(), vec![])));
    assert_eq!((combiner.due(), shown(combiner.finish())), (None, None));
}

/// Scenario: a node that does not answer, then one that leaves.
/// Guarantees: after five seconds the others' records are given and the silent one is named; a node that left is
/// waited for no longer.
#[test]
fn silent_nodes_hold_up_for_five_seconds() {
    let now = Instant::now();
    let mut combiner = Combiner::new(["a", "b"], Merge::Latest, Duration::ZERO, 1, now);
    assert_eq!(shown(combiner.take("a", batch(&["a1"]), now)), None);
    assert_eq!(shown(combiner.poll(now + 5 * SECOND)), Some(("a1".into(), vec!["b".into()])));
    assert_eq!(shown(combiner.take("a", batch(&["a2"]), now)), None);
    assert_eq!(shown(combiner.leave("b", now)), Some(("a2".into(), vec![])));
}

/// Scenario: only the final fetch comes, and one node is late by an hour.
/// Guarantees: nothing is given before the end, and then everything.
#[test]
fn final_fetches_are_waited_for() {
    let now = Instant::now();
    let mut combiner = Combiner::new(["a", "b"], Merge::Both, Duration::ZERO, 0, now);
    assert_eq!(shown(combiner.take("a", batch(&["a1"]), now)), None);
    assert_eq!((combiner.due(), shown(combiner.poll(now + 3600 * SECOND))), (None, None));
    assert_eq!(shown(combiner.finish()), Some(("a1".into(), vec!["b".into()])));
}

/// Scenario: nodes that fetch each second; one sends twice in a second, one is announced by nobody; a long pause.
/// Guarantees: one batch a second; increments add up and states replace each other; a pause gives one batch, not many.
#[test]
fn intervals_give_one_batch_each() {
    let now = Instant::now();
    for (merge, expected) in [(Merge::Both, "a1 a2 c1"), (Merge::Latest, "a2 c1")] {
        let mut combiner = Combiner::new(["a"], merge, SECOND, 0, now);
        for (node, record) in [("a", "a1"), ("a", "a2"), ("c", "c1")] {
            assert_eq!(shown(combiner.take(node, batch(&[record]), now)), None);
        }
        assert_eq!(shown(combiner.poll(now + SECOND)), Some((expected.into(), vec![])));
        assert_eq!(shown(combiner.poll(now + SECOND)), None);
        assert_eq!(shown(combiner.poll(now + 60 * SECOND)).unwrap().1, ["a", "c"]);
        assert_eq!(combiner.due(), Some(now + 60 * SECOND));
    }
    assert_eq!(combined_name("top"), "combined-top");
}
