//! Parts of images that others made: the layer of kernel types, and gadget.yaml held against an object.

use std::hint::black_box;
use std::sync::LazyLock;

use ig_authoring::gadget_yaml::{self, Companion};
use ig_image::btfgen::{Kernel, select};
use ig_loader::Object;
use ig_model::Hint as _;

/// A gadget.
const GADGET: &[u8] = include_bytes!("../corpus/object/gadget.o");

/// A layer of kernel types, compressed or not.
pub(crate) fn btf_layer(bytes: &[u8]) {
    let kernel = Kernel::new("ID=debian\nVERSION_ID=\"12\"\n", "x86_64", "6.1.0");
    if let Err(error) = select(bytes, &kernel) {
        black_box((error.to_string(), error.hint()));
    }
    let text = String::from_utf8_lossy(bytes);
    black_box(Kernel::new(&text, &text, &text).file());
}

/// A gadget.yaml as its author writes it: judged, and completed without a loss.
pub(crate) fn gadget_yaml(bytes: &[u8]) {
    static OBJECT: LazyLock<Option<Object>> = LazyLock::new(|| Object::parse("gadget", GADGET).ok());
    let (Some(object), Ok(text)) = (OBJECT.as_ref(), std::str::from_utf8(bytes)) else { return };
    let review = gadget_yaml::validate(Some(object), Companion::None, "gadget.yaml", text);
    for fault in review.errors.iter().chain(&review.warnings) {
        black_box((fault.to_string(), fault.long()));
    }
    if let Ok(done) = gadget_yaml::update(object, Some(text)) {
        assert_eq!(
            gadget_yaml::update(object, Some(&done)).ok().as_ref(),
            Some(&done),
            "a second update changes nothing"
        );
    }
}
