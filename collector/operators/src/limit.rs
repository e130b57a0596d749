//! `limit`: keeps the first records of each batch.
//!
//! # Source
//! Inspektor Gadget, operator `limiter`, parameter `max-entries`: a number for all data sources, or `name:number` for
//! some. There, naming some empties the other ones; here they have no limit.

use thiserror::Error;

use crate::batch::Batch;

/// Most records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many are kept.
    pub most: usize,
}

/// A limit that is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{text}` is no limit; expected a whole number, or -1 for none")]
pub struct LimitError {
    /// What was written.
    pub text: String,
}

impl Limit {
    /// Reads the limit of one data source; `None` for -1.
    ///
    /// # Errors
    /// It is no whole number from -1 on.
    pub fn plan(text: &str) -> Result<Option<Self>, LimitError> {
        match text.trim() {
            "-1" => Ok(None),
            number if !number.starts_with('+') => match number.parse() {
                Ok(most) => Ok(Some(Self { most })),
                Err(_) => Err(LimitError { text: text.to_owned() }),
            },
            _ => Err(LimitError { text: text.to_owned() }),
        }
    }

    /// Cuts a batch.
    pub fn limit(self, batch: &mut Batch) {
        batch.truncate(self.most);
    }
}
