//! Columns for stacks, and whether the object has the maps that they read.

use std::path::Path;

use ig_datasource::DataSource;
use ig_loader::Object;
use ig_model::chain;
use ig_operators::{
    Columns,
    params::key,
    stack::{self, StackSlot, Symbolizers},
};
use ig_symbols::Symbols;

use super::variables::OperatorParams;

/// Adds them; `None` for a data source without stacks.
pub(super) fn add(
    source: &DataSource,
    object: Option<&Object>,
    operators: &OperatorParams,
    root: &Path,
    columns: &mut Columns,
    warnings: &mut Vec<String>,
) -> Result<Option<StackSlot>, String> {
    let (symbolizers, absent) = Symbolizers::parse(operators.symbolizers().unwrap_or("auto"))
        .map_err(|problem| format!("parameter `{}`: {problem}", key::SYMBOLIZERS))?;
    let slot = stack::add(source, symbolizers, &Symbols::of_this_machine(root), columns)
        .map_err(|error| chain(&error))?;
    let Some(slot) = slot else { return Ok(None) };
    if let Some(missing) = slot.maps.iter().find(|map| object.is_none_or(|object| object.map(map).is_none()))
    {
        return Err(format!(
            "data source `{}` has stacks, but the object has no map `{missing}` that holds them; hint: include \
             gadget/kernel_stack_map.h or gadget/user_stack_map.h",
            source.name
        ));
    }
    for name in absent {
        let warning = format!("symbolizer `{name}` is not available here; user stacks get no names from it");
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(Some(slot))
}
