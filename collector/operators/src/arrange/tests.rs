//! Batches through sort and limit, against the standard library's sort.

use std::sync::{Arc, Mutex};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, Loss, Losses};
use proptest::prelude::*;

use super::Arrange;
use crate::{
    batch::Batch,
    column::{Columns, FormatContext},
    format::Accounts,
    limit::Limit,
    outlets::Outlets,
    packet::Packet,
    sink::{Sink, SinkLedger},
    sort::Sort,
    stage::{Stages, Step},
};

/// number i32 @0, ratio f64 @8, text[4] @16, error_raw (errno) u32 @20, slots u32[1] @24
const SIZE: usize = 28;

fn columns() -> Columns {
    let origin = Origin::Tracer { map: "events".into() };
    let mut error = Field::new("error_raw", FieldKind::Uint32, 20, 4);
    error.types = vec!["gadget_errno".to_owned()];
    let source = DataSource {
        fields: vec![
            Field::new("number", FieldKind::Int32, 0, 4),
            Field::new("ratio", FieldKind::Float64, 8, 8),
            Field::new("text", FieldKind::CString, 16, 4),
            error,
            Field::new("slots", FieldKind::Array(ig_model::kind::Scalar::Uint(4)), 24, 4),
        ],
        ..DataSource::new("rows", SourceKind::Array, origin, SIZE)
    };
    let accounts = Arc::new(Accounts::in_root(std::path::Path::new("/nonexistent")));
    Columns::plan(&source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    number: i32,
    ratio: f64,
    text: String,
    error: u32,
    /// Where the row stood; tells equal ones apart.
    position: u32,
}

impl Row {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.number.to_ne_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(self.ratio.to_ne_bytes());
        bytes.extend(self.text.as_bytes());
        bytes.resize(20, 0);
        bytes.extend(self.error.to_ne_bytes());
        bytes.extend(self.position.to_ne_bytes());
        bytes
    }
}

#[derive(Clone, Debug)]
struct Seen(Arc<Mutex<Vec<String>>>, Arc<SinkLedger>);

impl Sink for Seen {
    fn take(&mut self, batch: &Batch) {
        let mut seen = self.0.lock().unwrap();
        seen.extend(batch.begins().then(|| "begin".to_owned()));
        let position = |record: &[u8]| u32::from_ne_bytes(record[24..28].try_into().unwrap()).to_string();
        seen.extend(batch.iter().map(position));
        seen.extend(batch.ends().then(|| "end".to_owned()));
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.1
    }
}

/// Positions of the rows as the sink behind sort and limit sees them, batch marks included.
fn arranged(rows: &[Row], sort: &str, limit: &str) -> Vec<String> {
    let seen = Seen(Arc::default(), SinkLedger::new("seen"));
    let sort = Sort::plan(sort, &columns()).unwrap();
    let arrange = Arrange::new(sort, Limit::plan(limit).unwrap());
    let mut stages = Stages::new(vec![Step::Stage(Box::new(arrange))]);
    let (mut outlets, mut lost) = (Outlets::new(Vec::new(), vec![Box::new(seen.clone())]), Losses::default());
    stages.begin(&mut outlets, &mut lost);
    for row in rows {
        stages.packet(&mut Packet::borrowed(&row.bytes()), &mut outlets, &mut lost);
    }
    stages.end(&mut outlets, &mut lost);
    assert_eq!(outlets.take_delivered() + lost[Loss::Limit], rows.len() as u64, "passed on or lost");
    std::mem::take(&mut seen.0.lock().unwrap())
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let ratio = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(1.5), any::<f64>()];
    let row = (-3..3_i32, ratio, "[a-c]{0,3}", 0..4_u32);
    prop::collection::vec(row, 0..40).prop_map(|rows| {
        let number = |(position, (number, ratio, text, error))| Row {
            number,
            ratio,
            text,
            error,
            position: u32::try_from(position).unwrap(),
        };
        rows.into_iter().enumerate().map(number).collect()
    })
}

/// Scenario: sort keys that are wrong.
/// Guarantees: each error names the key and what would be right.
#[test]
fn wrong_keys_are_named() {
    for (text, key, expected) in [
        ("number,txt", "txt", "did you mean `text`"),
        ("-slots", "-slots", "only numbers and text"),
        ("text,-TEXT", "-TEXT", "named twice"),
    ] {
        let error = Sort::plan(text, &columns()).unwrap_err();
        assert_eq!(error.key, key);
        assert!(error.reason.contains(expected), "{error}");
    }
    assert!(Sort::plan(" , ", &columns()).unwrap().is_none());
}

/// Scenario: numbers, words and signs as limits.
/// Guarantees: whole numbers from -1 on are limits; all else is refused by name.
#[test]
fn limits_are_whole_numbers() {
    assert_eq!(Limit::plan("-1"), Ok(None));
    assert_eq!(Limit::plan("0"), Ok(Some(Limit { most: 0 })));
    assert_eq!(Limit::plan("20"), Ok(Some(Limit { most: 20 })));
    for wrong in ["", "-2", "+1", "1.5", "many", "99999999999999999999"] {
        assert!(Limit::plan(wrong).unwrap_err().to_string().contains("-1 for none"), "{wrong}");
    }
}

/// Scenario: many more rows than the limit, so that the batch is cut on the way.
/// Guarantees: the result is that of sorting all of them; equal rows keep their order.
#[test]
fn cutting_on_the_way_changes_nothing() {
    let row = |position: u32| Row {
        number: i32::try_from(position * 7919 % 101).unwrap(),
        ratio: 0.0,
        text: String::new(),
        error: 0,
        position,
    };
    let rows: Vec<Row> = (0..20_000).map(row).collect();
    let mut expected = rows.clone();
    expected.sort_by_key(|row| -row.number);
    let expected: Vec<String> = expected.iter().take(250).map(|row| row.position.to_string()).collect();
    let seen = arranged(&rows, "-number", "250");
    assert_eq!(seen[1..seen.len() - 1], expected);
}

proptest! {
    /// Scenario: any rows, every kind of key, up and down, with and without a limit.
    /// Guarantees: the order is the standard library's stable one, cut at the limit, between one begin and one end.
    #[test]
    fn order_is_that_of_a_stable_sort(rows in rows(), limit in prop::option::of(0..50_usize)) {
        type Compare = Box<dyn Fn(&Row, &Row) -> std::cmp::Ordering>;
        let ratio: fn(&Row, &Row) -> std::cmp::Ordering = |a, b| a.ratio.partial_cmp(&b.ratio).unwrap_or_else(|| a.ratio.is_nan().cmp(&b.ratio.is_nan()));
        let name = |error: u32| ["", "EPERM", "ENOENT", "ESRCH"][error as usize];
        let cases: [(&str, Compare); 6] = [
            ("", Box::new(|_, _| std::cmp::Ordering::Equal)),
            ("number", Box::new(|a, b| a.number.cmp(&b.number))),
            ("-ratio", Box::new(move |a, b| ratio(a, b).reverse())),
            ("-text,number", Box::new(|a, b| b.text.cmp(&a.text).then(a.number.cmp(&b.number)))),
            ("error", Box::new(move |a, b| name(a.error).cmp(name(b.error)))),
            ("ERROR_RAW,ratio", Box::new(move |a, b| a.error.cmp(&b.error).then(ratio(a, b)))),
        ];
        for (text, compare) in cases {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| compare(a, b));
            let mut expected: Vec<String> = expected.iter().map(|row| row.position.to_string()).collect();
            expected.truncate(limit.unwrap_or(usize::MAX));
            let limit = limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
            let seen = arranged(&rows, text, &limit);
            prop_assert_eq!(seen.first().map(String::as_str), Some("begin"));
            prop_assert_eq!(seen.last().map(String::as_str), Some("end"));
            prop_assert_eq!(&seen[1..seen.len() - 1], expected, "{}", text);
        }
    }
}
