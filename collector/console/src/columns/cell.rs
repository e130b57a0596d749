//! One column of a table: what its annotations ask for, and how a value becomes a cell.

use ig_model::FieldKind;
use ig_operators::{Column, Columns, Render, Value, ValueKind, ValueScratch};

use super::layout::Space;
use crate::{
    error::ConsoleError,
    terminal::{PLAIN, RED},
    text::{Ellipsis, fit, number, quote, width as text_width},
};

/// Width of a column that does not say.
const USUAL_WIDTH: usize = 16;
/// Decimals of a column that does not say.
const USUAL_PRECISION: usize = 2;
/// No annotation asks for more cells or decimals than this.
const MOST: usize = 4096;
/// Bytes of a text that are looked at; what is behind them could only be cut away.
const LONGEST_TEXT: usize = 64 << 10;
/// Bytes that one cell can come from: a character with all the marks it may have.
const BYTES_PER_CELL: usize = 20;

/// A number of more cells than this is cut like text.
const LONGEST_NUMBER: usize = 40;
/// Cells that a number has from the start if it asks for as many.
const USUAL_NUMBER: usize = 7;

/// A column of a table.
#[derive(Debug)]
pub(super) struct Cell {
    column: Column,
    pub(super) title: String,
    space: Space,
    /// Cells of the longest value so far.
    widest: usize,
    right: bool,
    ellipsis: Ellipsis,
    precision: usize,
    hex: bool,
}

/// Writes rows; holds the memory for it.
#[derive(Debug, Default)]
pub(super) struct Painter {
    colour: bool,
    scratch: ValueScratch,
    text: String,
    fitted: String,
    line: String,
}

/// The titles of columns: their aliases, or full names where several have the same one.
pub(super) fn titles(columns: &[&Column]) -> Vec<String> {
    let title = |column: &Column, is_short: bool| {
        let alias = column.annotation("columns.alias").filter(|_alias| is_short);
        let mut title = String::new();
        quote(alias.unwrap_or(&column.name).to_uppercase().as_bytes(), &mut title);
        title
    };
    let mut short = vec![true; columns.len()];
    loop {
        let titles: Vec<String> =
            columns.iter().zip(&short).map(|(column, short)| title(column, *short)).collect();
        let is_alone = |title: &String| titles.iter().filter(|other| *other == title).count() == 1;
        let next: Vec<bool> =
            titles.iter().zip(&short).map(|(title, short)| *short && is_alone(title)).collect();
        if next == short {
            return titles;
        }
        short = next;
    }
}

impl Cell {
    /// Reads the annotations of `column`; its values may come from another one.
    pub(super) fn plan(column: &Column, title: String, columns: &Columns) -> Result<Self, ConsoleError> {
        let wrong = |annotation, value: &str, expected: &str| ConsoleError::Annotation {
            place: format!("field `{}` of data source `{}`", column.name, columns.source()),
            annotation,
            value: value.to_owned(),
            expected: expected.to_owned(),
        };
        let values = match column.annotation("columns.replace") {
            None => column,
            Some(name) => columns
                .find(name)
                .ok_or_else(|| wrong("columns.replace", name, "the full name of a field that exists"))?,
        };
        let natural = natural_width(values);
        let cells = |key| match column.annotation(key) {
            None => Ok(0),
            Some("type") if natural > 0 => Ok(natural),
            Some(text) => text
                .trim()
                .parse::<usize>()
                .ok()
                .filter(|cells| *cells <= MOST)
                .ok_or_else(|| wrong(key, text, "a number of cells, or `type` on an integer or bool")),
        };
        let mut max = cells("columns.maxwidth")?;
        let mut min = cells("columns.minwidth")?;
        let mut width = cells("columns.width")?;
        let hex = column.annotation("columns.hex") == Some("true");
        // `0x` and the digits of a negative number may take two cells more.
        let longest = if natural > 0 { natural + 2 * usize::from(hex) } else { 0 };
        // A number whose width nobody chose leaves room for its title.
        let longest = if longest > 0 { longest.max(title.chars().count()) } else { 0 };
        if width == 0 {
            width = if longest > 0 { longest } else { USUAL_WIDTH };
        }
        if max == 0 {
            max = longest;
        }
        if max > 0 {
            min = min.min(max);
            width = width.min(max);
        }
        let alignment = column.annotation("columns.alignment");
        let right = match alignment {
            None | Some("left") => false,
            Some("right") => true,
            Some(other) => return Err(wrong("columns.alignment", other, "left or right")),
        };
        // Set to nothing it means to cut without a mark, so the empty text counts here.
        let ellipsis = match column.annotations.get("columns.ellipsis").map(String::as_str) {
            None | Some("end") => Ellipsis::End,
            Some("") => Ellipsis::None,
            Some("start") => Ellipsis::Start,
            Some("middle") => Ellipsis::Middle,
            Some(other) => return Err(wrong("columns.ellipsis", other, "start, middle, end or nothing")),
        };
        let precision = match column.annotation("columns.precision") {
            None => USUAL_PRECISION,
            Some(text) => text
                .parse()
                .ok()
                .filter(|decimals| *decimals <= MOST)
                .ok_or_else(|| wrong("columns.precision", text, "a number of decimals"))?,
        };
        let priority = match column.annotation("columns.priority") {
            None => 0,
            Some(text) => text.trim().parse().map_err(|_error| {
                wrong("columns.priority", text, "a whole number; columns of lower ones are left out first")
            })?,
        };
        Ok(Self {
            column: values.clone(),
            title,
            widest: 0,
            space: Space {
                width: width.max(min),
                min: min.max(1),
                max,
                fixed: column.annotation("columns.fixed") == Some("true"),
                whole: right || has_no_parts(&values.render),
                empty: true,
                priority,
            },
            right,
            ellipsis,
            precision,
            hex,
        })
    }

    /// What the column asks for, where what it will show is known or not.
    pub(super) fn space(&self, known: bool) -> Space {
        let Space { width, min, .. } = self.space;
        let empty = known && self.space.empty;
        if !self.space.whole {
            return Space { empty, ..self.space };
        }
        let usual = if known { 0 } else { USUAL_NUMBER.min(width) };
        let title = text_width(&self.title).min(if self.space.max > 0 { self.space.max } else { usize::MAX });
        let least = self.widest.max(usual).max(title).max(min);
        let width = if known { least } else { width.max(least) };
        Space { width, min: least, max: width, empty, ..self.space }
    }

    /// Makes it as dear as any other.
    pub(super) fn forget_priority(&mut self) {
        self.space.priority = 0;
    }

    /// Whether it has shown a value.
    pub(super) fn is_used(&self) -> bool {
        !self.space.empty
    }

    /// Takes note of a value of so many cells; true if there is no room for it where the column has `width`.
    fn note(&mut self, cells: usize, width: Option<usize>) -> bool {
        let first = self.space.empty && cells > 0;
        self.space.empty &= cells == 0;
        self.widest = self.widest.max(cells.min(LONGEST_NUMBER));
        width.map_or(first, |width| self.space.whole && self.widest > width)
    }

    /// The value as text, of which `cells` cells will be shown; `None` for all.
    fn text(&self, record: &[u8], cells: Option<usize>, scratch: &mut ValueScratch, out: &mut String) {
        let longest = if cells.is_some() { LONGEST_TEXT } else { usize::MAX };
        match self.column.value(record, scratch) {
            Value::None if self.column.value_kind() == ValueKind::Bytes => out.push_str("<0 bytes>"),
            Value::None => {}
            Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Value::Unsigned(value) if self.hex => number::hex(false, value, out),
            Value::Signed(value) if self.hex => number::hex(value < 0, value.unsigned_abs(), out),
            Value::Unsigned(value) => number::integer(value, out),
            Value::Signed(value) => number::integer(value, out),
            Value::Float(value) => number::fixed(value, self.precision, out),
            Value::Text(text) => {
                let enough = match (self.ellipsis, cells) {
                    (Ellipsis::None | Ellipsis::End, Some(cells)) => {
                        (cells + 1).saturating_mul(BYTES_PER_CELL)
                    }
                    _ => longest,
                };
                quote(text.get(..enough.min(longest)).unwrap_or(text), out);
            }
            Value::Bytes(bytes) => {
                out.push('<');
                number::integer(bytes.len(), out);
                out.push_str(" bytes>");
            }
            Value::Array(values) => {
                out.push('[');
                for (index, value) in values.enumerate() {
                    if out.len() > longest {
                        break;
                    }
                    if index > 0 {
                        out.push(',');
                    }
                    match value {
                        ig_datasource::Number::Unsigned(value) => number::integer(value, out),
                        ig_datasource::Number::Signed(value) => number::integer(value, out),
                        ig_datasource::Number::Float(value) => number::fixed(value, self.precision, out),
                    }
                }
                out.push(']');
            }
        }
    }
}

impl Painter {
    pub(super) fn new(colour: bool) -> Self {
        Self { colour, ..Self::default() }
    }

    /// Looks at the values of a row before it is written; true if one of them has no room in a line of `total` cells.
    pub(super) fn measure(
        &mut self,
        cells: &mut [Cell],
        widths: &[Option<usize>],
        total: usize,
        record: &[u8],
    ) -> bool {
        let mut has_news = false;
        for (cell, width) in cells.iter_mut().zip(widths) {
            self.text.clear();
            cell.text(record, Some(total), &mut self.scratch, &mut self.text);
            has_news |= cell.note(text_width(&self.text), *width);
        }
        has_news
    }

    /// A row without a line end. Blanks at its end are left out: they would wrap on a terminal that shrinks.
    pub(super) fn row(&mut self, cells: &[Cell], widths: &[Option<usize>], record: &[u8]) -> &str {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        for (cell, width) in cells.iter().zip(widths) {
            let Some(width) = *width else { continue };
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            cell.text(record, Some(width), &mut self.scratch, &mut text);
            let failed = self.colour && !text.is_empty() && matches!(cell.column.render, Render::Errno);
            if failed {
                // Escape sequences take no cells, so they stand around the whole cell.
                let at = line.len();
                self.put(&mut line, cell, &text, width, cell.ellipsis);
                line.insert_str(at, RED);
                line.push_str(PLAIN);
            } else {
                self.put(&mut line, cell, &text, width, cell.ellipsis);
            }
            self.text = text;
        }
        line.truncate(line.trim_end_matches(' ').len());
        self.line = line;
        &self.line
    }

    /// A row of whole values with tabs between them, as programs read it. No value holds a tab.
    pub(super) fn tabbed(&mut self, cells: &[Cell], record: &[u8]) -> &str {
        self.line.clear();
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                self.line.push('\t');
            }
            cell.text(record, None, &mut self.scratch, &mut self.line);
        }
        &self.line
    }

    /// Appends one cell, and the blank that separates it from the one before.
    pub(super) fn put(
        &mut self,
        line: &mut String,
        cell: &Cell,
        text: &str,
        width: usize,
        ellipsis: Ellipsis,
    ) {
        if !line.is_empty() {
            line.push(' ');
        }
        if cell.right {
            self.fitted.clear();
            let taken = fit(text, width, ellipsis, &mut self.fitted);
            blanks(width - taken.min(width), line);
            line.push_str(&self.fitted);
        } else {
            let taken = fit(text, width, ellipsis, line);
            blanks(width - taken.min(width), line);
        }
    }
}

fn blanks(count: usize, line: &mut String) {
    const SOME: &str = "                                ";
    let mut left = count;
    while left > 0 {
        let now = left.min(SOME.len());
        line.push_str(SOME.get(..now).unwrap_or_default());
        left -= now;
    }
}

/// Whether values are numbers, made of them, or names of them, which mean something else or nothing once they are cut.
fn has_no_parts(render: &Render) -> bool {
    matches!(
        render,
        Render::Number(_)
            | Render::Timestamp(_)
            | Render::FormattedTime(..)
            | Render::Bytes
            | Render::Duration
            | Render::Errno
            | Render::Signal
            | Render::FileMode
            | Render::Protocol
    )
}

/// Cells that every value of an integer or bool fits; 0 for other kinds.
fn natural_width(column: &Column) -> usize {
    let Render::Number(form) = &column.render else { return 0 };
    match form.kind() {
        FieldKind::Uint8 => 3,
        FieldKind::Int8 => 4,
        FieldKind::Bool | FieldKind::Uint16 => 5,
        FieldKind::Int16 => 6,
        FieldKind::Uint32 => 10,
        FieldKind::Int32 => 11,
        FieldKind::Uint64 | FieldKind::Int64 => 20,
        _ => 0,
    }
}
