//! What the running kernel is and can do: BTF, bpf(2), feature probes.
//!
//! Why it exists: loading and reading eBPF needs facts about *this* kernel, and the raw calls that aya does not offer.
//! Everything that crosses into the kernel goes through [`sys`]; everything else here is safe, bounds-checked code over
//! bytes that are treated as hostile, because BTF also comes out of gadget images.

pub mod btf;
pub mod cpus;
pub mod map;
pub mod probe;
pub mod release;
pub mod symbols;
pub mod sys;
pub mod tracefs;
