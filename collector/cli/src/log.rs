//! Log lines on standard error: for people on a terminal, for machines as JSON.
//!
//! Every event of the collector has a name (`gadget.refused`); it leads the line for people and is the field `name`
//! for machines. A command that runs for long writes its lines [in the background](in_background).

mod lines;

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    panic,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use ig_config::runtime::LogFormat;
use ig_model::text::{printable, printable_lines};
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use crate::print;
use lines::Lines;

/// Changes the filter of the running process; set once by [`start`].
static SET_LEVEL: OnceLock<SetLevel> = OnceLock::new();
type SetLevel = Box<dyn Fn(&str) + Send + Sync>;
/// Whether lines are JSON; the configuration may change it.
static JSON: AtomicBool = AtomicBool::new(false);
/// Where lines go once somebody must not wait for their reader.
static BACKGROUND: OnceLock<Lines> = OnceLock::new();

/// Bytes of lines that may wait for whoever reads them.
const MOST_WAITING: usize = 1 << 20;
/// Time that the last lines get to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text, in colour on a terminal
    Auto,
    /// Text without colour
    Text,
    /// One JSON object a line
    Json,
}

/// Starts logging; `IG_LOG` holds finer filters than `-v`.
pub(crate) fn start(verbose: u8, format: Format) {
    const OURS: [&str; 6] = ["ig", "ig_runtime", "ig_loader", "ig_image", "ig_exporters", "ig_config"];
    let level = match verbose {
        0 => "info".to_owned(),
        1 => OURS.iter().fold("info".to_owned(), |all, one| format!("{all},{one}=debug")),
        _ => "trace".to_owned(),
    };
    // What is said on the command line or in the environment wins over the configuration.
    let variable = ig_model::environment::text("IG_LOG");
    let chosen = verbose > 0 || variable.is_some();
    let filter = variable.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(level));
    let (filter, handle) = reload::Layer::new(filter);
    if !chosen {
        let set = move |level: &str| {
            // An error means that logging has ended.
            handle.reload(EnvFilter::new(level)).ok();
        };
        SET_LEVEL.set(Box::new(set)).ok();
    }
    // Relaxed: read for each line on its own.
    JSON.store(format == Format::Json, Ordering::Relaxed);
    let colour = format == Format::Auto && print::has_colour(&io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(|| StandardError).event_format(Line { colour });
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// Whether lines are JSON objects.
pub(crate) fn is_json() -> bool {
    // Relaxed: read for each line on its own.
    JSON.load(Ordering::Relaxed)
}

/// The time as lines have it.
pub(crate) fn now() -> String {
    let mut time = String::new();
    // Writing to a string cannot fail.
    SystemTime.format_time(&mut Writer::new(&mut time)).unwrap_or_default();
    time
}

/// Puts the `log` section of a configuration in force.
pub(crate) fn apply(log: ig_config::runtime::Log) {
    if let Some(set) = SET_LEVEL.get() {
        set(log.level.map_or("info", ig_config::Word::word));
    }
    if let Some(format) = log.format {
        JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    }
}

/// From now on nobody who logs waits for whoever reads the log: lines that do not fit a queue are lost and counted.
/// Panics are logged the same way.
pub(crate) fn in_background() {
    let started = io::stderr().as_fd().try_clone_to_owned().and_then(|stderr| {
        Lines::start(File::from(stderr), MOST_WAITING, |lost| {
            tracing::warn!(name: "log.lines.lost", lines = lost, "whoever reads the log was too slow or has gone");
        })
    });
    match started {
        Ok(lines) => drop(BACKGROUND.set(lines)),
        Err(error) => {
            tracing::warn!(name: "log.background.failed", %error, "a log that nobody reads can hold everything up");
        }
    }
    panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        tracing::error!(name: "thread.panicked", thread, "a fault of this program: {info}");
    }));
}

/// Lines of the log that were lost so far.
pub(crate) fn lost_lines() -> u64 {
    BACKGROUND.get().map_or(0, Lines::lost)
}

/// Waits for the last lines to be written, though not for long.
pub(crate) fn finish() {
    if let Some(lines) = BACKGROUND.get() {
        lines.flush(LAST_LINES);
    }
}

/// Writes whole lines to standard error.
pub(crate) fn put(lines: &[u8]) {
    match BACKGROUND.get() {
        Some(background) => background.put(lines),
        // Where nobody listens, nobody misses anything.
        None => drop(io::stderr().lock().write_all(lines)),
    }
}

/// Standard error, line by line, as a writer that never fails.
struct StandardError;

impl io::Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line per event.
struct Line {
    colour: bool,
}

/// The fields of an event, its message apart.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::String(ig_model::chain(value)));
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let time = now();
        // Events of libraries have no name of their own, only a place in a source file.
        let name = if metadata.name().starts_with("event ") { metadata.target() } else { metadata.name() };
        if is_json() {
            let mut object = Map::new();
            object.insert("time".to_owned(), Value::String(time));
            object.insert("level".to_owned(), Value::from(metadata.level().as_str().to_lowercase()));
            object.insert("name".to_owned(), Value::from(name));
            if !fields.message.is_empty() {
                object.insert("message".to_owned(), Value::String(fields.message));
            }
            object.extend(fields.rest);
            return writeln!(writer, "{}", Value::Object(object));
        }
        let (on, off) = match (self.colour, *metadata.level()) {
            (false, _) => ("", ""),
            (true, Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
            (true, Level::WARN) => ("\x1b[33m", "\x1b[0m"),
            (true, Level::INFO) => ("\x1b[32m", "\x1b[0m"),
            (true, _) => ("\x1b[2m", "\x1b[0m"),
        };
        write!(writer, "{time} {on}{:5}{off} {name}", metadata.level())?;
        for (key, value) in &fields.rest {
            match value {
                Value::String(text) if text.contains([' ', '"', '\n']) => write!(writer, " {key}={text:?}")?,
                Value::String(text) => write!(writer, " {key}={}", printable(text))?,
                other => write!(writer, " {key}={other}")?,
            }
        }
        if !fields.message.is_empty() {
            write!(writer, ": {}", printable_lines(&fields.message))?;
        }
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Scenario: registries, images and files put sequences that terminals act upon into values and messages.
    /// Guarantees: none of them is written; a message of several lines stays one.
    #[test]
    fn escape_sequences_reach_no_text_log() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Line { colour: false });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let (bare, spaced) = ("a\u{1b}[2J\u{9b}x", "a b\u{1b}[2J\u{202e}");
            tracing::info!(name: "a.test", bare, spaced, "first \u{1b}]0;x\u{7}\nsecond");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}']), "{text:?}");
        assert!(text.contains("bare=a\\u{1b}[2J\\u{9b}x") && text.ends_with("\nsecond\n"), "{text:?}");
    }
}
