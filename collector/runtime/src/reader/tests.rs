//! Sources that stages feed, with sinks that come and go; sources, stages and sinks that misbehave.

use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Mutex,
    time::Duration,
};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, Loss};
use ig_operators::{
    Batch, FormatContext, Next, Outlets, Packet, SinkLedger, Stage, Stages, Step, format::Accounts,
    operator::Emit as _,
};

use rustix::event::{EventfdFlags, eventfd};

use super::*;
use crate::status::{GadgetStatus, SourceStats, State};

/// number u32 @0
fn schema(name: &str) -> SourceSchema {
    let origin = Origin::Operator { operator: "test".to_owned() };
    let fields = vec![Field::new("number", FieldKind::Uint32, 0, 4)];
    let source = DataSource { fields, ..DataSource::new(name, SourceKind::Single, origin, 4) };
    let accounts = Arc::new(Accounts::in_root("/nonexistent".as_ref()));
    SourceSchema::new(source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

/// Keeps the numbers it is given; clones keep them in the same place.
#[derive(Clone, Debug)]
struct Kept(Arc<Mutex<Vec<u32>>>, Arc<SinkLedger>);

impl Kept {
    fn new() -> Self {
        Self(Arc::default(), SinkLedger::new("kept"))
    }

    fn numbers(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }
}

impl Sink for Kept {
    fn take(&mut self, batch: &Batch) {
        let number = |record: &[u8]| u32::from_ne_bytes(record[..4].try_into().unwrap());
        self.0.lock().unwrap().extend(batch.iter().map(number));
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.1
    }
}

/// A sink whose reader never takes anything.
#[derive(Debug)]
struct Stuck(Arc<SinkLedger>);

impl Sink for Stuck {
    fn take(&mut self, batch: &Batch) {
        self.0.lose(Loss::Output, batch.len() as u64);
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.0
    }
}

/// Does something with each packet.
struct Each<F>(F);

impl<F> std::fmt::Debug for Each<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Each")
    }
}

impl<F: FnMut(&mut Packet<'_>, &mut Next<'_>) + Send> Stage for Each<F> {
    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>) {
        (self.0)(packet, next);
    }
}

fn each(call: impl FnMut(&mut Packet<'_>, &mut Next<'_>) + Send + 'static) -> Vec<Step> {
    vec![Step::Stage(Box::new(Each(call)))]
}

/// A running source that is fed by a queue.
struct Source {
    queue: EmitQueue,
    handle: SourceHandle,
    stats: Arc<SourceStats>,
}

fn pipeline(name: &str, steps: Vec<Step>, sinks: Vec<Box<dyn Sink>>) -> (Pipeline, Arc<SourceStats>) {
    let stats = Arc::new(SourceStats::default());
    let outlets = Outlets::new(Vec::new(), sinks);
    (Pipeline::new(Arc::new(schema(name)), Stages::new(steps), outlets, Arc::clone(&stats)), stats)
}

impl Source {
    fn start(reader: &Reader, name: &str, steps: Vec<Step>, sinks: Vec<Box<dyn Sink>>) -> Self {
        let queue = EmitQueue::default();
        let (pipeline, stats) = pipeline(name, steps, sinks);
        let name = SourceName { gadget: "gadget".to_owned(), source: name.to_owned() };
        let handle = reader.read(name, Feed::Emitted(queue.clone()), pipeline, Handover::None);
        Self { queue, handle, stats }
    }

    async fn emit(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            assert!(self.queue.emit(&number.to_ne_bytes()));
        }
        self.handle.drain().await;
    }
}

fn status(gadgets: &[&str]) -> Status {
    let state = GadgetStatus::new(State::Running, String::new());
    let status = Status::default();
    status.with(|board| board.gadgets.extend(gadgets.iter().map(|name| ((*name).to_owned(), state.clone()))));
    status
}

fn reader() -> Reader {
    Reader::start(Tasks::new(), Status::default()).unwrap()
}

/// Scenario: a sink is attached while records come, and taken away again, twice; one that is not there is taken away.
/// Guarantees: each sees exactly what came while it was there, the sink of the plan sees everything, and each is handed
/// what the ledger says.
#[tokio::test]
async fn sinks_come_and_go() {
    let reader = reader();
    let planned = Kept::new();
    let source = Source::start(&reader, "numbers", Vec::new(), vec![Box::new(planned.clone())]);
    source.emit(0..100).await;
    for begin in [100, 300] {
        let (sink, guest) = (Kept::new(), Kept::new());
        let boxed = sink.clone();
        let id = source.handle.attach(|_schema| Ok(Box::new(boxed))).await.unwrap();
        let boxed = guest.clone();
        let other = source.handle.attach(|_schema| Ok(Box::new(boxed))).await.unwrap();
        source.emit(begin..begin + 100).await;
        assert!(source.handle.detach(id).await && !source.handle.detach(id).await);
        source.emit(begin + 100..begin + 200).await;
        assert!(source.handle.detach(other).await);
        assert_eq!(sink.numbers(), (begin..begin + 100).collect::<Vec<_>>());
        assert_eq!(guest.numbers(), (begin..begin + 200).collect::<Vec<_>>());
        assert_eq!((sink.1.received(), guest.1.received()), (100, 200));
    }
    source.handle.stop().await;
    assert_eq!(planned.numbers(), (0..500).collect::<Vec<_>>());
    assert_eq!(source.stats.delivered.load(), 500);
    assert_eq!(source.stats.sinks.totals()[0].1.received, 500 + 2 * 300);
    let after = source.handle.attach(|_schema| Ok(Box::new(Kept::new()))).await;
    assert!(matches!(after, Err(AttachError::Ended)));
}

/// Scenario: a thread emits without pause while sinks are attached and taken away; one asks for a field that is not there.
/// Guarantees: the sink of the plan misses nothing, each guest sees a range without a gap, and a sink that is refused is
/// told why.
#[tokio::test]
async fn others_lose_nothing_while_sinks_come_and_go() {
    const RECORDS: u32 = 20_000;

    let reader = reader();
    let planned = Kept::new();
    let source = Source::start(&reader, "numbers", Vec::new(), vec![Box::new(planned.clone())]);
    let queue = source.queue.clone();
    let emitting = thread::spawn(move || {
        for number in 0..RECORDS {
            while !queue.emit(&number.to_ne_bytes()) {
                thread::yield_now();
            }
        }
    });
    for _ in 0..20 {
        let guest = Kept::new();
        let boxed = guest.clone();
        let id = source.handle.attach(|_schema| Ok(Box::new(boxed))).await.unwrap();
        source.handle.drain().await;
        assert!(source.handle.detach(id).await);
        let seen = guest.numbers();
        assert!(seen.iter().zip(seen.iter().skip(1)).all(|(left, right)| left + 1 == *right));
    }
    let refused = source.handle.attach(|schema| Err(schema.columns().unknown("numbr"))).await.unwrap_err();
    assert!(refused.to_string().contains("did you mean `number`"), "{refused}");
    emitting.join().unwrap();
    source.handle.stop().await;
    assert_eq!(planned.numbers(), (0..RECORDS).collect::<Vec<_>>());
}

/// Scenario: the pipeline is replaced twice while a sink is attached: by one with equal packets, then by one with a field
/// more.
/// Guarantees: the sink goes on behind the first, without a gap, and is ended rather than handed packets that it cannot
/// read by the second.
#[tokio::test]
async fn attached_sinks_survive_a_new_pipeline() {
    let reader = reader();
    let source = Source::start(&reader, "numbers", Vec::new(), Vec::new());
    let guest = Kept::new();
    let boxed = guest.clone();
    let id = source.handle.attach(|_schema| Ok(Box::new(boxed))).await.unwrap();
    source.emit(0..10).await;
    source.handle.swap(pipeline("numbers", Vec::new(), Vec::new()).0).await;
    source.emit(10..20).await;
    assert_eq!(guest.numbers(), (0..20).collect::<Vec<_>>());

    let mut wider = schema("numbers");
    wider.add_field("added", FieldKind::Uint8, 1, &[]).unwrap();
    let wider = Pipeline::new(Arc::new(wider), Stages::default(), Outlets::default(), Arc::default());
    source.handle.swap(wider).await;
    source.emit(20..30).await;
    assert_eq!(guest.numbers().len(), 20);
    assert!(!source.handle.detach(id).await);
    source.handle.stop().await;
}

/// Scenario: stages of two data sources emit every third record, and everything, into a third one; one that emits passes
/// its own records on, the other drops them.
/// Guarantees: one becomes two, and two become one, without a loss on the way.
#[tokio::test]
async fn sources_feed_each_other() {
    let reader = reader();
    let all = Kept::new();
    let derived = Source::start(&reader, "derived", Vec::new(), vec![Box::new(all.clone())]);
    let emitter = derived.queue.clone();
    let thirds = each(move |packet, next| {
        if packet.bytes().first().is_some_and(|byte| byte % 3 == 0) {
            assert!(emitter.emit(packet.bytes()));
        }
        next.pass(packet);
    });
    let kept = Kept::new();
    let first = Source::start(&reader, "first", thirds, vec![Box::new(kept.clone())]);
    let emitter = derived.queue.clone();
    let moved = each(move |packet, next| {
        assert!(emitter.emit(packet.bytes()));
        next.lose(Loss::Filter);
    });
    let second = Source::start(&reader, "second", moved, Vec::new());
    first.emit(0..9).await;
    second.emit(100..103).await;
    derived.handle.drain().await;
    assert_eq!(kept.numbers(), (0..9).collect::<Vec<_>>());
    assert_eq!(all.numbers(), [0, 3, 6, 100, 101, 102]);
    assert_eq!((derived.stats.received.load(), derived.stats.losses.snapshot().total()), (6, 0));
    assert_eq!(second.stats.losses.load(Loss::Filter), 3);
}

/// Scenario: more is emitted than the queue holds before anybody takes it.
/// Guarantees: emitting never waits; what does not fit is counted with the data source it was for, and the rest arrives.
#[tokio::test]
async fn a_full_queue_is_counted() {
    let reader = reader();
    let queue = EmitQueue::default();
    let taken = (0..20_000_u32).filter(|number| queue.emit(&number.to_ne_bytes())).count() as u64;
    assert!(taken > 0 && taken < 20_000);
    let (pipeline, stats) = pipeline("derived", Vec::new(), Vec::new());
    let name = SourceName { gadget: "gadget".to_owned(), source: "derived".to_owned() };
    let handle = reader.read(name, Feed::Emitted(queue), pipeline, Handover::None);
    handle.stop().await;
    assert_eq!((stats.received.load(), stats.losses.load(Loss::Queue)), (taken, 20_000 - taken));
}

/// Scenario: one sink never takes anything, beside one that takes everything.
/// Guarantees: what was delivered is what each took or lost, and neither knows of the other.
#[tokio::test]
async fn a_sink_that_never_takes_is_counted() {
    let reader = reader();
    let kept = Kept::new();
    let stuck = Box::new(Stuck(SinkLedger::new("stuck")));
    let source = Source::start(&reader, "numbers", Vec::new(), vec![stuck, Box::new(kept.clone())]);
    source.emit(0..1000).await;
    source.handle.stop().await;
    assert_eq!(kept.numbers().len(), 1000);
    let totals = source.stats.sinks.totals();
    let of = |name| totals.iter().find(|(known, _)| *known == name).map(|(_, totals)| totals).unwrap();
    assert_eq!((of("stuck").received, of("stuck").lost[Loss::Output]), (1000, 1000));
    assert_eq!((of("kept").received, of("kept").lost.total()), (1000, 0));
    assert_eq!(source.stats.delivered.load(), 1000);
}

/// Scenario: a stage panics at the third record, beside another source on the same thread.
/// Guarantees: the gadget is degraded by a reason that names source and panic; orders to the dead source are answered; the
/// other one goes on.
#[tokio::test]
async fn a_stage_that_panics_ends_its_source_alone() {
    let status = status(&["gadget"]);
    let reader = Reader::start(Tasks::new(), status.clone()).unwrap();
    let kept = Kept::new();
    let healthy = Source::start(&reader, "healthy", Vec::new(), vec![Box::new(kept.clone())]);
    let mut seen = 0;
    let sick = each(move |packet, next| {
        seen += 1;
        assert!(seen < 3, "the third one");
        next.pass(packet);
    });
    let sick = Source::start(&reader, "sick", sick, Vec::new());
    sick.emit(0..5).await;
    sick.handle.exhausted().await;
    sick.handle.stop().await;
    healthy.emit(0..5).await;
    assert_eq!(kept.numbers(), [0, 1, 2, 3, 4]);
    let (state, text) = status.with(|board| {
        let gadget = &board.gadgets["gadget"];
        (gadget.state, Reason::join(&gadget.reasons))
    });
    assert_eq!(state, State::Degraded);
    assert!(text.contains("`sick`") && text.contains("the third one"), "{text}");
}

/// Scenario: of two gadgets with a source each, one panics at its first fetch.
/// Guarantees: its gadget is degraded with a reason that names the source, the panic is counted, nobody who waits for the
/// source waits for ever, and the other gadget is read and stays as it is.
#[tokio::test]
async fn a_source_that_panics_ends_alone() {
    let (tasks, board) = (Tasks::new(), status(&["sick", "well"]));
    let reader = Reader::start(tasks.clone(), board.clone()).unwrap();
    let read = |gadget: &str, fetcher: Fetcher| {
        let name = SourceName { gadget: gadget.to_owned(), source: "events".to_owned() };
        let stats = board.source(gadget, "events");
        let pipeline =
            Pipeline::new(Arc::new(schema("events")), Stages::default(), Outlets::default(), stats);
        let schedule = Schedule {
            interval: Duration::from_hours(1),
            first: None,
            count: 1,
            at_start: true,
            at_end: false,
        };
        reader.read(name, Feed::Fetched(fetcher, schedule), pipeline, Handover::None)
    };
    let sick = read("sick", Fetcher::Iterator(Box::new(|| panic!("as it was told"))));
    let well = read("well", Fetcher::Iterator(Box::new(|| Ok(Vec::new()))));
    sick.exhausted().await;
    well.exhausted().await;
    sick.stop().await;
    well.stop().await;

    let of = |name: &str| board.with(|board| board.gadgets[name].clone());
    let reasons = of("sick").reasons;
    let expected = "data source `events` gives nothing any more: task `source` panicked: as it was told";
    assert_eq!((of("sick").state, reasons[0].kind), (State::Degraded, ReasonKind::Object));
    assert_eq!(reasons[0].text(), expected);
    assert_eq!((of("well").state, of("well").sources["events"].fetches.load()), (State::Running, 1));
    assert_eq!(tasks.panics(), BTreeMap::from([("source", 1)]));
}

/// Records that are there from the start, behind a descriptor that stays readable.
struct Filled(OwnedFd, Vec<[u8; 8]>);

impl AsRawFd for Filled {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl sys::Descriptor for Filled {}

impl stream::Stream for Filled {
    fn read(&mut self, _most: usize, mut take: impl FnMut(&[u8])) -> (usize, usize) {
        let records = std::mem::take(&mut self.1);
        for record in &records {
            take(record);
        }
        (records.len(), records.len() * 8)
    }

    fn lost_total(&mut self) -> u64 {
        0
    }

    fn size(&self) -> usize {
        4096
    }
}

/// Scenario: programs stamp by a clock that runs behind time since boot, as the monotonic one does after a suspend; the
/// switch of a handover is minutes past.
/// Guarantees: their records are delivered: the predecessor, which is gone, does not deliver them.
#[tokio::test]
async fn a_handover_ends_though_stamps_never_reach_it() {
    let origin = Origin::Tracer { map: "events".to_owned() };
    let mut stamp = Field::new("stamp", FieldKind::Uint64, 0, 8);
    stamp.types = vec!["gadget_timestamp".to_owned()];
    let source =
        DataSource { fields: vec![stamp], ..DataSource::new("events", SourceKind::Single, origin, 8) };
    let accounts = Arc::new(Accounts::in_root("/nonexistent".as_ref()));
    let schema = SourceSchema::new(source, &FormatContext { clock: BootClock::with_offset(0), accounts });
    let (kept, stats) = (Kept::new(), Arc::new(SourceStats::default()));
    let outlets = Outlets::new(Vec::new(), vec![Box::new(kept.clone())]);
    let pipeline = Pipeline::new(Arc::new(schema), Stages::new(Vec::new()), outlets, Arc::clone(&stats));
    let descriptor = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
    let records = [1_u64, 2].map(u64::to_ne_bytes).to_vec();
    let (orders, inbox) = mpsc::channel(2);
    let (stopped, _end) = oneshot::channel();
    orders.send(Order::Stop(stopped)).await.unwrap();
    let name = SourceName { gadget: "gadget".to_owned(), source: "events".to_owned() };
    let filled = Filled(descriptor, records);
    stream::run(filled, name, pipeline, Handover::After(KtimeNs(10)), inbox).await.unwrap();
    assert_eq!(kept.numbers(), [1, 2]);
    assert_eq!(stats.losses.load(Loss::Handover), 0);
}

/// Scenario: a perf event array, with lists of CPUs in which one is not online, comes back, and the machine was suspended.
/// Guarantees: buffers are opened for those that come, what cannot be opened is counted by gadget, and nothing follows
/// once the array is gone.
#[test]
fn perf_buffers_follow_the_cpus() {
    use ig_kernel::map::{Map, MapCreate, MapType, online_cpus};

    let create = MapCreate {
        name: "events",
        kind: MapType::PERF_EVENT_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: ig_kernel::map::possible_cpus().unwrap(),
        ..MapCreate::default()
    };
    let array = Map::create(&create).unwrap();
    let feed = PerfFeed::open("events", array.try_clone().unwrap().into()).unwrap();
    let followers = Followers::default();
    followers.enter("gadget", feed.follower());
    let online = online_cpus();
    let (first, others) = online.split_first().unwrap();
    let follow = |online: &[u32], anew| followers.follow(online, anew).remove("gadget").unwrap();
    assert!(follow(&online, false).came.is_empty());
    assert!(follow(&[*first], false).came.is_empty());
    assert_eq!(follow(&online, false).came, others);
    assert_eq!(follow(&online, true).came, online);
    // No machine has it, and none has room for it in the array.
    let beyond = follow(&[*first, 60_000], false);
    assert_eq!((beyond.uncovered, beyond.error.is_some()), (vec![60_000], true));
    drop(feed);
    assert!(followers.follow(&online, false).is_empty());
}

/// A buffer that has a record whenever its descriptor is readable, and loses as many as it is told.
struct MadeUp {
    announced: OwnedFd,
    lost: Arc<AtomicU64>,
}

impl AsRawFd for MadeUp {
    fn as_raw_fd(&self) -> RawFd {
        self.announced.as_raw_fd()
    }
}

impl sys::Descriptor for MadeUp {}

impl stream::Stream for MadeUp {
    fn read(&mut self, _: usize, mut take: impl FnMut(&[u8])) -> (usize, usize) {
        if rustix::io::read(&self.announced, &mut [0; 8]).is_err() {
            return (0, 0);
        }
        take(&7_u32.to_ne_bytes());
        (1, 4)
    }

    fn lost_total(&mut self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn size(&self) -> usize {
        4096
    }
}

/// Scenario: nobody scrapes. Records come and others do not fit; later none fits at all, so that none comes.
/// Guarantees: what did not fit is counted within seconds, and within a minute where nothing comes.
#[tokio::test(start_paused = true)]
async fn losses_are_counted_without_a_scrape() {
    let lost = Arc::new(AtomicU64::new(0));
    let announced = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
    let announce = announced.try_clone().unwrap();
    let stats = Arc::new(SourceStats::default());
    let outlets = Outlets::new(Vec::new(), Vec::new());
    let pipeline =
        Pipeline::new(Arc::new(schema("events")), Stages::new(Vec::new()), outlets, Arc::clone(&stats));
    let (orders, inbox) = mpsc::channel(1);
    let name = SourceName { gadget: "gadget".to_owned(), source: "events".to_owned() };
    let made_up = MadeUp { announced, lost: Arc::clone(&lost) };
    let script = async {
        lost.store(5, Ordering::Relaxed);
        rustix::io::write(&announce, &1_u64.to_ne_bytes()).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!((stats.received.load(), stats.losses.load(Loss::Ringbuf)), (1, 5));
        lost.store(7, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!((stats.received.load(), stats.losses.load(Loss::Ringbuf)), (1, 7));
        drop(orders);
    };
    let (ended, ()) = tokio::join!(stream::run(made_up, name, pipeline, Handover::None, inbox), script);
    ended.unwrap();
}
