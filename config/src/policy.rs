//! `kind: image-policy`: what an administrator allows on a machine, apart from what runs there.
//!
//! The document is read as strictly as runtime-config.yaml and from the same kind of table, but nothing is
//! substituted in it: a policy must not depend on the environment of whoever starts the collector. Each value
//! keeps its position, so that a refusal hours later names the line of the rule.

use std::path::PathBuf;

use crate::{
    Fault, NotCompared, Position, Source,
    substitute::beside,
    table::{Key, Kind, Object, TextRule, check::Checker},
    yaml::{self, Document, Node, ScalarKind},
};

#[cfg(test)]
mod tests;

/// What `kind` says in such a document.
pub const IMAGE_POLICY: &str = "image-policy";

/// A policy as it is written; what is `None` is left to its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImagePolicy {
    /// The document as a whole, for rules that are in force because it is silent.
    pub at: NotCompared<Position>,
    /// Where `locked: true` stands, if it does: nothing else may loosen this policy.
    pub locked: Option<Position>,
    /// Whether images must be signed.
    pub verify: Option<At<bool>>,
    /// Whether an image that was built on this machine runs without a signature.
    pub local_builds: Option<At<bool>>,
    /// The keys that cosign signatures are checked with.
    pub public_keys: Option<At<Vec<At<Material>>>>,
    /// The certificates that notation signatures are checked with.
    pub notation_certificates: Option<At<Vec<At<Material>>>>,
    /// The trust policy document of notation.
    pub notation_trust_policy: Option<At<Material>>,
    /// The images that may run.
    pub allowed_gadgets: Option<At<Vec<At<String>>>>,
    /// The registries that may be reached over plain HTTP.
    pub insecure_registries: Option<At<Vec<At<String>>>>,
    /// Whether no image may be pulled.
    pub disallow_pulling: Option<At<bool>>,
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub at: NotCompared<Position>,
}

/// A key, a certificate or a document: itself, or the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// The text itself.
    Text(String),
    /// The file; a relative path begins at the policy's folder.
    File(PathBuf),
}

/// Every fault of a policy document, in the order of lines.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(.faults))]
#[non_exhaustive]
pub struct ImagePolicyError {
    /// Never empty.
    pub faults: Vec<Fault>,
}

fn summary(faults: &[Fault]) -> String {
    match faults {
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => "policy refused".to_owned(),
    }
}

static NOT_EMPTY: TextRule = TextRule {
    expected: "text that is not empty",
    pattern: Some(r"\S"),
    check: |text| if text.trim().is_empty() { Err(String::new()) } else { Ok(()) },
};

pub(crate) static MATERIAL: TextRule = TextRule {
    expected: "the path of a file, or PEM text",
    pattern: Some(r"\S"),
    check: |text| {
        let usable =
            !text.trim().is_empty() && !text.contains('\0') && (is_text(text) || !text.contains('\n'));
        if usable { Ok(()) } else { Err("PEM text begins with `-----BEGIN`".to_owned()) }
    },
};

static REGISTRY: TextRule = TextRule {
    expected: "`host` or `host:port`",
    pattern: Some(r"^[^/\s]+$"),
    check: |text| {
        let hint = if text.contains("://") { "leave out the scheme" } else { "" };
        let usable = !text.is_empty() && !text.contains(['/', ' ', '\t', '\n']);
        if usable { Ok(()) } else { Err(hint.to_owned()) }
    },
};

/// The keys of the document.
pub(crate) static DOCUMENT: Object = Object {
    name: IMAGE_POLICY,
    doc: "What an administrator allows on this machine: which images may run, who must have signed them, and where \
          they may come from.",
    one_of: false,
    keys: &[
        Key::required("apiVersion", Kind::Whole { min: 1, max: 1 }, "Version of this format; always 1."),
        Key::required("kind", Kind::Word(|| vec![IMAGE_POLICY], &[]), "What this document is."),
        Key::defaults(
            "locked",
            Kind::Bool,
            "false",
            "Whether flags, environment and runtime-config.yaml may only be stricter than this document.",
        ),
        Key::defaults("verify", Kind::Bool, "true", "Whether images must carry a valid signature."),
        Key::defaults(
            "local-builds",
            Kind::Bool,
            "true",
            "Whether an image built on this machine, by `ig image build` into the store, runs without a signature.",
        ),
        Key::new(
            "public-keys",
            Kind::List(&Kind::Text(&MATERIAL)),
            "Public keys for cosign signatures, as PEM text or files; left out, the key of the official gadgets.",
        ),
        Key::new("notation", Kind::Object(&NOTATION), "X.509 certificates for notation signatures."),
        Key::defaults(
            "allowed-gadgets",
            Kind::List(&Kind::Literal),
            "[]",
            "Images that may run: full names with tag or digest, or beginnings of them with `*` at the end. Empty \
             allows all.",
        ),
        Key::defaults(
            "insecure-registries",
            Kind::List(&Kind::Text(&REGISTRY)),
            "[]",
            "Registries that may be reached over plain HTTP.",
        ),
        Key::defaults("disallow-pulling", Kind::Bool, "false", "Whether no image may be pulled."),
        Key::renamed("verify-image", "it is called `verify`"),
        Key::renamed("notation-certificates", "write `notation: {certificates: [...]}`"),
        Key::renamed("notation-policy-document", "write `notation: {trust-policy: ...}`"),
    ],
};

pub(crate) static NOTATION: Object = Object {
    name: "notation",
    doc: "X.509 certificates for notation signatures, and the policy for using them.",
    one_of: false,
    keys: &[
        Key::required(
            "certificates",
            Kind::List(&Kind::Text(&MATERIAL)),
            "Certificates of authorities, or signed by themselves, as PEM text or files.",
        ),
        Key::required(
            "trust-policy",
            Kind::Text(&NOT_EMPTY),
            "The trust policy document: a file, or its JSON text.",
        ),
    ],
};

/// Reads the text of a policy; `name` is the file it came from.
///
/// # Errors
/// Every fault of the text; a text that holds no document, or more than one, is one.
pub fn parse(name: &str, text: &str) -> Result<ImagePolicy, ImagePolicyError> {
    let documents = yaml::read(name, text).map_err(|faults| ImagePolicyError { faults })?;
    let [document] = documents.as_slice() else {
        let problem = format!("file holds {} documents", documents.len());
        let fault =
            Fault::new(Position::whole(name), "", problem).expected(format!("one `kind: {IMAGE_POLICY}`"));
        return Err(ImagePolicyError { faults: vec![fault] });
    };
    let Document { source, root } = document;
    let mut checker = Checker::new(source);
    checker.object(root, &DOCUMENT, "");
    if !checker.faults.is_empty() {
        return Err(ImagePolicyError { faults: checker.faults });
    }
    let read = Reader { source };
    let notation = root.get("notation");
    Ok(ImagePolicy {
        at: Position::whole(name).into(),
        locked: read.boolean(root, "locked").filter(|locked| locked.value).map(|locked| locked.at.cloned()),
        verify: read.boolean(root, "verify"),
        local_builds: read.boolean(root, "local-builds"),
        public_keys: read.list(root, "public-keys", |text| read.material(text)),
        notation_certificates: notation
            .and_then(|notation| read.list(notation, "certificates", |text| read.material(text))),
        notation_trust_policy: notation
            .and_then(|notation| read.scalar(notation, "trust-policy", |text| read.material(text))),
        allowed_gadgets: read.list(root, "allowed-gadgets", str::to_owned),
        insecure_registries: read.list(root, "insecure-registries", str::to_owned),
        disallow_pulling: read.boolean(root, "disallow-pulling"),
    })
}

/// Takes values out of a document that was checked.
pub(crate) struct Reader<'d> {
    pub(crate) source: &'d Source,
}

impl Reader<'_> {
    fn at<T>(&self, node: &Node, value: T) -> At<T> {
        At { value, at: self.source.position(node.span).into() }
    }

    pub(crate) fn boolean(&self, parent: &Node, key: &str) -> Option<At<bool>> {
        let node = parent.get(key)?;
        match node.as_scalar()?.kind {
            ScalarKind::Bool(value) => Some(self.at(node, value)),
            _ => None,
        }
    }

    pub(crate) fn scalar<T>(&self, parent: &Node, key: &str, read: impl Fn(&str) -> T) -> Option<At<T>> {
        let node = parent.get(key)?;
        Some(self.at(node, read(&node.as_scalar()?.text)))
    }

    /// A list; one that is written and empty is not the same as none.
    pub(crate) fn list<T>(
        &self,
        parent: &Node,
        key: &str,
        read: impl Fn(&str) -> T,
    ) -> Option<At<Vec<At<T>>>> {
        let node = parent.get(key)?;
        let items = node.as_sequence().unwrap_or_default();
        let items = items.iter().filter_map(|item| Some(self.at(item, read(&item.as_scalar()?.text))));
        Some(self.at(node, items.collect()))
    }

    pub(crate) fn material(&self, text: &str) -> Material {
        if is_text(text) {
            Material::Text(text.to_owned())
        } else {
            Material::File(beside(self.source.file(), text))
        }
    }
}

/// Whether a value is the thing itself and not the name of a file.
fn is_text(value: &str) -> bool {
    let value = value.trim_start();
    value.starts_with("-----BEGIN") || value.starts_with('{')
}
