//! `--fields`: which columns are shown, and in which order.
//!
//! # Source
//! The syntax is the reference's: full names or aliases, case counts for nothing, `+field` adds to the list and
//! `-field` takes away from it; the list is the names without a sign, else what is shown anyway. An unknown name is an
//! error here, where the reference prints nothing of that data source.

use std::collections::HashSet;

use ig_operators::{Column, Columns};

use crate::error::ConsoleError;

/// Names of the columns that a document keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All.
    All,
    /// Those with these names.
    Some(HashSet<String>),
}

impl Kept {
    /// Whether a column is to be printed.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(name),
        }
    }
}

/// The columns of a table, in order.
///
/// # Errors
/// A name that is not there, or nothing that is left.
pub(crate) fn shown<'c>(columns: &'c Columns, fields: Option<&str>) -> Result<Vec<&'c Column>, ConsoleError> {
    let choice = Choice::read(columns, fields.unwrap_or_default())?;
    let mut shown: Vec<&Column> = Vec::new();
    let base = if choice.named.is_empty() { columns.visible().collect() } else { choice.named.clone() };
    for column in base.into_iter().chain(choice.added.iter().copied()) {
        if !choice.removes(column) && !shown.iter().any(|known| known.name == column.name) {
            shown.push(column);
        }
    }
    match fields {
        Some(fields) if shown.is_empty() => {
            Err(ConsoleError::NoFields(fields.to_owned(), columns.source().to_owned()))
        }
        _ => Ok(shown),
    }
}

/// What documents show: everything unless fields are named; a group stands for all that is in it.
///
/// # Errors
/// A name that is not there, or nothing that is left.
pub(crate) fn kept(columns: &Columns, fields: Option<&str>) -> Result<Kept, ConsoleError> {
    let Some(fields) = fields else { return Ok(Kept::All) };
    let choice = Choice::read(columns, fields)?;
    let is_wanted = |column: &&Column| {
        let mut wanted = choice.named.iter().chain(&choice.added);
        let all = choice.named.is_empty() && column.referenced;
        (all || wanted.any(|group| is_within(column, group))) && !choice.removes(column)
    };
    let names: HashSet<String> = columns.iter().filter(is_wanted).map(|column| column.name.clone()).collect();
    if names.is_empty() {
        return Err(ConsoleError::NoFields(fields.to_owned(), columns.source().to_owned()));
    }
    Ok(Kept::Some(names))
}

/// What `--fields` says.
struct Choice<'c> {
    named: Vec<&'c Column>,
    added: Vec<&'c Column>,
    removed: Vec<&'c Column>,
}

impl<'c> Choice<'c> {
    fn read(columns: &'c Columns, text: &str) -> Result<Self, ConsoleError> {
        let mut choice = Self { named: Vec::new(), added: Vec::new(), removed: Vec::new() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (list, name) = match (part.strip_prefix('+'), part.strip_prefix('-')) {
                (Some(name), _) => (&mut choice.added, name),
                (_, Some(name)) => (&mut choice.removed, name),
                _ => (&mut choice.named, part),
            };
            let found = find(columns, name);
            list.push(found.ok_or_else(|| ConsoleError::UnknownField(columns.unknown(name)))?);
        }
        Ok(choice)
    }

    fn removes(&self, column: &Column) -> bool {
        self.removed.iter().any(|gone| is_within(column, gone))
    }
}

/// Whether `column` is `group` or one of its members.
fn is_within(column: &Column, group: &Column) -> bool {
    column.name.strip_prefix(&group.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The column with this name or alias.
fn find<'c>(columns: &'c Columns, name: &str) -> Option<&'c Column> {
    let has_alias = |column: &&Column| {
        column.annotation("columns.alias").is_some_and(|alias| alias.eq_ignore_ascii_case(name))
    };
    columns
        .find(name)
        .or_else(|| columns.visible().find(has_alias))
        .or_else(|| columns.iter().find(has_alias))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::open_columns;

    fn names(fields: Option<&str>) -> Result<Vec<String>, String> {
        let columns = open_columns();
        shown(&columns, fields)
            .map(|list| list.into_iter().map(|column| column.name.clone()).collect())
            .map_err(|error| error.to_string())
    }

    /// Scenario: lists of names, aliases, additions and removals, in any case.
    /// Guarantees: the columns and their order are those asked for, each once.
    #[test]
    fn lists_are_followed() {
        let usual = names(None).unwrap();
        assert_eq!(usual, ["proc.comm", "proc.pid", "fd", "fname", "error"]);
        assert_eq!(names(Some("fname,PROC.COMM")).unwrap(), ["fname", "proc.comm"]);
        assert_eq!(names(Some("pid, pid")).unwrap(), ["proc.pid"]);
        assert_eq!(
            names(Some("+flags_raw,-fd")).unwrap(),
            ["proc.comm", "proc.pid", "fname", "error", "flags_raw"]
        );
        assert_eq!(names(Some("fd,+fname,-fd")).unwrap(), ["fname"]);
        assert_eq!(names(Some("-proc")).unwrap(), ["fd", "fname", "error"]);
    }

    /// Scenario: a mistyped field, and a list that leaves nothing.
    /// Guarantees: the error names the field, the nearest one and what there is.
    #[test]
    fn mistakes_are_named() {
        let error = names(Some("proc.com")).unwrap_err();
        assert!(
            error.starts_with(
                "--fields: data source `open` has no field `proc.com`; did you mean `proc.comm`?"
            ),
            "{error}"
        );
        assert!(names(Some("fd,-fd")).unwrap_err().contains("leaves no field"));
    }

    /// Scenario: documents with a list of fields that names a group.
    /// Guarantees: the group comes with all its members, nothing else is kept.
    #[test]
    fn groups_bring_their_members() {
        let kept = kept(&open_columns(), Some("proc,fd")).unwrap();
        assert!(kept.has("proc.comm") && kept.has("proc.pid") && kept.has("fd"));
        assert!(!kept.has("fname") && !kept.has("process"));
    }
}
