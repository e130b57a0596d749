//! Gadget ELF objects: parsed, relocated against the kernel's BTF, loaded, attached.
//!
//! Why it exists: gadgets come from others, as objects that clang made against libbpf's conventions, and they have to
//! load here if libbpf loads them. The way is a chain of steps that each can be looked at alone:
//!
//! 1. [`Object::parse`] reads ELF and BTF. Pure, no kernel needed, every byte hostile.
//! 2. [`core_relo`] turns CO-RE relocations and target types into fixups. Pure too.
//! 3. [`Loader`] sets variables and sizes, creates maps, links sub-programs in, loads programs.
//! 4. [`Loaded`] holds descriptors only; [`Loaded::attach`] gives [`Link`]s.
//!
//! Descriptors go to aya's typed maps and ring buffers from there. Unsafe code and system calls live in `ig_kernel::sys`.

mod attach;
mod btf_ext;
mod config;
pub mod core_relo;
mod elf;
mod error;
mod helpers;
mod insn;
mod kernel_btf;
mod kernel_types;
mod linker;
mod listing;
mod loader;
mod map_spec;
pub mod min_btf;
mod object;
mod section;
mod verifier;

pub use attach::{AttachOptions, Direction, FileId, Link, UprobeSet, cgroup2_mount};
pub use error::{AttachError, ErrorKind, LoadError, ParseError};
pub use ig_kernel::map::{Map, MapType};
pub use ig_kernel::sys::bpf::ProgramType;
pub use listing::{FunctionCode, section_names};
pub use loader::{Loaded, Loader, Program, Refused, SkipReason, Skipped};
pub use map_spec::MapSpec;
pub use object::{Object, ProgramSpec, Variable};
pub use section::ProgramKind;
