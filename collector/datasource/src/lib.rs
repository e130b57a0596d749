//! Data sources of a gadget: discovery from BTF markers, record layouts, fields and their accessors.
//!
//! A gadget says what it emits by the names of global variables in its object (`gadget_tracer_exec___events___event`)
//! and by the BTF of the structs those names mention. This crate turns both into [`DataSource`]s: a list of
//! [`Field`]s with offsets into the record as the kernel wrote it. Nothing is copied or decoded here; records stay
//! kernel bytes and fields are read in place.
//!
//! It opens no file descriptor and makes no system call: the same object gives the same answer on any machine.

pub mod annotate;
pub mod describe;
pub mod discover;
pub mod field;
pub mod layout;
pub mod param;
pub mod source;
pub mod template;
pub mod words;

pub use describe::ParamDesc;
pub use discover::{DiscoverError, Discovered, discover};
pub use field::{Bits, Enumerators, Field, Number};
pub use param::{Param, ParamError, ParamType};
pub use source::{DataSource, Origin, Rest, SourceKind};
pub use words::FieldWords;
