//! `ig image import`: images out of a file into the store.

use std::path::PathBuf;

use clap::Args;
use ig_image::{Store, store::Limits};
use ig_model::text::printable;

use super::output::{self, Form};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A tar of an OCI image layout, such as `ig image export` writes
    file: PathBuf,
    /// Print the names of the images as a document
    #[arg(short, long, value_enum)]
    output: Option<Form>,
    /// The most bytes the images may have, such as 512MiB [default: 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_bytes: Option<u64>,
    /// The most bytes one blob may have [default: 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_blob: Option<u64>,
    /// The most files the archive may have [default: 20000]
    #[arg(long, value_name = "COUNT")]
    max_files: Option<usize>,
}

pub(super) fn run(store: Store, arguments: &Arguments) -> Result<(), Failure> {
    let mut limits = Limits::default();
    limits.total = arguments.max_bytes.unwrap_or(limits.total);
    limits.blob = arguments.max_blob.unwrap_or(limits.blob);
    limits.count = arguments.max_files.unwrap_or(limits.count);
    let imported =
        store.with_limits(limits).import(&arguments.file).map_err(|error| Failure::hinted(&error))?;
    if let Some(form) = arguments.output {
        return output::print(&imported.names, form);
    }
    let names: String = imported.names.iter().map(|name| format!("  {}\n", printable(name))).collect();
    output::write(&format!("Successfully imported images:\n{names}"))
}

/// A number of bytes, with or without a binary unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        unit => return Err(format!("unknown unit `{unit}`, expected KiB, MiB or GiB")),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    number.checked_mul(1 << shift).ok_or_else(|| "the number is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    /// Scenario: sizes with and without units, and texts that are not sizes.
    /// Guarantees: units are binary; an overflow is an error.
    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("3KiB"), Ok(3072));
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        for text in ["", "MiB", "1.5GiB", "-1", "1MB", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
