//! Filters that run in the kernel.
//!
//! A rule such as `proc.pid==7` can also be told to the programs, which then do not even submit what would be thrown
//! away. A parameter called `pid` alone does not promise that: what a program compares it with (the task that runs when
//! an event is noticed, the owner of a socket, the killer but not the victim) is up to its author, need not be what
//! ends up in the field, and a program may also count or pair events before it submits any. So the author has to say
//! it: the field annotation `filter.param` names a parameter of which holds that, when it is set to a value, the
//! program leaves out records whose field has another value, and changes nothing else.
//!
//! The rule is kept where it is; a program that leaves out too little costs time, not truth. Left alone are gadgets
//! with several data sources (a parameter is for all of them), parameters that somebody sets, rules other than
//! equality, and values of zero, which mean "any" to programs.

use ig_config::runtime::Gadget;
use ig_datasource::{DataSource, Param};
use ig_operators::filter::{self, equalities};
use tracing::debug;

use super::Settings;

/// The annotation by which an author ties a field to a parameter.
const ANNOTATION: &str = "filter.param";

pub(super) fn plan(gadget: &Gadget, params: &[Param], sources: &[DataSource], settings: &mut Settings) {
    let [source] = sources else { return };
    let texts = filter::rules(gadget, settings.operators.of(filter::NAME), &source.name);
    let rules: Vec<(String, String)> = texts.into_iter().flat_map(equalities).collect();
    for (name, value) in rules {
        let Some(field) = source.field(&name) else { continue };
        let key = field.annotations.get(ANNOTATION);
        let param = key.and_then(|key| params.iter().find(|param| param.key == *key));
        let Some(param) = param.filter(|param| !settings.variables.contains_key(&param.variable)) else {
            continue;
        };
        let stated = gadget.params.keys().any(|known| known == &param.key || known == &param.full_key());
        let image = param.encode(&value).ok().filter(|image| image.iter().any(|byte| *byte != 0));
        if let Some(image) = image.filter(|_| !stated) {
            debug!(name: "filter.in.kernel", gadget = gadget.name, field = field.full_name, parameter = param.key);
            settings.variables.insert(param.variable.clone(), image);
        }
    }
}
