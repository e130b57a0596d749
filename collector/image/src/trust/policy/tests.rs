use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::trust::material;
use crate::trust::testing::{flag, is_writable, key, with_keys};

const REPOSITORY: &str = "registry.example/team/gadget";

fn me() -> Trustee {
    Trustee::User(rustix::process::geteuid().as_raw())
}

/// A machine policy of these lines; the folder is guarded.
fn machine(lines: &str) -> MachinePolicy {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, format!("apiVersion: 1\nkind: image-policy\n{lines}")).unwrap();
    MachinePolicy::read(&path, me()).unwrap().unwrap()
}

fn allow(entries: &[&str]) -> Settings {
    let entries = entries.iter().map(|entry| flag((*entry).to_owned())).collect();
    Settings { allowed_gadgets: Some(flag(entries)), ..Settings::default() }
}

fn name(tail: &str) -> Reference {
    Reference::parse(&format!("{REPOSITORY}{tail}")).unwrap()
}

fn error(machine: MachinePolicy, settings: Settings) -> String {
    ig_model::chain(&Policy::new(Some(machine), [settings]).unwrap_err())
}

/// Scenario: entries with tag, digest, prefix, short name, star in the middle, and none at all.
/// Guarantees: an entry is compared as it is written; before a pull, a digest that is unknown yet may still match.
#[test]
fn allowed_gadgets_match_as_written() {
    let (digest, other) = (Digest::of(b"a"), Digest::of(b"b"));
    let (tagged, pinned) = (name(":v1"), name(&format!("@{digest}")));
    let by_digest = format!("{REPOSITORY}@{digest}");
    let cases: [(&[&str], &Reference, Digest, bool, bool); 12] = [
        (&[], &tagged, digest, true, true),
        (&["", ""], &tagged, digest, true, true),
        (&["registry.example/team/gadget:v1"], &tagged, digest, true, true),
        (&["registry.example/team/gadget:v2", ""], &tagged, digest, false, false),
        (&["registry.example/team/*"], &tagged, digest, true, true),
        (&["*"], &tagged, digest, true, true),
        (&["registry.example/*/gadget:v1"], &tagged, digest, false, false),
        (&["registry.example/team/gadget"], &tagged, digest, false, false),
        (&[&by_digest], &tagged, digest, true, true),
        (&[&by_digest], &tagged, other, true, false),
        (&[&by_digest], &pinned, digest, true, true),
        (&[&by_digest], &name(&format!("@{other}")), other, false, false),
    ];
    for (entries, reference, digest, pull, run) in cases {
        let policy = Policy::new(None, [allow(entries)]).unwrap();
        assert_eq!(policy.may_pull(reference).is_ok(), pull, "{entries:?} {reference}");
        assert_eq!(policy.may_run(reference, digest).is_ok(), run, "{entries:?} {reference}");
    }
}

/// Scenario: an image of another digest than the one in its name, which an entry allows as it is written.
/// Guarantees: it may not run, with and without a list, and the refusal says the true digest.
#[test]
fn a_name_with_a_digest_allows_that_digest_alone() {
    let (digest, other) = (Digest::of(b"a"), Digest::of(b"b"));
    for tail in [format!("@{digest}"), format!(":v1@{digest}")] {
        let reference = name(&tail);
        for entries in [&[][..], &[&*reference.to_string()][..], &["*"][..]] {
            let policy = Policy::new(None, [allow(entries)]).unwrap();
            policy.may_run(&reference, digest).unwrap();
            let refusal = policy.may_run(&reference, other).unwrap_err();
            assert!(refusal.to_string().contains(&other.to_string()), "{refusal}");
        }
    }
}

/// Scenario: a locked policy names a key, a certificate, a trust policy by file, and a flag names a key by file as well;
/// each file is then replaced, and all settings are read again.
/// Guarantees: all of them are told, to be followed; the new key counts and the old one does not; a flag whose file
/// holds another key than the policy's is refused, though it was not while they were the same.
#[test]
fn replaced_files_count_when_settings_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
    let ((_, old), (_, new)) = (key(), key());
    let certificate = || rcgen::generate_simple_self_signed(vec!["signer".to_owned()]).unwrap().cert.pem();
    let trust = |name: &str| {
        format!(
            r#"{{"version":"1.0","trustPolicies":[{{"name":"{name}","registryScopes":["*"],
            "signatureVerification":{{"level":"strict"}},"trustStores":["ca:any"],"trustedIdentities":["*"]}}]}}"#
        )
    };
    for (name, text) in [("key", &old), ("flag", &old), ("cert", &certificate()), ("trust", &trust("one"))] {
        fs::write(path(name), text).unwrap();
    }
    let lines = "apiVersion: 1\nkind: image-policy\nlocked: true\npublic-keys: [key]\n\
                 notation: {certificates: [cert], trust-policy: trust}\n";
    fs::write(path("policy.yaml"), lines).unwrap();
    let by_flag = material(path("flag").to_str().unwrap(), Origin::Flag("--public-keys".to_owned())).unwrap();
    let flags = Settings { public_keys: Some(flag(vec![by_flag])), ..Settings::default() };
    let read = |flags: &Settings| {
        let machine = MachinePolicy::read(&path("policy.yaml"), me()).unwrap();
        Policy::new(machine, [flags.read_again().unwrap()])
    };
    let fingerprints =
        |policy: &Policy| policy.keys.iter().map(|key| key.value.fingerprint()).collect::<Vec<_>>();
    let before = read(&flags).unwrap();
    for name in ["policy.yaml", "key", "cert", "trust", "flag"] {
        assert!(before.files().iter().any(|file| file.path == path(name)), "{name}");
    }
    let replace = |name: &str, text: &str| {
        fs::write(path("tmp"), text).unwrap();
        fs::rename(path("tmp"), path(name)).unwrap();
    };
    replace("key", &new);
    let error = read(&flags).unwrap_err();
    assert!(error.to_string().contains("another public key at --public-keys is refused"), "{error}");
    replace("flag", &new);
    replace("cert", &certificate());
    replace("trust", &trust("two"));
    let after = read(&flags).unwrap();
    assert_eq!(fingerprints(&after), [PublicKey::from_pem(&new).unwrap().fingerprint()]);
    assert_ne!(fingerprints(&after), fingerprints(&before));
    let [old, new] = [&before, &after].map(|policy| policy.notation.as_ref().unwrap());
    assert_ne!(old.fingerprints(), new.fingerprints());
    assert_ne!(old.policy(), new.policy());
    let told = |policy: &Policy, name: &str| {
        policy.files().iter().find(|file| file.path == path(name)).cloned().unwrap()
    };
    for name in ["key", "cert", "trust", "flag"] {
        assert_ne!(told(&before, name), told(&after, name), "{name}");
    }
}

/// Scenario: refusals by either rule that are in a policy file, with many entries.
/// Guarantees: the message names rule, file and line and stays short; the hint says what would help.
#[test]
fn refusals_name_the_rule() {
    let entries = ["a.x/b:1"; 40].join(", ");
    let policy =
        Policy::new(Some(machine(&format!("disallow-pulling: true\nallowed-gadgets: [{entries}]\n"))), [])
            .unwrap();
    let pull = policy.may_pull(&name(":v1")).unwrap_err();
    assert!(pull.to_string().contains("pulling is disallowed (`disallow-pulling` at "), "{pull}");
    assert!(pull.to_string().contains("policy.yaml:3:19"), "{pull}");
    let run = policy.may_run(&name(":v1"), Digest::of(b"")).unwrap_err();
    assert!(
        run.to_string().contains("policy.yaml:4:18 matches: a.x/b:1")
            && run.to_string().ends_with("and 35 more"),
        "{run}"
    );
    assert!(run.hint().unwrap().contains("registry.example/team/gadget:v1"));
}

/// Scenario: a file that is not locked says one thing and a flag another.
/// Guarantees: the flag wins, where it says something.
#[test]
fn later_places_win_where_nothing_is_locked() {
    let machine = machine("verify: true\ndisallow-pulling: true\nallowed-gadgets: [a.x/b:1]\n");
    let settings =
        Settings { verify: Some(flag(false)), disallow_pulling: Some(flag(false)), ..allow(&["*"]) };
    let policy = Policy::new(Some(machine), [Settings::default(), settings, Settings::default()]).unwrap();
    assert!(!policy.requires_signatures().value && policy.may_pull(&name(":v1")).is_ok());
}

/// Scenario: a locked file, and each setting that would loosen it.
/// Guarantees: each attempt is refused with both places; also against what the file is silent about.
#[test]
fn locked_policies_cannot_be_loosened() {
    let (mine, other) = (key().1, key().1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.pub");
    fs::write(&file, &mine).unwrap();
    let file = file.display();
    let lines = format!("locked: true\npublic-keys: [{file}]\ninsecure-registries: [a:5000]\n");
    let locked = || machine(&lines);
    let registries = |names: &[&str]| Settings {
        insecure_registries: Some(flag(names.iter().map(|name| flag((*name).to_owned())).collect())),
        ..Settings::default()
    };
    let off = Settings { verify: Some(flag(false)), ..Settings::default() };
    let cases = [
        (
            error(locked(), off.clone()),
            "switching verification off at --test is refused: the image policy is locked at",
        ),
        (error(machine("locked: true\n"), off), "the built-in default says that images must be verified"),
        (error(locked(), with_keys(&[&mine, &other])), "another public key at --test is refused"),
        (error(locked(), registries(&["a:5000", "b:5000"])), "another insecure registry at --test"),
        (
            error(
                machine("locked: true\ndisallow-pulling: true\n"),
                Settings { disallow_pulling: Some(flag(false)), ..Settings::default() },
            ),
            "allowing to pull at --test",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected) && error.contains("policy.yaml:3:9"), "{error}");
    }
    // Stricter, or the same, is fine.
    let none = Settings {
        public_keys: Some(flag(Vec::new())),
        disallow_pulling: Some(flag(true)),
        ..registries(&[])
    };
    let policy = Policy::new(Some(locked()), [none]).unwrap();
    assert!(policy.keys.is_empty() && policy.insecure_registries().is_empty());
    assert!(policy.disallow_pulling.is_some() && policy.locked().is_some());
    Policy::new(Some(locked()), [with_keys(&[&mine]), registries(&["a:5000"])]).unwrap();
}

/// Scenario: a locked list of allowed images and another one in a flag.
/// Guarantees: an image has to pass both, so that the second can only narrow.
#[test]
fn locked_allow_lists_add_up() {
    let locked = || machine("locked: true\nallowed-gadgets: [\"registry.example/team/*\"]\n");
    let check = |settings: Settings, reference: &Reference| {
        Policy::new(Some(locked()), [settings]).unwrap().may_run(reference, Digest::of(b"")).is_ok()
    };
    assert!(check(Settings::default(), &name(":v1")) && check(allow(&[]), &name(":v1")));
    assert!(check(allow(&["registry.example/team/gadget:v1"]), &name(":v1")));
    assert!(!check(allow(&["registry.example/team/gadget:v1"]), &name(":v2")));
    assert!(!check(allow(&["*"]), &Reference::parse("other.example/x").unwrap()));
}

/// Scenario: a policy, a key it names, or its folder is writable by others; it belongs to somebody else; it is a
/// folder, a pipe, not text, too large; it is absent.
/// Guarantees: only absence means that there is none; everything else is refused and says why.
#[test]
fn open_policies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    assert!(MachinePolicy::read(&path, me()).unwrap().is_none());
    let write = |text: &str| fs::write(&path, format!("apiVersion: 1\nkind: image-policy\n{text}")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let refused = || MachinePolicy::read(&path, me()).unwrap_err();
    write("");
    assert!(MachinePolicy::read(&path, me()).unwrap().is_some());
    for bad in [0o666, 0o620, 0o602] {
        mode(&path, bad);
        let error = refused();
        assert!(matches!(&error, PolicyError::File(guard) if is_writable(guard)), "{error:?}");
        assert!(error.hint().unwrap().contains("chmod go-w"));
    }
    mode(&path, 0o644);
    mode(folder.path(), 0o777);
    assert!(matches!(refused(), PolicyError::File(guard) if is_writable(&guard)));
    mode(folder.path(), 0o755);
    fs::write(folder.path().join("k.pub"), crate::trust::key::OFFICIAL_KEY).unwrap();
    write("public-keys: [k.pub]\n");
    assert!(MachinePolicy::read(&path, me()).unwrap().is_some());
    mode(&folder.path().join("k.pub"), 0o666);
    let error = refused();
    assert!(error.to_string().contains("policy.yaml:3:15"), "{error}");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(refused(), PolicyError::NotText(_)));
    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(refused(), PolicyError::File(GuardError::TooLarge { .. })));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(), PolicyError::File(GuardError::Io { .. })));
    if rustix::process::geteuid().is_root() {
        fs::remove_dir(&path).unwrap();
        write("");
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        assert!(matches!(refused(), PolicyError::File(GuardError::Owner { owner: 12345, .. })));
    } else {
        println!("SKIPPED: files of other users can be made by root alone");
    }
}

/// Scenario: keys and notation settings that cannot be used, half of notation, and notation switched off.
/// Guarantees: each error names the place; an empty list is not an error but none.
#[test]
fn unusable_settings_name_their_place() {
    let refused = |settings: Settings| ig_model::chain(&Policy::new(None, [settings]).unwrap_err());
    let key = refused(with_keys(&["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]));
    assert!(key.starts_with("public key at --test cannot be used: it is a `CERTIFICATE`"), "{key}");
    let certificates = |texts: Vec<Stated<Material>>| Settings {
        notation_certificates: Some(flag(texts)),
        ..Settings::default()
    };
    assert!(
        refused(certificates(vec![flag(b"x".to_vec().into())]))
            .contains("has certificates and no trust policy")
    );
    let with_policy =
        Settings { notation_trust_policy: Some(flag(b"{}".to_vec().into())), ..Settings::default() };
    assert!(refused(with_policy.clone()).contains("has a trust policy and no certificates"));
    let off = Settings { notation_certificates: Some(flag(Vec::new())), ..with_policy.clone() };
    assert!(Policy::new(None, [off]).unwrap().notation.is_none());
    let both =
        Settings { notation_certificates: Some(flag(vec![flag(b"x".to_vec().into())])), ..with_policy };
    assert!(refused(both).contains("notation settings at --test cannot be used"));
}
