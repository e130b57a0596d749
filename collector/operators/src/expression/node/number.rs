//! Parts that give numbers.

use std::ops::Range;

use ig_datasource::Number;
use ig_model::FieldKind;

use super::{Bool, Choice, List, Text};
use crate::{
    column::Column,
    expression::{
        ast::Math,
        env::{Env, Item, Node, Trap},
    },
};

/// Gives a whole number; it is exact, no result wraps around.
#[derive(Debug)]
pub(in crate::expression) enum Int {
    Constant(i128),
    /// A number of the record as it stands there.
    Field(FieldKind, Range<usize>),
    Column(Box<Column>),
    Element,
    Math(Math, Box<(Self, Self)>),
    Bits(Bits, Box<(Self, Self)>),
    Abs(Box<Self>),
    /// Smallest, largest or sum.
    Fold(Fold, Vec<Self>),
    FoldList(Fold, Box<List>),
    At(Box<(List, Self)>),
    Characters(Box<Text>),
    Elements(Box<List>),
    Count(Box<(List, Bool)>),
    OfFloat(Box<Float>),
    OfText(Box<Text>),
    Choice(Box<Choice<Self>>),
}

/// Gives a number with a fraction.
#[derive(Debug)]
pub(in crate::expression) enum Float {
    Constant(f64),
    Column(Box<Column>),
    Element,
    Math(Math, Box<(Self, Self)>),
    Rounded(Rounding, Box<Self>),
    Fold(Fold, Vec<Self>),
    FoldList(Fold, Box<List>),
    At(Box<(List, Int)>),
    OfInt(Box<Int>),
    OfText(Box<Text>),
    Choice(Box<Choice<Self>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::expression) enum Fold {
    Least,
    Greatest,
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::expression) enum Bits {
    And,
    Or,
    Xor,
    /// Those of the first that the second has not.
    AndNot,
    Left,
    Right,
    /// Zeros come in at the top of 64 bits.
    RightUnsigned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::expression) enum Rounding {
    Abs,
    Ceil,
    Floor,
    Round,
}

impl Node for Int {
    type Value<'r> = i128;

    fn eval<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<i128, Trap> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Field(kind, range) => {
                let bytes = env.record.get(range.start..range.end).ok_or(Trap::Missing)?;
                match Number::read(*kind, bytes) {
                    Some(Number::Unsigned(value)) => Ok(value.into()),
                    Some(Number::Signed(value)) => Ok(value.into()),
                    _ => Err(Trap::Missing),
                }
            }
            Self::Column(column) => int(env.scalar(column)),
            Self::Element => int(env.element),
            Self::Math(math, sides) => {
                let (left, right) = (sides.0.eval(env)?, sides.1.eval(env)?);
                calculate(*math, left, right)
            }
            Self::Bits(bits, sides) => bits.apply(sides.0.eval(env)?, sides.1.eval(env)?),
            Self::Abs(value) => value.eval(env)?.checked_abs().ok_or(Trap::Overflow),
            Self::Fold(fold, values) => {
                let mut result = None;
                for value in values {
                    let value = value.eval(env)?;
                    result = Some(match result {
                        Some(before) => fold.ints(before, value)?,
                        None => value,
                    });
                }
                result.ok_or(Trap::Missing)
            }
            Self::FoldList(fold, list) => {
                match list.fold(env, &mut |left, right| Ok(Item::Int(fold.ints(int(left)?, int(right)?)?)))? {
                    Item::None if *fold == Fold::Sum => Ok(0),
                    item => int(item),
                }
            }
            Self::At(parts) => {
                let index = parts.1.eval(env)?;
                int(parts.0.at(env, index)?)
            }
            Self::Characters(text) => {
                let text = text.eval(env)?;
                let chunks = env.bytes(text).utf8_chunks();
                let len: usize =
                    chunks.map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
                i128::try_from(len).ok().ok_or(Trap::Overflow)
            }
            Self::Elements(list) => list.len(env),
            Self::Count(parts) => parts.0.count(env, &parts.1),
            Self::OfFloat(value) => {
                let value = value.eval(env)?;
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the fraction is cut off, large numbers refused"
                )]
                if value.abs() < 2f64.powi(64) { Ok(value as i128) } else { Err(Trap::Conversion) }
            }
            Self::OfText(text) => {
                let text = text.eval(env)?;
                parse(env.bytes(text))
            }
            Self::Choice(choice) => choice.eval(env),
        }
    }
}

impl Node for Float {
    type Value<'r> = f64;

    fn eval<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<f64, Trap> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Column(column) => float(env.scalar(column)),
            Self::Element => float(env.element),
            Self::Math(math, sides) => {
                let (left, right) = (sides.0.eval(env)?, sides.1.eval(env)?);
                Ok(match math {
                    Math::Add => left + right,
                    Math::Subtract => left - right,
                    Math::Multiply => left * right,
                    Math::Divide => left / right,
                    Math::Remainder => left % right,
                    Math::Power => left.powf(right),
                })
            }
            Self::Rounded(rounding, value) => {
                let value = value.eval(env)?;
                Ok(match rounding {
                    Rounding::Abs => value.abs(),
                    Rounding::Ceil => value.ceil(),
                    Rounding::Floor => value.floor(),
                    Rounding::Round => value.round(),
                })
            }
            Self::Fold(fold, values) => {
                let mut result = None;
                for value in values {
                    let value = value.eval(env)?;
                    result = Some(result.map_or(value, |before| fold.floats(before, value)));
                }
                result.ok_or(Trap::Missing)
            }
            Self::FoldList(fold, list) => {
                match list
                    .fold(env, &mut |left, right| Ok(Item::Float(fold.floats(float(left)?, float(right)?))))?
                {
                    Item::None if *fold == Fold::Sum => Ok(0.0),
                    item => float(item),
                }
            }
            Self::At(parts) => {
                let index = parts.1.eval(env)?;
                float(parts.0.at(env, index)?)
            }
            Self::OfInt(value) => Ok(value.eval(env)? as f64),
            Self::OfText(text) => {
                let text = text.eval(env)?;
                parse(env.bytes(text))
            }
            Self::Choice(choice) => choice.eval(env),
        }
    }
}

fn int(item: Item<'_>) -> Result<i128, Trap> {
    match item {
        Item::Int(value) => Ok(value),
        _ => Err(Trap::Missing),
    }
}

pub(super) fn float(item: Item<'_>) -> Result<f64, Trap> {
    match item {
        Item::Float(value) => Ok(value),
        Item::Int(value) => Ok(value as f64),
        _ => Err(Trap::Missing),
    }
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Result<T, Trap> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Trap::Conversion)
}

/// Whole numbers in, a whole number out; division and powers are not among them.
pub(in crate::expression) fn calculate(math: Math, left: i128, right: i128) -> Result<i128, Trap> {
    match math {
        Math::Add => left.checked_add(right).ok_or(Trap::Overflow),
        Math::Subtract => left.checked_sub(right).ok_or(Trap::Overflow),
        Math::Multiply => left.checked_mul(right).ok_or(Trap::Overflow),
        Math::Remainder if right == 0 => Err(Trap::DivisionByZero),
        Math::Remainder => Ok(left.wrapping_rem(right)),
        Math::Divide | Math::Power => Err(Trap::Overflow),
    }
}

impl Fold {
    fn ints(self, left: i128, right: i128) -> Result<i128, Trap> {
        match self {
            Self::Least => Ok(left.min(right)),
            Self::Greatest => Ok(left.max(right)),
            Self::Sum => left.checked_add(right).ok_or(Trap::Overflow),
        }
    }

    fn floats(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Least => left.min(right),
            Self::Greatest => left.max(right),
            Self::Sum => left + right,
        }
    }
}

impl Bits {
    fn apply(self, left: i128, right: i128) -> Result<i128, Trap> {
        let shift = || u32::try_from(right).ok().filter(|shift| *shift < 64).ok_or(Trap::Overflow);
        Ok(match self {
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::AndNot => left & !right,
            Self::Left => left.checked_mul(1 << shift()?).ok_or(Trap::Overflow)?,
            Self::Right => left >> shift()?,
            Self::RightUnsigned => (left & i128::from(u64::MAX)) >> shift()?,
        })
    }
}
