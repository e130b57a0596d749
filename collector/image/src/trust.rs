//! Who may put code into the kernel: signatures, allowed images, and a policy that an administrator can lock.
//!
//! - [`Policy`] joins the settings of all places: the machine's policy file, the configuration, environment, flags.
//!   It answers before a pull ([`Policy::may_pull`]) and about a digest ([`Policy::may_run`]).
//! - [`Verifier`] looks for signatures in the store and gives a [`Proof`]. The proof carries the digest that was
//!   verified: whoever loads the image loads that digest, so that a tag that moves meanwhile changes nothing.
//! - [`sign`] and [`key`] make signatures and keys, in the formats of cosign.
//!
//! Everything works offline. Transparency logs, timestamps and revocation lists are not asked; the keys and
//! certificates that are configured are what is trusted. Signatures are as hostile as images: their documents are
//! bounded in size, number and depth, and never decide anything by being broken.

mod cosign;
mod guarded;
pub mod key;
pub mod notation;
mod policy;
mod settings;
mod sign;
#[cfg(test)]
mod testing;
mod verify;

pub use cosign::Bundle;
pub use guarded::{GuardError, Trustee};
pub use key::{PublicKey, SigningKey};
pub use policy::{AllowList, MachinePolicy, Policy, PolicyError, Refusal};
pub use settings::{Material, MaterialError, Origin, Settings, Stated, material, policy_path};
pub use sign::{SignError, Signed, sign};
pub use verify::{
    Attempt, AttemptError, Attempts, Basis, Proof, SignatureFormat, Verifier, VerifyError, legacy_tag,
};
