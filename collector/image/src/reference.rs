//! Names of images, and the short forms people type for them.
//!
//! A name is normalised once, at the edge: `trace_exec` becomes
//! `ghcr.io/inspektor-gadget/gadget/trace_exec:latest`. The store knows only the full form.

use std::fmt;
use std::str::FromStr;

use crate::Digest;

#[cfg(test)]
mod tests;

const DEFAULT_DOMAIN: &str = "ghcr.io";
const DEFAULT_REPOSITORY: &str = "inspektor-gadget/gadget/";
const DEFAULT_TAG: &str = "latest";
const MAX_PATH: usize = 255;
const MAX_TAG: usize = 128;

/// A normalised image name: registry, repository, and a tag, a digest or both.
///
/// # Shape
/// Follows the grammar of Docker references. At least one of tag and digest is present.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The text cannot be an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid image name `{name}`: {problem}")]
pub struct ReferenceError {
    name: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the name is empty")]
    Empty,
    #[error("`{0}` is a URL scheme; write the name without it")]
    Scheme(String),
    #[error("`{0}` is not a registry host, expected `host` or `host:port`")]
    Domain(String),
    #[error(
        "`{0}` is not a repository, expected lower-case letters, digits and single `.`, `_`, `__` or `-` between them"
    )]
    Path(String),
    #[error("the repository is longer than {MAX_PATH} characters")]
    PathLength,
    #[error("`{0}` is not a tag, expected up to {MAX_TAG} letters, digits, `_`, `.` or `-`")]
    Tag(String),
    #[error("`{0}` is not a digest, expected `sha256:` and 64 lower-case hexadecimal digits")]
    Digest(String),
}

impl Reference {
    /// Normalises a name as people type it.
    ///
    /// # Errors
    /// [`ReferenceError`] if the text is empty or breaks the grammar; the message says which part and why.
    pub fn parse(name: &str) -> Result<Self, ReferenceError> {
        parse(name).map_err(|problem| ReferenceError { name: clip(name, 200), problem })
    }

    /// The registry, `host` or `host:port`.
    pub fn registry(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and repository, without tag and digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The tag, if one was given or defaulted.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The repository as people type it: without the prefix that a short name stands for.
    pub fn short_repository(&self) -> String {
        match self.path.strip_prefix(DEFAULT_REPOSITORY) {
            Some(rest) if self.domain == DEFAULT_DOMAIN => rest.to_owned(),
            _ => self.repository(),
        }
    }

    /// The name as people type it; parsing it again gives this reference.
    pub fn short(&self) -> String {
        let mut out = match self.path.strip_prefix(DEFAULT_REPOSITORY) {
            Some(rest) if self.domain == DEFAULT_DOMAIN && !rest.contains('/') => rest.to_owned(),
            _ => self.repository(),
        };
        if let Some(tag) = &self.tag
            && (tag != DEFAULT_TAG || self.digest.is_some())
        {
            out.push(':');
            out.push_str(tag);
        }
        if let Some(digest) = self.digest {
            out.push('@');
            out.push_str(&digest.to_string());
        }
        out
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

fn parse(name: &str) -> Result<Reference, Problem> {
    if name.is_empty() {
        return Err(Problem::Empty);
    }
    if let Some((scheme, _)) = name.split_once("://") {
        return Err(Problem::Scheme(clip(&format!("{scheme}://"), 40)));
    }
    let (domain, rest) = match name.split_once('/') {
        Some((first, rest)) if names_a_registry(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, name),
    };
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };

    if !is_domain(domain) {
        return Err(Problem::Domain(clip(domain, 100)));
    }
    if !is_path(path) {
        return Err(Problem::Path(clip(path, 100)));
    }
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        return Err(Problem::Tag(clip(tag, 100)));
    }
    let digest = digest
        .map(|text| text.parse::<Digest>().map_err(|_same| Problem::Digest(clip(text, 100))))
        .transpose()?;

    let (domain, path) = complete(domain, path);
    if path.len() > MAX_PATH {
        return Err(Problem::PathLength);
    }
    let tag = match (tag, digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some(DEFAULT_TAG.to_owned()),
    };
    Ok(Reference { domain, path, tag, digest })
}

/// Whether the part before the first `/` is a registry rather than the start of a repository.
fn names_a_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first
}

/// Adds the folders that short names leave out, for our registry and for Docker's.
fn complete(domain: &str, path: &str) -> (String, String) {
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    let folder = match domain {
        _ if path.contains('/') => "",
        DEFAULT_DOMAIN => DEFAULT_REPOSITORY,
        "docker.io" => "library/",
        _ => "",
    };
    (domain.to_owned(), format!("{folder}{path}"))
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) => {
                if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                    return false;
                }
                match rest.strip_prefix(':') {
                    Some(port) => (None, Some(port)),
                    None if rest.is_empty() => (None, None),
                    None => return false,
                }
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    host.is_none_or(|host| host.split('.').all(is_label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_label(label: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = label.as_bytes();
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_component)
}

/// One folder of a repository: runs of lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let mut separator = String::new();
    let mut seen_run = false;
    for c in component.chars() {
        match c {
            'a'..='z' | '0'..='9' => {
                let joined = match separator.as_str() {
                    "" => true,
                    "." | "_" | "__" => seen_run,
                    dashes => seen_run && dashes.bytes().all(|b| b == b'-'),
                };
                if !joined {
                    return false;
                }
                separator.clear();
                seen_run = true;
            }
            '.' | '_' | '-' => separator.push(c),
            _ => return false,
        }
    }
    seen_run && separator.is_empty()
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// At most `max` characters of hostile text, for a message.
fn clip(text: &str, max: usize) -> String {
    let mut shown: String = text.chars().take(max).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}
