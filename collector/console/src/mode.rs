//! Output modes: which a data source has, which it takes by default, and how they are named.

use std::fmt;

use ig_datasource::DataSource;

use crate::error::{ConsoleError, did_you_mean};

/// How the records of a data source are printed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A table for people.
    Columns,
    /// One JSON document per record, or per fetch.
    Json,
    /// JSON with line breaks.
    JsonPretty,
    /// One YAML document per record.
    Yaml,
    /// Nothing.
    None,
    /// Field values back to back, as they are.
    Raw,
    /// Distributions drawn as bars, redrawn at each fetch.
    Histogram,
    /// Packets, as Wireshark and tcpdump read them.
    PcapNg,
    /// Stacks with their counts, one a line, for flame graphs.
    Folded,
    /// Stacks with their counts as a compressed profile for `pprof`.
    Pprof,
    /// A mode that only the gadget knows: printed like [`Mode::Raw`].
    Other(String),
}

/// The modes of one data source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supported {
    source: String,
    /// Each mode it has, in order of name; `none` is always among them.
    pub modes: Vec<Mode>,
    /// What it takes if nobody chooses.
    pub default: Mode,
}

impl Mode {
    /// The word that users write.
    pub fn name(&self) -> &str {
        match self {
            Self::Columns => "columns",
            Self::Json => "json",
            Self::JsonPretty => "jsonpretty",
            Self::Yaml => "yaml",
            Self::None => "none",
            Self::Raw => "raw",
            Self::Histogram => "histogram",
            Self::PcapNg => "pcap-ng",
            Self::Folded => "folded",
            Self::Pprof => "pprof",
            Self::Other(name) => name,
        }
    }

    fn named(name: &str) -> Self {
        let known = [
            Self::Columns,
            Self::Json,
            Self::JsonPretty,
            Self::Yaml,
            Self::None,
            Self::Raw,
            Self::Histogram,
            Self::PcapNg,
            Self::Folded,
            Self::Pprof,
        ];
        known.into_iter().find(|mode| mode.name() == name).unwrap_or_else(|| Self::Other(name.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The modes that a data source has.
///
/// The annotation `cli.supported-output-modes` lists them; without it they are columns, json, jsonpretty, yaml and
/// none. To either come those that other annotations make possible: `histogram` with `metrics.print`, `folded` and
/// `pprof` with `profiles.stack-fields` and `profiles.value-field`.
///
/// # Errors
/// [`ConsoleError::UnknownMode`] if `cli.default-output-mode` is none of them.
pub fn supported(source: &DataSource) -> Result<Supported, ConsoleError> {
    let annotation = |key: &str| source.annotations.get(key).map(String::as_str);
    let listed = annotation("cli.supported-output-modes").unwrap_or("columns,json,jsonpretty,none,yaml");
    let mut modes: Vec<Mode> =
        listed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Mode::named).collect();
    let draws = source.is_annotated("metrics.print");
    if draws {
        modes.push(Mode::Histogram);
    }
    if annotation("profiles.stack-fields").is_some() && annotation("profiles.value-field").is_some() {
        modes.extend([Mode::Folded, Mode::Pprof]);
    }
    modes.push(Mode::None);
    modes.sort_by(|left, right| left.name().cmp(right.name()));
    modes.dedup();
    let fallback = || modes.first().cloned().unwrap_or(Mode::None);
    let preferred = if draws { Mode::Histogram } else { Mode::Columns };
    let default = if modes.contains(&preferred) { preferred } else { fallback() };
    let mut supported = Supported { source: source.name.clone(), modes, default };
    if let Some(name) = annotation("cli.default-output-mode") {
        supported.default = supported.choose(name.trim())?;
    }
    Ok(supported)
}

impl Supported {
    /// The mode called `name`.
    ///
    /// # Errors
    /// [`ConsoleError::UnknownMode`], with the nearest one.
    pub fn choose(&self, name: &str) -> Result<Mode, ConsoleError> {
        self.modes.iter().find(|mode| mode.name() == name).cloned().ok_or_else(|| ConsoleError::UnknownMode {
            source_name: self.source.clone(),
            mode: name.to_owned(),
            hint: did_you_mean(name, self.modes.iter().map(Mode::name)),
            known: self.modes.iter().map(Mode::name).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::source;

    fn modes(annotations: &[(&str, &str)]) -> Result<Supported, ConsoleError> {
        supported(&source(&[], annotations))
    }

    fn names(supported: &Supported) -> Vec<&str> {
        supported.modes.iter().map(Mode::name).collect()
    }

    /// Scenario: data sources with no annotation, with a list of their own, with charts and with profiles.
    /// Guarantees: the modes and the default of each are those that its annotations give it.
    #[test]
    fn annotations_give_modes() {
        let plain = modes(&[]).unwrap();
        assert_eq!(names(&plain), ["columns", "json", "jsonpretty", "none", "yaml"]);
        assert_eq!(plain.default, Mode::Columns);
        let packets = modes(&[("cli.supported-output-modes", "pcap-ng,columns,json,yaml")]).unwrap();
        assert_eq!(names(&packets), ["columns", "json", "none", "pcap-ng", "yaml"]);
        let advice = modes(&[("cli.supported-output-modes", "advise,json")]).unwrap();
        assert_eq!(advice.default, Mode::Other("advise".to_owned()));
        let chart = modes(&[("metrics.print", "true")]).unwrap();
        assert_eq!(chart.default, Mode::Histogram);
        let profile =
            modes(&[("profiles.stack-fields", "kstack"), ("profiles.value-field", "samples")]).unwrap();
        assert!(profile.modes.contains(&Mode::Folded) && profile.modes.contains(&Mode::Pprof));
        assert_eq!(profile.default, Mode::Columns);
        assert_eq!(modes(&[("cli.default-output-mode", "json")]).unwrap().default, Mode::Json);
    }

    /// Scenario: a mode that the data source does not have, chosen by a user or by its own annotation.
    /// Guarantees: the error names the data source, the nearest mode and all there are.
    #[test]
    fn unknown_modes_are_errors() {
        let error = modes(&[]).unwrap().choose("jsn").unwrap_err().to_string();
        assert_eq!(
            error,
            "data source `events` has no output mode `jsn`; did you mean `json`? \
             (it has: columns, json, jsonpretty, none, yaml)"
        );
        assert!(modes(&[("cli.default-output-mode", "raw")]).is_err());
    }
}
