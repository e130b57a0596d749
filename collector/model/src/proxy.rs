//! Which proxy leads to a server: one rule for receivers of OTLP, whatever their protocol, and for registries.
//!
//! - `HTTPS_PROXY` is for `https` addresses, `HTTP_PROXY` for `http` ones, `ALL_PROXY` for both where theirs is unset.
//!   Each may be written in lower case; if both spellings are set, the upper one counts. Empty variables are unset ones.
//! - `NO_PROXY` lists, between commas, what is reached directly: names with all that is below them, IP addresses, networks
//!   such as `10.0.0.0/8`, each with `:port` if only that port is meant, or `*` for everything.
//! - `localhost`, what is below it and loopback addresses are always reached directly.
//!
//! Nothing here connects or reads the environment but [`Proxies::of_process`].

use std::net::IpAddr;

use crate::environment;

/// The proxies that the environment names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    direct: Vec<Direct>,
    /// `NO_PROXY` as it is written.
    written: Option<String>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    Everything,
    /// A name and all below it, in lower case.
    Name(String, Option<u16>),
    /// The addresses whose first so many bits are these.
    Network(IpAddr, u32, Option<u16>),
}

impl Proxies {
    /// The proxies that the environment of this process names.
    pub fn of_process() -> Self {
        Self::of(environment::text)
    }

    /// The proxies that these variables name.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| {
            let spellings = [name.to_owned(), name.to_ascii_lowercase()];
            spellings.iter().filter_map(|name| variable(name)).find(|value| !value.trim().is_empty())
        };
        let all = given("ALL_PROXY");
        let written = given("NO_PROXY");
        let entries = written.as_deref().unwrap_or_default().split([',', ' ']);
        Self {
            http: given("HTTP_PROXY").or_else(|| all.clone()),
            https: given("HTTPS_PROXY").or(all),
            direct: entries.filter_map(Direct::read).collect(),
            written,
        }
    }

    /// The proxy that leads to `host` (a name, or an address with or without brackets), as it is written in the
    /// environment; `None` if the server is reached directly. `scheme` is `http` or `https`.
    pub fn to(&self, scheme: &str, host: &str, port: u16) -> Option<&str> {
        let proxy = if scheme == "https" { &self.https } else { &self.http };
        let host = bare(host);
        let is_direct = is_loopback(&host) || self.direct.iter().any(|entry| entry.covers(&host, port));
        proxy.as_deref().filter(|_| !is_direct)
    }

    /// What is set, for the log: name and value of each variable, without the credentials of proxies.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let proxies = [("HTTPS_PROXY", &self.https), ("HTTP_PROXY", &self.http)];
        let proxies = proxies.into_iter().filter_map(|(name, url)| Some((name, shown(url.as_deref()?))));
        let direct = self.written.iter().map(|written| ("NO_PROXY", written.clone()));
        proxies.chain(direct).collect()
    }
}

/// The address of a proxy as it may be shown: without user and password.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // A password may hold anything, also what would end the authority.
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split(['/', '?', '#']).next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{place}").chars().filter(|c| !c.is_control()).collect()
}

/// A host in the form that is compared.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

impl Direct {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Some(network) = Self::network(text, None) {
            return Some(network);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let name = bare(host.trim_start_matches("*.").trim_start_matches('.'));
        Self::network(&name, port).or_else(|| (!name.is_empty()).then_some(Self::Name(name, port)))
    }

    /// An address, or one with the length of its network behind it.
    fn network(text: &str, port: Option<u16>) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address = bare(address).parse::<IpAddr>().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self::Network(address, bits, port))
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Everything => true,
            Self::Name(name, wanted) => {
                is_port(wanted)
                    && host
                        .strip_suffix(name.as_str())
                        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            Self::Network(network, bits, wanted) => {
                is_port(wanted) && host.parse().is_ok_and(|address| shares(*network, address, *bits))
            }
        }
    }
}

/// Whether two addresses of one family have their first `bits` in common.
fn shares(one: IpAddr, other: IpAddr, bits: u32) -> bool {
    match (one, other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(32 - bits.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(128 - bits.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Proxies::of(|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    /// Scenario: variables in both spellings, empty ones, and one for all.
    /// Guarantees: the upper case counts, then the lower; empty is unset; a scheme has its own proxy, else the one for all.
    #[test]
    fn variables_are_read_by_one_rule() {
        let both = proxies(&[("HTTPS_PROXY", "http://upper"), ("https_proxy", "http://lower")]);
        assert_eq!(both.to("https", "h", 443), Some("http://upper"));
        assert_eq!(both.to("http", "h", 80), None);
        let empty = proxies(&[("HTTP_PROXY", ""), ("http_proxy", "http://lower"), ("HTTPS_PROXY", " ")]);
        assert_eq!((empty.to("http", "h", 80), empty.to("https", "h", 443)), (Some("http://lower"), None));
        let all = proxies(&[("ALL_PROXY", "http://all"), ("HTTP_PROXY", "http://own")]);
        assert_eq!(
            (all.to("http", "h", 1), all.to("https", "h", 1)),
            (Some("http://own"), Some("http://all"))
        );
        assert_eq!(proxies(&[]), Proxies::default());
    }

    /// Scenario: a proxy for everything, and loopback in all its spellings.
    /// Guarantees: what is on this machine is never asked of a proxy.
    #[test]
    fn loopback_is_left_alone() {
        let all = proxies(&[("ALL_PROXY", "http://p")]);
        for host in
            ["localhost", "LOCALHOST", "a.localhost", "localhost.", "127.0.0.1", "127.9.9.9", "[::1]", "::1"]
        {
            assert_eq!(all.to("http", host, 80), None, "{host}");
        }
        assert_eq!(all.to("http", "[::ffff:127.0.0.1]", 80), None);
        for host in ["localhost.example", "128.0.0.1", "[::2]", "notlocalhost"] {
            assert_eq!(all.to("http", host, 80), Some("http://p"), "{host}");
        }
    }

    /// Scenario: a list with names, addresses, networks, ports, and nonsense.
    /// Guarantees: each covers what it says and nothing beside it; nonsense covers nothing.
    #[test]
    fn exceptions_cover_what_they_say() {
        let list = "example.com, .corp ,*.svc,10.0.0.0/8,192.168.1.7,[fd00::1],fd01::/16,p.example:8080,\
                    10.9.9.9/99,:80,,0.0.0.0/x";
        let some = proxies(&[("ALL_PROXY", "http://p"), ("no_proxy", list)]);
        for (host, port, is_direct) in [
            ("example.com", 443, true),
            ("EXAMPLE.com.", 443, true),
            ("a.example.com", 443, true),
            ("notexample.com", 443, false),
            ("a.corp", 1, true),
            ("x.svc", 1, true),
            ("10.255.0.1", 1, true),
            ("11.0.0.1", 1, false),
            ("[::ffff:10.0.0.1]", 1, true),
            ("192.168.1.7", 1, true),
            ("192.168.1.8", 1, false),
            ("[fd00::1]", 1, true),
            ("fd01:1::9", 1, true),
            ("fd02::1", 1, false),
            ("p.example", 8080, true),
            ("p.example", 80, false),
        ] {
            assert_eq!(some.to("https", host, port).is_none(), is_direct, "{host}:{port}");
        }
        let none = proxies(&[("ALL_PROXY", "http://p"), ("NO_PROXY", "*")]);
        assert_eq!(none.to("http", "anything", 80), None);
        let edges = proxies(&[("ALL_PROXY", "http://p"), ("NO_PROXY", "0.0.0.0/0,::/0")]);
        assert_eq!((edges.to("http", "9.9.9.9", 1), edges.to("http", "[2::]", 1)), (None, None));
    }

    /// Scenario: proxies with user and password, also in odd forms.
    /// Guarantees: neither is ever shown.
    #[test]
    fn credentials_are_not_shown() {
        let set = proxies(&[("HTTPS_PROXY", "http://me:se/cr@p:3128/x@y"), ("NO_PROXY", "a,b")]);
        let text = format!("{:?}", set.shown());
        assert!(text.contains("NO_PROXY") && !text.contains("se/") && !text.contains("cr"), "{text}");
        assert_eq!(shown("http://me:secret@p:3128/path"), "http://p:3128");
        assert_eq!(shown("me:secret@p:3128"), "p:3128");
        assert_eq!(shown("http://p"), "http://p");
        assert_eq!(shown("http://a@b:c@p\n"), "http://p");
    }
}
