//! Templates: named sets of annotations, so that every gadget shows a pid or a time stamp alike.
//!
//! # Source
//! Inspektor Gadget, annotation templates. The types of its headers (`gadget_pid`, …) imply the template of the same
//! name without `gadget_`; gadget.yaml names others with the annotation `template`.

use std::collections::BTreeMap;

/// The annotation that names a template.
pub const TEMPLATE: &str = "template";
/// The annotation that hides a field where only the most important ones are shown.
pub const HIDDEN: &str = "columns.hidden";

const HIDE: (&str, &str) = (HIDDEN, "true");
const RIGHT: (&str, &str) = ("columns.alignment", "right");
/// The first columns to go where a terminal is narrow.
const LOW: (&str, &str) = ("columns.priority", "-1");
const MIDDLE: (&str, &str) = ("columns.ellipsis", "middle");

/// Every template with its annotations.
const TEMPLATES: &[(&str, &[(&str, &str)])] = &[
    (
        "timestamp",
        &[
            ("columns.width", "35"),
            ("columns.maxwidth", "35"),
            ("columns.ellipsis", "end"),
            HIDE,
            ("description", "Time at which the event happened"),
        ],
    ),
    ("comm", &[("columns.maxwidth", "16"), ("description", "Name of the process")]),
    ("pcomm", &[("columns.maxwidth", "16"), HIDE, LOW, ("description", "Name of the parent process")]),
    ("pid", &[("columns.minwidth", "7"), RIGHT, ("description", "Process ID")]),
    ("tid", &[("columns.minwidth", "7"), RIGHT, LOW, ("description", "Thread ID")]),
    ("ppid", &[("columns.minwidth", "7"), RIGHT, HIDE, LOW, ("description", "Process ID of the parent")]),
    ("ptid", &[("columns.minwidth", "7"), RIGHT, HIDE, LOW, ("description", "Thread ID of the parent")]),
    ("uid", &[("columns.minwidth", "8"), RIGHT, ("description", "User ID")]),
    ("gid", &[("columns.minwidth", "8"), RIGHT, LOW, ("description", "Group ID")]),
    ("ns", &[HIDE, ("columns.width", "12"), RIGHT, LOW]),
    (
        "mntns_id",
        &[HIDE, ("columns.width", "12"), RIGHT, LOW, ("description", "Inode of the mount namespace")],
    ),
    (
        "netns_id",
        &[HIDE, ("columns.width", "12"), RIGHT, LOW, ("description", "Inode of the network namespace")],
    ),
    (
        "l4endpoint",
        &[("columns.minwidth", "22"), ("columns.width", "40"), ("columns.maxwidth", "52"), MIDDLE],
    ),
    (
        "syscall",
        &[("columns.width", "18"), ("columns.maxwidth", "28"), ("description", "Name of the system call")],
    ),
    ("errorString", &[("columns.width", "12")]),
    ("bytes", &[("columns.width", "10"), RIGHT]),
    ("duration", &[("columns.width", "20"), RIGHT]),
    ("node", &[("columns.width", "30"), MIDDLE]),
    ("pod", &[("columns.width", "30"), MIDDLE]),
    ("container", &[("columns.width", "30")]),
    ("namespace", &[("columns.width", "30")]),
    ("containerImageName", &[("columns.width", "30")]),
    ("containerImageDigest", &[("columns.width", "30")]),
    ("containerPid", &[("columns.width", "6"), HIDE, RIGHT]),
    ("containerStartedAt", &[HIDE, ("columns.width", "35")]),
    ("user_stack", &[HIDE, ("description", "Stack of the user part of the process")]),
];

/// Types that imply the template of the same name without `gadget_`.
///
/// The reference forgets `gadget_ptid`, so that two columns of its tables are called TID.
const IMPLIED: [&str; 12] = [
    "comm",
    "pcomm",
    "uid",
    "gid",
    "pid",
    "tid",
    "ppid",
    "ptid",
    "timestamp",
    "mntns_id",
    "netns_id",
    "user_stack",
];

/// The annotations of a template, `None` if there is none of this name.
pub fn template(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, annotations)| *annotations)
}

/// The names of all templates.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(name, _)| *name)
}

/// The template that a type of the shared headers implies.
pub(crate) fn implied(type_name: &str) -> Option<&'static str> {
    let stem = type_name.strip_prefix("gadget_")?;
    IMPLIED.iter().find(|known| **known == stem).copied()
}

/// Lays the annotations of a template over others; a name without template changes nothing.
pub fn apply(name: &str, annotations: &mut BTreeMap<String, String>) {
    for (key, value) in template(name).unwrap_or_default() {
        annotations.insert((*key).to_owned(), (*value).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every type that implies a template, and types that do not.
    /// Guarantees: each implied template exists; no template is defined twice.
    #[test]
    fn implied_templates_exist() {
        for stem in IMPLIED {
            let name = implied(&format!("gadget_{stem}")).unwrap();
            assert!(template(name).is_some(), "{name}");
        }
        assert_eq!((implied("gadget_syscall"), implied("pid")), (None, None));
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), TEMPLATES.len());
    }

    /// Scenario: a template over annotations that are there already.
    /// Guarantees: it replaces those it has and keeps the rest; an unknown name changes nothing.
    #[test]
    fn templates_replace_what_they_name() {
        let mut annotations =
            BTreeMap::from([("columns.width".to_owned(), "16".to_owned()), ("x".to_owned(), "y".to_owned())]);
        apply("nothing", &mut annotations);
        assert_eq!(annotations.len(), 2);
        apply("containerPid", &mut annotations);
        assert_eq!(
            (annotations["columns.width"].as_str(), annotations["x"].as_str(), annotations[HIDDEN].as_str()),
            ("6", "y", "true")
        );
    }
}
