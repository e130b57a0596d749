//! `sort`: puts the records of each batch in order.
//!
//! # Shape
//! Fields joined by commas, the first one most significant; `-field` is descending. Numbers compare by value, text
//! bytewise. Records that compare equal keep their order, and a number that is none (NaN) comes last.
//! # Source
//! Inspektor Gadget, operator `sort`.

use std::{cmp::Ordering, ops::Range};

use ig_datasource::Number;
use thiserror::Error;

use crate::{
    batch::Batch,
    column::{Column, Columns, Value, ValueKind, ValueScratch},
};

/// A planned order.
#[derive(Clone, Debug)]
pub struct Sort {
    keys: Vec<SortKey>,
}

#[derive(Clone, Debug)]
struct SortKey {
    column: Column,
    descending: bool,
}

/// An order that cannot be planned.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("sort key `{key}`: {reason}")]
pub struct SortError {
    /// The key as written.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Working memory of [`Sort::sort`], reused from batch to batch.
#[derive(Debug, Default)]
pub struct SortScratch {
    value: ValueScratch,
    text: Vec<u8>,
    keys: Vec<Key>,
    positions: Vec<usize>,
}

/// The value of a sort key in one record.
#[derive(Clone, Debug)]
enum Key {
    /// The record is too short to have one.
    None,
    Number(Number),
    /// Bytes of the scratch's text.
    Text(Range<usize>),
}

impl Sort {
    /// Parses `field,-field` against the columns of a data source; `None` if it names none.
    ///
    /// # Errors
    /// A field that does not exist, is named twice, or has no order.
    pub fn plan(text: &str, columns: &Columns) -> Result<Option<Self>, SortError> {
        let mut keys: Vec<SortKey> = Vec::new();
        for written in text.split(',').map(str::trim).filter(|key| !key.is_empty()) {
            let error = |reason| SortError { key: written.to_owned(), reason };
            let (name, descending) = match written.strip_prefix('-') {
                Some(name) => (name, true),
                None => (written, false),
            };
            let column = columns.find(name).ok_or_else(|| error(columns.unknown(name)))?;
            if matches!(column.value_kind(), ValueKind::Members | ValueKind::Bytes | ValueKind::Array(_)) {
                return Err(error("only numbers and text have an order".to_owned()));
            }
            if keys.iter().any(|known| known.column.name == column.name) {
                return Err(error("it is named twice".to_owned()));
            }
            keys.push(SortKey { column: column.clone(), descending });
        }
        Ok((!keys.is_empty()).then_some(Self { keys }))
    }

    /// Puts a batch in order.
    pub fn sort(&self, batch: &mut Batch, scratch: &mut SortScratch) {
        let SortScratch { value, text, keys, positions } = scratch;
        text.clear();
        keys.clear();
        for record in batch.iter() {
            for key in &self.keys {
                keys.push(match key.column.value(record, value) {
                    Value::Bool(truth) => Key::Number(Number::Unsigned(truth.into())),
                    Value::Unsigned(number) => Key::Number(Number::Unsigned(number)),
                    Value::Signed(number) => Key::Number(Number::Signed(number)),
                    Value::Float(number) => Key::Number(Number::Float(number)),
                    Value::Text(bytes) => {
                        let start = text.len();
                        text.extend_from_slice(bytes);
                        Key::Text(start..text.len())
                    }
                    Value::None | Value::Bytes(_) | Value::Array(_) => Key::None,
                });
            }
        }
        positions.clear();
        positions.extend(0..batch.len());
        let width = self.keys.len();
        let of = |position: usize| keys.get(position * width..(position + 1) * width).unwrap_or_default();
        positions.sort_by(|left, right| {
            let pairs = of(*left).iter().zip(of(*right));
            let orders = pairs.zip(&self.keys).map(|((left, right), key)| {
                let order = compare(left, right, text);
                if key.descending { order.reverse() } else { order }
            });
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        batch.arrange(positions);
    }
}

fn compare(left: &Key, right: &Key, text: &[u8]) -> Ordering {
    match (left, right) {
        (Key::Number(left), Key::Number(right)) => compare_numbers(*left, *right),
        (Key::Text(left), Key::Text(right)) => text.get(left.clone()).cmp(&text.get(right.clone())),
        (Key::None, Key::None) => Ordering::Equal,
        // One column has one kind of value, so numbers and text never meet.
        (Key::None, _) | (Key::Number(_), Key::Text(_)) => Ordering::Less,
        (_, Key::None) | (Key::Text(_), Key::Number(_)) => Ordering::Greater,
    }
}

fn compare_numbers(left: Number, right: Number) -> Ordering {
    match (left, right) {
        (Number::Unsigned(left), Number::Unsigned(right)) => left.cmp(&right),
        (Number::Signed(left), Number::Signed(right)) => left.cmp(&right),
        (left, right) => {
            let (left, right) = (left.as_f64(), right.as_f64());
            left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
        }
    }
}
