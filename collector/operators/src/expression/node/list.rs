//! Arrays and ranges: looked at element by element, never copied.

use super::{Bool, Float, Int, Text, holds};
use crate::{
    column::Column,
    expression::env::{Env, Item, Node as _, Trap},
};

/// Gives elements of one kind.
#[derive(Debug)]
pub(in crate::expression) enum List {
    Column(Box<Column>),
    /// Both ends belong to it.
    Range(Box<(Int, Int)>),
    Ints(Vec<Int>),
    Floats(Vec<Float>),
    Texts(Vec<Text>),
}

/// What is done with each element, until it gives false.
type Look<'l, 'r> = dyn FnMut(&mut Env<'r, '_>, Item<'r>) -> Result<bool, Trap> + 'l;

impl List {
    fn each<'r>(&'r self, env: &mut Env<'r, '_>, look: &mut Look<'_, 'r>) -> Result<(), Trap> {
        match self {
            Self::Column(column) => env.each_of(column, &mut |env, item| look(env, item)),
            Self::Range(ends) => {
                let (start, end) = (ends.0.eval(env)?, ends.1.eval(env)?);
                each(start..=end, env, look, |_env, value| Ok(Item::Int(value)))
            }
            Self::Ints(nodes) => each(nodes, env, look, |env, node| node.eval(env).map(Item::Int)),
            Self::Floats(nodes) => each(nodes, env, look, |env, node| node.eval(env).map(Item::Float)),
            Self::Texts(nodes) => each(nodes, env, look, |env, node| node.eval(env).map(Item::Text)),
        }
    }

    /// Whether `is_it` says yes to an element.
    pub(super) fn any<'r>(&'r self, env: &mut Env<'r, '_>, is_it: &mut Look<'_, 'r>) -> Result<bool, Trap> {
        let mut found = false;
        self.each(env, &mut |env, item| {
            found = is_it(env, item)?;
            Ok(!found)
        })?;
        Ok(found)
    }

    /// How many elements fulfil `condition`.
    pub(super) fn count<'r>(&'r self, env: &mut Env<'r, '_>, condition: &'r Bool) -> Result<i128, Trap> {
        let mut count = 0;
        self.each(env, &mut |env, item| {
            count += i128::from(holds(condition, env, item)?);
            Ok(true)
        })?;
        Ok(count)
    }

    /// Number of elements.
    pub(super) fn len<'r>(&'r self, env: &mut Env<'r, '_>) -> Result<i128, Trap> {
        let len = match self {
            Self::Range(ends) => {
                let (start, end) = (ends.0.eval(env)?, ends.1.eval(env)?);
                return Ok(end.saturating_sub(start).saturating_add(1).max(0));
            }
            Self::Ints(nodes) => nodes.len(),
            Self::Floats(nodes) => nodes.len(),
            Self::Texts(nodes) => nodes.len(),
            Self::Column(_) => {
                let mut len = 0;
                self.each(env, &mut |_env, _item| {
                    len += 1;
                    Ok(true)
                })?;
                return Ok(len);
            }
        };
        Ok(i128::try_from(len).unwrap_or(i128::MAX))
    }

    /// The element at `index`; a negative one counts from the end.
    pub(super) fn at<'r>(&'r self, env: &mut Env<'r, '_>, index: i128) -> Result<Item<'r>, Trap> {
        let mut left = if index < 0 { index.saturating_add(self.len(env)?) } else { index };
        if left < 0 {
            return Err(Trap::Missing);
        }
        let mut found = Item::None;
        self.each(env, &mut |_env, item| {
            if left == 0 {
                found = item;
            }
            left -= 1;
            Ok(left >= 0)
        })?;
        Ok(found)
    }

    /// All elements brought together, two at a time.
    pub(super) fn fold<'r>(
        &'r self,
        env: &mut Env<'r, '_>,
        join: &mut dyn FnMut(Item<'r>, Item<'r>) -> Result<Item<'r>, Trap>,
    ) -> Result<Item<'r>, Trap> {
        let mut result = Item::None;
        self.each(env, &mut |_env, item| {
            result = match result {
                Item::None => item,
                before => join(before, item)?,
            };
            Ok(true)
        })?;
        Ok(result)
    }
}

fn each<'r, T>(
    values: impl IntoIterator<Item = T>,
    env: &mut Env<'r, '_>,
    look: &mut Look<'_, 'r>,
    item: impl Fn(&mut Env<'r, '_>, T) -> Result<Item<'r>, Trap>,
) -> Result<(), Trap> {
    for value in values {
        let item = item(env, value)?;
        if !env.step(item, &mut |env, item| look(env, item))? {
            break;
        }
    }
    Ok(())
}
