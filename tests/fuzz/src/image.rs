//! The store's own formats: archives of images, and an `index.json` of which only a part is left.

use std::hint::black_box;

use ig_image::Digest;
use ig_image::archive::check;
use ig_image::store::{Limits, salvage};
use ig_model::Hint as _;

/// An archive that is about to be imported: its headers and the files that each layout has.
pub(crate) fn archive(bytes: &[u8]) {
    if let Err(error) = check(bytes, &Limits::default()) {
        black_box((error.to_string(), error.kind(), error.hint()));
    }
}

/// A torn index; every entry that can be saved has a digest.
pub(crate) fn index(bytes: &[u8]) {
    for entry in salvage(bytes) {
        assert!(entry.digest.parse::<Digest>().is_ok(), "an entry without a digest names nothing");
    }
}
