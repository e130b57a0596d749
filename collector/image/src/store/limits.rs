//! How much a store takes on before it refuses: the bounds on content that others wrote.

/// Bounds on what is stored, walked and imported. The defaults are far above any real gadget.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of an index or manifest.
    pub document: u64,
    /// The most bytes of any other blob.
    pub blob: u64,
    /// The most bytes one import may bring.
    pub total: u64,
    /// The most files an archive may have, and the most blobs one walk through the store may visit.
    pub count: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document: 4 << 20, blob: 512 << 20, total: 8 << 30, count: 20_000 }
    }
}
