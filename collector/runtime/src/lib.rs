//! Gadget instances: planned, built, run, reloaded, supervised and drained.
//!
//! The configuration is the desired state; this crate makes it so and keeps it so. A gadget goes through four
//! phases with a type each: the section of the file ([`ig_config::runtime::Gadget`]), a [`plan::GadgetPlan`]
//! (checked, no file descriptor open), a [`instance::Built`] instance (loaded and attached, nobody reads yet) and
//! a [`instance::Running`] one (a handle). Two threads do the work: the control side (this crate's async tasks,
//! HTTP, OTLP) and the reader thread, which alone touches ring buffers and maps.

pub mod collector;
pub mod health;
pub mod images;
pub mod instance;
pub mod interactive;
mod losses;
pub mod owners;
pub mod pipeline;
pub mod plan;
pub mod reader;
pub mod status;
pub mod tasks;
mod wiring;

pub use collector::{Collector, CollectorOptions, StartError};
