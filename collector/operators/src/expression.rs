//! `filter-expr`: keeps the records for which an expression is true.
//!
//! The language is the boolean part of expr-lang 1.17, as far as a filter needs it. An expression is checked against
//! the columns when it is planned, so that a wrong name or a comparison of text with a number is told before the gadget
//! runs, and becomes a tree in which every part has one kind of value. Comparisons of numbers and text allocate nothing
//! per record.
//!
//! # Shape
//! Fields are names, their members `proc.comm`, `proc?.comm` or `proc["comm"]`; `$env["in"]` is a field whose name is a
//! word of the language. From loose to tight: `|` (pipe), `or` `||`, `and` `&&`, `== != < <= > >= in matches contains
//! startsWith endsWith` and their opposites with `not`, `..`, `+ -`, `not` `!`, `* / %`, sign, `**` `^`, `??`; and
//! `a ? b : c` around all. `1 < a < 5` is `1 < a and a < 5`. Literals: `42`, `0x2a`, `0o52`, `0b101010`, `1_000`, `1.5`,
//! `"text"`, `'text'`, `` `raw` ``, `true`, `false`, `nil`, `[1, 2]`, `1..5`. Comments: `// …`, `/* … */`.
//!
//! | as in expr-lang | functions |
//! |---|---|
//! | text | `len lower upper trim trimPrefix trimSuffix hasPrefix hasSuffix string` |
//! | numbers | `int float abs ceil floor round min max sum` `bitand bitor bitxor bitnand bitnot bitshl bitshr bitushr` |
//! | elements, `#` being the element | `all any none one count` |
//! | addresses | `ip in cidr("10.0.0.0/8", …)`, `CidrMatches(ip, "10.0.0.0/8")` |
//!
//! Division and powers give numbers with a fraction, `x / 0` is infinite, `x % 0` fails; characters of text are counted,
//! not bytes; text is ordered bytewise.
//!
//! # Differences
//! - Whole numbers are exact: a field of 64 bits without sign stays above zero, and no result wraps around.
//! - Kinds are known when planning: both sides of `?:` and `??`, and all elements of an array, are of one kind.
//! - Patterns of `matches` and networks are written out. Patterns that other fields hold would be compiled per record.
//! - An element of an array that is not reached does not fail. Arrays of bools hold 0 and 1.
//! - Refused by name: `let`, `if`, maps, slices, methods, dates, `map`, `filter`, `reduce`, `sortBy` and other functions
//!   that make arrays.
//! - Bytes without a known meaning are text of hexadecimal digits. A text that is no address is in no network.
//!
//! # Bounds
//! 64 KiB of text, 100 levels, 16 patterns of 1 MiB each; 4096 elements and 1 MiB of made text for one record. Patterns
//! are matched in time linear to the text.
//! # Source
//! Inspektor Gadget, operator `filter`; expr-lang 1.17.

mod ast;
mod check;
mod env;
mod lexer;
mod net;
mod node;
mod parse;
#[cfg(test)]
mod tests;

use ig_model::Loss;
use thiserror::Error;
use tracing::warn;

use env::{Env, Node as _};
pub use env::{Scratch, Trap};
use node::{Bool, Typed};

use crate::{
    column::Columns,
    packet::Packet,
    stage::{Next, Stage},
};

/// Most bytes of an expression.
const MAX_LEN: usize = 64 << 10;

/// Most levels of parts in parts.
const MAX_DEPTH: usize = 100;

/// Most parts.
const MAX_PARTS: usize = 1 << 14;

/// Most parts of something that an operator uses twice.
const MAX_TWICE: usize = 16;

/// Most regular expressions, and most bytes one of them may compile to.
const MAX_PATTERNS: usize = 16;
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// A planned expression.
#[derive(Debug)]
pub struct Expression {
    root: Bool,
}

/// An expression that cannot be planned.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("filter expression: {place}{}: {reason}", if .near.is_empty() { String::new() } else { format!(", at `{near}`") })]
pub struct ExpressionError {
    /// Where, as `column 5` or `line 2, column 5`.
    pub place: String,
    /// What is written there.
    pub near: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What is wrong, and the byte it starts at.
#[derive(Debug)]
struct Fault {
    at: usize,
    reason: String,
}

impl Fault {
    fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    fn in_text(self, text: &str) -> ExpressionError {
        let (before, rest) = text.split_at_checked(self.at).unwrap_or((text, ""));
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        let place = if text.contains('\n') {
            format!("line {line}, column {column}")
        } else {
            format!("column {column}")
        };
        let mut near = String::new();
        for character in rest.lines().next().unwrap_or_default().chars().take(24) {
            match character {
                '\'' | '"' | '\\' => near.push(character),
                other => near.extend(other.escape_debug()),
            }
        }
        near.truncate(near.trim_end().len());
        ExpressionError { place, near, reason: self.reason }
    }
}

impl Expression {
    /// Reads `text` and checks it against the columns of a data source.
    ///
    /// # Errors
    /// The first thing that is wrong: syntax, an unknown field or function, kinds of values that do not fit, a result
    /// that is not true or false, or more than the bounds allow.
    pub fn plan(text: &str, columns: &Columns) -> Result<Self, ExpressionError> {
        Self::checked(text, columns).map(|root| Self { root }).map_err(|fault| fault.in_text(text))
    }

    fn checked(text: &str, columns: &Columns) -> Result<Bool, Fault> {
        if text.len() > MAX_LEN {
            return Err(Fault::new(0, format!("it has {} bytes, more than {MAX_LEN}", text.len())));
        }
        let ast = parse::parse(lexer::tokens(text)?)?;
        match check::Checker::new(columns).check(&ast)? {
            Typed::Bool(root) => Ok(root),
            other => Err(Fault::new(ast.at, format!("it gives {}, not true or false", other.kind()))),
        }
    }

    /// The expression that keeps what both keep.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { root: Bool::All(vec![self.root, other.root]) }
    }

    /// Whether the expression is true for `record`.
    ///
    /// # Errors
    /// There is no verdict; the record should be dropped and counted.
    pub fn keeps(&self, record: &[u8], scratch: &mut Scratch) -> Result<bool, Trap> {
        self.root.eval(&mut Env::new(record, scratch))
    }
}

/// The expression in its place among the stages.
#[derive(Debug)]
pub struct ExpressionStage {
    expression: Expression,
    scratch: Scratch,
    /// Records without a verdict so far, and how many of them the log knows of.
    unjudged: u64,
    told: u64,
    trap: Option<Trap>,
}

impl From<Expression> for ExpressionStage {
    fn from(expression: Expression) -> Self {
        Self { expression, scratch: Scratch::default(), unjudged: 0, told: 0, trap: None }
    }
}

impl Stage for ExpressionStage {
    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>) {
        match self.expression.keeps(packet.bytes(), &mut self.scratch) {
            Ok(true) => next.pass(packet),
            Ok(false) => next.lose(Loss::Filter),
            Err(trap) => {
                self.unjudged += 1;
                self.trap = Some(trap);
                next.lose(Loss::Expression);
            }
        }
    }

    /// Warns at the first record without a verdict and whenever their number has one digit more: any record can cause
    /// it.
    fn flush(&mut self, _next: &mut Next<'_>) {
        if let Some(trap) = self.trap.take()
            && self.told.checked_ilog10() < self.unjudged.checked_ilog10()
        {
            warn!(name: "filter.expression.failed", count = self.unjudged, error = &trap as &dyn std::error::Error);
        }
        self.told = self.unjudged;
    }
}
