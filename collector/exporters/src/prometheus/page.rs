//! One page of metrics, written frame by frame.

use std::collections::HashMap;
use std::sync::Arc;

use ig_model::InstrumentKind;
use ig_series::{
    Clock, Directory, Exposed, Family, Horizon, Instrument, LabelPlan, Member, Registry, RowView, escape,
};

use super::number::{bound, scaled_bound, write_float, write_integer};
use super::utf8::{self, LabelNames};
use super::{EXPORTER, Escaping, Exposition, Format, names, own};

/// A frame ends with the first row that reaches this size.
pub const FRAME_BYTES: usize = 64 * 1024;

/// Everything a page shows.
#[derive(Clone)]
pub struct PageSource {
    registry: Registry,
    resource: Arc<[(String, String)]>,
    own: Option<Arc<prometheus_client::registry::Registry>>,
}

impl PageSource {
    /// A source that shows `registry`, describes itself by the `resource` attributes in `target_info`, and appends
    /// the collector's own metrics.
    pub fn new(
        registry: Registry,
        resource: Vec<(String, String)>,
        own: Option<Arc<prometheus_client::registry::Registry>>,
    ) -> Self {
        Self { registry, resource: resource.into(), own }
    }

    /// Begins a page.
    pub fn page(&self, exposition: impl Into<Exposition>) -> Page {
        Page::new(self.clone(), exposition.into())
    }
}

impl std::fmt::Debug for PageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageSource").field("resource", &self.resource).finish_non_exhaustive()
    }
}

/// A page being written.
#[derive(Debug)]
pub struct Page {
    source: PageSource,
    format: Format,
    escaping: Escaping,
    directory: Arc<Directory>,
    /// Its families under names that are not escaped, if the reader wants those.
    unescaped: Option<Arc<[Family]>>,
    /// Rows of a table that came after this wait for the next page.
    horizons: HashMap<u64, Horizon>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Target,
    Rows { family: usize, member: usize, position: usize, headed: bool, texts: Option<Texts> },
    Own,
    End,
}

/// The constant parts of a member's lines.
#[derive(Debug)]
struct Texts {
    /// `name{`, `name_bucket{`
    opening: Vec<u8>,
    /// From the row's labels to the value.
    closing: Vec<u8>,
    /// Likewise for each bucket, `+Inf` last.
    buckets: Vec<Vec<u8>>,
    sum_opening: Vec<u8>,
    count_opening: Vec<u8>,
    /// Where the format has a line for the beginning of the values.
    created_opening: Option<Vec<u8>>,
    /// Names of labels beside those in the text of rows.
    label_names: Option<LabelNames>,
}

impl Page {
    fn new(source: PageSource, exposition: Exposition) -> Self {
        let Exposition { format, escaping } = exposition;
        let directory = source.registry.directory();
        let horizons = directory
            .tables
            .iter()
            .filter(|listed| listed.table.is_shown_by(EXPORTER))
            .map(|listed| (listed.table.id(), listed.table.read().begin_walk()))
            .collect();
        let unescaped = (escaping == Escaping::Utf8).then(|| utf8::families(&directory).into());
        Self { source, format, escaping, directory, unescaped, horizons, stage: Stage::Target }
    }

    /// Appends the next frame to `out`; false once the page is complete. A frame is about [`FRAME_BYTES`] long,
    /// longer only by its last row or by the collector's own metrics.
    pub fn frame(&mut self, out: &mut Vec<u8>) -> bool {
        let enough = out.len() + FRAME_BYTES;
        while out.len() < enough {
            match &mut self.stage {
                Stage::Target => {
                    write_target(&self.source.resource, self.format, self.escaping, out);
                    self.stage = first_row();
                }
                Stage::Rows { .. } => self.rows(out, enough),
                Stage::Own => {
                    if let Some(registry) = &self.source.own {
                        let taken = |name: &str| self.directory.has_name(name);
                        out.extend_from_slice(own::encode(registry, self.format, taken).as_bytes());
                    }
                    if self.format == Format::OpenMetrics {
                        out.extend_from_slice(b"# EOF\n");
                    }
                    self.end_walks();
                    self.stage = Stage::End;
                }
                Stage::End => return false,
            }
        }
        !matches!(self.stage, Stage::End)
    }

    /// The page has shown every row that was there when it began.
    fn end_walks(&self) {
        for table in self.directory.tables.iter().map(|listed| &listed.table) {
            if let Some(horizon) = self.horizons.get(&table.id()) {
                table.read().end_walk(EXPORTER, *horizon);
            }
        }
    }

    /// Writes rows of the current member until the frame is full or the member is done.
    fn rows(&mut self, out: &mut Vec<u8>, enough: usize) {
        let Stage::Rows { family: at_family, member: at_member, position, headed, texts } = &mut self.stage
        else {
            return;
        };
        let (directory, unescaped) = (Arc::clone(&self.directory), self.unescaped.clone());
        let families = unescaped.as_deref().unwrap_or(&directory.families);
        let Some(family) = families.get(*at_family) else {
            self.stage = Stage::Own;
            return;
        };
        let Some(member) = family.members.get(*at_member) else {
            (*at_family, *at_member, *position, *headed, *texts) = (*at_family + 1, 0, 0, false, None);
            return;
        };
        let described = member.table.layout().get(member.instrument);
        let shown = member.table.is_shown_by(EXPORTER);
        if let (true, Some(described)) = (shown, described) {
            let texts = texts
                .get_or_insert_with(|| Texts::new(family, member, described, self.format, self.escaping));
            let horizon = self.horizons.get(&member.table.id()).copied().unwrap_or_default();
            let clock = self.source.registry.clock();
            let mut unescaped_labels = Vec::new();
            let reader = member.table.read();
            let plan = member.table.label_plan();
            while *position < reader.positions() {
                if out.len() >= enough {
                    return;
                }
                let row = reader.row(*position);
                *position += 1;
                let Some(row) = row.filter(|row| horizon.includes(row.id)) else { continue };
                if row.hides(described) {
                    continue;
                }
                if !*headed {
                    write_head(family, self.format, out);
                    *headed = true;
                }
                let labels = match &texts.label_names {
                    _ if row.overflow => OVERFLOW_LABELS,
                    Some(names) => names.labels(plan, row.text, &mut unescaped_labels),
                    None => plan.shown(row.text),
                };
                write_row(&row, labels, described, texts, &*clock, out);
            }
        }
        (*at_member, *position, *texts) = (*at_member + 1, 0, None);
    }
}

/// The labels of every overflow row.
const OVERFLOW_LABELS: &[u8] = b"otel_metric_overflow=\"true\",";

fn first_row() -> Stage {
    Stage::Rows { family: 0, member: 0, position: 0, headed: false, texts: None }
}

fn write_target(resource: &[(String, String)], format: Format, escaping: Escaping, out: &mut Vec<u8>) {
    let head: &[u8] = match format {
        Format::Text => b"# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{",
        Format::OpenMetrics => b"# HELP target Target metadata\n# TYPE target info\ntarget_info{",
    };
    out.extend_from_slice(head);
    let mut labels: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, value) in resource.iter().filter(|(_, value)| !value.is_empty()) {
        let name = match escaping {
            Escaping::Underscores => names::label(name, false),
            Escaping::Utf8 => utf8::quoted_label(name),
        };
        match labels.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => labels.push((name, vec![value])),
        }
    }
    for (i, (name, mut values)) in labels.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        values.sort_unstable();
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        escape(&values.join(";"), out);
        out.push(b'"');
    }
    out.extend_from_slice(b"} 1\n");
}

fn write_head(family: &Family, format: Format, out: &mut Vec<u8>) {
    let name = utf8::quoted(base_name(family, format), "");
    let described = family
        .members
        .iter()
        .find_map(|member| Some(member.table.description(member.instrument)).filter(|text| !text.is_empty()));
    let help = described.unwrap_or_else(|| {
        let gadget = family.members.first().map_or("", |member| member.table.gadget());
        format!("Reported by gadget {gadget}")
    });
    out.extend_from_slice(format!("# HELP {name} ").as_bytes());
    for c in help.chars() {
        match c {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '"' if format == Format::OpenMetrics => out.extend_from_slice(b"\\\""),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.extend_from_slice(format!("\n# TYPE {name} {}\n", family.kind.name()).as_bytes());
    if let (Format::OpenMetrics, Some(unit)) = (format, &family.unit) {
        out.extend_from_slice(format!("# UNIT {name} {unit}\n").as_bytes());
    }
}

/// The name in `# TYPE`: OpenMetrics leaves a counter's `_total` to its samples.
fn base_name(family: &Family, format: Format) -> &str {
    match (format, family.kind) {
        (Format::OpenMetrics, InstrumentKind::Counter) => {
            family.name.strip_suffix("_total").unwrap_or(&family.name)
        }
        _ => &family.name,
    }
}

impl Texts {
    fn new(
        family: &Family,
        member: &Member,
        described: &Instrument,
        format: Format,
        escaping: Escaping,
    ) -> Self {
        let mut scope = b"otel_scope_name=\"".to_vec();
        escape(member.table.scope(), &mut scope);
        scope.push(b'"');
        let opening = |suffix: &str| utf8::opening(&family.name, suffix);
        let has_created = format == Format::OpenMetrics && !described.is_gauge();
        let created_opening = has_created.then(|| utf8::opening(base_name(family, format), "_created"));
        let plan: &LabelPlan = member.table.label_plan();
        let has_histograms = member.table.layout().iter().any(|one| one.kind == InstrumentKind::Histogram);
        let label_names =
            (escaping == Escaping::Utf8).then(|| LabelNames::new(plan, has_histograms)).flatten();
        let mut closing = scope.clone();
        closing.extend_from_slice(b"} ");
        let (mut first, mut buckets) = (opening(""), Vec::new());
        if described.kind == InstrumentKind::Histogram {
            first = opening("_bucket");
            let exposed = described.bounds().iter().map(|raw| scaled_bound(*raw, described.scale));
            for value in exposed.chain([f64::INFINITY]) {
                let mut text = scope.clone();
                text.extend_from_slice(b",le=\"");
                text.extend_from_slice(&bound(value, format == Format::OpenMetrics));
                text.extend_from_slice(b"\"} ");
                buckets.push(text);
            }
        }
        Self {
            opening: first,
            closing,
            buckets,
            sum_opening: opening("_sum"),
            count_opening: opening("_count"),
            created_opening,
            label_names,
        }
    }
}

#[inline]
fn write_row(
    row: &RowView<'_>,
    labels: &[u8],
    described: &Instrument,
    texts: &Texts,
    clock: &dyn Clock,
    out: &mut Vec<u8>,
) {
    let Some((value, counts)) = row.cells(described).split_first() else { return };
    match described.kind {
        InstrumentKind::Counter | InstrumentKind::Gauge => {
            write_labels(&texts.opening, labels, &texts.closing, out);
            write_value(*value, described, out);
        }
        InstrumentKind::Histogram => {
            let mut count = 0u64;
            for (observed, text) in counts.iter().zip(&texts.buckets) {
                count = count.wrapping_add(*observed);
                write_labels(&texts.opening, labels, text, out);
                write_integer(out, count);
                out.push(b'\n');
            }
            write_labels(&texts.sum_opening, labels, &texts.closing, out);
            write_value(*value, described, out);
            write_labels(&texts.count_opening, labels, &texts.closing, out);
            write_integer(out, count);
            out.push(b'\n');
        }
    }
    // Right behind the series itself: readers look for it nowhere else.
    if let Some(opening) = &texts.created_opening {
        write_labels(opening, labels, &texts.closing, out);
        write_seconds(clock.shown(row.start), out);
    }
}

/// Appends a time in seconds, to the millisecond.
#[inline]
fn write_seconds(nanos: u64, out: &mut Vec<u8>) {
    let millis = nanos / 1_000_000;
    write_integer(out, millis / 1000);
    out.push(b'.');
    let fraction = millis % 1000;
    if fraction < 100 {
        out.extend_from_slice(if fraction < 10 { b"00" } else { b"0" });
    }
    write_integer(out, fraction);
    out.push(b'\n');
}

#[inline]
fn write_labels(opening: &[u8], labels: &[u8], closing: &[u8], out: &mut Vec<u8>) {
    out.reserve(opening.len() + labels.len() + closing.len() + 24);
    out.extend_from_slice(opening);
    out.extend_from_slice(labels);
    out.extend_from_slice(closing);
}

#[inline]
fn write_value(cell: u64, described: &Instrument, out: &mut Vec<u8>) {
    match described.exposed(cell) {
        Exposed::Unsigned(value) => write_integer(out, value),
        Exposed::Signed(value) => write_integer(out, value),
        Exposed::Float(value) => write_float(out, value),
    }
    out.push(b'\n');
}
