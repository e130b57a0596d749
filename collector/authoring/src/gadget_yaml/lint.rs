//! Names in a gadget.yaml that nothing answers to, and values that nothing understands.

use ig_config::yaml::{Document, Entry, Node};
use ig_datasource::{DataSource, Discovered, Field, template};
use ig_loader::{Object, ProgramKind};
use ig_model::nearest;

use super::{Companion, Review, metrics, path, vocabulary};

/// A gadget.yaml and what it is held against.
pub(super) struct Context<'a> {
    pub(super) document: &'a Document,
    pub(super) object: Option<&'a Object>,
    /// What the object's markers say; absent without an object, or when they are wrong.
    pub(super) found: Option<&'a Discovered>,
    pub(super) companion: Companion,
}

pub(super) fn check(context: &Context<'_>, review: &mut Review) {
    let root = &context.document.root;
    unknown_keys(context, root, "", &[vocabulary::ROOT, vocabulary::OLD_ROOT].concat(), review);
    for entry in root.as_mapping().unwrap_or_default() {
        if vocabulary::has(vocabulary::OLD_ROOT, &entry.key) {
            let fault = context.document.source.fault(
                entry.key_span,
                &entry.key,
                "key of old versions has no effect",
            );
            review.warnings.push(fault.hint("describe fields under `datasources.<name>.fields`"));
        }
    }
    for entry in path::entries(root, &["datasources"]) {
        check_source(context, entry, review);
    }
    metrics::clashes(context, review);
    check_programs(context, review);
}

/// Warns of keys of a mapping that are none of `known`.
pub(super) fn unknown_keys(
    context: &Context<'_>,
    node: &Node,
    way: &str,
    known: &[&str],
    review: &mut Review,
) {
    for entry in node.as_mapping().unwrap_or_default() {
        // Dots in keys are levels: `params.ebpf.x` at the root is a way, not a key.
        let first = entry.key.split('.').next().unwrap_or_default();
        if !vocabulary::has(known, first) {
            let way = if way.is_empty() { entry.key.clone() } else { format!("{way}.{}", entry.key) };
            let fault = context.document.source.fault(entry.key_span, way, "unknown key has no effect");
            review.warnings.push(fault.suggest(&entry.key, known.iter().copied()));
        }
    }
}

fn check_source(context: &Context<'_>, entry: &Entry, review: &mut Review) {
    let name = entry.key.as_str();
    let way = format!("datasources.{name}");
    unknown_keys(context, &entry.value, &way, vocabulary::DATASOURCE, review);
    let source = context
        .found
        .and_then(|found| found.sources.iter().find(|source| source.name.eq_ignore_ascii_case(name)));
    if let Some(found) = context.found
        && source.is_none()
        && !is_made_elsewhere(context, name)
    {
        let mut fault =
            context.document.source.fault(entry.key_span, &way, "the object has no data source of this name");
        fault = fault.value(name);
        let names: Vec<&str> = found.sources.iter().map(|source| source.name.as_str()).collect();
        fault = match (nearest(name, names.iter().copied()), names.as_slice()) {
            (Some(_), _) => fault.suggest(name, names.iter().copied()),
            (None, []) => fault.hint("it has none: no GADGET_TRACER, GADGET_ITER or GADGET_MAPITER"),
            (None, names) => fault.hint(format!("it has {}", names.join(", "))),
        };
        review.warnings.push(fault);
    }
    if let Some(annotations) = path::find(&entry.value, &["annotations"]) {
        let known = vocabulary::DATASOURCE_ANNOTATIONS;
        check_annotations(context, annotations, &format!("{way}.annotations"), known, review);
    }
    let Some(fields) = path::find(&entry.value, &["fields"]) else { return };
    let described = path::fields(fields);
    for (field_name, field) in &described {
        let way = format!("{way}.fields.{field_name}");
        unknown_keys(context, &field.value, &way, vocabulary::FIELD, review);
        if let Some(source) = source {
            check_field_name(context, source, &described, field_name, field, &way, review);
        }
        if let Some(annotations) = path::find(&field.value, &["annotations"]) {
            let way = format!("{way}.annotations");
            let known = [vocabulary::FIELD_ANNOTATIONS, vocabulary::TARGETS].concat();
            check_annotations(context, annotations, &way, &known, review);
            let known = source.and_then(|source| source.field(field_name));
            metrics::check(context, annotations, &way, known, review);
        }
    }
}

/// Whether something else than the object may make a data source of this name.
fn is_made_elsewhere(context: &Context<'_>, name: &str) -> bool {
    context.companion == Companion::Wasm
        || vocabulary::has(vocabulary::OTHER_SOURCES, name)
        || name.starts_with("advise-")
        || name.starts_with("combined-")
        || name.ends_with("-rendered")
}

fn check_field_name(
    context: &Context<'_>,
    source: &DataSource,
    described: &[(String, &Entry)],
    name: &str,
    entry: &Entry,
    way: &str,
    review: &mut Review,
) {
    let first = name.split('.').next().unwrap_or_default();
    let known = source.field(name).is_some()
        || context.companion == Companion::Wasm
        || vocabulary::has(vocabulary::OTHER_FIELDS, first)
        || source.fields.iter().any(|field| is_made_from(field, source, name))
        || described.iter().any(|(_, entry)| is_target(entry, name))
        || is_rest_or_env(context, source, name);
    if known {
        return;
    }
    let fault =
        context.document.source.fault(entry.key_span, way, "the data source has no field of this name");
    let names = source.fields.iter().map(|field| field.full_name.as_str());
    review.warnings.push(fault.value(name).suggest(name, names));
}

/// Whether operators make a field called `name` from `field`: `error` from `error_raw`, `user` from a user's number,
/// parts of an endpoint from the endpoint.
fn is_made_from(field: &Field, source: &DataSource, name: &str) -> bool {
    let full = field.full_name.as_str();
    let same = |made: &str| made.eq_ignore_ascii_case(name);
    if full.strip_suffix("_raw").is_some_and(same) {
        return true;
    }
    let parent = field.parent.and_then(|parent| source.fields.get(parent));
    let sibling = |word: &str| parent.map_or_else(|| word.to_owned(), |p| format!("{}.{word}", p.full_name));
    let below = |what: &str| {
        name.get(..full.len()).is_some_and(|start| start.eq_ignore_ascii_case(full))
            && name.get(full.len()..).is_some_and(|rest| rest.starts_with('.'))
            && field.has_type(what)
    };
    (field.has_type("gadget_uid") && same(&sibling("user")))
        || (field.has_type("gadget_gid") && same(&sibling("group")))
        || ["gadget_l3endpoint_t", "gadget_l4endpoint_t", "gadget_user_stack"].into_iter().any(below)
}

/// Whether an annotation of a field sends its text to a field called `name`.
fn is_target(entry: &Entry, name: &str) -> bool {
    let Some(annotations) = path::find(&entry.value, &["annotations"]) else { return false };
    path::flatten(annotations).iter().any(|(key, target)| {
        vocabulary::has(vocabulary::TARGETS, key)
            && path::text(&target.value).is_some_and(|text| text.eq_ignore_ascii_case(name))
    })
}

/// Fields that annotations of the data source make: the rest of a record, and variables of the environment.
fn is_rest_or_env(context: &Context<'_>, source: &DataSource, name: &str) -> bool {
    let sources = path::find(&context.document.root, &["datasources"]);
    let annotations = sources
        .and_then(|sources| path::entry(sources, &source.name))
        .and_then(|entry| path::find(&entry.value, &["annotations"]));
    annotations.is_some_and(|annotations| {
        path::flatten(annotations).iter().any(|(key, entry)| {
            let key = key.to_lowercase();
            key.strip_prefix("env.fields.").is_some_and(|made| made.eq_ignore_ascii_case(name))
                || key == "ebpf.rest.name"
                    && path::text(&entry.value).is_some_and(|made| made.eq_ignore_ascii_case(name))
        })
    })
}

fn check_annotations(context: &Context<'_>, node: &Node, way: &str, known: &[&str], review: &mut Review) {
    let source = &context.document.source;
    for (key, entry) in path::flatten(node) {
        let way = format!("{way}.{key}");
        let lower = key.to_lowercase();
        if !vocabulary::has(known, &key) {
            // Words of other people's namespaces are none of our business.
            let namespace = lower.split_once('.').map(|(first, _)| first);
            let is_ours = namespace.is_none_or(|first| {
                known.iter().any(|known| known.split_once('.').is_some_and(|(ours, _)| ours == first))
            });
            let open = vocabulary::OPEN_ANNOTATIONS.iter().any(|start| lower.starts_with(start));
            if is_ours && !open {
                let fault = source.fault(entry.key_span, way, "unknown annotation has no effect");
                review.warnings.push(fault.suggest(&key, known.iter().copied()));
            }
            continue;
        }
        let Some(text) = path::text(&entry.value) else {
            let problem = format!("annotation is {}", entry.value.describe());
            review.warnings.push(source.fault(entry.value.span, way, problem).expected("text"));
            continue;
        };
        let expected = match lower.as_str() {
            "template" if template::template(text).is_none() => {
                let fault = source.fault(entry.value.span, way, "unknown template has no effect");
                review.warnings.push(fault.value(text).suggest(text, template::names()));
                continue;
            }
            key if vocabulary::TRUTHS.contains(&key) => {
                let truth = matches!(text.to_lowercase().as_str(), "true" | "false");
                (!truth).then(|| "true or false".to_owned())
            }
            key if vocabulary::WIDTHS.contains(&key) => (text != "type" && text.parse::<u32>().is_err())
                .then(|| "a whole number or `type`".to_owned()),
            key => vocabulary::CHOICES
                .iter()
                .find(|(known, values)| *known == key && !values.contains(&text))
                .map(|(_, values)| values.join(", ")),
        };
        if let Some(expected) = expected {
            let fault = source.fault(entry.value.span, way, "the annotation cannot have this value");
            review.warnings.push(fault.value(text).expected(format!("one of: {expected}")));
        }
    }
}

/// `programs`: functions of the object, or names of perf events.
fn check_programs(context: &Context<'_>, review: &mut Review) {
    let Some(object) = context.object else { return };
    let names = || {
        object.programs().iter().flat_map(|program| {
            let event = (program.kind == ProgramKind::PerfEvent).then_some(program.target.as_str());
            [Some(program.name.as_str()), event].into_iter().flatten()
        })
    };
    for entry in path::entries(&context.document.root, &["programs"]) {
        if !names().any(|name| name.eq_ignore_ascii_case(&entry.key)) {
            let way = format!("programs.{}", entry.key);
            let fault =
                context.document.source.fault(entry.key_span, way, "the object has no program of this name");
            review.warnings.push(fault.value(&entry.key).suggest(&entry.key, names()));
        }
    }
}
