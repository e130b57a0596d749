//! `ig image list`: the images in the store.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use ig_image::{ListedImage, Store};
use ig_model::text::printable;
use serde::Serialize;
use time::OffsetDateTime;

use super::age;
use super::output::{self, Form};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How the list is printed
    #[arg(short, long, value_enum, default_value_t = Output::Columns)]
    output: Output,
    /// Print whole digests and times
    #[arg(long)]
    no_trunc: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table
    Columns,
    /// One JSON array
    Json,
    /// One JSON array, indented
    Jsonpretty,
    /// One YAML sequence
    Yaml,
}

/// A row as programs know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    repository: String,
    tag: String,
    digest: String,
    created: String,
}

impl Row {
    fn of(image: ListedImage) -> Self {
        let ListedImage { repository, tag, digest, created, .. } = image;
        Self { repository, tag, digest: digest.to_string(), created: created.unwrap_or_default() }
    }
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let images = store.list().map_err(|error| Failure::hinted(&error))?;
    let rows: Vec<Row> = images.into_iter().map(Row::of).collect();
    let form = match arguments.output {
        Output::Columns if std::io::stdout().is_terminal() && !arguments.no_trunc => {
            return output::write(&short_table(rows, OffsetDateTime::now_utc()));
        }
        Output::Columns => return output::write(&table(&rows)),
        Output::Json => Form::Json,
        Output::Jsonpretty => Form::Jsonpretty,
        Output::Yaml => Form::Yaml,
    };
    output::print(&rows, form)
}

/// Whole values with one space between them: for programs that cut lines at spaces.
fn table(rows: &[Row]) -> String {
    let mut out = "REPOSITORY TAG DIGEST CREATED\n".to_owned();
    for Row { repository, tag, digest, created } in rows {
        let created = printable(created);
        out.push_str(&format!("{repository} {tag} {digest} {created}\n"));
    }
    out
}

/// Short values in columns: for people.
fn short_table(rows: Vec<Row>, now: OffsetDateTime) -> String {
    let mut cells = vec![["REPOSITORY", "TAG", "DIGEST", "CREATED"].map(str::to_owned)];
    for Row { repository, tag, digest, created } in rows {
        let digest = digest.trim_start_matches("sha256:").chars().take(12).collect();
        cells.push([repository, tag, digest, age::since(&created, now).unwrap_or_default()]);
    }
    let width =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let (repository, tag, digest) = (width(0), width(1), width(2));
    let mut out = String::new();
    for [a, b, c, d] in &cells {
        out.push_str(format!("{a:repository$} {b:tag$} {c:digest$} {d}").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |repository: &str, tag: &str, created: &str| Row {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            created: created.to_owned(),
        };
        vec![row("trace_exec", "latest", "2026-01-01T00:00:00Z"), row("r.io/x", "v1", "\u{1b}[2J\nx y")]
    }

    /// Scenario: a readable and a hostile time, on a terminal.
    /// Guarantees: columns are aligned, digests short, times in words; what is no time is left out.
    #[test]
    fn terminals_get_short_columns() {
        let text = short_table(rows(), OffsetDateTime::from_unix_timestamp(1_767_484_800).unwrap());
        let expected = "REPOSITORY TAG    DIGEST       CREATED\n\
                        trace_exec latest abababababab 3 days ago\n\
                        r.io/x     v1     abababababab\n";
        assert_eq!(text, expected);
    }

    /// Scenario: the same, into a pipe.
    /// Guarantees: values are whole, with one space between them, and a line stays a line.
    #[test]
    fn pipes_get_whole_values() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let expected = format!(
            "REPOSITORY TAG DIGEST CREATED\ntrace_exec latest {digest} 2026-01-01T00:00:00Z\nr.io/x v1 {digest} \\u{{1b}}[2J\\nx y\n"
        );
        assert_eq!(table(&rows()), expected);
        let keys = r#"{"Repository":"trace_exec","Tag":"latest","Digest":"#;
        assert!(serde_json::to_string(&rows()).unwrap().starts_with(&format!("[{keys}")));
    }
}
