//! What evaluation works with, and what it can fail with.

use std::fmt::Write as _;

use thiserror::Error;

use crate::column::{Column, Value, ValueScratch};

/// Most bytes of text made for one record.
const MAX_MADE: usize = 1 << 20;

/// Most elements looked at for one record.
const MAX_STEPS: u32 = 4096;

/// Working memory, reused from record to record.
#[derive(Debug, Default)]
pub struct Scratch {
    values: ValueScratch,
    /// Texts made for this record, one behind the other.
    made: Vec<u8>,
    text: String,
    bytes: Vec<u8>,
}

/// An expression has no verdict on a record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Trap {
    /// A field or element that the record does not have.
    #[error("a value is missing")]
    Missing,
    /// `x % 0`
    #[error("remainder of a division by zero")]
    DivisionByZero,
    /// A whole number that grew past 128 bits, or a shift by more than 63.
    #[error("a whole number is out of range")]
    Overflow,
    /// Text that is no number, or a number that is not finite.
    #[error("a value is no number that can be converted")]
    Conversion,
    /// More text than one record may make.
    #[error("more than {MAX_MADE} bytes of text are made")]
    TooMuchText,
    /// More elements than one record may have looked at.
    #[error("more than {MAX_STEPS} elements are looked at")]
    TooManySteps,
}

/// A record under evaluation; `'r` is how long it and the program live.
pub(super) struct Env<'r, 's> {
    pub(super) record: &'r [u8],
    /// What `#` is.
    pub(super) element: Item<'r>,
    scratch: &'s mut Scratch,
    steps: u32,
}

/// A text: somewhere in the record or program, or made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'r> {
    There(&'r [u8]),
    Made(usize, usize),
}

/// An element of an array.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'r> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Piece<'r>),
}

/// Evaluates to one kind of value.
pub(super) trait Node {
    type Value<'r>
    where
        Self: 'r;

    fn eval<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<Self::Value<'r>, Trap>;
}

impl Piece<'_> {
    /// A part of the text.
    pub(super) fn part(self, from: usize, to: usize) -> Self {
        match self {
            Self::There(bytes) => Self::There(bytes.get(from..to).unwrap_or_default()),
            Self::Made(start, _) => Self::Made(start + from, start + to),
        }
    }
}

impl<'r, 's> Env<'r, 's> {
    pub(super) fn new(record: &'r [u8], scratch: &'s mut Scratch) -> Self {
        scratch.made.clear();
        Self { record, element: Item::None, scratch, steps: 0 }
    }

    pub(super) fn bytes<'e>(&'e self, piece: Piece<'e>) -> &'e [u8] {
        match piece {
            Piece::There(bytes) => bytes,
            Piece::Made(start, end) => self.scratch.made.get(start..end).unwrap_or_default(),
        }
    }

    /// The value of a number or bool.
    pub(super) fn scalar(&mut self, column: &Column) -> Item<'r> {
        match column.value(self.record, &mut self.scratch.values) {
            Value::Bool(value) => Item::Bool(value),
            Value::Unsigned(value) => Item::Int(value.into()),
            Value::Signed(value) => Item::Int(value.into()),
            Value::Float(value) => Item::Float(value),
            Value::None | Value::Text(_) | Value::Bytes(_) | Value::Array(_) => Item::None,
        }
    }

    /// The text of a column; bytes as hexadecimal digits.
    pub(super) fn text_of(&mut self, column: &Column) -> Result<Piece<'r>, Trap> {
        let Scratch { values, made, text, .. } = &mut *self.scratch;
        let start = made.len();
        match column.value(self.record, values) {
            Value::Text(text) => made.extend_from_slice(text),
            Value::Bytes(bytes) => {
                text.clear();
                crate::format::hex(bytes, text);
                made.extend_from_slice(text.as_bytes());
            }
            _ => return Err(Trap::Missing),
        }
        self.made_from(start)
    }

    fn made_from(&self, start: usize) -> Result<Piece<'r>, Trap> {
        let end = self.scratch.made.len();
        if end > MAX_MADE { Err(Trap::TooMuchText) } else { Ok(Piece::Made(start, end)) }
    }

    /// Text written by a formatter.
    pub(super) fn write(&mut self, value: std::fmt::Arguments<'_>) -> Result<Piece<'r>, Trap> {
        let Scratch { made, text, .. } = &mut *self.scratch;
        let start = made.len();
        text.clear();
        text.write_fmt(value).map_err(|std::fmt::Error| Trap::TooMuchText)?;
        made.extend_from_slice(text.as_bytes());
        self.made_from(start)
    }

    pub(super) fn join(&mut self, left: Piece<'r>, right: Piece<'r>) -> Result<Piece<'r>, Trap> {
        let start = self.scratch.made.len();
        for piece in [left, right] {
            match piece {
                Piece::There(bytes) => self.scratch.made.extend_from_slice(bytes),
                Piece::Made(from, to) => self.scratch.made.extend_from_within(from..to),
            }
        }
        self.made_from(start)
    }

    /// Upper or lower case; bytes that are not UTF-8 stay as they are.
    pub(super) fn cased(&mut self, piece: Piece<'r>, is_upper: bool) -> Result<Piece<'r>, Trap> {
        let Scratch { made, bytes: out, .. } = &mut *self.scratch;
        let from = match piece {
            Piece::There(bytes) => bytes,
            Piece::Made(start, end) => made.get(start..end).unwrap_or_default(),
        };
        out.clear();
        let mut buffer = [0; 4];
        for chunk in from.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_upper {
                    for upper in character.to_uppercase() {
                        out.extend_from_slice(upper.encode_utf8(&mut buffer).as_bytes());
                    }
                } else {
                    for lower in character.to_lowercase() {
                        out.extend_from_slice(lower.encode_utf8(&mut buffer).as_bytes());
                    }
                }
            }
            out.extend_from_slice(chunk.invalid());
        }
        let start = made.len();
        made.extend_from_slice(out);
        self.made_from(start)
    }

    /// Calls `look` with the numbers of an array column until it has seen enough.
    pub(super) fn each_of(
        &mut self,
        column: &Column,
        look: &mut dyn FnMut(&mut Self, Item<'r>) -> Result<bool, Trap>,
    ) -> Result<(), Trap> {
        let mut values = std::mem::take(&mut self.scratch.values);
        let outcome = match column.value(self.record, &mut values) {
            Value::Array(mut array) => array.try_for_each(|number| {
                let item = match number {
                    ig_datasource::Number::Unsigned(value) => Item::Int(value.into()),
                    ig_datasource::Number::Signed(value) => Item::Int(value.into()),
                    ig_datasource::Number::Float(value) => Item::Float(value),
                };
                match self.step(item, look) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(None),
                    Err(trap) => Err(Some(trap)),
                }
            }),
            _ => Err(Some(Trap::Missing)),
        };
        self.scratch.values = values;
        match outcome {
            Ok(()) | Err(None) => Ok(()),
            Err(Some(trap)) => Err(trap),
        }
    }

    /// One more element; false if it was the last one of interest.
    pub(super) fn step(
        &mut self,
        item: Item<'r>,
        look: &mut dyn FnMut(&mut Self, Item<'r>) -> Result<bool, Trap>,
    ) -> Result<bool, Trap> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Trap::TooManySteps);
        }
        look(self, item)
    }
}
