//! One `kind: runtime-config` document as values.
//!
//! The table finds what is wrong with single values; what is left for here are the rules between values. A value
//! that the table refused reads as not written, so that one mistake gives one fault.

mod exporters;
mod gadgets;

pub(super) use exporters::literals;
pub(super) use gadgets::gadget;

use super::{Exporters, ImageLimits, Images, Limits, Log, Pull, tables};
use crate::{
    Source,
    policy::{self, ImagePolicy},
    source::looks_secret,
    table::{check::Checker, fields::Fields},
    yaml::{Entry, Node, Value},
};

/// What one document says; a section is `None` where the document is silent on it.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) exporters: Option<Exporters>,
    pub(super) images: Option<Images>,
    pub(super) limits: Option<Limits>,
    pub(super) log: Option<Log>,
}

/// Reads everything but the gadgets.
pub(super) fn sections(checker: &mut Checker<'_>, root: &Node) -> Sections {
    let fields = Fields::new(Some(root), &tables::DOCUMENT, checker.source);
    Sections {
        exporters: fields.has("exporters").then(|| exporters::exporters(checker, fields.object("exporters"))),
        images: fields.has("images").then(|| images(checker, fields.object("images"))),
        limits: fields.has("limits").then(|| limits(fields.object("limits"))),
        log: fields.has("log").then(|| log(fields.object("log"))),
    }
}

fn images(checker: &mut Checker<'_>, fields: Fields<'_>) -> Images {
    let source = checker.source;
    let mirrors = fields.entries("mirrors").iter().map(|entry| {
        let items = entry.value.as_sequence().unwrap_or_default();
        let texts = items.iter().filter_map(Node::as_scalar).map(|scalar| scalar.text.clone());
        (entry.key.clone(), texts.collect())
    });
    let images = Images {
        pull: fields.word("pull").unwrap_or_default(),
        refresh_interval: fields.duration("refresh-interval"),
        store: fields.path("store"),
        authfile: fields.path("authfile"),
        limits: {
            let limits = fields.object("limits");
            let defaults = ImageLimits::default();
            ImageLimits {
                manifest: limits.size("manifest").unwrap_or(defaults.manifest),
                layer: limits.size("layer").unwrap_or(defaults.layer),
            }
        },
        mirrors: mirrors.collect(),
        policy: fields.node.map(|node| policy(source, node)).unwrap_or_default(),
        at: fields.node.map(|node| source.position(node.span)).unwrap_or_default().into(),
    };
    if let Some(node) = fields.node("refresh-interval")
        && images.pull != Pull::Always
    {
        let fault = source.fault(
            node.span,
            "images.refresh-interval",
            "tags are looked up again only with `pull: always`",
        );
        checker.push(fault.hint("write `pull: always`, or leave out `refresh-interval`"));
    }
    images
}

/// What the section says of trust, in the shape of a policy document.
fn policy(source: &Source, images: &Node) -> ImagePolicy {
    let read = policy::Reader { source };
    let verify = images.get("verify");
    let notation = verify.and_then(|verify| verify.get("notation"));
    ImagePolicy {
        at: source.position(images.span).into(),
        verify: verify.and_then(|verify| read.boolean(verify, "required")),
        local_builds: verify.and_then(|verify| read.boolean(verify, "local-builds")),
        public_keys: verify.and_then(|verify| read.list(verify, "public-keys", |text| read.material(text))),
        notation_certificates: notation
            .and_then(|notation| read.list(notation, "certificates", |text| read.material(text))),
        notation_trust_policy: notation
            .and_then(|notation| read.scalar(notation, "trust-policy", |text| read.material(text))),
        // An empty list says what silence says.
        allowed_gadgets: read
            .list(images, "allowed-gadgets", str::to_owned)
            .filter(|list| !list.value.is_empty()),
        insecure_registries: read
            .list(images, "insecure-registries", str::to_owned)
            .filter(|list| !list.value.is_empty()),
        ..ImagePolicy::default()
    }
}

fn limits(fields: Fields<'_>) -> Limits {
    let defaults = Limits::default();
    Limits {
        series_per_gadget: fields.whole("series-per-gadget").unwrap_or(defaults.series_per_gadget),
        series_total: fields.whole("series-total").unwrap_or(defaults.series_total),
        stale_after: fields.duration("stale-after").unwrap_or(defaults.stale_after),
    }
}

fn log(fields: Fields<'_>) -> Log {
    Log { level: fields.word("level"), format: fields.word("format") }
}

/// Keeps values that look secret out of every excerpt, wherever they are written: a misspelled `headers` holds the
/// same password.
pub(super) fn hide_secrets(source: &mut Source, node: &Node) {
    match &node.value {
        Value::Scalar(scalar) => {
            // `https://user:password@host`
            let rest = scalar.text.split_once("://").map(|(_, rest)| rest);
            if rest.is_some_and(|rest| rest.split('/').next().is_some_and(|host| host.contains('@'))) {
                source.hide(node.span);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| hide_secrets(source, item)),
        Value::Mapping(entries) => {
            for Entry { key, value, .. } in entries {
                if looks_secret(key) {
                    source.hide(value.span);
                } else {
                    hide_secrets(source, value);
                }
            }
        }
    }
}
