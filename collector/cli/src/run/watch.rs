//! `ig run IMAGE`: one gadget, for somebody who watches.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write as _, sync::Arc, time::Duration};

use ig_config::runtime::{Gadget, Images, Limits};
use ig_console::{Keys, Output};
use ig_datasource::SourceKind;
use ig_image::{
    Reference,
    access::{Access, PullPolicy},
};
use ig_model::{Host, Loss, text::printable_lines};
use ig_operators::{FormatContext, arrange, format::Accounts};
use ig_runtime::{
    collector::{Command, commands},
    images::{open, pull_policy},
    interactive::{Interactive, StartError},
    plan::{GadgetPlan, ImageParts, PlanContext, Purpose},
    status::{Reason, SourceStats},
};

use super::{
    flags::{self, GadgetFlag, Parsed},
    rows::{Label, Rows},
    signals,
};
use crate::{failure::Failure, image::access, print};

/// Time a last drain may take before what is left is given up.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Prepares and runs the gadget of `image`; `arguments` is everything after `run`.
pub(super) async fn watch(
    image: &str,
    before: &flags::Common,
    arguments: &[OsString],
    host: Arc<Host>,
) -> Result<(), Failure> {
    let (sender, mut events) = commands();
    signals::listen(sender).map_err(|error| Failure::new(&error))?;
    let reference = Reference::parse(image).map_err(|error| Failure::config(error.to_string()))?;
    // Flags after the image count as well: they may say where it comes from.
    let images = flags::peek(arguments).unwrap_or_else(|| before.clone());
    let (access, pull) = open_images(&images, &host, &mut events).await?;
    // Cancel-safe: a pull that is cut short leaves the store as it was, and its partial blobs for the next one.
    let acquired = tokio::select! {
        biased; // a stop must not wait behind a registry
        () = stop_requested(&mut events) => return Err(stopped()),
        acquired = access::acquire(&access, &reference, pull) => acquired?,
    };
    for warning in &acquired.gadget.warnings {
        tracing::warn!(name: "image.warning", image, "{warning}");
    }
    let parts = ImageParts::from(&acquired);
    let context = PlanContext {
        format: FormatContext { clock: host.clock, accounts: Arc::new(Accounts::in_root(&host.root)) },
        host: Arc::clone(&host),
        // Held until the gadget is loaded, so that the kernel's types are parsed once.
        kernel: ig_kernel::btf::vmlinux().ok(),
        limits: Limits::default(),
        purpose: Purpose::Watch,
    };
    let spec = Gadget {
        name: short_name(image).to_owned(),
        image: image.to_owned(),
        image_metrics: false,
        annotate: images.annotate.clone(),
        ..Gadget::default()
    };
    let described = GadgetPlan::new(&spec, &parts, &context).map_err(|reasons| refusal(&reasons))?;
    let parsed = flags::parse(&gadget_words(image, &described), arguments, &gadget_flags(&described));
    let mut parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return unusable(&error, &described),
    };
    flags::read_files(&mut parsed.params)?;
    check_flags(&parsed, &described)?;
    let sources: Vec<&str> = described.sources.iter().map(|plan| plan.schema.name()).collect();
    let label = if sources.len() > 1 { Label::Source } else { Label::None };
    let rows = Rows::open(&parsed.common, label)?;
    rows.check(&sources)?;
    drop(described);
    let spec = Gadget { params: parsed.params, ..spec };
    let plan = GadgetPlan::new(&spec, &parts, &context).map_err(|reasons| refusal(&reasons))?;
    let output = rows.output();
    let running =
        Interactive::start(plan, image.to_owned(), host, &rows).await.map_err(|error| match error {
            StartError::Sinks(problems) => Failure::config(problems.join("\n")),
            other => Failure::new(&other),
        })?;
    drop(rows);
    drop(context);
    tracing::debug!(name: "gadget.started", image, digest = %acquired.gadget.digest);
    drop(acquired);
    follow(running, &output, &mut events, parsed.common.timeout).await
}

/// Opens the store and the way to registries.
async fn open_images(
    common: &flags::Common,
    host: &Arc<Host>,
    events: &mut tokio::sync::mpsc::Receiver<Command>,
) -> Result<(Access, PullPolicy), Failure> {
    let (store, flags) = common.images()?;
    let (defaults, host) = (Images::default(), Arc::clone(host));
    let pull = pull_policy(&defaults, &flags);
    // The store may be locked by somebody.
    let opening = tokio::task::spawn_blocking(move || open(&defaults, &flags, &store, &host));
    let opened = tokio::select! {
        biased; // a stop must not wait behind a lock
        () = stop_requested(events) => return Err(stopped()),
        opened = opening => opened,
    };
    let access = opened.map_err(|panic| Failure::new(&panic))?.map_err(|error| Failure::hinted(&error))?;
    Ok((access, pull))
}

fn stopped() -> Failure {
    Failure::text("stopped before the gadget was started")
}

/// Waits for whatever ends the run first, drains, and says what did not become a row.
async fn follow(
    running: Interactive,
    output: &Output,
    events: &mut tokio::sync::mpsc::Receiver<Command>,
    timeout: Duration,
) -> Result<(), Failure> {
    let keys = Keys::listen();
    let quit = async {
        match &keys {
            Some(keys) => keys.quit().await,
            None => std::future::pending().await,
        }
    };
    // Cancel-safe: nothing is lost by dropping any of them; the run ends with the first.
    tokio::select! {
        () = quit => {}
        () = stop_requested(events) => {}
        () = running.exhausted() => {}
        _ = output.closed() => {}
        () = tokio::time::sleep(timeout), if !timeout.is_zero() => {}
    }
    let ledger = tokio::time::timeout(STOP_PATIENCE, running.stop()).await.unwrap_or_else(|_elapsed| {
        tracing::warn!(name: "gadget.stop.late", "the last drain took too long and was given up");
        BTreeMap::new()
    });
    let written = output.finish(STOP_PATIENCE).await;
    report_losses(&ledger, output.dropped().rows);
    written.map_err(|error| Failure::new(error.as_ref()))
}

/// Finds flags that mean nothing to this gadget: they would be ignored, or be refused by a name nobody wrote.
fn check_flags(parsed: &Parsed, plan: &GadgetPlan) -> Result<(), Failure> {
    for (flag, parameter) in [("--sort", arrange::SORT), ("--max-entries", arrange::MAX_ENTRIES)] {
        if parsed.params.contains_key(parameter)
            && !plan.params.iter().any(|param| param.full_key() == parameter)
        {
            return Err(Failure::config(format!(
                "{flag}: this gadget has no data source that is read at once"
            ))
            .hint("events are printed as they come; `--help` says of what kind each data source is"));
        }
    }
    // Entries of another form are refused where they are applied.
    let targets = parsed.common.annotate.iter().filter_map(|entry| entry.split_once(':'));
    for (target, _) in targets {
        let (name, field) =
            target.split_once('.').map_or((target, None), |(name, field)| (name, Some(field)));
        let sources = || plan.sources.iter().map(|plan| plan.schema.name());
        let Some(found) = plan.sources.iter().find(|plan| plan.schema.name() == name) else {
            return Err(unknown("--annotate: there is no data source", name, sources()));
        };
        let Some(field) = field else { continue };
        let columns = || found.schema.columns().iter().map(|column| column.name.as_str());
        if found.schema.source().field(field).is_none() && !columns().any(|column| column == field) {
            return Err(unknown(&format!("--annotate: data source `{name}` has no field"), field, columns()));
        }
    }
    Ok(())
}

/// What clap has to say; a flag that a gadget lacks may be a field of its rows.
fn unusable(error: &clap::Error, plan: &GadgetPlan) -> Result<(), Failure> {
    let failure = match print::usage(error) {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    let Some(flag) = flags::unknown(error) else { return Err(failure) };
    let columns = plan.sources.iter().flat_map(|plan| plan.schema.columns().iter());
    let is_it =
        |name: &str, short: &str| name.eq_ignore_ascii_case(&flag) || short.eq_ignore_ascii_case(&flag);
    let mut columns = columns.filter(|column| column.referenced);
    Err(match columns.find(|column| is_it(&column.name, column.short_name())) {
        Some(column) => failure.hint(format!(
            "this gadget has no such flag; rows are kept by what is in them: -F {}==VALUE",
            column.name
        )),
        None => failure,
    })
}

/// A name that is not there, with the nearest one that is.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::config(format!("{what} `{name}`"));
    match ig_model::nearest(name, known) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    }
}

async fn stop_requested(events: &mut tokio::sync::mpsc::Receiver<Command>) {
    while let Some(command) = events.recv().await {
        if matches!(command, Command::Stop) {
            return;
        }
    }
}

/// Says on standard error what did not become a row.
fn report_losses(ledger: &BTreeMap<String, Arc<SourceStats>>, dropped: u64) {
    for (source, stats) in ledger {
        let losses = [
            ("found the buffer to user space full", stats.losses.load(Loss::Ringbuf)),
            ("could not be decoded", stats.losses.load(Loss::Decode)),
            ("gave the filter expression no verdict", stats.losses.load(Loss::Expression)),
            ("fetches failed", stats.failed_fetches.load()),
        ];
        let of_stacks = |(metric, ..): &(&str, &str, u64)| *metric == ig_operators::stack::UNRESOLVED;
        let stacks = stats.counters.totals().into_iter().filter(of_stacks).map(|(_, reason, count)| {
            let what = match reason {
                "full" => "stacks found no room in the program's map",
                "missing" => "stacks were gone from the program's map",
                _ => "stacks show addresses: symbols were not read in time",
            };
            (what, count)
        });
        for (what, count) in losses.into_iter().chain(stacks).filter(|(_, count)| *count > 0) {
            tracing::warn!(name: "records.lost", source, count, "{count} {what}");
        }
    }
    if dropped > 0 {
        tracing::warn!(name: "rows.dropped", count = dropped, "{dropped} rows were dropped because standard output was too slow");
    }
}

fn refusal(reasons: &[Reason]) -> Failure {
    let is_usage = reasons.iter().any(|reason| reason.kind == ig_runtime::status::ReasonKind::Config);
    let text = reasons.iter().map(Reason::text).collect::<Vec<_>>().join("\n");
    if is_usage { Failure::config(text) } else { Failure::text(text) }
}

/// `registry.example/team/trace_open:v1` is called `trace_open`.
fn short_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(['@', ':']).next().unwrap_or(last)
}

fn gadget_flags(plan: &GadgetPlan) -> Vec<GadgetFlag> {
    plan.params
        .iter()
        .cloned()
        .map(|param| GadgetFlag {
            parameter: param.full_key(),
            name: param.key,
            alternative: Some(param.alternative_key).filter(|name| !name.is_empty()),
            letter: param.alias.chars().next(),
            hint: param.type_hint,
            description: param.description,
            default: param.default_value,
            possible: param.possible_values,
        })
        .collect()
}

/// What `--help` says of a gadget beside its flags.
fn gadget_words(image: &str, plan: &GadgetPlan) -> flags::Words {
    let about = plan.metadata.description().map(str::trim).filter(|text| !text.is_empty());
    flags::Words {
        image: image.to_owned(),
        about: match about {
            Some(about) => printable_lines(about).into_owned(),
            None => format!("Run the gadget {image} and print what it sees"),
        },
        fields: fields_help(plan),
    }
}

/// The data sources and their fields, for `--help`.
fn fields_help(plan: &GadgetPlan) -> String {
    let mut text = String::new();
    for source in &plan.sources {
        let kind = match source.schema.source().kind {
            SourceKind::Single => "events",
            SourceKind::Array => "read at once",
        };
        text.push_str(&format!("Fields of `{}` ({kind}):\n", source.schema.name()));
        let columns: Vec<_> = source.schema.columns().iter().filter(|column| column.referenced).collect();
        let width = columns.iter().map(|column| column.name.len()).max().unwrap_or(0).min(40);
        for column in columns {
            let hidden = if column.hidden { "  (not shown unless named)" } else { "" };
            let description = column.annotations.get("description").map_or("", String::as_str);
            // Writing to a string cannot fail.
            writeln!(text, "  {:width$}  {description}{hidden}", column.name).unwrap_or_default();
        }
        text.push('\n');
    }
    let mut text = printable_lines(&text).into_owned();
    text.push_str(
        "Rows go to standard output, everything else to standard error. Ctrl-C ends the run, q too.",
    );
    text
}
