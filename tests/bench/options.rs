//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: tests/bench/run.sh [--quick] [--json FILE] [SECTION...]
  --quick      fewer and shorter repeats: under a minute, wider spread
  --json FILE  write every sample, too
  SECTION      memory, start, rates, cost, files, scrape, build (default: all)

IG_BINARY names another binary than target/release/ig.";

/// The sections, in the order of the report.
pub(crate) const SECTIONS: [&str; 7] = ["memory", "start", "rates", "cost", "files", "scrape", "build"];

/// What to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) role: Role,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    sections: Vec<String>,
}

/// The benchmark starts itself again for what must be a process of its own.
#[derive(Debug, PartialEq)]
pub(crate) enum Role {
    Bench,
    Help,
    /// The hand-written consumer of `trace_open`.
    Consumer {
        store: PathBuf,
    },
    /// A server of so many series.
    Series {
        series: u64,
    },
    /// A server of a finished page of so many series.
    Bytes {
        series: u64,
    },
}

impl Options {
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { role: Role::Bench, quick: false, json: None, sections: Vec::new() };
        // `cargo bench` appends `--bench`.
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            let number = |text: String| text.parse().map_err(|error| format!("`{text}`: {error}"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--json" => options.json = Some(value()?.into()),
                "--help" | "-h" => options.role = Role::Help,
                "--as-consumer" => options.role = Role::Consumer { store: value()?.into() },
                "--as-series" => options.role = Role::Series { series: number(value()?)? },
                "--as-bytes" => options.role = Role::Bytes { series: number(value()?)? },
                section if SECTIONS.contains(&section) => options.sections.push(argument),
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|wanted| wanted == section)
    }

    /// One of two numbers, for full and quick runs.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
