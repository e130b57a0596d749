//! Rows on standard output: what `--output` and `--fields` make of a gadget's records.

use ig_console::{ConsoleError, ConsoleOptions, Output, PerSource, sink, supported};
use ig_operators::{Sink, SourceSchema};
use ig_runtime::plan::SinkFactory;

use super::flags::Common;
use crate::failure::Failure;

/// Prints the records of any data source as the user asked for.
#[derive(Debug)]
pub(super) struct Rows {
    output: Output,
    modes: Option<PerSource>,
    fields: Option<PerSource>,
    label: Label,
}

/// What tells the rows of one data source from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// There is only one.
    None,
    /// Its name.
    Source,
    /// Its gadget's name, and its own where the gadget has several.
    Gadget,
}

impl Rows {
    /// Opens standard output.
    ///
    /// # Errors
    /// Options that contradict themselves, or a standard output that is closed.
    pub(super) fn open(common: &Common, label: Label) -> Result<Self, Failure> {
        let usage = |error: ConsoleError| Failure::config(error.to_string());
        Ok(Self {
            modes: common.output.as_deref().map(PerSource::modes).transpose().map_err(usage)?,
            fields: common.fields.as_deref().map(PerSource::fields).transpose().map_err(usage)?,
            output: Output::stdout(ig_console::DEFAULT_LIMIT).map_err(|error| Failure::new(&error))?,
            label,
        })
    }

    /// Where the rows go.
    pub(super) fn output(&self) -> Output {
        self.output.clone()
    }

    /// Finds options for data sources that the gadget does not have.
    ///
    /// # Errors
    /// Such an option, with the nearest name.
    pub(super) fn check(&self, sources: &[&str]) -> Result<(), Failure> {
        for option in self.modes.iter().chain(&self.fields) {
            option.check(sources.iter().copied()).map_err(|error| Failure::config(error.to_string()))?;
        }
        Ok(())
    }

    fn sink(&self, gadget: &str, schema: &SourceSchema) -> Result<Option<Box<dyn Sink>>, ConsoleError> {
        let source = schema.source();
        let modes = supported(source)?;
        let wanted = self.modes.as_ref().and_then(|modes| modes.of(&source.name));
        let mode = wanted.map_or_else(|| Ok(modes.default.clone()), |name| modes.choose(name))?;
        let options = ConsoleOptions {
            fields: self.fields.as_ref().and_then(|fields| fields.of(&source.name)).map(str::to_owned),
            label: match self.label {
                Label::None => None,
                Label::Source => Some(source.name.clone()),
                Label::Gadget if gadget == source.name => Some(gadget.to_owned()),
                Label::Gadget => Some(format!("{gadget}/{}", source.name)),
            },
        };
        sink(&mode, source, schema.columns(), &options, &self.output)
    }
}

impl SinkFactory for Rows {
    fn open(&self, gadget: &str, schema: &SourceSchema) -> Result<Vec<Box<dyn Sink>>, String> {
        let sink = self.sink(gadget, schema).map_err(|error| error.to_string())?;
        Ok(sink.into_iter().collect())
    }
}
