//! Parts that give text.

use std::ops::Range;

use ig_datasource::field::until_nul;

use super::{Bool, Choice, Float, Int, List};
use crate::{
    column::Column,
    expression::env::{Env, Item, Node, Piece, Trap},
};

/// Gives text; not always valid UTF-8.
#[derive(Debug)]
pub(in crate::expression) enum Text {
    Constant(Box<[u8]>),
    /// Text of the record as it stands there.
    Field(Range<usize>),
    Column(Box<Column>),
    Element,
    Joined(Box<(Self, Self)>),
    Upper(Box<Self>),
    Lower(Box<Self>),
    Trimmed(Box<Self>),
    WithoutPrefix(Box<(Self, Self)>),
    WithoutSuffix(Box<(Self, Self)>),
    At(Box<(List, Int)>),
    OfBool(Box<Bool>),
    OfInt(Box<Int>),
    OfFloat(Box<Float>),
    Choice(Box<Choice<Self>>),
}

impl Node for Text {
    type Value<'r> = Piece<'r>;

    fn eval<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<Piece<'r>, Trap> {
        match self {
            Self::Constant(text) => Ok(Piece::There(text)),
            Self::Field(range) => Ok(Piece::There(until_nul(field(env.record, range)))),
            Self::Column(column) => env.text_of(column),
            Self::Element => text(env.element),
            Self::Joined(sides) => {
                let (left, right) = (sides.0.eval(env)?, sides.1.eval(env)?);
                env.join(left, right)
            }
            Self::Upper(text) => {
                let text = text.eval(env)?;
                env.cased(text, true)
            }
            Self::Lower(text) => {
                let text = text.eval(env)?;
                env.cased(text, false)
            }
            Self::Trimmed(text) => {
                let text = text.eval(env)?;
                let (from, to) = trim(env.bytes(text));
                Ok(text.part(from, to))
            }
            Self::WithoutPrefix(sides) => {
                let (text, prefix) = (sides.0.eval(env)?, sides.1.eval(env)?);
                let (bytes, prefix) = (env.bytes(text), env.bytes(prefix));
                let from = if bytes.starts_with(prefix) { prefix.len() } else { 0 };
                Ok(text.part(from, bytes.len()))
            }
            Self::WithoutSuffix(sides) => {
                let (text, suffix) = (sides.0.eval(env)?, sides.1.eval(env)?);
                let (bytes, suffix) = (env.bytes(text), env.bytes(suffix));
                let less = if bytes.ends_with(suffix) { suffix.len() } else { 0 };
                Ok(text.part(0, bytes.len() - less))
            }
            Self::At(parts) => {
                let index = parts.1.eval(env)?;
                text(parts.0.at(env, index)?)
            }
            Self::OfBool(value) => {
                Ok(Piece::There(if value.eval(env)? { b"true".as_slice() } else { b"false".as_slice() }))
            }
            Self::OfInt(value) => {
                let value = value.eval(env)?;
                env.write(format_args!("{value}"))
            }
            Self::OfFloat(value) => {
                let value = value.eval(env)?;
                write_float(env, value)
            }
            Self::Choice(choice) => choice.eval(env),
        }
    }
}

/// The bytes of a field, fewer where the record is short.
pub(super) fn field<'r>(record: &'r [u8], range: &Range<usize>) -> &'r [u8] {
    record.get(range.start..range.end).or_else(|| record.get(range.start..)).unwrap_or_default()
}

fn text(item: Item<'_>) -> Result<Piece<'_>, Trap> {
    match item {
        Item::Text(text) => Ok(text),
        _ => Err(Trap::Missing),
    }
}

/// Start and end of what is between white space.
fn trim(bytes: &[u8]) -> (usize, usize) {
    let (without_start, len) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.trim_start().len(), text.trim().len()),
        Err(_) => (bytes.trim_ascii_start().len(), bytes.trim_ascii().len()),
    };
    let from = bytes.len() - without_start;
    (from, from + len)
}

/// As Go's `%v` shows it: the shortest digits that read back, an exponent for the very small and large.
fn write_float<'r>(env: &mut Env<'r, '_>, value: f64) -> Result<Piece<'r>, Trap> {
    let size = value.abs();
    if value.is_nan() {
        Ok(Piece::There(b"NaN"))
    } else if value.is_infinite() {
        Ok(Piece::There(if value > 0.0 { b"+Inf" } else { b"-Inf" }))
    } else if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let written = format!("{value:e}");
        let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        env.write(format_args!("{digits}e{sign}{exponent:0>2}"))
    } else {
        env.write(format_args!("{value}"))
    }
}
