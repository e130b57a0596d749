//! What only a gadget's image can tell of a configuration: whether it has the parameters, fields and data sources that are
//! named. The images of the store are read; nothing is fetched, verified, loaded or started.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ig_config::{
    Fault,
    runtime::{Gadget, RuntimeConfig},
};
use ig_image::{Arch, ErrorKind, Reference, Store};
use ig_model::Host;
use ig_operators::{FormatContext, format::Accounts};
use ig_runtime::{
    plan::{GadgetPlan, ImageParts, PlanContext, Purpose},
    status::Reason,
};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What `ig run` would refuse.
    pub(super) faults: Vec<Fault>,
    /// Why gadgets could not be checked, with their names.
    pub(super) unchecked: BTreeMap<String, Vec<String>>,
}

/// Checks each gadget of `config` against its image in the store at `path`.
pub(super) fn check(config: &RuntimeConfig, path: &Path) -> Checked {
    let host = Arc::new(Host::of_process());
    let context = PlanContext {
        format: FormatContext { clock: host.clock, accounts: Arc::new(Accounts::in_root(&host.root)) },
        host,
        // Only names of values come from the kernel.
        kernel: None,
        limits: config.limits,
        purpose: Purpose::Collect,
    };
    let store = Store::open_read_only(path).map_err(|error| ig_model::chain(&error));
    let mut checked = Checked::default();
    for gadget in &config.gadgets {
        let image = store.as_ref().map_err(Clone::clone).and_then(|store| read(store, gadget));
        match image {
            Ok(image) => checked.faults.extend(faults(gadget, &image, &context)),
            Err(reason) => checked.unchecked.entry(reason).or_default().push(gadget.name.clone()),
        }
    }
    checked
}

/// The gadget's image, or why there is none to look at.
fn read(store: &Store, gadget: &Gadget) -> Result<ig_image::store::Gadget, String> {
    let reference = Reference::parse(&gadget.image).map_err(|error| error.to_string())?;
    let loaded = store.load_gadget(&reference, Arch::host());
    loaded.map_err(|error| match error.kind() {
        // One reason for all of them, and no advice: it may be there where the configuration will run.
        ErrorKind::NotFound => format!("not in the store {}", store.path().display()),
        _ => ig_model::chain(&error),
    })
}

fn faults(gadget: &Gadget, image: &ig_image::store::Gadget, context: &PlanContext) -> Vec<Fault> {
    let parts = ImageParts {
        digest: image.digest,
        ebpf: image.ebpf.as_deref(),
        metadata: image.metadata.as_deref().unwrap_or_default(),
        kernel_types: None,
    };
    let reasons = GadgetPlan::new(gadget, &parts, context).err().unwrap_or_default();
    reasons.into_iter().map(|reason| fault(gadget, reason)).collect()
}

/// A reason as a fault of the document, at the narrowest place that is known.
fn fault(gadget: &Gadget, mut reason: Reason) -> Fault {
    let at = reason.position.take().unwrap_or_else(|| (*gadget.at).clone());
    let hint = reason.hint.take();
    reason.gadget = Some(gadget.name.clone());
    let fault = Fault::new(at, "", reason.text());
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}
