//! Text of a row: escaping what would garble a terminal, numbers, and cutting to a width in cells.

pub(crate) mod escape;
pub(crate) mod fit;
pub(crate) mod number;

pub(crate) use escape::quote;
pub(crate) use fit::{Ellipsis, fit, width};
