//! `params.ebpf`: each has to be a variable that can be set, and a name to set it by.

use ig_config::yaml::Entry;
use ig_kernel::btf::{Btf, Kind, Type, TypeId, VarLinkage};

use super::{
    Review,
    lint::{Context, unknown_keys},
    path, vocabulary,
};

/// Most modifiers before a variable's type.
const MAX_CHAIN: usize = 32;

pub(super) fn check(context: &Context<'_>, review: &mut Review) {
    let root = &context.document.root;
    let both = [(&["params", "ebpf"][..], "params.ebpf"), (&["ebpfParams"][..], "ebpfParams")];
    for (keys, way) in both {
        for entry in path::entries(root, keys) {
            check_param(context, way, entry, review);
        }
    }
    for section in ["wasm", "custom"] {
        for entry in path::entries(root, &["params", section]) {
            let way = format!("params.{section}.{}", entry.key);
            let words = [vocabulary::PARAM, &["values", "patch"]].concat();
            unknown_keys(context, &entry.value, &way, &words, review);
        }
    }
}

fn check_param(context: &Context<'_>, section: &str, entry: &Entry, review: &mut Review) {
    let way = format!("{section}.{}", entry.key);
    let source = &context.document.source;
    let value = &entry.value;
    unknown_keys(context, value, &way, vocabulary::PARAM, review);
    let key = path::entry(value, "key");
    if key.and_then(|key| path::text(&key.value)).unwrap_or_default().is_empty() {
        let span = key.map_or(entry.key_span, |key| key.key_span);
        let fault = source.fault(span, &way, "parameter has no key");
        review.errors.push(fault.expected("`key`, the name that users set it by"));
    }
    let (Some(object), Some(found)) = (context.object, context.found) else { return };
    let btf = object.btf();
    let variables: Vec<_> = btf
        .types()
        .filter_map(|(_, ty)| if let Type::Var(variable) = ty { Some(variable) } else { None })
        .collect();
    let named = variables.iter().filter(|variable| variable.name == entry.key);
    let Some(variable) =
        named.clone().find(|v| v.linkage != VarLinkage::Static).or_else(|| named.clone().next())
    else {
        let settable = variables.iter().filter(|v| is_const_volatile(btf, v.type_id)).map(|v| v.name);
        let fault = source.fault(entry.key_span, &way, "the object has no variable of this name");
        review.errors.push(fault.value(&entry.key).suggest(&entry.key, settable));
        return;
    };
    if variable.linkage != VarLinkage::GlobalAllocated {
        let fault = source.fault(entry.key_span, &way, "the variable is not global");
        review.errors.push(fault.value(&entry.key).hint("drop `static` from its definition"));
        return;
    }
    if !is_const_volatile(btf, variable.type_id) {
        let fault = source.fault(entry.key_span, &way, "the variable is not `const volatile`");
        let hint = "declare it `const volatile`, so that it can be set before the program is verified";
        review.errors.push(fault.value(&entry.key).hint(hint));
        return;
    }
    let Some(param) = found.params.iter().find(|param| param.variable == entry.key) else {
        let fault = source.fault(entry.key_span, &way, "the variable is not marked as a parameter");
        review.warnings.push(fault.value(&entry.key).hint(format!("add GADGET_PARAM({});", entry.key)));
        return;
    };
    if let Some(default) = path::entry(value, "defaultValue")
        && let Some(text) = path::text(&default.value).filter(|text| !text.is_empty())
        && let Err(error) = param.encode(text)
    {
        let fault = source.fault(default.value.span, format!("{way}.defaultValue"), "default does not fit");
        review.warnings.push(fault.value(text).expected(error.expected));
    }
}

/// `const volatile T`, or an array of it.
fn is_const_volatile(btf: &Btf, id: TypeId) -> bool {
    let (mut id, mut constant, mut volatile) = (id, false, false);
    for _ in 0..MAX_CHAIN {
        id = match btf.type_by_id(id) {
            Some(Type::Array(array)) => array.element,
            Some(Type::Const(next)) => {
                constant = true;
                next
            }
            Some(Type::Volatile(next)) => {
                volatile = true;
                next
            }
            Some(ty) if matches!(ty.kind(), Kind::TypeTag | Kind::Restrict) => match ty {
                Type::TypeTag(tag) => tag.type_id,
                Type::Restrict(next) => next,
                _ => return false,
            },
            _ => break,
        };
    }
    constant && volatile
}
