//! The attribute `service.instance.id`: which collector of all that there are this one is.
//!
//! A receiver tells resources apart by namespace, name and instance id of their service alone, so the id differs by
//! machine, by Kubernetes node and by configuration file, and is the same after a restart. It is a hash: the id of a
//! machine is confidential. Whoever runs two collectors from files of one path on one machine tells them apart by
//! `resource:` of their exporters.
//!
//! # Source
//! OpenTelemetry semantic conventions, `service.instance.id`; sd_id128_get_machine_app_specific(3).

use std::{
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
};

use ig_files::{Content, read_bounded};
use ig_model::Host;
use sha2::{Digest as _, Sha256};
use tracing::warn;

/// Makes the hash of a machine's id another one than that of every other program.
const SALT: &[u8] = b"ig service.instance.id 1";
/// Most bytes of a file with an id.
const MAX_ID_FILE: u64 = 4096;

/// The id of the collector that runs the configuration at `config` on `host`: a UUID of version 4 in form.
///
/// Without the id of the machine the node's name has to do; without both, the id of the boot, which the log says.
pub(super) fn instance_id(host: &Host, config: &Path) -> String {
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let node = host.node.as_deref().unwrap_or_default();
    let machine = match machine_id(host) {
        Some(id) => id,
        None if host.node.is_some() => String::new(),
        None => {
            warn!(
                name: "instance.id.unstable",
                hint = "mount the host's /etc/machine-id, or set NODE_NAME or the resource attribute service.instance.id",
                "there is no machine id: service.instance.id changes with the next boot"
            );
            boot_id(host).unwrap_or_else(random)
        }
    };
    let mut hash = Sha256::new();
    hash.update(SALT);
    for part in [machine.as_bytes(), node.as_bytes(), config.as_os_str().as_encoded_bytes()] {
        // With its length in front, no text can pass from one part to the next.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    uuid(&hash.finalize())
}

/// The id of the machine, below the host's root. One in a container's own image says nothing about the machine.
fn machine_id(host: &Host) -> Option<String> {
    let mut roots: Vec<PathBuf> = vec![host.root.clone()];
    if host.is_elsewhere() {
        roots.push(host.proc.join("1/root"));
    }
    let paths = roots
        .iter()
        .flat_map(|root| ["etc/machine-id", "var/lib/dbus/machine-id"].map(|path| root.join(path)));
    paths.into_iter().find_map(|path| {
        // 32 hexadecimal digits; `uninitialized` before the first boot is over.
        read_id(&path).filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

fn boot_id(host: &Host) -> Option<String> {
    std::fs::read_to_string(host.proc.join("sys/kernel/random/boot_id")).ok().map(|id| id.trim().to_owned())
}

fn random() -> String {
    // The standard library's hashers are keyed at random.
    format!("{:016x}", RandomState::new().hash_one(0))
}

fn read_id(path: &Path) -> Option<String> {
    let text = read_bounded(path, MAX_ID_FILE).and_then(Content::into_text).ok()?;
    Some(text.trim().to_ascii_lowercase()).filter(|id| !id.is_empty())
}

/// The first sixteen bytes as a UUID, with the bits that say how it was made: version 4, the usual variant.
fn uuid(hash: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in hash.iter().take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs};

    use super::*;

    const MACHINE: &str = "4c4c4544004d3510804db7c04f443632";

    /// A host with these files below its root, on a node of this name.
    fn host(files: &[(&str, &str)], node: Option<&str>) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut variables: Vec<(OsString, OsString)> = vec![("HOST_ROOT".into(), root.path().into())];
        variables.extend(node.map(|node| ("NODE_NAME".into(), node.into())));
        (root, Host::of(variables))
    }

    fn id(files: &[(&str, &str)], node: Option<&str>) -> String {
        instance_id(&host(files, node).1, Path::new("/etc/ig/config.yaml"))
    }

    /// Scenario: collectors on several machines, nodes and files, each started twice.
    /// Guarantees: the id is a UUID that lasts over a restart, differs by machine, node and file, and does not show the
    /// id of the machine.
    #[test]
    fn an_instance_id_lasts_and_differs_by_node() {
        let machine = [("etc/machine-id", "4c4c4544004d3510804db7c04f443632\n")];
        let other = [("etc/machine-id", "4c4c4544004d3510804db7c04f443633\n")];
        let ids = [
            id(&machine, None),
            id(&other, None),
            id(&machine, Some("a")),
            id(&machine, Some("b")),
            instance_id(&host(&machine, None).1, Path::new("/etc/ig/other.yaml")),
        ];
        assert_eq!(id(&machine, None), ids[0]);
        let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        for id in &ids {
            let groups: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{id}");
            assert!(id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
            assert_eq!(&id[14..15], "4");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
            assert!(!MACHINE.starts_with(&id[..8]));
        }
    }

    /// Scenario: the machine's id is absent, not made yet, or only where older systems have it.
    /// Guarantees: the older place does; with a node's name the id still lasts and differs by node; without either it
    /// is that of the boot.
    #[test]
    fn an_instance_id_is_there_without_a_machine_id() {
        let boot = [("proc/sys/kernel/random/boot_id", "0b0b\n")];
        let next = [("proc/sys/kernel/random/boot_id", "0c0c\n")];
        let unset = [boot[0], ("etc/machine-id", "uninitialized\n")];
        let old = [boot[0], ("var/lib/dbus/machine-id", MACHINE)];
        assert_eq!(id(&old, None), id(&[("etc/machine-id", MACHINE)], None));
        assert_eq!(id(&boot, Some("a")), id(&next, Some("a")));
        assert_ne!(id(&boot, Some("a")), id(&boot, Some("b")));
        assert_eq!(id(&boot, None), id(&unset, None));
        assert_ne!(id(&boot, None), id(&next, None));
        assert_eq!(id(&[], None).len(), 36);
    }
}
