//! The label text of rows: rendered when a key is new, found again so that no two rows show the same.
//!
//! # Invariants
//! - The index holds every row but the overflow row, by the shown part of its text, and no alias.
//! - No two rows have the same shown text.

use std::sync::Arc;

use crate::arena::{Arena, Span};
use crate::hash::hash;
use crate::index::Index;
use crate::labels::LabelPlan;
use crate::spec::Labeler;
use crate::store::meta::Meta;
use crate::store::records::Records;

/// The label text of one table.
pub(super) struct Texts {
    pub(super) plan: Arc<LabelPlan>,
    pub(super) labeler: Box<dyn Labeler>,
    arena: Arena,
    index: Index,
    scratch_text: Vec<u8>,
    scratch_values: Vec<String>,
}

impl Texts {
    pub(super) fn new(plan: Arc<LabelPlan>, labeler: Box<dyn Labeler>) -> Self {
        Self {
            plan,
            labeler,
            arena: Arena::default(),
            index: Index::new(),
            scratch_text: Vec::new(),
            scratch_values: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.arena.capacity() + self.index.bytes()
    }

    /// The text of `key`; give it back with [`Self::put_away`].
    pub(super) fn render(&mut self, key: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.scratch_text);
        text.clear();
        self.plan.render(&*self.labeler, key, &mut self.scratch_values, &mut text);
        text
    }

    /// Takes back the memory of a text.
    pub(super) fn put_away(&mut self, text: Vec<u8>) {
        self.scratch_text = text;
    }

    #[inline]
    pub(super) fn get(&self, span: Span) -> &[u8] {
        self.arena.get(span)
    }

    /// Whether both show the same.
    pub(super) fn shows(&self, span: Span, text: &[u8]) -> bool {
        self.plan.shown(self.get(span)) == self.plan.shown(text)
    }

    /// What the index knows a text by.
    pub(super) fn tag(&self, text: &[u8]) -> u32 {
        Index::tag(hash(self.plan.shown(text)))
    }

    /// The row that shows `text`.
    pub(super) fn find(&self, tag: u32, text: &[u8], records: &Records) -> Option<u32> {
        self.index.find(tag, |place| self.shows(records.meta(place).text, text))
    }

    /// Keeps a text that [`Self::find`] does not know; `None` if there is no room.
    pub(super) fn insert(&mut self, tag: u32, text: &[u8], place: u32) -> Option<Span> {
        let span = self.arena.push(text)?;
        self.index.insert(tag, place);
        Some(span)
    }

    /// Forgets the text of a row; [`Self::compact`] may follow.
    pub(super) fn remove(&mut self, span: Span, place: u32) {
        let tag = self.tag(self.arena.get(span));
        self.index.remove(tag, place);
        self.arena.release(span);
    }

    /// Moves texts together if much of the room is garbage; `meta` is that of every record.
    pub(super) fn compact(&mut self, meta: &mut [Meta]) {
        if self.arena.wants_compaction() {
            self.arena.compact(meta.iter_mut().map(|meta| &mut meta.text));
        }
    }
}
