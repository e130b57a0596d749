//! A gadget that an operator makes, which the runtime has never heard of.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, Limits},
};
use ig_datasource::{DataSource, Field, Origin, ParamDesc, SourceKind};
use ig_model::{FieldKind, Host, Loss};
use ig_operators::{
    Batch, FormatContext, Next, Operator, OperatorPlan, Operators, Packet, Sink, SinkLedger, Slot,
    SourceSchema, Stage, Step,
    feed::{FeedError, FeedPlan, Gather},
    format::Accounts,
    operator::{
        Brought, BuildError, Draft, Fault, Feed, LoadedGadget, Phase, PlanContext as OperatorContext, Ready,
        Timing,
    },
};
use ig_series::{Registry, RegistryLimits, Verbatim};

use super::{GadgetPlan, ImageParts, PlanContext, Purpose, SinkFactory};
use crate::{
    instance::Built,
    reader::Reader,
    status::{GadgetStatus, Reason, State, Status},
    tasks::Tasks,
};

/// Brings the numbers from 1 to 10, says of each whether it is even, and drops those below a parameter.
#[derive(Debug)]
struct Numbers {
    /// A name for the field it adds.
    field: &'static str,
}

const NAME: &str = "numbers";
const LEAST: &str = "operator.numbers.least";

#[derive(Debug)]
struct Readings;

struct Counting;

/// The plan, and the stage it becomes.
#[derive(Debug)]
struct Parity {
    slot: Slot,
    least: u32,
}

impl Operator for Numbers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn params(&self, _sources: &[&DataSource]) -> Vec<ParamDesc> {
        vec![ParamDesc::new("operator.numbers.", "least", "The least one").of_type("uint32", "0")]
    }

    fn sources(&self, metadata: &Metadata) -> Brought {
        if metadata.get("operator.numbers").is_none() && metadata.get("operator.numbers.on").is_none() {
            return Brought::default();
        }
        let origin = Origin::Operator { operator: NAME.to_owned() };
        let fields = vec![Field::new("number", FieldKind::Uint32, 0, 4)];
        let source = DataSource { fields, ..DataSource::new(NAME, SourceKind::Array, origin, 4) };
        Brought { sources: vec![source], ..Brought::default() }
    }

    fn plan(&self, context: &OperatorContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        if draft.schema.name() != NAME {
            return Ok(());
        }
        let slot = draft
            .schema
            .add_field(self.field, FieldKind::CString, 4, &[])
            .map_err(|error| vec![Fault::config(error.to_string())])?;
        let least = context.params.get(LEAST).map_or(0, |text| text.parse().unwrap_or(0));
        draft.timing = Timing { interval: Some(Duration::from_secs(3600)), ..Timing::default() };
        draft.feed = Some(Feed::Gathered(Box::new(Readings)));
        draft.parts.push(Box::new(Parity { slot, least }));
        Ok(())
    }
}

impl OperatorPlan for Parity {
    fn build(self: Box<Self>, _gadget: &dyn LoadedGadget, _host: &Host) -> Result<Ready, BuildError> {
        Ok(Ready { step: Some(Step::Stage(self)), ..Ready::default() })
    }
}

impl Stage for Parity {
    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>) {
        let number = packet.bytes().first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        if number < self.least {
            next.lose(Loss::Decode);
            return;
        }
        packet.write(self.slot, if number % 2 == 0 { b"even" } else { b"odd" });
        next.pass(packet);
    }
}

impl FeedPlan for Readings {
    fn key(&self) -> String {
        NAME.to_owned()
    }

    fn open(&self, _host: &Host) -> Result<Box<dyn Gather>, FeedError> {
        Ok(Box::new(Counting))
    }
}

impl Gather for Counting {
    fn gather(&mut self, batch: &mut Batch) -> Result<(), FeedError> {
        (1..=10_u32).for_each(|number| batch.push(&number.to_ne_bytes()));
        Ok(())
    }
}

/// Keeps what it is given; its own sink.
#[derive(Clone, Debug)]
struct Kept(Arc<Mutex<Vec<Vec<u8>>>>, Arc<SinkLedger>);

impl Sink for Kept {
    fn take(&mut self, batch: &Batch) {
        self.0.lock().unwrap().extend(batch.iter().map(<[u8]>::to_vec));
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.1
    }
}

impl SinkFactory for Kept {
    fn open(&self, _gadget: &str, _schema: &SourceSchema) -> Result<Vec<Box<dyn Sink>>, String> {
        Ok(vec![Box::new(self.clone())])
    }
}

fn planned(field: &'static str, filter: &str) -> Result<GadgetPlan, String> {
    let gadget = Gadget {
        name: "count".to_owned(),
        params: BTreeMap::from([("least".to_owned(), "4".to_owned())]),
        filter: Some(filter.to_owned()),
        ..Gadget::default()
    };
    planned_of(field, &gadget, "operator: {numbers: {on: true}}")
}

fn planned_of(field: &'static str, gadget: &Gadget, metadata: &str) -> Result<GadgetPlan, String> {
    let host = Arc::new(Host::of([]));
    let context = PlanContext {
        format: FormatContext {
            clock: host.clock,
            accounts: Arc::new(Accounts::in_root("/nonexistent".as_ref())),
        },
        host,
        kernel: None,
        limits: Limits::default(),
        purpose: Purpose::Collect,
    };
    let image = ImageParts { digest: ig_image::Digest::of(b""), ebpf: None, metadata, kernel_types: None };
    let operators = Operators::standard().with(Box::new(Numbers { field }));
    GadgetPlan::with_operators(&operators, gadget, &image, &context)
        .map_err(|reasons| reasons.iter().map(Reason::text).collect::<Vec<_>>().join("\n"))
}

/// Scenario: an operator that no other code knows brings a data source, a parameter and a field, and drops records; the
/// gadget filters on its field.
/// Guarantees: its source runs, its field is in filters and rows, its parameter reaches it, and the ledger balances.
#[tokio::test]
async fn an_operator_is_one_folder_and_one_line() {
    let mut plan = planned("parity", "parity==even").unwrap();
    let kept = Kept(Arc::default(), SinkLedger::new("kept"));
    plan.open_sinks(&kept).unwrap();
    let (status, registry) =
        (Status::default(), Registry::new(RegistryLimits { series_total: 0 }, Arc::new(Verbatim)));
    let state = GadgetStatus::new(State::Running, String::new());
    status.with(|board| board.gadgets.insert("count".to_owned(), state));
    let reader = Reader::start(Tasks::new(), status.clone()).unwrap();
    let built = Built::new(plan, &Host::of([])).unwrap();
    let (running, refusals) = built.start(&reader, &registry, &status, None).await;
    assert!(refusals.is_empty());
    // A collector's source of an operator is read a last time at the end.
    running.stop().await;

    let rows = kept.0.lock().unwrap().clone();
    let row = |number: u32| [&number.to_ne_bytes()[..], b"even"].concat();
    assert_eq!(rows, [row(4), row(6), row(8), row(10)]);
    let stats = status.source("count", NAME);
    assert_eq!((stats.received.load(), stats.delivered.load(), kept.1.received()), (10, 4, 4));
    assert_eq!((stats.losses.load(Loss::Decode), stats.losses.load(Loss::Filter)), (3, 3));
}

/// A configuration with one gadget and these metrics, as it is read from a file.
fn with_metrics(metrics: &str, rest: &str) -> Gadget {
    let text = format!(
        "apiVersion: 1\nkind: runtime-config\ngadgets:\n  - name: count\n    image: x\n    metrics: [{metrics}]\n{rest}"
    );
    ig_config::runtime::check_str("run.yaml", &text).unwrap().config.gadgets.remove(0)
}

/// Scenario: metrics of the configuration over those of an image that Prometheus would see under the same names, of equal
/// and of other labels; two of an image alone; a gauge turned round beside a counter.
/// Guarantees: each clash is refused, with both places; what the check of the file accepts is planned; without the image's
/// metrics nothing clashes.
#[test]
fn metrics_that_would_hide_each_other_are_refused() {
    let image = "operator: {numbers: {on: true}}\ndatasources: {numbers: {annotations: \
                 {metrics.collect: true, metrics.implicit-counter.name: seen}}}";
    let refused = |metrics: &str, parts: &[&str]| {
        let clash = planned_of("parity", &with_metrics(metrics, ""), image).unwrap_err();
        assert!(parts.iter().all(|part| clash.contains(part)), "{clash}");
    };
    let places = ["run.yaml:6:", "`seen` of the image's data source `numbers`", "image-metrics"];
    refused("{name: seen, type: counter}", &[&places[..], &["metric `seen` has the name"]].concat());
    refused("{name: seen, type: counter, labels: [parity]}", &places);
    let part = "`seen_total`, which is part of the counter `seen_total`";
    refused(
        "{name: seen_total, type: gauge, field: number, labels: [parity]}",
        &[&places[..], &[part]].concat(),
    );
    let alone = with_metrics("{name: seen, type: counter}", "    image-metrics: false\n");
    assert!(planned_of("parity", &alone, image).is_ok());

    let twice = image.replace(
        "name: seen}",
        "name: seen}, fields: {number: {annotations: {metrics.type: gauge, metrics.name: seen_total}}}",
    );
    let clash =
        planned_of("parity", &Gadget { name: "count".to_owned(), ..Gadget::default() }, &twice).unwrap_err();
    assert!(clash.contains("`seen_total` of the image's data source `numbers`"), "{clash}");
    assert!(clash.contains("(`seen` of the image's data source `numbers`)"), "{clash}");

    let turned = "{name: minus, type: gauge, field: number, scale: -1}, {name: starts, type: counter}";
    let plan = planned_of("parity", &with_metrics(turned, ""), image).unwrap();
    let registry =
        Registry::new(RegistryLimits { series_total: 10 }, Arc::new(ig_exporters::prometheus::Names));
    for measure in plan.sources.iter().flat_map(|source| &source.measures) {
        let table = registry.register(measure.plan.table_spec(measure.place.clone()), measure.plan.labeler());
        assert!(table.unwrap().refused.is_empty());
    }
}

/// Scenario: an operator adds a field under a name that its data source has, and a filter names a field that nobody adds.
/// Guarantees: both are faults in words, with the nearest name; nothing is built.
#[test]
fn fields_that_clash_or_are_missing_are_faults() {
    assert_eq!(
        planned("number", "number>0").unwrap_err(),
        "data source `numbers`: field `number` already exists"
    );
    let missing = planned("parity", "party==even").unwrap_err();
    assert!(missing.contains("has no field `party`; did you mean `parity`?"), "{missing}");
}
