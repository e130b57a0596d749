//! The reference project's `kind: instance-spec` manifests, read as they are.
//!
//! They are read the way the reference reads them: any single value is taken as it is spelled, keys it does not know
//! are ignored (here with a warning), and `${...}` is plain text.

use super::{
    Gadget, InstanceSpec,
    decode::literals,
    rules::{IMAGE, PARAM, is_name},
};
use crate::{
    table::{
        Key, Kind, Object, TextRule,
        check::{Checker, is_empty},
        fields::Fields,
    },
    yaml::{Node, Scalar},
};

static ID: TextRule = TextRule {
    expected: "32 hexadecimal digits in lower case",
    pattern: Some("^[a-f0-9]{32}$"),
    check: |text| {
        let digit = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
        if text.len() == 32 && text.chars().all(digit) { Ok(()) } else { Err(String::new()) }
    },
};

static NAME: TextRule = TextRule {
    expected: "at most 32 lower-case letters, digits, `-` and `_`",
    pattern: Some("^[a-z0-9-_]{1,32}$"),
    check: |text| {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if text.len() <= 32 && text.chars().all(legal) { Ok(()) } else { Err(String::new()) }
    },
};

static TAG: TextRule = TextRule {
    expected: "a tag without commas",
    pattern: Some("^[^,]*$"),
    check: |text| if text.contains(',') { Err("make it two tags".to_owned()) } else { Ok(()) },
};

static NODE: TextRule = TextRule { expected: "the name of a node", pattern: None, check: |_| Ok(()) };

pub(super) static MANIFEST: Object = Object {
    name: "instance-spec",
    doc: "A gadget instance in the reference project's form. Unknown keys are ignored with a warning.",
    one_of: false,
    keys: &[
        Key::required("apiVersion", Kind::Whole { min: 1, max: 1 }, "Version of this format; always 1."),
        Key::required("kind", Kind::Word(|| vec!["instance-spec"], &[]), "What this document is."),
        Key::required("image", Kind::Spelled(&IMAGE), "The image of the gadget."),
        Key::new("id", Kind::Spelled(&ID), "The instance's id."),
        Key::new("name", Kind::Spelled(&NAME), "Its name; left out, it is made of the image's."),
        Key::new("tags", Kind::List(&Kind::Spelled(&TAG)), "Labels for listing."),
        Key::new(
            "nodes",
            Kind::List(&Kind::Spelled(&NODE)),
            "The Kubernetes nodes it is for; none means all.",
        ),
        Key::new(
            "paramValues",
            Kind::Map { keys: &PARAM, values: &Kind::Spelled(&NODE) },
            "Parameters by fully qualified name.",
        ),
    ],
};

/// Reads a manifest. A manifest without a name gets an empty one; [`derive_name`] finds it a good one once all names
/// are known.
pub(super) fn gadget(checker: &mut Checker<'_>, root: &Node) -> Option<Gadget> {
    checker.object(root, &MANIFEST, "");
    let fields = Fields::new(Some(root), &MANIFEST, checker.source);
    let spelled = |key: &str| fields.node(key).and_then(Node::as_scalar).filter(|scalar| !is_empty(scalar));
    let text = |key: &str| spelled(key).map(|scalar: &Scalar| scalar.text.clone());
    let list = |key: &str| fields.list(key).iter().filter_map(Node::as_scalar).filter(|s| !is_empty(s));
    let list = |key: &str| list(key).map(|scalar| scalar.text.clone()).collect();
    let image = text("image");
    if let (None, Some(node)) = (&image, fields.node("image").filter(|node| node.as_scalar().is_some())) {
        let fault = checker.source.fault(node.span, "image", "the image is empty");
        checker.push(fault.expected(IMAGE.expected));
    }
    let mut params = literals(fields.entries("paramValues"));
    for entry in fields.entries("paramValues").iter().filter(|entry| entry.value.is_null()) {
        params.insert(entry.key.clone(), String::new());
    }
    Some(Gadget {
        name: text("name").unwrap_or_default(),
        image: image?,
        params,
        manifest: Some(InstanceSpec { id: text("id"), tags: list("tags"), nodes: list("nodes") }),
        at: checker.source.position(root.span).into(),
        ..Gadget::default()
    })
}

/// A name for a gadget of `image` that `taken` does not know: the last part of the image's name, numbered from the
/// second on.
pub(super) fn derive_name(image: &str, taken: impl Fn(&str) -> bool) -> String {
    let short = image.split('@').next().unwrap_or_default();
    let short = short.rsplit('/').next().unwrap_or_default();
    let short = short.split(':').next().unwrap_or_default();
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let short: String = short.chars().map(legal).take(50).collect();
    let short = if is_name(&short) { short } else { "gadget".to_owned() };
    let mut names = std::iter::once(short.clone()).chain((2_u32..).map(|number| format!("{short}-{number}")));
    names.find(|name| !taken(name)).unwrap_or(short)
}
