//! Values of columns as sinks take them: typed, borrowed where they can be.

use ig_datasource::{Number, field::until_nul};
use ig_model::{FieldKind, kind::Scalar};

use super::{Column, render::Render};

/// The value of a column in one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value: a group, a number behind the end of a short record, or trailing data that is not there.
    None,
    /// True or false.
    Bool(bool),
    /// An unsigned integer.
    Unsigned(u64),
    /// A signed integer.
    Signed(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text as the kernel or a formatter wrote it; not always valid UTF-8.
    Text(&'a [u8]),
    /// Bytes without a known meaning.
    Bytes(&'a [u8]),
    /// Numbers of one kind.
    Array(ArrayValue<'a>),
}

/// What [`Column::value`] gives for every record that is long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing: the members are columns of their own.
    Members,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Unsigned`].
    Unsigned,
    /// [`Value::Signed`].
    Signed,
    /// [`Value::Float`].
    Float,
    /// [`Value::Text`].
    Text,
    /// [`Value::Bytes`].
    Bytes,
    /// [`Value::Array`] of elements of this kind.
    Array(Scalar),
}

/// The numbers of an array, in order; an iterator over the [`Number`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayValue<'a> {
    scalar: Scalar,
    bytes: &'a [u8],
}

/// Working memory of [`Column::value`], reused from value to value.
#[derive(Debug, Default)]
pub struct ValueScratch {
    input: Vec<u8>,
    text: String,
}

impl<'a> ArrayValue<'a> {
    pub(super) fn new(scalar: Scalar, bytes: &'a [u8]) -> Self {
        Self { scalar, bytes }
    }

    /// Kind of the elements; bools are the numbers 0 and 1.
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }
}

impl Iterator for ArrayValue<'_> {
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        let (element, rest) = self.bytes.split_at_checked(self.scalar.size())?;
        self.bytes = rest;
        Number::read(field_kind(self.scalar)?, element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.bytes.len() / self.scalar.size().max(1);
        (len, Some(len))
    }
}

impl Column {
    /// What kind of value the column has.
    pub fn value_kind(&self) -> ValueKind {
        match &self.render {
            Render::Members => ValueKind::Members,
            Render::Number(form) => match form.kind() {
                FieldKind::Bool => ValueKind::Bool,
                kind if kind.is_float() => ValueKind::Float,
                kind if kind.is_signed() => ValueKind::Signed,
                _ => ValueKind::Unsigned,
            },
            Render::Hex | Render::Rest(_) => ValueKind::Bytes,
            Render::Array(scalar) => ValueKind::Array(*scalar),
            _ => ValueKind::Text,
        }
    }

    /// The value in `record`. Nothing is copied or allocated but what a formatter writes to `scratch`.
    pub fn value<'a>(&'a self, record: &'a [u8], scratch: &'a mut ValueScratch) -> Value<'a> {
        match &self.render {
            Render::Members => return Value::None,
            Render::Rest(rest) => return rest.of(record).map_or(Value::None, Value::Bytes),
            Render::Constant(text) => return Value::Text(text.as_bytes()),
            _ => {}
        }
        let ValueScratch { input, text } = scratch;
        let whole = match self.inputs.as_slice() {
            [range] => record.get(range.clone()),
            _ => None,
        };
        let input = if let Some(bytes) = whole {
            bytes
        } else {
            input.clear();
            self.copy_input(record, input);
            input
        };
        match &self.render {
            Render::CString => Value::Text(until_nul(input)),
            Render::Hex => Value::Bytes(input),
            Render::Array(scalar) => Value::Array(ArrayValue::new(*scalar, input)),
            Render::Number(form) => match form.read(input) {
                Some(Number::Unsigned(value)) if form.kind() == FieldKind::Bool => Value::Bool(value != 0),
                Some(Number::Unsigned(value)) => Value::Unsigned(value),
                Some(Number::Signed(value)) => Value::Signed(value),
                Some(Number::Float(value)) => Value::Float(value),
                None => Value::None,
            },
            render => {
                text.clear();
                render.text(input, text);
                Value::Text(text.as_bytes())
            }
        }
    }
}

fn field_kind(scalar: Scalar) -> Option<FieldKind> {
    Some(match scalar {
        Scalar::Bool => FieldKind::Bool,
        Scalar::Int(size) => FieldKind::integer(size.into(), true)?,
        Scalar::Uint(size) => FieldKind::integer(size.into(), false)?,
        Scalar::Float(4) => FieldKind::Float32,
        Scalar::Float(_) => FieldKind::Float64,
    })
}
