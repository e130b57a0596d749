//! Why a data source cannot be printed as somebody asked.

use ig_model::nearest;
use thiserror::Error;

/// A request that cannot be met; found before anything runs.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The data source does not have this output mode.
    #[error("data source `{source_name}` has no output mode `{mode}`{hint} (it has: {known})")]
    UnknownMode {
        /// The data source.
        source_name: String,
        /// What was asked for.
        mode: String,
        /// The nearest mode, as a question.
        hint: String,
        /// All it has.
        known: String,
    },
    /// An option names a data source that the gadget does not have.
    #[error("{option}: there is no data source `{name}`{hint} (there is: {known})")]
    UnknownSource {
        /// The option, as users write it.
        option: &'static str,
        /// What was asked for.
        name: String,
        /// The nearest data source, as a question.
        hint: String,
        /// All there are.
        known: String,
    },
    /// An option has values for all data sources and for some.
    #[error(
        "{option}: `{bare}` is for every data source, so `{named}` cannot be for one; name them all or none"
    )]
    MixedSources {
        /// The option, as users write it.
        option: &'static str,
        /// The value without a data source.
        bare: String,
        /// One with a data source.
        named: String,
    },
    /// A field that does not exist; the text says which, and the nearest.
    #[error("--fields: {0}")]
    UnknownField(String),
    /// No field is left to print.
    #[error("--fields: `{0}` leaves no field of data source `{1}` to print")]
    NoFields(String, String),
    /// An annotation says something that has no meaning.
    #[error("{place}: annotation {annotation} is `{value}`, expected {expected}")]
    Annotation {
        /// The data source or field that carries it.
        place: String,
        /// Key of the annotation.
        annotation: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A program's data would go to a person's screen.
    #[error(
        "output mode `{mode}` is for programs and would garble the terminal; send it to a file or a pipe"
    )]
    Terminal {
        /// The mode.
        mode: &'static str,
    },
    /// The mode fills the output with a single file.
    #[error("output mode `{mode}` cannot share its output with other data sources; choose `none` for those")]
    Shared {
        /// The mode.
        mode: &'static str,
    },
    /// An annotation that the mode cannot do without is missing.
    #[error("output mode `{mode}` needs annotation {annotation} on data source `{source_name}`")]
    MissingAnnotation {
        /// The mode.
        mode: &'static str,
        /// Key of the annotation.
        annotation: &'static str,
        /// The data source.
        source_name: String,
    },
    /// An annotation or a mode asks for a field that cannot play the role.
    #[error("output mode `{mode}`: field `{field}` {reason}")]
    Field {
        /// The mode.
        mode: &'static str,
        /// Full name of the field.
        field: String,
        /// Why not, and what would do.
        reason: String,
    },
}

/// `; did you mean …?`, or nothing.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}
