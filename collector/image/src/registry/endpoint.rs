//! Where a repository is: its registry, or a mirror of it.

use std::collections::BTreeMap;

use reqwest::Url;

use super::error::{Fault, RegistryError};
use crate::Reference;

/// Mirrors of registries, tried in order before the registry itself.
///
/// A mirror is `host[:port]` or `host[:port]/prefix`. It is trusted no more than the registry: what it delivers by
/// digest is compared with the digest, and for what a tag leads to there are signatures.
#[derive(Clone, Debug, Default)]
pub struct Mirrors(BTreeMap<String, Vec<Mirror>>);

/// A registry and a folder of repositories on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    host: String,
    prefix: Option<String>,
}

/// A repository on one server.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// The name that credentials and certificates are filed under.
    pub(super) host: String,
    /// The repository on that server.
    pub(super) path: String,
    /// Scheme and authority.
    base: String,
    /// Plain HTTP, thus without credentials.
    pub(super) plain: bool,
}

impl Mirrors {
    /// Adds a mirror of `registry` behind those already there.
    ///
    /// # Errors
    /// [`RegistryError`] if either is not a name of that form.
    pub fn add(&mut self, registry: &str, mirror: &str) -> Result<(), RegistryError> {
        let fault = |name: &str| Fault::Mirror { name: name.chars().take(200).collect() };
        let (host, prefix) = match mirror.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (mirror, None),
        };
        // The grammar of names decides; the repository is only there to have one.
        let valid = |host: &str, path: &str| {
            Reference::parse(&format!("{host}/x/{path}")).is_ok_and(|name| name.registry() == host)
        };
        if !valid(registry, "x") {
            return Err(fault(registry).into());
        }
        if !valid(host, prefix.unwrap_or("x")) || prefix.is_some_and(|prefix| prefix.contains([':', '@'])) {
            return Err(fault(mirror).into());
        }
        let mirror = Mirror { host: host.to_owned(), prefix: prefix.map(str::to_owned) };
        self.0.entry(registry.to_owned()).or_default().push(mirror);
        Ok(())
    }

    /// The repositories that may hold the image, the one it is named after last.
    pub(super) fn sources(&self, reference: &Reference, is_plain: impl Fn(&str) -> bool) -> Vec<Repository> {
        let mirrors = self.0.get(reference.registry()).into_iter().flatten().map(|mirror| {
            let path = match &mirror.prefix {
                Some(prefix) => format!("{prefix}/{}", reference.path()),
                None => reference.path().to_owned(),
            };
            Repository::new(&mirror.host, path, is_plain(&mirror.host))
        });
        mirrors.chain([Repository::origin(reference, &is_plain)]).collect()
    }
}

impl Repository {
    fn new(host: &str, path: String, plain: bool) -> Self {
        let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if plain { "http" } else { "https" };
        Self { host: host.to_owned(), path, base: format!("{scheme}://{server}"), plain }
    }

    /// The repository the image is named after.
    pub(super) fn origin(reference: &Reference, is_plain: impl Fn(&str) -> bool) -> Self {
        Self::new(reference.registry(), reference.path().to_owned(), is_plain(reference.registry()))
    }

    /// A registry as such, for a login.
    pub(super) fn registry(host: &str, plain: bool) -> Self {
        Self::new(host, String::new(), plain)
    }

    /// The address that tells whether one is let in.
    pub(super) fn ping_url(&self) -> Result<Url, RegistryError> {
        self.url_of("/v2/")
    }

    /// The address of `what` (such as `manifests/latest`) in this repository.
    pub(super) fn url(&self, what: &str) -> Result<Url, RegistryError> {
        self.url_of(&format!("/v2/{}/{what}", self.path))
    }

    fn url_of(&self, path: &str) -> Result<Url, RegistryError> {
        let text = format!("{}{path}", self.base);
        Url::parse(&text).map_err(|source| Fault::Address { text, source }.into())
    }

    /// Whether `url` is on this registry's server, reached in the same way.
    pub(super) fn is_at(&self, url: &Url) -> bool {
        Url::parse(&self.base).is_ok_and(|base| base.origin() == url.origin())
    }

    /// Whether `url` is on this registry's host, on any port.
    pub(super) fn is_on_host(&self, url: &Url) -> bool {
        Url::parse(&self.base).is_ok_and(|base| base.host() == url.host())
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a registry with two mirrors, one of them under a prefix; one that is reached in plain text.
    /// Guarantees: mirrors come first and in order, the registry last; only the listed host is plain.
    #[test]
    fn mirrors_come_first() {
        let mut mirrors = Mirrors::default();
        mirrors.add("ghcr.io", "mirror.local:5000/cache/ghcr").unwrap();
        mirrors.add("ghcr.io", "second.example").unwrap();
        let name = Reference::parse("trace_exec").unwrap();
        let sources = mirrors.sources(&name, |host| host == "mirror.local:5000");
        let urls: Vec<_> =
            sources.iter().map(|source| source.url("manifests/x").unwrap().to_string()).collect();
        assert_eq!(
            urls,
            [
                "http://mirror.local:5000/v2/cache/ghcr/inspektor-gadget/gadget/trace_exec/manifests/x",
                "https://second.example/v2/inspektor-gadget/gadget/trace_exec/manifests/x",
                "https://ghcr.io/v2/inspektor-gadget/gadget/trace_exec/manifests/x",
            ]
        );
        let hub = mirrors.sources(&Reference::parse("docker.io/foo").unwrap(), |_| false);
        assert_eq!(hub[0].url("x").unwrap().as_str(), "https://registry-1.docker.io/v2/library/foo/x");
        assert_eq!(hub[0].host, "docker.io");
    }

    /// Scenario: mirrors that are URLs, have a tag, climb out, or are empty.
    /// Guarantees: each is refused by name.
    #[test]
    fn malformed_mirrors_are_refused() {
        for text in
            ["", "https://m.local", "m.local:5000/x:tag", "m.local/../x", "m.local/", "-x.y/z", "local"]
        {
            let error = Mirrors::default().add("ghcr.io", text).unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        assert!(Mirrors::default().add("ghcr.io/x", "m.local").is_err());
    }
}
