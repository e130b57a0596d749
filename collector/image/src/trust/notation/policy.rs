//! The trust policy document of notation: which identities may sign for which repositories, and how strictly.
//!
//! # Source
//! Notary Project specification, `trust-store-trust-policy.md`, version 1.0 of OCI trust policies.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::name::{DistinguishedName, NameError};
use crate::Reference;

/// Most bytes of a trust policy.
pub const MAX_POLICY: usize = 1 << 20;
const SUBJECT: &str = "x509.subject";

/// A checked trust policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    statements: Vec<Statement>,
    /// The one store that the configured certificates are in.
    store: TrustStore,
}

/// What holds for some repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) name: String,
    scopes: Vec<String>,
    pub(super) level: Level,
    pub(super) actions: Actions,
    stores: Vec<TrustStore>,
    pub(super) identities: Identities,
}

/// What a failed check leads to, by check. Integrity is always enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Actions {
    pub(super) authenticity: Action,
    pub(super) timestamp: Action,
    pub(super) expiry: Action,
    pub(super) revocation: Action,
}

/// What a failed check leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Enforce,
    Log,
    Skip,
}

/// The named sets of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Strict,
    Permissive,
    Audit,
    Skip,
}

/// Who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identities {
    /// Whoever has a certificate of the trust store.
    Any,
    /// Subjects that contain all attributes of one of these.
    Subjects(Vec<DistinguishedName>),
}

/// A set of certificates by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TrustStore {
    pub(super) kind: StoreKind,
    name: String,
}

/// What the certificates of a store vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreKind {
    /// Signing identities.
    Ca,
    /// Services that sign for others and tell the time.
    SigningAuthority,
    /// Timestamps.
    Tsa,
}

/// A trust policy document cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustPolicyError {
    /// It is not a JSON document of the right form.
    #[error("trust policy is malformed")]
    Json(#[source] serde_json::Error),
    /// It has more bytes than any real one.
    #[error("trust policy has {size} bytes, more than the {MAX_POLICY} allowed")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// It is of another version.
    #[error("trust policy has version `{0}`, expected `1.0`")]
    Version(String),
    /// It says nothing.
    #[error("trust policy has no statement in `trustPolicies`")]
    Empty,
    /// A statement breaks a rule.
    #[error("trust policy statement `{statement}`: {problem}")]
    Statement {
        /// Its name, or its place where it has none.
        statement: String,
        /// Which rule, and what to write instead.
        problem: String,
    },
    /// A trusted identity is not a usable name.
    #[error("trust policy statement `{statement}`: trusted identity `{identity}` is not usable")]
    Identity {
        /// The statement.
        statement: String,
        /// What is written.
        identity: String,
        /// Why not.
        #[source]
        source: NameError,
    },
}

/// The document as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    version: String,
    #[serde(default)]
    trust_policies: Vec<WrittenStatement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenStatement {
    #[serde(default)]
    name: String,
    #[serde(default)]
    registry_scopes: Vec<String>,
    signature_verification: WrittenVerification,
    #[serde(default)]
    trust_stores: Vec<String>,
    #[serde(default)]
    trusted_identities: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenVerification {
    level: Level,
    #[serde(default, rename = "override")]
    overrides: BTreeMap<String, Action>,
    #[serde(default)]
    verify_timestamp: Option<String>,
}

impl TrustPolicy {
    /// Reads and checks a trust policy document.
    ///
    /// # Errors
    /// [`TrustPolicyError`] names the first statement that breaks a rule.
    pub fn parse(text: &str) -> Result<Self, TrustPolicyError> {
        if text.len() > MAX_POLICY {
            return Err(TrustPolicyError::TooLarge { size: text.len() });
        }
        let written: Written = serde_json::from_str(text).map_err(TrustPolicyError::Json)?;
        if written.version != "1.0" {
            return Err(TrustPolicyError::Version(clip(&written.version)));
        }
        let mut statements = Vec::new();
        let (mut names, mut scopes) = (BTreeSet::new(), BTreeSet::new());
        for (index, statement) in written.trust_policies.into_iter().enumerate() {
            let label =
                if statement.name.is_empty() { format!("#{}", index + 1) } else { clip(&statement.name) };
            let fault = |problem: String| TrustPolicyError::Statement { statement: label.clone(), problem };
            if statement.name.is_empty() {
                return Err(fault("it has no name".to_owned()));
            }
            if !names.insert(statement.name.clone()) {
                return Err(fault("the name is taken by another statement".to_owned()));
            }
            for scope in &statement.registry_scopes {
                if !scopes.insert(scope.clone()) {
                    return Err(fault(format!("scope `{}` stands in more than one place", clip(scope))));
                }
            }
            statements.push(check(statement, &label)?);
        }
        let first = statements.first().ok_or(TrustPolicyError::Empty)?;
        let fault = |problem: &str| TrustPolicyError::Statement {
            statement: clip(&first.name),
            problem: problem.to_owned(),
        };
        let [store] = first.stores.as_slice() else {
            return Err(fault(
                "the first statement must name exactly one trust store: all certificates are in it",
            ));
        };
        if store.kind == StoreKind::Tsa {
            return Err(fault(
                "timestamps are not checked, so a `tsa` store trusts nobody; name a `ca` store",
            ));
        }
        let store = store.clone();
        Ok(Self { statements, store })
    }

    /// The statement for a repository: the one that names it, else the one for `*`.
    pub(super) fn statement(&self, reference: &Reference) -> Option<&Statement> {
        let repository = reference.repository();
        let with_scope = |scope: &str| {
            self.statements.iter().find(|statement| statement.scopes.iter().any(|s| s == scope))
        };
        with_scope(&repository).or_else(|| with_scope("*"))
    }

    /// Whether the configured certificates count for a statement, as stores of this kind.
    pub(super) fn trusts(&self, statement: &Statement, kind: StoreKind) -> bool {
        self.store.kind == kind && statement.stores.contains(&self.store)
    }
}

impl Level {
    /// Its name in documents.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Permissive => "permissive",
            Self::Audit => "audit",
            Self::Skip => "skip",
        }
    }

    const fn actions(self) -> Actions {
        use Action::{Enforce, Log, Skip};
        let (authenticity, others) = match self {
            Self::Strict => (Enforce, Enforce),
            Self::Permissive => (Enforce, Log),
            Self::Audit => (Log, Log),
            Self::Skip => (Skip, Skip),
        };
        Actions { authenticity, timestamp: others, expiry: others, revocation: others }
    }
}

fn check(written: WrittenStatement, label: &str) -> Result<Statement, TrustPolicyError> {
    let fault = |problem: String| TrustPolicyError::Statement { statement: label.to_owned(), problem };
    scopes(&written.registry_scopes).map_err(fault)?;
    let verification = written.signature_verification;
    if verification.level == Level::Skip {
        let problem =
            "level `skip` is refused; to run unsigned images say so where verification is configured";
        return Err(fault(problem.to_owned()));
    }
    let actions = overridden(verification.level.actions(), &verification.overrides).map_err(fault)?;
    if let Some(when) = verification
        .verify_timestamp
        .filter(|when| !["", "always", "afterCertExpiry"].contains(&when.as_str()))
    {
        return Err(fault(format!(
            "verifyTimestamp `{}` is unknown, expected `always` or `afterCertExpiry`",
            clip(&when)
        )));
    }
    if written.trust_stores.is_empty() || written.trusted_identities.is_empty() {
        return Err(fault("it needs at least one trust store and one trusted identity".to_owned()));
    }
    let stores: Result<Vec<_>, _> = written.trust_stores.iter().map(|store| trust_store(store)).collect();
    Ok(Statement {
        name: written.name,
        scopes: written.registry_scopes,
        level: verification.level,
        actions,
        stores: stores.map_err(fault)?,
        identities: identities(&written.trusted_identities, label)?,
    })
}

fn scopes(written: &[String]) -> Result<(), String> {
    if written.is_empty() {
        return Err("it has no registry scope; write `*` for all".to_owned());
    }
    for scope in written {
        if scope == "*" {
            if written.len() > 1 {
                return Err("scope `*` stands beside others; it covers them all".to_owned());
            }
            continue;
        }
        let is_repository = scope.split_once('/').is_some_and(|(host, path)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/".contains(c);
            !host.is_empty() && !path.is_empty() && scope.chars().all(plain) && !path.contains(':')
        });
        if !is_repository {
            return Err(format!(
                "scope `{}` is not `registry/repository` without tag and digest",
                clip(scope)
            ));
        }
    }
    Ok(())
}

fn overridden(mut actions: Actions, overrides: &BTreeMap<String, Action>) -> Result<Actions, String> {
    for (kind, &action) in overrides {
        let slot = match kind.as_str() {
            "authenticity" => &mut actions.authenticity,
            "authenticTimestamp" => &mut actions.timestamp,
            "expiry" => &mut actions.expiry,
            "revocation" => &mut actions.revocation,
            "integrity" => return Err("integrity cannot be overridden".to_owned()),
            other => {
                return Err(format!(
                    "override `{}` is unknown, expected authenticity, authenticTimestamp, expiry or revocation",
                    clip(other)
                ));
            }
        };
        if action == Action::Skip && kind != "revocation" {
            return Err(format!("override `{kind}` cannot be `skip`; only revocation can"));
        }
        *slot = action;
    }
    Ok(actions)
}

fn trust_store(written: &str) -> Result<TrustStore, String> {
    let fault = || {
        let written = clip(written);
        format!("trust store `{written}` is not `ca:NAME`, `signingAuthority:NAME` or `tsa:NAME`")
    };
    let (kind, name) = written.split_once(':').ok_or_else(fault)?;
    let kind = match kind {
        "ca" => StoreKind::Ca,
        "signingAuthority" => StoreKind::SigningAuthority,
        "tsa" => StoreKind::Tsa,
        _ => return Err(fault()),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || !name.chars().all(legal) {
        return Err(fault());
    }
    Ok(TrustStore { kind, name: name.to_owned() })
}

fn identities(written: &[String], label: &str) -> Result<Identities, TrustPolicyError> {
    let fault = |problem: String| TrustPolicyError::Statement { statement: label.to_owned(), problem };
    if written.iter().any(|identity| identity == "*") {
        if written.len() > 1 {
            return Err(fault("identity `*` stands beside others; it covers them all".to_owned()));
        }
        return Ok(Identities::Any);
    }
    let mut subjects: Vec<DistinguishedName> = Vec::new();
    for identity in written {
        let Some((SUBJECT, name)) = identity.split_once(':') else {
            return Err(fault(format!("identity `{}` is not `*` or `{SUBJECT}: NAME`", clip(identity))));
        };
        let unusable = |source| TrustPolicyError::Identity {
            statement: label.to_owned(),
            identity: clip(identity),
            source,
        };
        let subject = DistinguishedName::parse(name).map_err(unusable)?;
        subject.check_mandatory().map_err(unusable)?;
        if subjects.iter().any(|other| other.is_within(&subject) || subject.is_within(other)) {
            return Err(fault(format!("identity `{}` overlaps with another one", clip(identity))));
        }
        subjects.push(subject);
    }
    Ok(Identities::Subjects(subjects))
}

/// At most 100 characters of what somebody wrote.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}
