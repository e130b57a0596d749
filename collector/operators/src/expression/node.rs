//! The checked expression: every part has one kind of value, known before the first record.

mod list;
mod number;
mod text;

use std::{collections::BTreeSet, ops::Range};

pub(super) use list::List;
pub(super) use number::{Bits, Float, Fold, Int, Rounding, calculate};
use regex::bytes::Regex;
pub(super) use text::Text;

use super::{
    ast::Part,
    env::{Env, Item, Node, Trap},
    net::Net,
};
use crate::{column::Column, comparison::Comparison};

/// A checked part of any kind.
#[derive(Debug)]
pub(super) enum Typed {
    Nil,
    Bool(Bool),
    Int(Int),
    Float(Float),
    Text(Text),
    List(List),
    Nets(Vec<Net>),
}

/// Gives true or false.
#[derive(Debug)]
pub(super) enum Bool {
    Constant(bool),
    Column(Box<Column>),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Ints(Comparison, Box<(Int, Int)>),
    Floats(Comparison, Box<(Float, Float)>),
    Texts(Comparison, Box<(Text, Text)>),
    Bools(bool, Box<(Self, Self)>),
    /// Text of the record that is, or is not, `text`, which has no NUL.
    FieldIs {
        range: Range<usize>,
        text: Box<[u8]>,
        wanted: bool,
    },
    Matches(Text, Box<Regex>),
    Part(Part, Box<(Text, Text)>),
    IsOneOfInts(Int, Box<[i128]>),
    IsOneOfTexts(Text, BTreeSet<Box<[u8]>>),
    IsBetween(Box<(Int, Int, Int)>),
    IntIsIn(Box<(Int, List)>),
    FloatIsIn(Box<(Float, List)>),
    TextIsIn(Box<(Text, List)>),
    IsInNets(Text, Vec<Net>),
    /// Whether as many elements as `wanted` says fulfil the condition.
    Elements(Wanted, Box<(List, Self)>),
    Missing(Box<Typed>),
    Choice(Box<Choice<Self>>),
}

/// How many elements must fulfil a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Any,
    None,
    One,
}

/// One of two values.
#[derive(Debug)]
pub(super) enum Choice<T> {
    /// `a ? b : c`
    If(Bool, T, T),
    /// `a ?? b`
    Default(T, T),
}

impl<T: Node> Choice<T> {
    fn eval<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<T::Value<'r>, Trap> {
        match self {
            Self::If(condition, first, second) => {
                if condition.eval(env)? {
                    first.eval(env)
                } else {
                    second.eval(env)
                }
            }
            Self::Default(first, second) => match first.eval(env) {
                Err(Trap::Missing) => second.eval(env),
                other => other,
            },
        }
    }
}

impl Node for Bool {
    type Value<'r> = bool;

    fn eval<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<bool, Trap> {
        Ok(match self {
            Self::Constant(value) => *value,
            Self::Column(column) => truth(env.scalar(column))?,
            Self::Not(condition) => !condition.eval(env)?,
            Self::All(conditions) => {
                for condition in conditions {
                    if !condition.eval(env)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(conditions) => {
                for condition in conditions {
                    if condition.eval(env)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Ints(comparison, sides) => comparison.accepts(sides.0.eval(env)?.cmp(&sides.1.eval(env)?)),
            Self::Floats(comparison, sides) => {
                let order = sides.0.eval(env)?.partial_cmp(&sides.1.eval(env)?);
                order.map_or(*comparison == Comparison::NotEqual, |order| comparison.accepts(order))
            }
            Self::Texts(comparison, sides) => {
                let (left, right) = (sides.0.eval(env)?, sides.1.eval(env)?);
                comparison.accepts(env.bytes(left).cmp(env.bytes(right)))
            }
            Self::Bools(wanted, sides) => (sides.0.eval(env)? == sides.1.eval(env)?) == *wanted,
            Self::FieldIs { range, text, wanted } => {
                let field = text::field(env.record, range);
                let is_equal = field
                    .strip_prefix(&**text)
                    .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0));
                is_equal == *wanted
            }
            Self::Matches(text, pattern) => {
                let text = text.eval(env)?;
                pattern.is_match(env.bytes(text))
            }
            Self::Part(part, sides) => {
                let (text, wanted) = (sides.0.eval(env)?, sides.1.eval(env)?);
                part.accepts(env.bytes(text), env.bytes(wanted))
            }
            Self::IsOneOfInts(value, set) => set.binary_search(&value.eval(env)?).is_ok(),
            Self::IsOneOfTexts(text, set) => {
                let text = text.eval(env)?;
                set.contains(env.bytes(text))
            }
            Self::IsBetween(parts) => {
                let value = parts.0.eval(env)?;
                (parts.1.eval(env)?..=parts.2.eval(env)?).contains(&value)
            }
            Self::IntIsIn(parts) => {
                let value = parts.0.eval(env)?;
                parts.1.any(env, &mut |_env, item| {
                    Ok(match item {
                        Item::Int(item) => item == value,
                        Item::Float(item) => is_same(item, value as f64),
                        _ => false,
                    })
                })?
            }
            Self::FloatIsIn(parts) => {
                let value = parts.0.eval(env)?;
                parts.1.any(env, &mut |_env, item| Ok(is_same(number::float(item)?, value)))?
            }
            Self::TextIsIn(parts) => {
                let value = parts.0.eval(env)?;
                parts.1.any(env, &mut |env, item| {
                    Ok(matches!(item, Item::Text(item) if env.bytes(item) == env.bytes(value)))
                })?
            }
            Self::IsInNets(text, nets) => {
                let text = text.eval(env)?;
                let address = Net::address(env.bytes(text));
                address.is_some_and(|address| nets.iter().any(|net| net.contains(address)))
            }
            Self::Elements(wanted, parts) => {
                let (list, condition) = &**parts;
                match wanted {
                    Wanted::Any => list.any(env, &mut |env, item| holds(condition, env, item))?,
                    Wanted::None => !list.any(env, &mut |env, item| holds(condition, env, item))?,
                    Wanted::All => !list.any(env, &mut |env, item| Ok(!holds(condition, env, item)?))?,
                    Wanted::One => list.count(env, condition)? == 1,
                }
            }
            Self::Missing(value) => value.is_missing(env)?,
            Self::Choice(choice) => choice.eval(env)?,
        })
    }
}

/// Whether `condition` holds where `item` is `#`.
fn holds<'r>(condition: &'r Bool, env: &mut Env<'r, '_>, item: Item<'r>) -> Result<bool, Trap> {
    let outer = std::mem::replace(&mut env.element, item);
    let held = condition.eval(env);
    env.element = outer;
    held
}

fn is_same(left: f64, right: f64) -> bool {
    left.partial_cmp(&right).is_some_and(std::cmp::Ordering::is_eq)
}

fn truth(item: Item<'_>) -> Result<bool, Trap> {
    match item {
        Item::Bool(value) => Ok(value),
        _ => Err(Trap::Missing),
    }
}

impl Typed {
    fn is_missing<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<bool, Trap> {
        let outcome = match self {
            Self::Nil => return Ok(true),
            Self::Bool(node) => node.eval(env).map(|_| ()),
            Self::Int(node) => node.eval(env).map(|_| ()),
            Self::Float(node) => node.eval(env).map(|_| ()),
            Self::Text(node) => node.eval(env).map(|_| ()),
            Self::List(_) | Self::Nets(_) => return Ok(false),
        };
        match outcome {
            Ok(()) => Ok(false),
            Err(Trap::Missing) => Ok(true),
            Err(trap) => Err(trap),
        }
    }
}
