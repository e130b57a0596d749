//! The deliverer between a source and a transport that do as they are told, on a paused clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use ig_model::RetryPolicy;

use super::super::log::FailureLog;
use super::super::queue::MemoryQueue;
use super::super::source::{Round, Service, Smaller};
use super::super::transport::Answer;
use super::*;
use ig_series::SystemClock;

const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<(Instant, String)>>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push((Instant::now(), what.into()));
    }

    fn times(&self, what: &str) -> Vec<Instant> {
        self.0.lock().unwrap().iter().filter(|(_, noted)| noted == what).map(|(at, _)| *at).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.times(what).len()
    }
}

/// A source whose every round has messages of one item and ten bytes each, numbered.
struct Numbers {
    journal: Journal,
    may_queue: bool,
    a_round: u8,
    left: u8,
    next: u8,
    panics_at: Option<u8>,
}

impl Source for Numbers {
    type Receipt = u8;
    const SERVICE: Service = Service::METRICS;

    fn begin(&mut self, round: Round) {
        self.journal.note("round");
        if round == Round::Last {
            self.journal.note("last round");
        }
        self.left = self.a_round;
    }

    fn next(&mut self) -> Option<(Message, u8)> {
        self.left = self.left.checked_sub(1)?;
        let number = self.next;
        assert_ne!(Some(number), self.panics_at, "a source that panics");
        self.next += 1;
        Some((Message { bytes: vec![number; 10].into(), items: 1 }, number))
    }

    fn may_queue(&self) -> bool {
        self.may_queue
    }

    fn accepted(&mut self, number: u8) {
        self.journal.note(format!("accepted {number}"));
    }

    fn too_large(&mut self, message: &Message, receipt: Option<u8>) -> Smaller<u8> {
        self.journal.note(format!("too large {}", message.bytes[0]));
        if message.bytes.len() == 1 {
            return Smaller::Nothing(receipt);
        }
        if !self.may_queue {
            self.begin(Round::Next);
            return Smaller::Round;
        }
        let half = message.bytes.len() / 2;
        let part = |bytes: Bytes| Message { bytes, items: 1 };
        let [first, second] = [part(message.bytes.slice(..half)), part(message.bytes.slice(half..))];
        Smaller::Parts([(first, None), (second, receipt)])
    }

    fn dropped(&mut self, number: u8, reason: DropReason) {
        self.journal.note(format!("dropped {number} {}", reason.as_str()));
    }
}

/// The same source for a signal that nothing else knows.
struct Traces(Numbers);

impl Source for Traces {
    type Receipt = u8;
    const SERVICE: Service = Service { signal: "traces", grpc_path: "/traces", http_path: "/v1/traces" };

    fn begin(&mut self, round: Round) {
        self.0.begin(round);
    }

    fn next(&mut self) -> Option<(Message, u8)> {
        self.0.next()
    }

    fn may_queue(&self) -> bool {
        self.0.may_queue()
    }

    fn accepted(&mut self, number: u8) {
        self.0.accepted(number);
    }

    fn too_large(&mut self, message: &Message, receipt: Option<u8>) -> Smaller<u8> {
        self.0.too_large(message, receipt)
    }

    fn dropped(&mut self, number: u8, reason: DropReason) {
        self.0.dropped(number, reason);
    }
}

/// What the fake receiver does with a message.
#[derive(Clone)]
enum Reply {
    Say(Answer),
    /// Never reads, never answers.
    Hang,
}

/// A transport that answers by a script, then always in the same way.
#[derive(Clone)]
struct Fake {
    journal: Journal,
    script: Arc<Mutex<VecDeque<Reply>>>,
    then: Reply,
}

impl Fake {
    fn script(&self) -> MutexGuard<'_, VecDeque<Reply>> {
        self.script.lock().unwrap()
    }
}

impl Transport for Fake {
    async fn send(&self, service: Service, message: Bytes) -> Answer {
        self.journal.note(format!("{} {}", service.signal, message[0]));
        let reply = self.script().pop_front().unwrap_or(self.then.clone());
        match reply {
            Reply::Say(answer) => answer,
            Reply::Hang => std::future::pending().await,
        }
    }
}

fn accept() -> Reply {
    Reply::Say(Answer::Accepted { rejected: 0, message: String::new() })
}

fn busy(after: Option<Duration>) -> Reply {
    Reply::Say(Answer::Retry { after, error: "busy".to_owned() })
}

fn too_large() -> Reply {
    Reply::Say(Answer::TooLarge { error: "too large".to_owned() })
}

fn refuse() -> Reply {
    Reply::Say(Answer::Refused { error: "no".to_owned() })
}

/// A deliverer under way.
struct Rig {
    journal: Journal,
    stats: SharedStats,
    stop: watch::Sender<Option<Ending>>,
    task: tokio::task::JoinHandle<FlushReport>,
}

struct Setup {
    script: Vec<Reply>,
    then: Reply,
    may_queue: bool,
    a_round: u8,
    max_elapsed: Duration,
    panics_at: Option<u8>,
}

impl Default for Setup {
    fn default() -> Self {
        let max_elapsed = Duration::from_hours(1);
        Self { script: vec![], then: accept(), may_queue: true, a_round: 1, max_elapsed, panics_at: None }
    }
}

impl Setup {
    fn source(&self, journal: &Journal) -> Numbers {
        Numbers {
            journal: journal.clone(),
            may_queue: self.may_queue,
            a_round: self.a_round,
            left: 0,
            next: 0,
            panics_at: self.panics_at,
        }
    }

    fn connection(&self, journal: &Journal) -> Connection<Fake> {
        let script = Arc::new(Mutex::new(self.script.clone().into()));
        let fake = Fake { journal: journal.clone(), script, then: self.then.clone() };
        let max_elapsed = self.max_elapsed;
        let policy = RetryPolicy { max_elapsed, ..RetryPolicy::new(SECOND, 8 * SECOND) };
        Connection::new(fake, 3 * SECOND, policy, FailureLog::new("main", "fake"))
    }

    fn run(self) -> Rig {
        let journal = Journal::default();
        run(self.source(&journal), self.connection(&journal), journal)
    }
}

/// Runs a deliverer with an interval of ten seconds and room for five messages.
#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
fn run<S: Source + 'static>(source: S, connection: Connection<Fake>, journal: Journal) -> Rig {
    let stats = SharedStats::default();
    let queue = Box::new(MemoryQueue::new(50));
    let clock = Arc::new(SystemClock::new());
    let deliverer = Deliverer::new(source, connection, queue, 10 * SECOND, clock, stats.clone());
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(deliverer.run(CancellationToken::new(), stopped));
    Rig { journal, stats, stop, task }
}

impl Rig {
    async fn stop(self, patience: Duration) -> (FlushReport, Journal, SharedStats) {
        self.stop.send_replace(Some(Ending { by: Instant::now() + patience, continued: false }));
        (self.task.await.unwrap(), self.journal, self.stats)
    }
}

/// Scenario: the receiver is busy twice, then takes the message.
/// Guarantees: the same message is sent again after growing waits, and settled with its source once.
#[tokio::test(start_paused = true)]
async fn a_message_is_tried_until_it_is_taken() {
    let rig = Setup { script: vec![busy(None), busy(None)], ..Setup::default() }.run();
    tokio::time::sleep(19 * SECOND).await;
    let sent = rig.journal.times("metrics 0");
    assert_eq!(sent.len(), 3);
    assert!(sent[1] - sent[0] <= SECOND + Duration::from_millis(1), "{sent:?}");
    assert!(sent[2] - sent[1] <= 2 * SECOND + Duration::from_millis(1), "{sent:?}");
    assert_eq!(rig.journal.count("accepted 0"), 1);
    let stats = rig.stats.lock().clone();
    assert_eq!((stats.exported_items, stats.exported_batches, stats.failed_attempts), (1, 1, 2));
    assert_eq!((stats.exported_bytes, stats.all_dropped_items()), (10, 0));
}

/// Scenario: the receiver hangs while ten rounds are made, of messages of which five fit into the queue.
/// Guarantees: the oldest make room and are counted; what is left arrives in order once the receiver answers.
#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_its_oldest() {
    let hang = (0..32).map(|_| Reply::Hang).collect();
    let rig = Setup { script: hang, ..Setup::default() }.run();
    tokio::time::sleep(104 * SECOND).await;
    {
        let stats = rig.stats.lock();
        assert_eq!((stats.collections, stats.dropped(DropReason::QueueFull), stats.queue_bytes), (10, 3, 50));
    }
    let (report, journal, stats) = rig.stop(Duration::from_mins(10)).await;
    let taken = |number: u8| journal.count(&format!("metrics {number}")) > 0;
    let lost: Vec<u8> = (0..11).filter(|number| !taken(*number)).collect();
    let stats = stats.lock().clone();
    assert_eq!(lost.len() as u64, stats.dropped(DropReason::QueueFull));
    assert_eq!(report.dropped_items, 0);
    assert_eq!(stats.exported_items + stats.all_dropped_items(), stats.collections);
    let first = |number: u8| journal.times(&format!("metrics {number}"))[0];
    let order: Vec<Instant> = (0..11).filter(|number| taken(*number)).map(first).collect();
    assert!(order.is_sorted());
}

/// Scenario: a receiver that never reads, a message under way, one queued and one to be collected; then a stop.
/// Guarantees: the flush ends at its deadline and counts everything that was left, each item once.
#[tokio::test(start_paused = true)]
async fn a_flush_ends_at_its_deadline() {
    let rig = Setup { then: Reply::Hang, ..Setup::default() }.run();
    tokio::time::sleep(25 * SECOND).await;
    let before = Instant::now();
    let (report, _, stats) = rig.stop(5 * SECOND).await;
    assert_eq!(before.elapsed(), 5 * SECOND);
    assert_eq!(report, FlushReport { delivered_items: 0, dropped_items: 3 });
    let stats = stats.lock().clone();
    assert_eq!((stats.dropped(DropReason::Shutdown), stats.queue_bytes), (3, 0));
    assert_eq!(stats.all_dropped_items(), stats.collections);
}

/// Scenario: a source whose messages depend on acceptance; one is refused, one is busy for longer than a round, one is
/// taken.
/// Guarantees: the source hears `accepted` for what the receiver took and nothing else; rounds are left out, not
/// queued, while a message is unsettled.
#[tokio::test(start_paused = true)]
async fn only_acceptance_commits_a_delta() {
    let script = vec![refuse(), busy(Some(25 * SECOND)), accept()];
    let rig = Setup { script, may_queue: false, ..Setup::default() }.run();
    tokio::time::sleep(49 * SECOND).await;
    assert_eq!(rig.journal.count("dropped 0 refused"), 1);
    assert_eq!(rig.journal.count("accepted 0"), 0);
    let sent = rig.journal.times("metrics 1");
    assert_eq!(sent.len(), 2);
    assert!(sent[1] - sent[0] >= 25 * SECOND);
    assert_eq!(rig.journal.times("accepted 1"), [sent[1]]);
    let stats = rig.stats.lock();
    assert_eq!((stats.collections, stats.collections_skipped, stats.queue_bytes), (2, 2, 0));
    assert_eq!((stats.deferred_items, stats.deferred_batches, stats.all_dropped_items()), (1, 1, 0));
}

/// Scenario: a receiver takes no message of more than three bytes; messages have ten.
/// Guarantees: each is divided until its parts are taken, in order, and settled once; nothing counts as dropped.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_arrives_in_parts() {
    let script = vec![too_large(), too_large(), accept(), accept(), too_large()];
    let rig = Setup { script, ..Setup::default() }.run();
    tokio::time::sleep(15 * SECOND).await;
    // Ten; five and five; two and three of the first half, two and three of the second.
    assert_eq!(rig.journal.count("metrics 0"), 7);
    assert_eq!((rig.journal.count("accepted 0"), rig.journal.count("too large 0")), (1, 3));
    let stats = rig.stats.lock().clone();
    assert_eq!((stats.exported_bytes, stats.exported_batches, stats.all_dropped_items()), (10, 4, 0));
}

/// Scenario: a receiver finds every message too large, down to one byte.
/// Guarantees: what cannot be made smaller is refused and counted; nothing is sent for ever.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_smaller_is_refused() {
    let rig = Setup { then: too_large(), ..Setup::default() }.run();
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(rig.journal.count("metrics 0"), 19);
    assert_eq!(rig.stats.lock().dropped(DropReason::Refused), 10);
    let (report, journal, _) = rig.stop(5 * SECOND).await;
    assert_eq!((report.dropped_items, journal.count("last round")), (10, 1));
}

/// Scenario: a source whose messages depend on acceptance has one that is too large.
/// Guarantees: the round is made anew at once, and the message is neither lost nor settled.
#[tokio::test(start_paused = true)]
async fn a_delta_that_is_too_large_is_counted_anew() {
    let rig = Setup { script: vec![too_large()], may_queue: false, ..Setup::default() }.run();
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!((rig.journal.count("round"), rig.journal.count("accepted 0")), (2, 0));
    assert_eq!(rig.journal.count("accepted 1"), 1);
    let stats = rig.stats.lock().clone();
    assert_eq!((stats.all_dropped_items(), stats.exported_items), (0, 1));
}

/// Scenario: a stop while a message waits between two attempts, in a long back-off of our own.
/// Guarantees: the wait is cut short, the message and one more round are delivered at once.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_backoff() {
    // Ten failures: the step is at its longest, and the wait under way is most likely seconds long.
    let script: Vec<Reply> = (0..10).map(|_| busy(None)).collect();
    let rig = Setup { script, ..Setup::default() }.run();
    while rig.journal.count("metrics 0") < 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = Instant::now();
    let (report, journal, _) = rig.stop(Duration::from_mins(1)).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(report.dropped_items, 0);
    assert_eq!(journal.count("metrics 0"), 11);
}

/// Scenario: a receiver asks for an hour of peace, more than a message is tried for and more than the limit; another
/// signal goes to the same receiver.
/// Guarantees: neither signal sends anything until the limit is over; then both do, and the message that was sent away is
/// the first: it was not tried in vain meanwhile.
#[tokio::test(start_paused = true)]
async fn a_wish_for_peace_holds_for_every_signal() {
    let setup = Setup {
        script: vec![busy(Some(Duration::from_hours(1)))],
        max_elapsed: Duration::from_mins(1),
        ..Setup::default()
    };
    let journal = Journal::default();
    let connection = setup.connection(&journal);
    let metrics = run(setup.source(&journal), connection.clone(), journal.clone());
    tokio::time::sleep(11 * SECOND).await;
    let traces = run(Traces(setup.source(&journal)), connection, journal.clone());
    let asked = journal.times("metrics 0");
    assert_eq!((asked.len(), journal.count("dropped 0 retries_exhausted")), (1, 0));
    tokio::time::sleep(Duration::from_mins(6)).await;
    assert_eq!((journal.count("metrics 0"), journal.count("dropped 0 retries_exhausted")), (2, 0));
    let sent: Vec<(Instant, String)> = journal.0.lock().unwrap().clone();
    let is_sent = |what: &str| what.starts_with("metrics") || what.starts_with("traces");
    let after: Vec<_> = sent.iter().filter(|(at, what)| is_sent(what) && *at > asked[0]).collect();
    assert!(after.iter().all(|(at, _)| *at - asked[0] >= Duration::from_mins(5)), "{after:?}");
    assert!(after.iter().any(|(_, what)| what.starts_with("traces")));
    assert!(after.iter().any(|(_, what)| what.starts_with("metrics")));
    assert!(traces.stats.lock().exported_items > 0 && metrics.stats.lock().exported_items > 0);
    assert_eq!(traces.stats.lock().failed_attempts, 0, "each signal has counts of its own");
}

/// Scenario: the process stands still for an hour (a suspended machine), then goes on.
/// Guarantees: the rounds that were missed are one round, not hundreds.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_makes_one_round() {
    let rig = Setup::default().run();
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(rig.journal.count("round"), 1);
    tokio::time::advance(Duration::from_hours(1)).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(rig.journal.count("round"), 2);
    assert_eq!(rig.stats.lock().exported_items, 2);
}

/// Scenario: a source panics in the middle of a round.
/// Guarantees: the task ends with the panic for its owner to see; nobody who asks for a stop waits for ever.
#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_task_and_no_more() {
    let rig = Setup { panics_at: Some(1), ..Setup::default() }.run();
    tokio::time::sleep(25 * SECOND).await;
    assert_eq!(rig.stats.lock().exported_items, 1);
    assert!(rig.task.await.unwrap_err().is_panic());
}
