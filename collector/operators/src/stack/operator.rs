//! Stacks: their columns, and the maps of the loaded gadget that these read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak, atomic::AtomicU64},
};

use ig_datasource::{DataSource, ParamDesc};
use ig_kernel::map::Map;
use ig_model::{Host, chain};
use ig_symbols::Symbols;

use super::{
    BUILD_ID_MAP, KERNEL_MAP, StackCounts, StackMap, StackMaps, StackSlot, Stacks, Symbolizers, USER_MAP,
    USER_STACK, add, map::IdMap,
};
use crate::operator::{
    BuildError, Draft, Fault, GadgetContext, LoadedGadget, Operator, OperatorPlan, Params, Phase,
    PlanContext, Ready, StageCounter,
};

/// Its name.
const NAME: &str = "ustack";
/// How user stacks become names.
pub const SYMBOLIZERS: &str = "operator.ustack.symbolizers";
/// The metric of stacks without text.
pub const UNRESOLVED: &str = "ig_gadget_stacks_unresolved";

/// Makes names of stacks.
#[derive(Debug)]
pub(crate) struct StackOperator;

fn symbolizers(params: &Params) -> Result<(Symbolizers, Vec<String>), Vec<Fault>> {
    Symbolizers::parse(params.get(SYMBOLIZERS).unwrap_or("auto"))
        .map_err(|problem| vec![Fault::param(SYMBOLIZERS, problem)])
}

impl Operator for StackOperator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn params(&self, sources: &[&DataSource]) -> Vec<ParamDesc> {
        if !sources.iter().any(|source| source.fields.iter().any(|field| field.has_type(USER_STACK))) {
            return Vec::new();
        }
        vec![
            ParamDesc::new(
                "operator.ustack.",
                "symbolizers",
                "How user stacks become names: none, auto (all there is), or a list of symtab, dwarf",
            )
            .of_type("string", "auto"),
        ]
    }

    fn check(&self, gadget: &GadgetContext<'_>) -> Result<(), Vec<Fault>> {
        symbolizers(gadget.params).map(|_chosen| ())
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        let (chosen, absent) = symbolizers(context.params)?;
        let (source, columns) = draft.schema.parts_mut();
        let symbols = Symbols::of_this_machine(&context.host.root);
        let slot =
            add(source, chosen, &symbols, columns).map_err(|error| vec![Fault::config(chain(&error))])?;
        let Some(slot) = slot else { return Ok(()) };
        if let Some(missing) = slot.maps.iter().find(|map| !(context.has_map)(map)) {
            return Err(vec![Fault::config(format!(
                "data source `{}` has stacks, but the object has no map `{missing}` that holds them; hint: include \
                 gadget/kernel_stack_map.h or gadget/user_stack_map.h",
                source.name
            ))]);
        }
        for name in absent {
            draft
                .warnings
                .push(format!("symbolizer `{name}` is not available here; user stacks get no names from it"));
        }
        draft.maps.extend([KERNEL_MAP, USER_MAP, BUILD_ID_MAP].map(str::to_owned));
        draft.parts.push(Box::new(slot));
        Ok(())
    }
}

impl OperatorPlan for StackSlot {
    /// Binds the columns; records themselves pass untouched.
    fn build(self: Box<Self>, gadget: &dyn LoadedGadget, _host: &Host) -> Result<Ready, BuildError> {
        let failed = |cause: std::io::Error| BuildError { operator: NAME, cause: Box::new(cause) };
        let kernel = shared(gadget, KERNEL_MAP, None).map_err(failed)?;
        let user = shared(gadget, USER_MAP, Some(BUILD_ID_MAP)).map_err(failed)?;
        let counts = Arc::<StackCounts>::default();
        self.bind(Arc::new(StackMaps { kernel, user }), Arc::clone(&counts));
        let counter = |(reason, count): (&'static str, &Arc<AtomicU64>)| StageCounter {
            metric: UNRESOLVED,
            reason,
            count: Arc::clone(count),
        };
        Ok(Ready { step: None, counters: counts.by_reason().map(counter).into() })
    }
}

/// The stacks of a map. Data sources of one gadget share a map, and so must they share what they know of when its stacks
/// were last read; the map's number in the kernel is what they have in common.
///
/// A map that does not hold stacks as the contract says is left out.
fn shared(
    gadget: &dyn LoadedGadget,
    name: &str,
    build_ids: Option<&str>,
) -> std::io::Result<Option<Arc<Stacks>>> {
    static KNOWN: OnceLock<Mutex<HashMap<u32, Weak<Stacks>>>> = OnceLock::new();

    let open = |name: &str, value: usize| -> std::io::Result<Option<Box<dyn StackMap>>> {
        let fits =
            |map: &&Map| map.entry_sizes().is_ok_and(|sizes| sizes.key == 4 && sizes.value as usize == value);
        let Some(map) = gadget.map(name).filter(fits) else { return Ok(None) };
        Ok(Some(Box::new(IdMap(map.try_clone()?))))
    };
    let Some(map) = gadget.map(name) else { return Ok(None) };
    let number = map.id();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, stacks| stacks.strong_count() > 0);
    if let Some(stacks) = known.get(&number).and_then(Weak::upgrade) {
        return Ok(Some(stacks));
    }
    let Some(map) = open(name, 127 * 8)? else { return Ok(None) };
    let build_ids = build_ids.map(|name| open(name, 127 * 32)).transpose()?.flatten();
    let stacks = Arc::new(Stacks::new(map, build_ids));
    known.insert(number, Arc::downgrade(&stacks));
    Ok(Some(stacks))
}
