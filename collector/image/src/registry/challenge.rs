//! What a registry asks for when it answers 401, and where it may send credentials.

use std::net::IpAddr;

use http::{HeaderMap, header};
use reqwest::Url;

use super::endpoint::Repository;
use super::error::Fault;

/// How a registry wants to be shown credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from another place.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// What the registry calls itself there.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the challenges of an answer and picks the strongest one that is understood.
    pub(super) fn of(headers: &HeaderMap, host: &str) -> Result<Self, Fault> {
        let fault = |problem: &str| Fault::Challenge { host: host.to_owned(), problem: problem.to_owned() };
        let mut basic = false;
        for value in headers.get_all(header::WWW_AUTHENTICATE) {
            let text = value.to_str().map_err(|_not_ascii| fault("the challenge is not plain text"))?;
            let Ok(challenges) = http_auth::parse_challenges(text) else { continue };
            for challenge in challenges {
                let parameter = |name: &str| {
                    let mut all = challenge.params.iter();
                    let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
                    Some(found.1.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = parameter("realm")
                {
                    return Ok(Self::Bearer {
                        realm,
                        service: parameter("service"),
                        scope: parameter("scope"),
                    });
                }
                basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            }
        }
        if basic { Ok(Self::Basic) } else { Err(fault("it names neither Basic nor Bearer")) }
    }
}

/// Checks the place where tokens are given out: it will see credentials, so a registry must not choose it freely.
pub(super) fn check_realm(repository: &Repository, realm: &str) -> Result<Url, Fault> {
    let shown: String = realm.chars().filter(|c| !c.is_control()).take(200).collect();
    let refuse = |problem| Fault::Realm { host: repository.host.clone(), realm: shown.clone(), problem };
    let url = Url::parse(realm).map_err(|_fault| refuse("it is not an address"))?;
    match url.scheme() {
        "https" => {}
        "http" if repository.plain => {}
        "http" => return Err(refuse("it is not encrypted, while the registry is")),
        _ => return Err(refuse("it is neither http nor https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it contains a user name"));
    }
    if !repository.is_at(&url) && !repository.is_on_host(&url) && is_inner(&url) {
        return Err(refuse("it is an address within this machine or network, and not the registry's own"));
    }
    Ok(url)
}

/// Whether the host is written as an address that is not reachable from everywhere.
fn is_inner(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return true };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
        Err(_a_name) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Reference;

    fn challenge(values: &[&str]) -> Result<Challenge, Fault> {
        let headers = values.iter().map(|value| (header::WWW_AUTHENTICATE, value.parse().unwrap())).collect();
        Challenge::of(&headers, "r.example")
    }

    /// Scenario: challenges as the registries of this world send them.
    /// Guarantees: tokens win over passwords, in whatever order, case and number of headers.
    #[test]
    fn known_challenges_are_understood() {
        let bearer =
            r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("r.example".to_owned()),
            scope: Some("repository:a/b:pull".to_owned()),
        };
        assert_eq!(challenge(&[bearer]).unwrap(), expected);
        assert_eq!(challenge(&[r#"basic realm="x""#, bearer]).unwrap(), expected);
        assert_eq!(challenge(&[&format!(r#"Basic realm="x", {bearer}"#)]).unwrap(), expected);
        assert_eq!(challenge(&[r#"BASIC realm="x""#]).unwrap(), Challenge::Basic);
        for odd in [&[][..], &["Negotiate"], &["Bearer service=\"x\""], &["\"", "Digest realm=\"x\""]] {
            assert!(challenge(odd).is_err(), "{odd:?}");
        }
    }

    /// Scenario: realms at other hosts, unencrypted, inside this network, with a user, in other schemes.
    /// Guarantees: only those that may see credentials are taken.
    #[test]
    fn realms_are_checked() {
        let of = |name: &str, plain: bool| {
            Repository::origin(&Reference::parse(&format!("{name}/a/b")).unwrap(), |_| plain)
        };
        let tls = of("r.example", false);
        for good in ["https://auth.example/token?x=y", "https://r.example/token", "https://8.8.8.8/"] {
            check_realm(&tls, good).unwrap();
        }
        for bad in [
            "http://r.example/token",
            "https://10.0.0.1/token",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:192.168.0.1]/",
            "https://169.254.169.254/latest",
            "https://localhost/",
            "https://u:p@auth.example/",
            "file:///etc/passwd",
            "token",
        ] {
            assert!(matches!(check_realm(&tls, bad), Err(Fault::Realm { .. })), "{bad}");
        }
        check_realm(&of("10.0.0.1:5000", false), "https://10.0.0.1:5001/token").unwrap();
        check_realm(&of("127.0.0.1:5000", true), "http://127.0.0.1:5000/token").unwrap();
    }

    proptest! {
        /// Scenario: any header at all.
        /// Guarantees: reading it ends without a panic.
        #[test]
        fn any_challenge_is_survived(text in "[ -~]{0,200}") {
            if let Ok(Challenge::Bearer { realm, .. }) = challenge(&[&text]) {
                let name = Reference::parse("r.example/a/b").unwrap();
                drop(check_realm(&Repository::origin(&name, |_| false), &realm));
            }
        }
    }
}
