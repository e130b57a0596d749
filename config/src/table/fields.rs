//! Typed access to a mapping that was checked against its table.
//!
//! A value that did not pass the check reads as if it were not written, so that one mistake gives one fault; what is
//! not written reads as the default that the table states.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{Key, Kind, Object, Status, Word};
use crate::{
    Source, value,
    yaml::{Entry, Node, Scalar, ScalarKind},
};

/// The values of a mapping, by key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'n> {
    /// `None` reads as a mapping in which nothing is written.
    pub(crate) node: Option<&'n Node>,
    object: &'static Object,
    source: &'n Source,
}

impl<'n> Fields<'n> {
    pub(crate) fn new(node: Option<&'n Node>, object: &'static Object, source: &'n Source) -> Self {
        Self { node, object, source }
    }

    /// What is written under `key`.
    pub(crate) fn node(&self, key: &str) -> Option<&'n Node> {
        debug_assert!(self.key(key).is_some(), "`{key}` is not in the table of {}", self.object.name);
        self.node?.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        match self.key(key)?.kind {
            Kind::Text(rule) => {
                self.scalar(key, |scalar| (rule.check)(&scalar.text).ok().map(|()| scalar.text.clone()))
            }
            _ => self.scalar(key, |scalar| Some(scalar.text.clone())),
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> bool {
        let written = self.scalar(key, |scalar| match scalar.kind {
            ScalarKind::Bool(truth) => Some(truth),
            _ => None,
        });
        written.unwrap_or_else(|| self.default(key) == Some("true"))
    }

    pub(crate) fn whole(&self, key: &str) -> Option<usize> {
        let written = self.scalar(key, |scalar| match scalar.kind {
            ScalarKind::Int(number) => usize::try_from(number).ok(),
            _ => None,
        });
        written.or_else(|| self.default(key)?.parse().ok())
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.node(key).and_then(number)
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        self.scalar(key, |scalar| value::duration(&scalar.text).ok())
            .or_else(|| value::duration(self.default(key)?).ok())
    }

    pub(crate) fn size(&self, key: &str) -> Option<u64> {
        self.scalar(key, |scalar| value::size(&scalar.text).ok())
            .or_else(|| value::size(self.default(key)?).ok())
    }

    pub(crate) fn address(&self, key: &str) -> Option<SocketAddr> {
        self.scalar(key, |scalar| value::address(&scalar.text).ok())
            .or_else(|| value::address(self.default(key)?).ok())
    }

    /// A path; a relative one is taken from the directory of the document.
    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        Some(crate::substitute::beside(self.source.file(), &text))
    }

    pub(crate) fn word<W: Word>(&self, key: &str) -> Option<W> {
        self.scalar(key, |scalar| W::from_word(&scalar.text)).or_else(|| W::from_word(self.default(key)?))
    }

    /// The mapping under `key`, or one in which nothing is written.
    pub(crate) fn object(&self, key: &str) -> Fields<'n> {
        let object = match self.key(key).map(|key| &key.kind) {
            Some(Kind::Object(object) | Kind::Either(object, _)) => object,
            _ => self.object,
        };
        Fields { node: self.node(key), object, source: self.source }
    }

    /// The items of the list under `key`.
    pub(crate) fn list(&self, key: &str) -> &'n [Node] {
        self.node(key).and_then(Node::as_sequence).unwrap_or_default()
    }

    /// The texts in the list under `key`.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Node::as_scalar).map(|scalar| scalar.text.clone()).collect()
    }

    /// The entries of the mapping under `key`.
    pub(crate) fn entries(&self, key: &str) -> &'n [Entry] {
        self.node(key).and_then(Node::as_mapping).unwrap_or_default()
    }

    fn key(&self, key: &str) -> Option<&'static Key> {
        self.object.key(key).filter(|key| key.status == Status::Supported)
    }

    fn default(&self, key: &str) -> Option<&'static str> {
        self.key(key)?.default
    }

    fn scalar<T>(&self, key: &str, read: impl FnOnce(&Scalar) -> Option<T>) -> Option<T> {
        read(self.node(key)?.as_scalar()?)
    }
}

/// The finite number that `node` is.
pub(crate) fn number(node: &Node) -> Option<f64> {
    match node.as_scalar()?.kind {
        ScalarKind::Int(number) => Some(number as f64),
        ScalarKind::Float(number) if number.is_finite() => Some(number),
        _ => None,
    }
}
