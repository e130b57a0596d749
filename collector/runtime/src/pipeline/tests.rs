//! The pipeline against a model that holds all records of a batch in a list.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::Loss;
use ig_model::{BootClock, FieldKind};
use ig_operators::{
    Arrange, Batch, Expression, Filter, FormatContext, Limit, Outlets, Sink, SinkLedger, Sort, SourceSchema,
    Stages, Step, expression::ExpressionStage, format::Accounts,
};
use proptest::prelude::*;

use super::{Handover, Pipeline};
use crate::status::SourceStats;

/// comm[4] @0, pid u32 @4, ret i32 @8
fn source() -> DataSource {
    let fields = vec![
        Field::new("comm", FieldKind::CString, 0, 4),
        Field::new("pid", FieldKind::Uint32, 4, 4),
        Field::new("ret", FieldKind::Int32, 8, 4),
    ];
    let origin = Origin::Tracer { map: "events".to_owned() };
    DataSource { fields, ..DataSource::new("events", SourceKind::Array, origin, 12) }
}

fn schema() -> SourceSchema {
    let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
    SourceSchema::new(source(), &FormatContext { clock: BootClock::with_offset(0), accounts })
}

/// A pipeline of these stages before one sink, and its numbers.
fn pipeline(schema: SourceSchema, steps: Vec<Step>, sink: Kept) -> (Pipeline, Arc<SourceStats>) {
    let stats = Arc::new(SourceStats::default());
    let outlets = Outlets::new(Vec::new(), vec![Box::new(sink)]);
    let pipeline = Pipeline::new(Arc::new(schema), Stages::new(steps), outlets, Arc::clone(&stats));
    (pipeline, stats)
}

fn filter(text: &str, schema: &SourceSchema) -> Step {
    Step::Filter(Filter::plan(text, schema.columns()).unwrap().into())
}

fn expression(text: &str, schema: &SourceSchema) -> Step {
    Step::Stage(Box::new(ExpressionStage::from(Expression::plan(text, schema.columns()).unwrap())))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    comm: String,
    pid: u32,
    ret: i32,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.comm.clone().into_bytes();
        bytes.resize(4, 0);
        bytes.extend(self.pid.to_ne_bytes());
        bytes.extend(self.ret.to_ne_bytes());
        bytes
    }

    /// `ret % pid > 0`, without a verdict where pid is zero.
    fn remainder_is_positive(&self) -> Option<bool> {
        (self.pid > 0).then(|| i64::from(self.ret) % i64::from(self.pid) > 0)
    }
}

/// Keeps what it is given.
#[derive(Clone, Debug)]
struct Kept(Arc<Mutex<Vec<Vec<u8>>>>, Arc<SinkLedger>);

impl Default for Kept {
    fn default() -> Self {
        Self(Arc::default(), SinkLedger::new("kept"))
    }
}

impl Sink for Kept {
    fn take(&mut self, batch: &Batch) {
        self.0.lock().unwrap().extend(batch.iter().map(<[u8]>::to_vec));
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.1
    }
}

fn record() -> impl Strategy<Value = Record> {
    ("[ab]{0,2}", 0u32..4, -4i32..5).prop_map(|(comm, pid, ret)| Record { comm, pid, ret })
}

proptest! {
    /// Scenario: batches of random records through every choice of filter, expression, sort and limit.
    /// Guarantees: the outlets see what the model sees, in its order; sorting is stable and limits count per batch; what
    /// was received is what was delivered and every named loss.
    #[test]
    fn batches_agree_with_a_list(
        batches in prop::collection::vec(prop::collection::vec(record(), 0..24), 1..4),
        filtered_by_rule: bool,
        filtered_by_expression: bool,
        sort in prop::option::of(any::<bool>()),
        most in prop::option::of(0usize..6),
    ) {
        let (schema, kept) = (schema(), Kept::default());
        let sorted = |descending| Sort::plan(if descending { "-ret,comm" } else { "ret,comm" }, schema.columns()).unwrap();
        let mut steps = Vec::new();
        steps.extend(filtered_by_rule.then(|| filter("comm!=b", &schema)));
        steps.extend(filtered_by_expression.then(|| expression("ret % pid > 0", &schema)));
        let arrange = Arrange::new(sort.and_then(sorted), most.map(|most| Limit { most }));
        steps.push(Step::Stage(Box::new(arrange)));
        let (mut pipeline, stats) = pipeline(schema, steps, kept.clone());

        let mut expected = Vec::new();
        let (mut filtered, mut unjudged, mut limited) = (0, 0, 0);
        for batch in &batches {
            pipeline.begin_fetch();
            let mut list = Vec::new();
            for record in batch {
                pipeline.take(&record.bytes(), Handover::None);
                let verdict = if filtered_by_expression { record.remainder_is_positive() } else { Some(true) };
                match (filtered_by_rule && record.comm == "b", verdict) {
                    (true, _) | (false, Some(false)) => filtered += 1,
                    (false, None) => unjudged += 1,
                    (false, Some(true)) => list.push(record.clone()),
                }
            }
            pipeline.end_fetch();
            match sort {
                Some(false) => list.sort_by(|left, right| (left.ret, &left.comm).cmp(&(right.ret, &right.comm))),
                Some(true) => list.sort_by(|left, right| (right.ret, &left.comm).cmp(&(left.ret, &right.comm))),
                None => {}
            }
            limited += list.len().saturating_sub(most.unwrap_or(usize::MAX)) as u64;
            list.truncate(most.unwrap_or(usize::MAX));
            expected.extend(list.iter().map(Record::bytes));
        }
        pipeline.finish();

        prop_assert_eq!(&*kept.0.lock().unwrap(), &expected);
        let received: usize = batches.iter().map(Vec::len).sum();
        prop_assert_eq!(stats.received.load(), received as u64);
        prop_assert_eq!(
            (stats.delivered.load(), kept.ledger().received()),
            (expected.len() as u64, expected.len() as u64)
        );
        prop_assert_eq!(
            [Loss::Filter, Loss::Expression, Loss::Limit].map(|loss| stats.losses.load(loss)),
            [filtered, unjudged, limited]
        );
        prop_assert_eq!(received as u64, stats.delivered.load() + filtered + unjudged + limited);
    }
}

proptest! {
    /// Scenario: an instance is replaced at a moment, and the clock that stamps records jumps to and fro around it.
    /// Guarantees: each record is delivered by one of the two instances, and is in the ledger of the other.
    #[test]
    fn a_handover_survives_a_clock_that_jumps(stamps in prop::collection::vec(any::<u64>(), 0..50), moment: u64) {
        let mut source = DataSource::new(
            "events",
            SourceKind::Single,
            Origin::Tracer { map: "events".to_owned() },
            8,
        );
        let mut stamp = Field::new("stamp", FieldKind::Uint64, 0, 8);
        stamp.types = vec!["gadget_timestamp".to_owned()];
        source.fields.push(stamp);
        let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
        let context = FormatContext { clock: BootClock::with_offset(0), accounts };
        let run = |handover| {
            let kept = Kept::default();
            let (mut pipeline, stats) = pipeline(SourceSchema::new(source.clone(), &context), Vec::new(), kept.clone());
            for stamp in &stamps {
                pipeline.take(&stamp.to_ne_bytes(), handover);
            }
            pipeline.finish();
            let lost = stats.losses.load(Loss::Handover);
            assert_eq!(stats.received.load(), stats.delivered.load() + lost);
            kept.0.lock().unwrap().clone()
        };
        let moment = ig_model::KtimeNs(moment);
        let mut both = [run(Handover::Until(moment)), run(Handover::After(moment))].concat();
        let mut all: Vec<Vec<u8>> = stamps.iter().map(|stamp| stamp.to_ne_bytes().to_vec()).collect();
        both.sort();
        all.sort();
        prop_assert_eq!(both, all);
    }
}

/// Scenario: a record shorter than the layout, with a filter and an expression on what is missing.
/// Guarantees: what is missing is zero for both, and the outlets get a whole record.
#[test]
fn short_records_are_completed() {
    let (schema, kept) = (schema(), Kept::default());
    let steps = vec![filter("ret==0", &schema), expression("pid == 0 and comm == 'ab'", &schema)];
    let (mut pipeline, stats) = pipeline(schema, steps, kept.clone());
    pipeline.take(b"ab", Handover::None);
    pipeline.take(b"b", Handover::None);
    pipeline.flush();
    assert_eq!(*kept.0.lock().unwrap(), [b"ab\0\0\0\0\0\0\0\0\0\0".to_vec()]);
    assert_eq!((stats.delivered.load(), stats.losses.load(Loss::Filter)), (1, 1));
}
