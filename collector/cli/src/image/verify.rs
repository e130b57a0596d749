//! `ig image verify`: is this image to be trusted?
//!
//! What is printed by default is what scripts around the Go project's command look for.

use clap::Args;
use ig_image::trust::{
    Basis, MachinePolicy, Material, Origin, Policy, PolicyError, Proof, Settings, Stated, Trustee, Verifier,
    VerifyError, material, policy_path,
};
use ig_image::{ErrorKind, ImageDescriptor, Store};
use ig_model::text::printable;
use ig_model::{Hint as _, environment};
use ig_operators::spec::split_escaped;

use super::output::{Form, print, write};
use super::parse;
use crate::failure::Failure;
use crate::print::{Kind, notice};
use crate::progress::Transfer;
use crate::registry::{Connection, wait_for};

/// Beginning of the variables that set what flags set, as the Go project names them.
const ENVIRONMENT: &str = "INSPEKTOR_GADGET_OPERATOR_OCI_";

#[derive(Debug, Args)]
#[command(
    after_help = "Without keys and certificates the machine's policy file decides, and without one the key of the official \
    gadgets. Signatures that the store lacks are fetched from the registry; all else works offline."
)]
pub(super) struct Arguments {
    /// Name of the image, such as trace_exec or registry.example/name:tag
    image: String,
    #[command(flatten)]
    trust: Trust,
    /// Use only the signatures in the store
    #[arg(long)]
    offline: bool,
    /// Print what speaks for the image in this form
    #[arg(short, long, value_name = "FORM", value_enum)]
    output: Option<Form>,
    #[command(flatten)]
    connection: Connection,
}

/// Whom to trust, on the command line.
#[derive(Clone, Debug, Args)]
pub(crate) struct Trust {
    /// Public keys of whoever may sign: files, or PEM texts; separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FILE|PEM")]
    public_keys: Option<Vec<String>>,
    /// Certificates of whoever may sign, for notation: files, or PEM texts; separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FILE|PEM")]
    notation_certificates: Option<Vec<String>>,
    /// Trust policy of notation: a file, or its JSON text
    #[arg(long, value_name = "FILE|JSON")]
    notation_policy_document: Option<String>,
}

impl Trust {
    /// The policy in force: the machine's, the environment's, these flags, the last one first where it may.
    pub(crate) fn policy(&self, insecure: &[String]) -> Result<Policy, Failure> {
        let machine =
            MachinePolicy::read(&policy_path(), Trustee::User(0)).map_err(|error| of_policy(&error))?;
        // What is asked for is a signature.
        let signed = Stated::new(false, Origin::BuiltIn);
        let strict = Settings { local_builds: Some(signed), ..Settings::default() };
        let layers = [from_environment()?, self.settings(insecure)?, strict];
        Policy::new(machine, layers).map_err(|error| of_policy(&error))
    }

    /// What these flags say.
    pub(crate) fn settings(&self, insecure: &[String]) -> Result<Settings, Failure> {
        let flag = |name: &str| Origin::Flag(format!("--{name}"));
        let several = |values: &Option<Vec<String>>, name| {
            values.as_ref().map(|values| materials(values, &flag(name))).transpose()
        };
        let insecure = (!insecure.is_empty()).then(|| texts(insecure, &flag("insecure-registries")));
        let policy = self.notation_policy_document.as_ref();
        Ok(Settings {
            public_keys: several(&self.public_keys, "public-keys")?,
            notation_certificates: several(&self.notation_certificates, "notation-certificates")?,
            notation_trust_policy: policy
                .map(|text| one(text, flag("notation-policy-document")))
                .transpose()?,
            insecure_registries: insecure,
            ..Settings::default()
        })
    }
}

/// The machine's policy and the environment's settings.
pub(crate) fn machine_policy() -> Result<Policy, Failure> {
    let machine = MachinePolicy::read(&policy_path(), Trustee::User(0)).map_err(|error| of_policy(&error))?;
    Policy::new(machine, [from_environment()?]).map_err(|error| of_policy(&error))
}

/// The settings in the environment.
pub(crate) fn from_environment() -> Result<Settings, Failure> {
    let variable = |name: &str| {
        let name = format!("{ENVIRONMENT}{name}");
        let value = environment::text(&name)?;
        Some((value, Origin::Environment(name)))
    };
    let switch =
        |name| variable(name).map(|(value, origin)| Stated::new(value.eq_ignore_ascii_case("true"), origin));
    let several = |name| variable(name).map(|(value, origin)| materials(&split(&value), &origin)).transpose();
    let list = |name| variable(name).map(|(value, origin)| texts(&split(&value), &origin));
    Ok(Settings {
        verify: switch("VERIFY_IMAGE"),
        local_builds: None,
        public_keys: several("PUBLIC_KEYS")?,
        notation_certificates: several("NOTATION_CERTIFICATES")?,
        notation_trust_policy: variable("NOTATION_POLICY_DOCUMENT")
            .map(|(text, origin)| one(&text, origin))
            .transpose()?,
        allowed_gadgets: list("ALLOWED_GADGETS"),
        insecure_registries: list("INSECURE_REGISTRIES"),
        disallow_pulling: switch("DISALLOW_PULLING"),
    })
}

/// Parts between commas; an empty last part stands for nothing.
fn split(text: &str) -> Vec<String> {
    let mut parts = split_escaped(text);
    parts.pop_if(|last| last.is_empty());
    parts
}

fn one(text: &str, origin: Origin) -> Result<Stated<Material>, Failure> {
    material(text, origin).map_err(|error| of_policy(&PolicyError::from(error)))
}

fn materials(values: &[String], origin: &Origin) -> Result<Stated<Vec<Stated<Material>>>, Failure> {
    let items: Result<Vec<_>, _> = values.iter().map(|value| one(value, origin.clone())).collect();
    Ok(Stated::new(items?, origin.clone()))
}

fn texts(values: &[String], origin: &Origin) -> Stated<Vec<Stated<String>>> {
    let items = values.iter().map(|value| Stated::new(value.clone(), origin.clone()));
    Stated::new(items.collect(), origin.clone())
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let reference = parse(&arguments.image)?;
    let policy = arguments.trust.policy(arguments.connection.insecure())?;
    let image = store.resolve(&reference).map_err(|error| Failure::hinted(&error))?;
    if arguments.output.is_none() {
        write(&format!("Verifying image: {}\n", printable(&arguments.image)))?;
    }
    let verifier = Verifier::new(policy);
    let proof = match verifier.verify(store, &image) {
        Err(error) if error.fetching_may_help() && may_fetch(arguments, &verifier, &image) => {
            fetch(store, &image, &arguments.connection)?;
            verifier.verify(store, &image)
        }
        result => result,
    };
    report(&proof.map_err(|error| refused(&error))?, arguments.output)
}

/// Whether the registry may be asked for signatures.
fn may_fetch(arguments: &Arguments, verifier: &Verifier, image: &ImageDescriptor) -> bool {
    !arguments.offline && verifier.policy().may_pull(&image.reference).is_ok()
}

/// Fetches the signatures of an image that is there. A registry that does not answer changes nothing.
fn fetch(store: &Store, image: &ImageDescriptor, connection: &Connection) -> Result<(), Failure> {
    let registry = connection.registry()?;
    let transfer = Transfer::on_stderr();
    wait_for(async {
        let fetched = registry.pull_signatures(&image.reference, image.digest, store, &transfer).await;
        if let Err(error) = fetched {
            let text = format!("signatures were not fetched: {}", ig_model::chain(&error));
            notice(Kind::Warning, &text, error.hint().as_deref());
        }
        Ok(())
    })
}

fn report(proof: &Proof, output: Option<Form>) -> Result<(), Failure> {
    if let Basis::None { rule } = &proof.basis {
        warning!("no signature was looked for: {} switches verification off", printable(rule));
    }
    match output {
        Some(form) => print(proof, form),
        None => write("Image verified successfully!\n"),
    }
}

fn refused(error: &VerifyError) -> Failure {
    Failure::hinted(error)
}

/// A policy that cannot be used, with its hint; wrong settings are wrong usage.
pub(crate) fn of_policy(error: &PolicyError) -> Failure {
    let failure = match error.kind() {
        ErrorKind::InvalidInput => Failure::config(ig_model::chain(error)),
        _ => Failure::new(error),
    };
    failure.hint_of(error)
}
