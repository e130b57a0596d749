//! What authors of gadgets need and a collector never runs: a gadget.yaml held against its object, an image built from a
//! source folder, kernel types cut for kernels that show none.
//!
//! Why it exists: building takes compilers, YAML that is edited in place and archives of whole kernels' types; none of it
//! may come along with what a node runs. The crates below it are those that run the result, so what is built is read
//! by the same code before it is stored.

pub mod btf_archive;
pub mod build;
pub mod gadget_yaml;
