//! The page for people: what the gadget is, what it gives, what can be set, what it needs, who stands behind it.

use std::collections::BTreeSet;

use ig_datasource::{DataSource, Origin};
use ig_image::Store;
use ig_image::manifest::{BTFGEN, BUILDER_VERSION, CREATED, EBPF, WASM};
use ig_image::trust::{Basis, MachinePolicy, Policy, Trustee, Verifier, policy_path};
use ig_loader::ProgramKind;
use ig_model::text::printable;

use super::extra::type_name;
use super::facts::Facts;
use crate::object::hooks::capabilities;

/// Annotations that have a place of their own on the page.
const SHOWN: [&str; 7] = [
    CREATED,
    BUILDER_VERSION,
    "org.opencontainers.image.title",
    "org.opencontainers.image.description",
    "org.opencontainers.image.url",
    "org.opencontainers.image.documentation",
    "org.opencontainers.image.source",
];

/// All of it.
pub(super) fn page(facts: &Facts, store: &Store) -> String {
    let mut page = Page::default();
    image(&mut page, facts, store);
    sources(&mut page, facts);
    parameters(&mut page, facts);
    programs(&mut page, facts);
    module(&mut page, facts);
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
}

impl Page {
    fn title(&mut self, text: &str) {
        let separator = if self.out.is_empty() { "" } else { "\n" };
        self.line(&format!("{separator}{text}"));
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// A name and what there is to say; left out where there is nothing.
    fn pair(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.line(&format!("  {name:<14} {}", printable(text)));
        }
    }

    /// Rows in columns as wide as their widest cell.
    fn table(&mut self, rows: &[Vec<String>]) {
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect()).collect();
        let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &cells {
            let padded: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            self.line(&format!("  {}", padded.join("  ")));
        }
    }
}

fn image(page: &mut Page, facts: &Facts, store: &Store) {
    page.title("Image");
    page.pair("name", &facts.image.reference.to_string());
    page.pair("digest", &facts.image.digest.to_string());
    page.pair("architecture", facts.arch.name());
    let layers = facts.manifest.layers.iter().map(|layer| {
        let what = match layer.media_type.as_str() {
            EBPF => "eBPF object",
            WASM => "WASM module",
            BTFGEN => "kernel types",
            other => other,
        };
        format!("{what} {}", bytes(layer.size))
    });
    let layers: Vec<String> = layers.collect();
    let size = facts
        .manifest
        .layers
        .iter()
        .map(|layer| layer.size)
        .fold(facts.manifest.config.size, u64::saturating_add);
    page.pair(
        "size",
        &format!(
            "{} ({})",
            bytes(size),
            if layers.is_empty() { "no layers".to_owned() } else { layers.join(", ") }
        ),
    );
    let annotation = |key: &str| facts.gadget.annotations.get(key).map_or("", String::as_str);
    page.pair("created", annotation(CREATED));
    page.pair("built by", annotation(BUILDER_VERSION));
    page.pair("signature", &signature(facts, store));

    page.title("Gadget");
    let metadata = &facts.metadata;
    let mut about = |name: &str, text: Option<&str>| page.pair(name, text.unwrap_or_default());
    about("name", metadata.name());
    about("description", metadata.description());
    about("home page", metadata.homepage_url());
    about("documentation", metadata.documentation_url());
    about("source", metadata.source_url());
    let others = facts.gadget.annotations.iter().filter(|(key, _)| !SHOWN.contains(&key.as_str()));
    let others: Vec<Vec<String>> = others.map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    if !others.is_empty() {
        page.title("Annotations");
        page.table(&others);
    }
}

/// What the machine's policy makes of the signatures in the store.
fn signature(facts: &Facts, store: &Store) -> String {
    let policy =
        MachinePolicy::read(&policy_path(), Trustee::User(0)).and_then(|machine| Policy::new(machine, []));
    let policy = match policy {
        Ok(policy) => policy,
        Err(error) => return format!("not checked: {}", ig_model::chain(&error)),
    };
    match Verifier::new(policy).verify(store, &facts.image) {
        Ok(proof) => match proof.basis {
            Basis::None { rule } => format!("not asked for ({rule})"),
            Basis::BuiltHere { rule } => {
                format!("not looked for: built on this machine, which counts here ({rule})")
            }
            Basis::Cosign { key, key_from, .. } => format!("verified by key {key} ({key_from})"),
            Basis::Notation { subject, .. } => format!("verified by certificate {subject}"),
            _ => "accepted".to_owned(),
        },
        Err(error) => format!("not trusted here: {}", ig_model::chain(&error)),
    }
}

fn sources(page: &mut Page, facts: &Facts) {
    let Some(found) = facts.discovered() else { return };
    for source in &found.sources {
        page.title(&format!("Data source {} ({})", printable(&source.name), origin(source)));
        let rows: Vec<Vec<String>> = source
            .fields
            .iter()
            .map(|field| {
                let annotation = |key: &str| field.annotations.get(key).map_or("", String::as_str);
                let mut about = vec![annotation("description").to_owned()];
                about.extend(
                    Some(annotation("metrics.type"))
                        .filter(|role| !role.is_empty())
                        .map(|role| format!("[metric: {role}]")),
                );
                about.extend((annotation("columns.hidden") == "true").then(|| "[hidden]".to_owned()));
                about.retain(|text| !text.is_empty());
                vec![field.full_name.clone(), field.kind.name().to_owned(), about.join(" ")]
            })
            .collect();
        page.table(&rows);
    }
}

fn origin(source: &DataSource) -> String {
    printable(&match &source.origin {
        Origin::Tracer { map } => format!("events from map {map}"),
        Origin::Iterator { programs } => format!("snapshots by {}", programs.join(", ")),
        Origin::MapIterator { map, .. } => format!("entries of map {map}"),
        Origin::Operator { operator } => format!("statistics of operator {operator}"),
    })
    .into_owned()
}

fn parameters(page: &mut Page, facts: &Facts) {
    let Some(found) = facts.discovered().filter(|found| !found.params.is_empty()) else { return };
    page.title("Parameters");
    let rows: Vec<Vec<String>> = found
        .params
        .iter()
        .map(|param| {
            let default =
                if param.default.is_empty() { String::new() } else { format!("= {}", param.default) };
            vec![param.key.clone(), param.kind.hint(), default, param.description.clone()]
        })
        .collect();
    page.table(&rows);
}

fn programs(page: &mut Page, facts: &Facts) {
    let Some(object) = &facts.object else { return };
    page.title("Programs");
    let rows: Vec<Vec<String>> = object
        .programs()
        .iter()
        .map(|program| {
            let kind = if program.kind == ProgramKind::Iter { "iterator" } else { "" };
            vec![program.name.clone(), program.section.clone(), kind.to_owned()]
        })
        .collect();
    page.table(&rows);
    page.title("Maps");
    let rows: Vec<Vec<String>> = object
        .maps()
        .iter()
        .map(|map| {
            let sizes = format!(
                "key {}, value {}, at most {} entries",
                map.key_size, map.value_size, map.max_entries
            );
            vec![map.name.clone(), type_name(map.kind), sizes]
        })
        .collect();
    page.table(&rows);
    let needed: BTreeSet<&str> =
        object.programs().iter().flat_map(|program| capabilities(program)).copied().collect();
    page.title("Capabilities needed");
    let needed: Vec<&str> = needed.into_iter().collect();
    page.line(&format!("  {}", if needed.is_empty() { "none".to_owned() } else { needed.join(", ") }));
}

fn module(page: &mut Page, facts: &Facts) {
    let Some(module) = &facts.module else { return };
    page.title("WASM module");
    page.pair(
        "interface",
        &module
            .version
            .map_or_else(|| "known when it runs".to_owned(), |version| format!("version {version}")),
    );
    page.pair("exports", &module.exports.join(", "));
    page.pair("calls", &module.upcalls.join(", "));
}

/// A size for people.
fn bytes(size: u64) -> String {
    const UNITS: [(&str, u64); 2] = [("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| size >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", size / unit, size % unit * 10 / unit),
        None => format!("{size} bytes"),
    }
}
