//! The files of exporters and the way to their receivers, as far as they can be looked at without a network.

use std::path::Path;

use ig_config::{Fault, Position, runtime::RuntimeConfig};
use ig_model::{Hint as _, Proxies, chain};

/// Adds what is wrong with exporters anywhere to `faults`, and what is only not here to `warnings`.
pub(super) fn check(file: &Path, config: &RuntimeConfig, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let proxies = Proxies::of_process();
    for (name, settings) in &config.exporters.otlp {
        let Err(error) = ig_exporters::otlp::check(settings, &proxies) else { continue };
        let place = Position::whole(&file.display().to_string());
        let mut fault = Fault::new(place, format!("exporters.otlp.{name}"), chain(&error));
        fault.hint = error.hint().map(std::borrow::Cow::into_owned);
        let list = if error.is_of_this_machine() { &mut *warnings } else { &mut *faults };
        list.push(fault);
    }
}
