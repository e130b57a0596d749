//! Adding to a YAML text without touching what is written: insertions only, found from the places of its values.
//!
//! Nothing here is trusted to have worked: the caller reads the result and compares.

use ig_config::yaml::{Entry, Node, Value};

use super::path;

/// What a text has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A text where nothing is; whatever stands there is as good.
    Text(String),
    /// These keys, others may stand between them.
    Map(Vec<(String, Want)>),
    /// These keys if there is nothing at all; whatever stands there is as good.
    Whole(Vec<(String, Want)>),
}

/// Spaces by which each level is indented.
const STEP: usize = 2;

/// Text to put in front of a line, or at the end of one.
struct Insertion {
    /// Line, from one.
    line: usize,
    /// Column in characters, from one; `None` for whole lines before the line.
    column: Option<usize>,
    text: String,
}

/// The text with what `want` asks for beyond `root`; `None` where it cannot be added.
pub(super) fn merge(text: &str, root: Option<&Node>, want: &Want) -> Option<String> {
    let Some(root) = root else {
        // Nothing but comments, maybe: they stay on top.
        let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{text}{separator}{}", render(want, 0)));
    };
    let mut insertions = Vec::new();
    let Want::Map(entries) = want else { return None };
    collect(text, root, entries, &mut insertions)?;
    Some(apply(text, insertions))
}

/// Whether every single value of `before` is still there.
pub(super) fn keeps(after: &Node, before: &Node) -> bool {
    if before.is_null() {
        return true;
    }
    match (&after.value, &before.value) {
        (Value::Mapping(_), Value::Mapping(entries)) => {
            entries.iter().all(|entry| after.get(&entry.key).is_some_and(|value| keeps(value, &entry.value)))
        }
        (Value::Sequence(after), Value::Sequence(before)) => {
            after.len() == before.len()
                && after.iter().zip(before).all(|(after, before)| keeps(after, before))
        }
        (Value::Scalar(after), Value::Scalar(before)) => after == before,
        _ => false,
    }
}

/// Whether all of `want` is there.
pub(super) fn fulfils(node: &Node, want: &Want) -> bool {
    match want {
        Want::Text(_) | Want::Whole(_) => true,
        Want::Map(entries) => {
            entries.iter().all(|(key, want)| find(node, key).is_some_and(|entry| fulfils(&entry.value, want)))
        }
    }
}

/// `want` as block style, indented by `indent` spaces.
pub(super) fn render(want: &Want, indent: usize) -> String {
    let mut out = String::new();
    if let Want::Map(entries) | Want::Whole(entries) = want {
        for (key, value) in entries {
            out.push_str(&" ".repeat(indent));
            out.push_str(&plain_or_quoted(key));
            match value {
                Want::Text(text) => out.push_str(&format!(": {}\n", plain_or_quoted(text))),
                Want::Map(entries) | Want::Whole(entries) if entries.is_empty() => out.push_str(": {}\n"),
                map => {
                    out.push_str(":\n");
                    out.push_str(&render(map, indent + STEP));
                }
            }
        }
    }
    out
}

/// `want` in braces.
fn render_flow(want: &Want) -> String {
    match want {
        Want::Text(text) => plain_or_quoted(text),
        Want::Map(entries) | Want::Whole(entries) => {
            let entries: Vec<String> = entries.iter().map(flow_entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn flow_entry((key, want): &(String, Want)) -> String {
    format!("{}: {}", plain_or_quoted(key), render_flow(want))
}

fn collect(text: &str, node: &Node, entries: &[(String, Want)], out: &mut Vec<Insertion>) -> Option<()> {
    let mut missing = Vec::new();
    for (key, want) in entries {
        match find(node, key) {
            None => missing.push((key.clone(), want.clone())),
            Some(entry) => within(text, entry, want, out)?,
        }
    }
    if missing.is_empty() { Some(()) } else { append(text, node, missing, out) }
}

/// What is missing in the value of an entry that is there.
fn within(text: &str, entry: &Entry, want: &Want, out: &mut Vec<Insertion>) -> Option<()> {
    match want {
        Want::Whole(_) => Some(()),
        Want::Text(new) => {
            // Where something is written, be it `""` or `~`, that is what the author wants.
            if entry.value.is_null() {
                fill(text, entry, &format!(" {}", plain_or_quoted(new)), out);
            }
            Some(())
        }
        Want::Map(entries) if entry.value.as_mapping().is_some() => collect(text, &entry.value, entries, out),
        Want::Map(entries) if entries.is_empty() => Some(()),
        Want::Map(_) if entry.value.is_null() => {
            let indent = entry.key_span.column as usize - 1 + STEP;
            fill(text, entry, &format!("\n{}", render(want, indent).trim_end()), out)
        }
        // A text or a list where a mapping belongs; validation tells the author.
        Want::Map(_) => None,
    }
}

/// Puts `new` behind the colon of an entry without a value.
fn fill(text: &str, entry: &Entry, new: &str, out: &mut Vec<Insertion>) -> Option<()> {
    let (line, end) = (entry.key_span.end_line as usize, entry.key_span.end_column as usize);
    let rest: String = line_of(text, line)?.chars().skip(end - 1).collect();
    let behind = rest.strip_prefix(':')?;
    let value = behind.split(" #").next().unwrap_or_default().trim();
    value.is_empty().then(|| out.push(Insertion { line, column: Some(end + 1), text: new.to_owned() }))
}

/// Adds entries at the end of a mapping.
fn append(text: &str, node: &Node, missing: Vec<(String, Want)>, out: &mut Vec<Insertion>) -> Option<()> {
    let entries = node.as_mapping()?;
    let first_char = line_of(text, node.span.line as usize)?.chars().nth(node.span.column as usize - 1)?;
    if first_char == '{' {
        let separator = if entries.is_empty() { "" } else { ", " };
        let new: Vec<String> = missing.iter().map(flow_entry).collect();
        // The end of a flow mapping is just past its brace.
        let column = (node.span.end_column as usize).checked_sub(1)?;
        let line = node.span.end_line as usize;
        let brace = line_of(text, line)?.chars().nth(column.checked_sub(1)?)?;
        let new = format!("{separator}{}", new.join(", "));
        return (brace == '}').then(|| out.push(Insertion { line, column: Some(column), text: new }));
    }
    let first = entries.first()?;
    let indent = first.key_span.column as usize - 1;
    let last = entries.iter().map(last_line).max()?;
    // Block texts end where the next thing begins; blank lines and comments in between belong to that.
    let lines: Vec<&str> = text.lines().take(last).collect();
    let used = lines.iter().rposition(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    })?;
    out.push(Insertion { line: used + 2, column: None, text: render(&Want::Map(missing), indent) });
    Some(())
}

/// The last line that an entry takes, or one that follows it without anything of its own.
fn last_line(entry: &Entry) -> usize {
    let own = entry.key_span.end_line as usize;
    own.max(match &entry.value.value {
        Value::Mapping(entries) => {
            entries.iter().map(last_line).max().unwrap_or(entry.value.span.end_line as usize)
        }
        _ if entry.value.is_null() => own,
        Value::Sequence(items) => items.iter().map(end_line).max().unwrap_or(own),
        Value::Scalar(_) => end_line(&entry.value),
    })
}

fn end_line(node: &Node) -> usize {
    match &node.value {
        Value::Mapping(entries) => entries.iter().map(last_line).max().unwrap_or(node.span.end_line as usize),
        Value::Sequence(items) => items.iter().map(end_line).max().unwrap_or(node.span.end_line as usize),
        // Exclusive: a text that ends in the first column ended the line before.
        Value::Scalar(_) if node.span.end_column <= 1 => (node.span.end_line as usize).saturating_sub(1),
        Value::Scalar(_) => node.span.end_line as usize,
    }
}

/// The entry of a key; data sources, fields and all other keys make no difference of case. A field may also be
/// written as levels.
fn find<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    path::entry(node, key).or_else(|| {
        let (first, rest) = key.split_once('.')?;
        find(&path::entry(node, first)?.value, rest)
    })
}

fn line_of(text: &str, line: usize) -> Option<&str> {
    text.lines().nth(line.checked_sub(1)?)
}

/// Carries out all insertions; of several at one place the first comes first.
fn apply(text: &str, mut insertions: Vec<Insertion>) -> String {
    insertions.sort_by_key(|insertion| (insertion.line, insertion.column));
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = String::with_capacity(text.len() + 1024);
    let mut pending = insertions.into_iter().peekable();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let mut done = 0;
        while let Some(insertion) = pending.next_if(|insertion| insertion.line == number) {
            let new = insertion.text.replace('\n', line_break);
            let Some(column) = insertion.column else {
                out.push_str(&new);
                continue;
            };
            let at = line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
            out.push_str(line.get(done..at).unwrap_or_default());
            out.push_str(&new);
            done = at;
        }
        out.push_str(line.get(done..).unwrap_or_default());
    }
    for insertion in pending {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push_str(line_break);
        }
        out.push_str(&insertion.text.replace('\n', line_break));
    }
    out
}

/// A key or text as YAML: plain where it cannot be misread, else in double quotes.
fn plain_or_quoted(text: &str) -> String {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let harmless = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./ ()".contains(c));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
    );
    if starts && harmless && !word && !text.ends_with(' ') {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
