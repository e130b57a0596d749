//! A gadget's life between plan and end: built, running, replaced, stopped.

mod build;
mod handover;
mod links;
mod load;
mod run;

pub use build::Built;
pub use run::Running;

use run::RunningSource;
