//! `filter`: keeps the records for which every rule holds.
//!
//! # Shape
//! Several data sources have rules of their own in the parameters `filter.NAME`; `filter` holds for all. Rules are joined by commas (`\,` and `\\` are literal) and all must hold. A rule is `field OP value`, where OP is
//! one of `==` `=` `!=` `>=` `>` `<=` `<` `~` `!~`. Text compares bytewise; `~` searches an RE2-style regular expression,
//! unanchored; numbers compare in the field's own range; bool takes `true`, `1`, `false`, `0` with equality only.
//! # Source
//! Inspektor Gadget, operator `filter`, which takes blanks around the operator for parts of field and value; here they
//! are not. What belongs into a filter expression (quotes, `&&`) is refused instead of being compared with.

mod operator;

use ig_datasource::Number;
use ig_model::{FieldKind, Loss};
use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use crate::{
    column::{Column, Columns, Render, Value, ValueKind, ValueScratch},
    comparison::Comparison,
    format,
    packet::Packet,
    spec::split_escaped,
    stage::{Next, Stage},
};

pub(crate) use operator::FilterOperator;
pub use operator::{FILTER, FILTER_EXPR, NAME, rules};

/// Regular expressions may compile to at most this many bytes.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// A planned filter.
#[derive(Clone, Debug)]
pub struct Filter {
    rules: Vec<Rule>,
}

/// Working memory of a filter, reused from record to record.
#[derive(Debug, Default)]
pub struct Scratch {
    value: ValueScratch,
    hex: String,
}

#[derive(Clone, Debug)]
struct Rule {
    column: Column,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Text(Comparison, Vec<u8>),
    Matches { pattern: Regex, wanted: bool },
    Number(Comparison, Number),
    Bool { value: bool, wanted: bool },
}

/// A filter that cannot be planned.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("filter rule `{rule}`: {reason}")]
pub struct FilterError {
    /// The rule as written.
    pub rule: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Filter {
    /// Parses `text` against the columns of a data source.
    ///
    /// # Errors
    /// When a rule has no operator or value, names an unknown field, or its value does not fit the field.
    pub fn plan(text: &str, columns: &Columns) -> Result<Self, FilterError> {
        let rules = split_escaped(text)
            .into_iter()
            .filter(|rule| !rule.trim().is_empty())
            .map(|rule| plan_rule(&rule, columns).map_err(|reason| FilterError { rule, reason }))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { rules })
    }

    /// The filter that keeps what both keep.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// Whether every rule holds for `record`.
    pub fn keeps(&self, record: &[u8], scratch: &mut Scratch) -> bool {
        self.rules.iter().all(|rule| rule.holds(record, scratch))
    }
}

/// The filter in its place among the stages.
#[derive(Debug)]
pub struct FilterStage {
    filter: Filter,
    scratch: Scratch,
}

impl From<Filter> for FilterStage {
    fn from(filter: Filter) -> Self {
        Self { filter, scratch: Scratch::default() }
    }
}

impl Stage for FilterStage {
    #[inline]
    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>) {
        if self.filter.keeps(packet.bytes(), &mut self.scratch) {
            next.pass(packet);
        } else {
            next.lose(Loss::Filter);
        }
    }
}

impl Rule {
    fn holds(&self, record: &[u8], scratch: &mut Scratch) -> bool {
        let Scratch { value, hex } = scratch;
        let value = self.column.value(record, value);
        let number = match value {
            Value::Unsigned(number) => Number::Unsigned(number),
            Value::Signed(number) => Number::Signed(number),
            Value::Float(number) => Number::Float(number),
            Value::Bool(is_true) => {
                return match &self.test {
                    Test::Bool { value, wanted } => (is_true == *value) == *wanted,
                    _ => false,
                };
            }
            Value::Text(text) => return self.test.holds_for_text(text),
            Value::Bytes(bytes) => {
                hex.clear();
                format::hex(bytes, hex);
                return self.test.holds_for_text(hex.as_bytes());
            }
            Value::None | Value::Array(_) => return false,
        };
        match &self.test {
            Test::Number(comparison, wanted) => compare_numbers(number, *wanted)
                .map_or(*comparison == Comparison::NotEqual, |order| comparison.accepts(order)),
            _ => false,
        }
    }
}

impl Test {
    fn holds_for_text(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(comparison, wanted) => comparison.accepts(text.cmp(wanted)),
            Self::Matches { pattern, wanted } => pattern.is_match(text) == *wanted,
            Self::Number(..) | Self::Bool { .. } => false,
        }
    }
}

fn compare_numbers(left: Number, right: Number) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Number::Unsigned(left), Number::Unsigned(right)) => Some(left.cmp(&right)),
        (Number::Signed(left), Number::Signed(right)) => Some(left.cmp(&right)),
        (left, right) => left.as_f64().partial_cmp(&right.as_f64()),
    }
}

/// Operators, longest first so that `>=` is not read as `>`.
const OPERATORS: [&str; 9] = ["==", "!=", ">=", "<=", "!~", "=", ">", "<", "~"];

/// The rules of the form `field==value`, field and value apart.
pub fn equalities(text: &str) -> Vec<(String, String)> {
    let parts = split_escaped(text);
    let rules = parts.iter().filter_map(|rule| parse_rule(rule).ok());
    rules
        .filter(|(_, operator, _)| matches!(*operator, "=" | "=="))
        .map(|(field, _, value)| (field.to_owned(), value.to_owned()))
        .collect()
}

/// Field, operator and value.
fn parse_rule(rule: &str) -> Result<(&str, &'static str, &str), String> {
    let start = rule.find(['=', '!', '<', '>', '~']).ok_or_else(|| {
        format!("it has no operator; expected `field OP value` with one of {}", OPERATORS.join(" "))
    })?;
    let (field, rest) = rule.split_at(start);
    let operator = OPERATORS
        .into_iter()
        .find(|operator| rest.starts_with(operator))
        .ok_or_else(|| format!("`{rest}` does not start with one of {}", OPERATORS.join(" ")))?;
    let value = rest.get(operator.len()..).unwrap_or_default().trim();
    if value.is_empty() {
        return Err(format!("it has no value after `{operator}`"));
    }
    Ok((field.trim(), operator, value))
}

fn plan_rule(rule: &str, columns: &Columns) -> Result<Rule, String> {
    let (field, operator, value) = parse_rule(rule)?;
    if !operator.ends_with('~') {
        check_value(value)?;
    }
    let column = columns.find(field).ok_or_else(|| columns.unknown(field))?.clone();
    let test = plan_test(&column, operator, value)?;
    Ok(Rule { column, test })
}

/// Finds what belongs into a filter expression: no record would ever be equal to it.
fn check_value(value: &str) -> Result<(), String> {
    if value.contains("&&") || value.contains("||") {
        return Err(
            "rules are joined by commas; `&&` and `||` belong into a filter expression (-E)".to_owned()
        );
    }
    let inside = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match inside('"').or_else(|| inside('\'')) {
        Some(bare) => Err(format!("a value has no quotes here: write `{bare}`")),
        None => Ok(()),
    }
}

fn plan_test(column: &Column, operator: &str, value: &str) -> Result<Test, String> {
    let kind = match &column.render {
        Render::Number(form) => Some(form.kind()),
        _ => None,
    };
    if matches!(column.value_kind(), ValueKind::Members | ValueKind::Array(_)) {
        return Err(format!("`{}` has no single value to compare; name a field that has", column.name));
    }
    if operator.ends_with('~') {
        if kind.is_some() {
            return Err(format!("`{operator}` works on text, and `{}` is a number", column.name));
        }
        let pattern = RegexBuilder::new(value)
            .size_limit(REGEX_SIZE_LIMIT)
            .build()
            .map_err(|error| format!("bad regular expression: {error}"))?;
        return Ok(Test::Matches { pattern, wanted: operator == "~" });
    }
    let comparison = match operator {
        "==" | "=" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    };
    match kind {
        None => Ok(Test::Text(comparison, value.as_bytes().to_vec())),
        Some(FieldKind::Bool) => plan_bool(column, comparison, value),
        Some(kind) => parse_number(kind, value)
            .map(|number| Test::Number(comparison, number))
            .ok_or_else(|| format!("`{value}` is no {} as `{}` needs", kind.name(), column.name)),
    }
}

fn plan_bool(column: &Column, comparison: Comparison, value: &str) -> Result<Test, String> {
    let wanted = match comparison {
        Comparison::Equal => true,
        Comparison::NotEqual => false,
        _ => return Err(format!("`{}` is a bool: only == and != work on it", column.name)),
    };
    match value {
        "true" | "1" => Ok(Test::Bool { value: true, wanted }),
        "false" | "0" => Ok(Test::Bool { value: false, wanted }),
        _ => Err(format!("`{value}` is no bool; expected true or false")),
    }
}

fn parse_number(kind: FieldKind, value: &str) -> Option<Number> {
    if kind.is_float() {
        return value.parse().ok().map(Number::Float);
    }
    if kind.is_signed() {
        let number: i64 = value.parse().ok()?;
        let fits = match kind {
            FieldKind::Int8 => i8::try_from(number).is_ok(),
            FieldKind::Int16 => i16::try_from(number).is_ok(),
            FieldKind::Int32 => i32::try_from(number).is_ok(),
            _ => true,
        };
        return fits.then_some(Number::Signed(number));
    }
    let number: u64 = value.parse().ok()?;
    let fits = match kind {
        FieldKind::Uint8 => u8::try_from(number).is_ok(),
        FieldKind::Uint16 => u16::try_from(number).is_ok(),
        FieldKind::Uint32 => u32::try_from(number).is_ok(),
        _ => true,
    };
    fits.then_some(Number::Unsigned(number))
}

#[cfg(test)]
mod tests;
