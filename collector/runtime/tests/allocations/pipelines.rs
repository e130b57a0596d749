//! Pipelines of a `trace_open`-like gadget with more or less to do for each record.

use std::sync::Arc;

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, InstrumentKind};
use ig_operators::{
    Batch, Columns, Filter, FormatContext, Measure, MeasurePlan, Outlets, Sink, SinkLedger, SourceSchema,
    Stages, Step,
    format::Accounts,
    measure::{MetricRequest, TablePlace},
};
use ig_runtime::{pipeline::Pipeline, status::SourceStats};
use ig_series::{ExporterFilter, Registry, RegistryLimits, Verbatim};

/// What is done with a record beside counting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operators {
    /// Nothing.
    None,
    /// A filter on a text and a number.
    Filter,
    /// That filter, and every formatter the record has: time, error, flags, mode, user, group, and names.
    #[cfg_attr(test, expect(dead_code, reason = "the benchmark uses it"))]
    All,
}

/// Renders every column of a record and forgets it.
#[derive(Debug)]
struct Reader {
    columns: Columns,
    text: String,
    input: Vec<u8>,
    ledger: Arc<SinkLedger>,
}

impl Reader {
    fn new(columns: Columns) -> Self {
        Self { columns, text: String::new(), input: Vec::new(), ledger: SinkLedger::new("reader") }
    }
}

impl Sink for Reader {
    fn take(&mut self, batch: &Batch) {
        for record in batch.iter() {
            for column in self.columns.iter() {
                self.input.clear();
                self.text.clear();
                column.copy_input(record, &mut self.input);
                column.text(&self.input, &mut self.text);
                std::hint::black_box(&self.text);
            }
        }
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.ledger
    }
}

/// Name, kind, offset, size, parent and type of a field.
type FieldRow = (&'static str, FieldKind, usize, usize, Option<usize>, &'static str);

fn source() -> DataSource {
    let rows: [FieldRow; 13] = [
        ("timestamp_raw", FieldKind::Uint64, 0, 8, None, "gadget_timestamp"),
        ("proc", FieldKind::Bytes, 8, 40, None, "gadget_process"),
        ("proc.comm", FieldKind::CString, 8, 16, Some(1), "char"),
        ("proc.pid", FieldKind::Uint32, 24, 4, Some(1), "gadget_pid"),
        ("proc.tid", FieldKind::Uint32, 28, 4, Some(1), "gadget_tid"),
        ("proc.creds", FieldKind::Bytes, 40, 8, Some(1), "gadget_creds"),
        ("proc.creds.uid", FieldKind::Uint32, 40, 4, Some(5), "gadget_uid"),
        ("proc.creds.gid", FieldKind::Uint32, 44, 4, Some(5), "gadget_gid"),
        ("error_raw", FieldKind::Uint32, 48, 4, None, "gadget_errno"),
        ("fd", FieldKind::Uint32, 52, 4, None, "__u32"),
        ("flags_raw", FieldKind::Int32, 56, 4, None, "gadget_file_flags"),
        ("mode_raw", FieldKind::Uint32, 60, 4, None, "gadget_file_mode"),
        ("fname", FieldKind::CString, 64, 256, None, "char"),
    ];
    let mut source =
        DataSource::new("open", SourceKind::Single, Origin::Tracer { map: "events".to_owned() }, 320);
    for (name, kind, offset, size, parent, ty) in rows {
        let mut field = Field::new(name.rsplit('.').next().unwrap(), kind, offset, size);
        name.clone_into(&mut field.full_name);
        field.parent = parent;
        field.types = vec![ty.to_owned()];
        source.fields.push(field);
    }
    source
}

/// One record; `number` tells commands apart.
pub(crate) fn record(number: u32) -> Vec<u8> {
    let mut record = vec![0; 320];
    let mut put =
        |at: usize, bytes: &[u8]| record.splice(at..at + bytes.len(), bytes.iter().copied()).for_each(drop);
    put(0, &1_787_312_356_455_283_441_u64.to_ne_bytes());
    put(8, format!("cat-{number}").as_bytes());
    put(24, &(number + 1).to_ne_bytes());
    put(28, &(number + 1).to_ne_bytes());
    put(48, &(number % 3).to_ne_bytes());
    put(56, &0o2_000_000_u32.to_ne_bytes());
    put(64, b"/usr/lib/x86_64-linux-gnu/libc.so.6");
    record
}

/// A pipeline with a counter of three labels.
pub(crate) fn pipeline(operators: Operators) -> (Pipeline, Arc<SourceStats>) {
    let source = source();
    let accounts = Accounts::in_root("/nonexistent".as_ref());
    let context = FormatContext { clock: BootClock::with_offset(0), accounts: accounts.into() };
    let mut schema = SourceSchema::new(source, &context);
    schema.seal();
    let (source, columns) = (schema.source(), schema.columns());
    let registry = Registry::new(RegistryLimits { series_total: 10_000 }, Arc::new(Verbatim));
    let mut request = MetricRequest::new("opens", InstrumentKind::Counter);
    request.labels =
        ["proc.comm", "error", "proc.creds.uid"].map(|name| (name.to_owned(), name.to_owned())).into();
    let place = TablePlace {
        gadget: "open".to_owned(),
        scope: "open".to_owned(),
        limit: 10_000,
        stale_after: None,
        exporters: ExporterFilter::All,
    };
    let plans = MeasurePlan::from_requests(source, columns, &[request]).plans;
    let measures = plans.iter().map(|plan| {
        let registered = registry.register(plan.table_spec(place.clone()), plan.labeler()).unwrap();
        Measure::new(plan, registered.table)
    });
    let stats = Arc::new(SourceStats::default());
    let sinks: Vec<Box<dyn Sink>> = match operators {
        Operators::All => {
            vec![Box::new(Reader::new(columns.clone()))]
        }
        Operators::None | Operators::Filter => Vec::new(),
    };
    let filter = (operators != Operators::None)
        .then(|| Step::Filter(Filter::plan("proc.comm!=runc,proc.pid>0", columns).unwrap().into()));
    let stages = Stages::new(filter.into_iter().collect());
    let outlets = Outlets::new(measures.collect(), sinks);
    (Pipeline::new(Arc::new(schema), stages, outlets, Arc::clone(&stats)), stats)
}
