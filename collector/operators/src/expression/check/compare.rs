//! What can be compared with what, and the fastest way to do it.

use super::{Checker, ElementKind, Pair};
use crate::{
    column::Render,
    comparison::Comparison,
    expression::{
        Fault,
        node::{Bool, Float, Int, List, Text, Typed},
    },
};

impl Checker<'_> {
    /// Brings two values to one kind.
    pub(super) fn pair(&self, at: usize, left: Typed, right: Typed, verb: &str) -> Result<Pair, Fault> {
        match (left, right) {
            (Typed::Bool(left), Typed::Bool(right)) => Ok(Pair::Bools(left, right)),
            (Typed::Int(left), Typed::Int(right)) => Ok(Pair::Ints(left, right)),
            (Typed::Text(left), Typed::Text(right)) => Ok(Pair::Texts(left, right)),
            (left @ (Typed::Int(_) | Typed::Float(_)), right @ (Typed::Int(_) | Typed::Float(_))) => {
                match (left.into_float(), right.into_float()) {
                    (Some(left), Some(right)) => Ok(Pair::Floats(left, right)),
                    _ => Err(Fault::new(at, "numbers are needed here")),
                }
            }
            (left, right) => {
                let hint = self.number_behind(&left, &right).or_else(|| self.number_behind(&right, &left));
                let hint = hint.unwrap_or_default();
                Err(Fault::new(at, format!("cannot {verb} {} and {}{hint}", left.kind(), right.kind())))
            }
        }
    }

    /// The field to compare a number with where a formatter made text of it.
    fn number_behind(&self, text: &Typed, number: &Typed) -> Option<String> {
        let (Typed::Text(Text::Column(column)), Typed::Int(_)) = (text, number) else { return None };
        let raw = self.columns.find(&format!("{}_raw", column.name))?;
        matches!(raw.render, Render::Number(_))
            .then(|| format!("; the number of `{}` is `{}`", column.name, raw.name))
    }

    pub(super) fn compare(
        &self,
        at: usize,
        comparison: Comparison,
        left: Typed,
        right: Typed,
    ) -> Result<Bool, Fault> {
        let wanted = match comparison {
            Comparison::Equal => Some(true),
            Comparison::NotEqual => Some(false),
            _ => None,
        };
        let (left, right) = match (left, right, wanted) {
            (Typed::Nil, value, Some(wanted)) | (value, Typed::Nil, Some(wanted)) => {
                let missing = Bool::Missing(Box::new(value));
                return Ok(if wanted { missing } else { Bool::Not(Box::new(missing)) });
            }
            (left, right, _) => (left, right),
        };
        match self.pair(at, left, right, "compare")? {
            Pair::Ints(left, right) => Ok(Bool::Ints(comparison, Box::new((left, right)))),
            Pair::Floats(left, right) => Ok(Bool::Floats(comparison, Box::new((left, right)))),
            Pair::Texts(left, right) => Ok(texts(comparison, wanted, left, right)),
            Pair::Bools(left, right) => match wanted {
                Some(wanted) => Ok(Bool::Bools(wanted, Box::new((left, right)))),
                None => Err(Fault::new(at, "conditions have no order: only `==` and `!=` compare them")),
            },
        }
    }

    pub(super) fn is_in(at: usize, value: Typed, list: Typed) -> Result<Bool, Fault> {
        let list = match (list, &value) {
            (Typed::Nets(nets), _) => {
                return match value {
                    Typed::Text(text) => Ok(Bool::IsInNets(text, nets)),
                    other => Err(Fault::new(
                        at,
                        format!("text of an address is in networks, not {}", other.kind()),
                    )),
                };
            }
            (Typed::List(list), _) => list,
            (Typed::Text(_), Typed::Text(_)) => {
                return Err(Fault::new(at, "`in` looks into arrays; part of a text is `text contains part`"));
            }
            (other, _) => {
                return Err(Fault::new(at, format!("`in` looks into arrays, not into {}", other.kind())));
            }
        };
        let kind = list.element_kind();
        // An empty array is one of any kind.
        if matches!(&list, List::Ints(items) if items.is_empty()) {
            return Ok(Bool::Constant(false));
        }
        match (value, kind) {
            (Typed::Int(value), ElementKind::Int) => Ok(int_in(value, list)),
            (Typed::Int(value), ElementKind::Float) => {
                Ok(Bool::FloatIsIn(Box::new((Float::OfInt(Box::new(value)), list))))
            }
            (Typed::Float(value), ElementKind::Int | ElementKind::Float) => {
                Ok(Bool::FloatIsIn(Box::new((value, list))))
            }
            (Typed::Text(value), ElementKind::Text) => Ok(text_in(value, list)),
            (other, kind) => {
                let elements = if kind == ElementKind::Text { "texts" } else { "numbers" };
                Err(Fault::new(at, format!("{} cannot be in an array of {elements}", other.kind())))
            }
        }
    }
}

fn texts(comparison: Comparison, wanted: Option<bool>, left: Text, right: Text) -> Bool {
    match (left, right, wanted) {
        (Text::Field(range), Text::Constant(text), Some(wanted))
        | (Text::Constant(text), Text::Field(range), Some(wanted))
            if !text.contains(&0) =>
        {
            Bool::FieldIs { range, text, wanted }
        }
        (left, right, _) => Bool::Texts(comparison, Box::new((left, right))),
    }
}

fn int_in(value: Int, list: List) -> Bool {
    match list {
        List::Range(ends) => {
            let (start, end) = *ends;
            Bool::IsBetween(Box::new((value, start, end)))
        }
        List::Ints(items) => {
            let constants = items.iter().map(|item| match item {
                Int::Constant(value) => Some(*value),
                _ => None,
            });
            match constants.collect::<Option<Vec<_>>>() {
                Some(mut constants) => {
                    constants.sort_unstable();
                    Bool::IsOneOfInts(value, constants.into())
                }
                None => Bool::IntIsIn(Box::new((value, List::Ints(items)))),
            }
        }
        list => Bool::IntIsIn(Box::new((value, list))),
    }
}

fn text_in(value: Text, list: List) -> Bool {
    if let List::Texts(items) = &list {
        let constants = items.iter().map(|item| match item {
            Text::Constant(text) => Some(text.clone()),
            _ => None,
        });
        if let Some(constants) = constants.collect() {
            return Bool::IsOneOfTexts(value, constants);
        }
    }
    Bool::TextIsIn(Box::new((value, list)))
}
