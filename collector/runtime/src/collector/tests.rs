//! What a collector promises, on a made-up machine with a paused clock.

mod exporters;
mod fake;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Command, Reloaded, driver::Driver};
use crate::status::{Reason, ReasonKind, State};
use fake::{Bench, beside, faults};

const A: &str = "  - {name: a, image: one}\n";
const B: &str = "  - {name: b, image: two}\n";
const FETCH: Duration = Duration::from_secs(20);
const RUNS: Option<(State, Option<ReasonKind>)> = Some((State::Running, None));

fn gadgets(sections: &[&str]) -> String {
    format!("gadgets:\n{}", sections.concat())
}

/// The faults of a refused reload.
fn refused(answer: &Reloaded) -> String {
    match answer {
        Reloaded::Refused(reasons) => Reason::join(reasons),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Scenario: SIGHUP without an edit, a comment above everything, then an edit of one of two gadgets.
/// Guarantees: what is unchanged is never touched, wherever it stands in the file.
#[tokio::test(start_paused = true)]
async fn an_unchanged_gadget_is_never_touched() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A, B])).await;
    beside(&mut driver, async {
        // Its credentials may have changed, so that the way to the images is walked again; it leads to the same ones.
        let (answer, done) = bench.reload(&gadgets(&[A, B])).await;
        assert!(matches!(answer, Reloaded::Applied));
        assert_eq!(done, "fetch a, fetch b");

        bench.write(&format!("# moved\n\n{}", gadgets(&[A, B])));
        bench.tell(Command::FileChanged).await;
        sleep(FETCH).await;
        assert_eq!(bench.world.log(), "");
        assert_eq!(bench.status.with(|board| board.reload.succeeded), 2);

        bench.write(&gadgets(&[A, "  - {name: b, image: two, params: {x: 1}}\n"]));
        bench.tell(Command::FileChanged).await;
        sleep(FETCH).await;
        assert_eq!(bench.world.log(), "fetch b, attach b, replace b");

        bench.write(&gadgets(&[A, "  - {name: b, image: two, params: {x: 1}, filter: a==1}\n"]));
        bench.tell(Command::FileChanged).await;
        sleep(FETCH).await;
        assert_eq!(bench.world.log(), "fetch b, rewire b");
    })
    .await;
}

/// Scenario: a file with a wrong key and one with a gadget whose image does not fit, beside a good change; then the good
/// content again.
/// Guarantees: nothing is changed, what was attached is detached, reasons have their place, and the state says so until
/// the file is right again.
#[tokio::test(start_paused = true)]
async fn a_reload_is_whole_or_not_at_all() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A])).await;
    beside(&mut driver, async {
        let (answer, done) = bench.reload("gadgets:\n  - {nam: a}\n").await;
        assert!(refused(&answer).contains("run.yaml:5:"), "{answer:?}");
        assert_eq!(done, "");

        bench.world.facts().broken.insert("b".to_owned(), ReasonKind::Config);
        let (answer, done) = bench.reload(&gadgets(&["  - {name: c, image: three}\n", B])).await;
        let text = refused(&answer);
        assert!(text.ends_with("run.yaml:6:5: gadget `b`: as it was told"), "{text}");
        assert_eq!(done, "fetch c, fetch b, attach c, detach c");
        assert_eq!((bench.state("a"), bench.state("c")), (RUNS, None));
        assert!(!bench.status.with(|board| board.reload.last_success));

        let (answer, done) = bench.reload(&gadgets(&[A])).await;
        assert!(matches!(answer, Reloaded::Applied));
        assert_eq!(done, "fetch a");
        assert!(bench.status.with(|board| board.reload.last_success && board.reload.faults.is_empty()));
    })
    .await;
}

/// Scenario: a gadget that is new and one that runs meet a kernel without their hooks.
/// Guarantees: the new one is refused on its own and not tried again; the one that runs keeps running, and the reload is
/// refused.
#[tokio::test(start_paused = true)]
async fn the_machine_refuses_new_gadgets_alone() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A])).await;
    bench.world.facts().broken.insert("b".to_owned(), ReasonKind::MissingHook);
    beside(&mut driver, async {
        let (answer, done) = bench.reload(&gadgets(&[A, B])).await;
        assert!(matches!(answer, Reloaded::Applied));
        assert_eq!(done, "fetch a, fetch b");
        assert_eq!(bench.state("b"), Some((State::Refused, Some(ReasonKind::MissingHook))));
        sleep(Duration::from_hours(1)).await;
        assert_eq!(bench.world.log(), "");

        bench.world.facts().broken.insert("a".to_owned(), ReasonKind::MissingHook);
        let (answer, _) = bench.reload(&gadgets(&["  - {name: a, image: one, params: {x: 1}}\n", B])).await;
        assert!(refused(&answer).contains("gadget `a`"));
        assert_eq!(bench.state("a"), RUNS);
        assert_eq!(bench.world.log(), "");
    })
    .await;
}

/// Scenario: a gadget fails at the start for want of something that passes, and goes on failing for three minutes.
/// Guarantees: it is tried after 1, 2, 4 … s, once a minute at most, and starts once it can; a fault of the configuration
/// refuses the start as a whole.
#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_with_longer_pauses() {
    let (bench, parts) = Bench::new(&gadgets(&[A, B]));
    bench.world.facts().broken.insert("b".to_owned(), ReasonKind::Transient);
    let mut driver = Driver::start(parts).await.unwrap();
    assert_eq!(bench.world.log(), "attach a, start a");
    beside(&mut driver, async {
        sleep(Duration::from_secs(200)).await;
        let tried = bench.world.facts().failed_at.clone();
        let pauses: Vec<u64> = tried.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(bench.state("b"), Some((State::Refused, Some(ReasonKind::Transient))));
        bench.world.facts().broken.clear();
        sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.world.log(), "attach b, start b");
        assert_eq!(bench.state("b"), RUNS);
    })
    .await;

    let (bench, parts) = Bench::new(&gadgets(&[A, B]));
    bench.world.facts().broken.insert("b".to_owned(), ReasonKind::Config);
    let error = Driver::start(parts).await.unwrap_err();
    assert!(faults(&error).contains("gadget `b`: as it was told"), "{error:?}");
    assert_eq!(bench.world.log(), "attach a, start a, stop a");
}

/// Scenario: one gadget is removed, one renamed, one is new and one is replaced, in one edit; then the limits change.
/// Guarantees: everything is attached before anything stops; what goes, goes before what comes; a rename is a stop and a
/// start; changed limits reach every gadget without touching programs.
#[tokio::test(start_paused = true)]
async fn the_order_of_a_switch() {
    let old = gadgets(&[A, B, "  - {name: c, image: three}\n"]);
    let (bench, mut driver) = Bench::running(&old).await;
    beside(&mut driver, async {
        let renamed = "  - {name: d, image: two}\n";
        let new = gadgets(&["  - {name: a, image: four}\n", renamed, "  - {name: e, image: five}\n"]);
        bench.write(&new);
        bench.tell(Command::FileChanged).await;
        sleep(FETCH).await;
        let fetched = "fetch a, fetch d, fetch e, attach a, attach d, attach e";
        assert_eq!(bench.world.log(), format!("{fetched}, stop b, stop c, replace a, start d, start e"));
        assert_eq!((bench.state("b"), bench.state("d")), (None, RUNS));

        bench.write(&format!("limits: {{series-per-gadget: 5}}\n{new}"));
        bench.tell(Command::FileChanged).await;
        sleep(FETCH).await;
        assert_eq!(bench.world.log(), "fetch a, fetch d, fetch e, rewire a, rewire d, rewire e");
    })
    .await;
}

/// Scenario: at the start one image is not in the store; it comes 20 s later. Another one panics while it is fetched.
/// Guarantees: the start does not wait, the gadget is pending with a reason, and starts when its image comes; the one
/// that panicked is refused with a reason, and tried again.
#[tokio::test(start_paused = true)]
async fn images_may_come_late() {
    let (bench, parts) = Bench::new(&gadgets(&[A, B, "  - {name: c, image: three}\n"]));
    {
        let mut facts = bench.world.facts();
        facts.remote.extend(["two", "three"].map(|image| (image.to_owned(), FETCH)));
        facts.fetch_panics.insert("c".to_owned());
    }
    let before = Instant::now();
    let mut driver = Driver::start(parts).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(bench.world.log(), "attach a, start a");
    assert_eq!(bench.state("b"), Some((State::Pending, Some(ReasonKind::Image))));
    beside(&mut driver, async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(bench.world.log(), "fetch b, fetch c");
        assert_eq!(bench.state("c"), Some((State::Refused, Some(ReasonKind::Image))));
        bench.world.facts().fetch_panics.clear();
        sleep(FETCH).await;
        assert_eq!(bench.state("b"), RUNS);
        sleep(FETCH).await;
        assert_eq!((bench.state("b"), bench.state("c")), (RUNS, RUNS));
        assert_eq!(bench.world.log(), "fetch c, attach b, start b, attach c, start c");
    })
    .await;
}

/// Scenario: tags are looked up every minute; one leads to another image, which the machine first cannot run.
/// Guarantees: the gadget whose tag moved is replaced, the other is not touched; what runs keeps running while its
/// successor cannot.
#[tokio::test(start_paused = true)]
async fn a_moved_tag_replaces_what_runs() {
    let (bench, parts) = Bench::new(&gadgets(&[A, B]));
    bench.world.facts().refresh = Some(Duration::from_mins(1));
    let mut driver = Driver::start(parts).await.unwrap();
    beside(&mut driver, async {
        sleep(Duration::from_secs(30)).await;
        bench.world.log();
        bench.world.facts().moved.insert("two".to_owned());
        bench.world.facts().broken.insert("b".to_owned(), ReasonKind::MissingHook);
        sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.world.log(), "fetch a, fetch b");
        assert_eq!(bench.state("b"), RUNS);
        bench.world.facts().broken.clear();
        sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.world.log(), "fetch a, fetch b, attach b, replace b");
        assert_eq!(bench.status.with(|board| board.gadgets["b"].restarts), 1);
    })
    .await;
}

/// Scenario: tags are looked up every minute and a gadget waits for its next try; the clock jumps a day ahead, as on a
/// machine that was suspended.
/// Guarantees: what was missed is done once, not once for each time, and goes on from there.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_is_no_storm() {
    let (bench, parts) = Bench::new(&gadgets(&[A, B]));
    {
        let mut facts = bench.world.facts();
        facts.refresh = Some(Duration::from_mins(1));
        facts.broken.insert("b".to_owned(), ReasonKind::Transient);
    }
    let mut driver = Driver::start(parts).await.unwrap();
    beside(&mut driver, async {
        sleep(Duration::from_millis(500)).await;
        bench.world.log();
        tokio::time::advance(Duration::from_hours(24)).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(bench.world.log(), "fetch a");
        assert_eq!(bench.world.facts().failed_at.len(), 2);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(bench.world.facts().failed_at.len(), 3);
    })
    .await;
}

/// Scenario: a registry hangs; meanwhile the file is saved without a change, then edited, and SIGHUP comes a hundred
/// times.
/// Guarantees: a save without a change ends no wait; an edit does, at once; a storm is one more reload, the last content
/// is in force, and all who asked hear of it.
#[tokio::test(start_paused = true)]
async fn a_storm_ends_in_the_last_content() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A])).await;
    bench.world.facts().remote.insert("two".to_owned(), Duration::from_hours(10));
    beside(&mut driver, async {
        let start = Instant::now();
        bench.write(&gadgets(&[A, B]));
        let hanging = bench.ask().await;
        sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.world.log(), "fetch a, fetch b");
        assert_eq!(bench.state("b"), Some((State::Pending, None)));
        bench.tell(Command::FileChanged).await;
        sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.world.log(), "");

        bench.write(&gadgets(&["  - {name: a, image: one, params: {x: 1}}\n"]));
        bench.tell(Command::FileChanged).await;
        assert!(matches!(hanging.await, Ok(Reloaded::Superseded)));
        let mut answers = Vec::new();
        for round in 0..100 {
            bench.write(&gadgets(&[&format!("  - {{name: a, image: one, params: {{x: {round}}}}}\n")]));
            answers.push(bench.ask().await);
        }
        for answer in answers {
            assert!(matches!(answer.await, Ok(Reloaded::Applied | Reloaded::Superseded)));
        }
        assert!(start.elapsed() < Duration::from_mins(3));
        assert_eq!(bench.state("b"), None);
        let (_, done) = bench.reload(&gadgets(&["  - {name: a, image: one, params: {x: 99}}\n"])).await;
        assert!(done.ends_with("replace a, fetch a"), "{done}");
    })
    .await;
}

/// Scenario: a stop while a reload waits for a registry, and one while the second of three slow gadgets is loaded.
/// Guarantees: neither is waited for: the reload is given up, the start ends at once, and what ran is drained.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_nothing() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A])).await;
    bench.world.facts().remote.insert("two".to_owned(), Duration::from_hours(10));
    let start = Instant::now();
    let script = async {
        bench.write(&gadgets(&[A, B]));
        let answer = bench.ask().await;
        sleep(Duration::from_secs(1)).await;
        bench.tell(Command::Stop).await;
        answer.await
    };
    let (answer, ()) = tokio::join!(script, driver.run());
    assert!(matches!(answer, Ok(Reloaded::Stopped)));
    driver.stop(Duration::from_secs(5)).await;
    assert_eq!(bench.world.log(), "fetch a, fetch b, stop a");
    assert!(start.elapsed() < Duration::from_secs(10));

    let (bench, parts) = Bench::new(&gadgets(&[A, B, "  - {name: c, image: three}\n"]));
    bench.world.facts().slow.extend(["a", "b", "c"].map(|name| (name.to_owned(), Duration::from_mins(1))));
    let script = async {
        sleep(Duration::from_secs(90)).await;
        bench.tell(Command::Stop).await;
    };
    let start = Instant::now();
    let (driver, ()) = tokio::join!(Driver::start(parts), script);
    let mut driver = driver.unwrap();
    assert!(driver.is_stopping());
    driver.run().await;
    driver.stop(Duration::from_secs(5)).await;
    assert_eq!(bench.world.log(), "attach a, start a, stop a");
    assert!(start.elapsed() < Duration::from_secs(92));
}

/// Scenario: another process holds the lock of the store for half a minute each time; a stop comes during the start, and
/// in another collector while gadgets are tried again.
/// Guarantees: neither waits for the lock, and an edit does not either.
#[tokio::test(start_paused = true)]
async fn a_locked_store_holds_up_nobody() {
    let locked = Duration::from_secs(30);
    let (bench, parts) = Bench::new(&gadgets(&[A, B]));
    bench.world.facts().locked = Some(locked);
    let start = Instant::now();
    let script = async {
        sleep(Duration::from_secs(1)).await;
        bench.tell(Command::Stop).await;
    };
    let (driver, ()) = tokio::join!(Driver::start(parts), script);
    driver.unwrap().stop(Duration::from_secs(1)).await;
    assert!(start.elapsed() < Duration::from_secs(2));

    let (bench, parts) = Bench::new(&gadgets(&[A, B]));
    bench.world.facts().broken.extend(["a", "b"].map(|name| (name.to_owned(), ReasonKind::Transient)));
    let mut driver = Driver::start(parts).await.unwrap();
    bench.world.facts().locked = Some(locked);
    let script = async {
        sleep(Duration::from_secs(10)).await;
        let asked = Instant::now();
        bench.world.facts().broken.clear();
        bench.world.facts().locked = None;
        let (answer, _) = bench.reload(&gadgets(&[A, B])).await;
        assert!(matches!(answer, Reloaded::Applied));
        assert!(asked.elapsed() < Duration::from_secs(1));
        bench.tell(Command::Stop).await;
    };
    tokio::join!(driver.run(), script);
    assert_eq!(bench.state("a"), RUNS);
    driver.stop(Duration::from_secs(1)).await;
}

/// Scenario: a reload loads its second gadget, which takes a minute; meanwhile the file is edited, and then SIGHUP comes.
/// Guarantees: what the older one has begun is given up at once, each time, and the last content is in force.
#[tokio::test(start_paused = true)]
async fn a_newer_edit_ends_what_is_being_loaded() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A])).await;
    bench.world.facts().slow.insert("c".to_owned(), Duration::from_mins(1));
    beside(&mut driver, async {
        let start = Instant::now();
        bench.write(&gadgets(&[A, B, "  - {name: c, image: three}\n"]));
        let first = bench.ask().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.world.log(), "fetch a, fetch b, fetch c, attach b");
        bench.write(&gadgets(&[A, B, "  - {name: c, image: three, params: {x: 1}}\n"]));
        bench.tell(Command::FileChanged).await;
        assert!(matches!(first.await, Ok(Reloaded::Superseded)));
        sleep(Duration::from_secs(1)).await;
        bench.write(&gadgets(&[A, B]));
        assert!(matches!(bench.ask().await.await, Ok(Reloaded::Applied)));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!((bench.state("b"), bench.state("c")), (RUNS, None));
    })
    .await;
}

/// Scenario: the configuration cannot be read when somebody asks for a reload; later it can, and no event tells so.
/// Guarantees: the failure is said once, reading is tried again with pauses of at most a minute, and what is there then
/// is put in force.
#[tokio::test(start_paused = true)]
async fn a_configuration_that_cannot_be_read_is_read_again() {
    let (bench, mut driver) = Bench::running(&gadgets(&[A])).await;
    beside(&mut driver, async {
        bench.remove();
        assert!(refused(&bench.ask().await.await.unwrap()).contains("failed to read"));
        sleep(Duration::from_mins(10)).await;
        assert_eq!(bench.status.with(|board| board.reload.failed), 1);
        assert_eq!(bench.state("a"), RUNS);
        bench.write(&gadgets(&[A, B]));
        sleep(Duration::from_secs(61)).await;
        assert_eq!(bench.state("b"), RUNS);
        assert!(bench.status.with(|board| board.reload.last_success));
    })
    .await;
}

/// Scenario: a reload that asks for the files to be read again is refused, as when the image that runs is signed by a
/// key that was replaced; tags are looked up afterwards, and one was being looked up meanwhile.
/// Guarantees: what runs stays, and whatever comes from then on is judged by the files as they are now.
#[tokio::test(start_paused = true)]
async fn a_refused_reload_leaves_no_old_rules() {
    let (bench, parts) = Bench::new(&gadgets(&[A]));
    let minute = Duration::from_mins(1);
    bench.world.facts().refresh = Some(minute);
    let mut driver = Driver::start(parts).await.unwrap();
    beside(&mut driver, async {
        sleep(minute / 2).await;
        bench.world.facts().fetched_by.clear();
        bench.world.facts().broken.insert("a".to_owned(), ReasonKind::Untrusted);
        bench.world.facts().moved.insert("one".to_owned());
        let (answer, _) = bench.reload(&gadgets(&[A])).await;
        refused(&answer);
        assert_eq!(bench.state("a"), RUNS);
        // The reload itself, then the look at the tags.
        sleep(minute).await;
        assert_eq!(bench.world.facts().fetched_by, [2, 3]);

        bench.world.facts().remote.insert("one".to_owned(), minute / 2);
        sleep(minute * 3 / 4).await;
        bench.world.facts().fetched_by.clear();
        let (answer, _) = bench.reload(&gadgets(&[A])).await;
        refused(&answer);
        sleep(minute * 2).await;
        let by = bench.world.facts().fetched_by.clone();
        assert_eq!(by.last(), Some(&5), "{by:?}");
    })
    .await;
}
