//! What can go wrong from the bytes of an object to an attached program.

use std::borrow::Cow;
use std::io;

use ig_kernel::btf::BtfError;
use ig_model::{Hint, Shortage};

/// What a caller can do about an error.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A hook, a map, a program or a variable does not exist.
    NotFound,
    /// The process lacks a privilege.
    PermissionDenied,
    /// The kernel's verifier refused a program.
    Verifier,
    /// The kernel lacks a feature.
    UnsupportedKernel {
        /// What would have it.
        needs: String,
    },
    /// The object is at fault.
    InvalidObject,
    /// The caller asked for something that the object does not allow.
    InvalidInput,
    /// Memory was short or something was busy: trying later may help.
    Retryable,
    /// None of the above: worth a report.
    Bug,
}

impl ErrorKind {
    /// Want of descriptors or memory, whatever the step it was met at.
    fn of_shortage(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        Shortage::of(error).map(|_| Self::Retryable)
    }

    fn of_io(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::PermissionDenied,
            Some(libc::ENOENT) => Self::NotFound,
            Some(libc::EBUSY) => Self::Retryable,
            // 524 is the kernel's own ENOTSUPP.
            Some(libc::ENOSYS | libc::EOPNOTSUPP | 524) => {
                Self::UnsupportedKernel { needs: "a newer kernel or another configuration".to_owned() }
            }
            _ => Self::Bug,
        }
    }
}

const PERMISSION_HINT: &str = "needs root, or CAP_BPF with CAP_PERFMON (and CAP_NET_ADMIN for network programs, CAP_SYS_ADMIN before Linux 5.8)";

/// Why bytes are not an object that can be loaded. Always the object's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The ELF container is broken.
    #[error("the {part} of the ELF file cannot be read")]
    Elf {
        /// Header, sections, symbols, relocations.
        part: &'static str,
        /// The cause.
        #[source]
        source: object::read::Error,
    },
    /// An ELF file for something else.
    #[error("the ELF file is for machine {0}, not eBPF (247)")]
    Machine(u16),
    /// An object for machines of the other byte order.
    #[error("the object has the other byte order than this machine")]
    ByteOrder,
    /// A section that every object must have.
    #[error("the object has no section `{0}`")]
    Missing(&'static str),
    /// The types cannot be read.
    #[error("the types of the object cannot be read")]
    Btf(#[source] BtfError),
    /// A section with content that makes no sense.
    #[error("section `{section}`: {problem}")]
    Section {
        /// Its name.
        section: String,
        /// What is wrong.
        problem: String,
    },
    /// A map definition that makes no sense.
    #[error("map `{map}`: {problem}")]
    Map {
        /// Its name.
        map: String,
        /// What is wrong.
        problem: String,
    },
    /// A function that makes no sense.
    #[error("function `{function}`: {problem}")]
    Function {
        /// Its name.
        function: String,
        /// What is wrong.
        problem: String,
    },
}

impl ParseError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidObject
    }
}

impl Hint for ParseError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing(_) | Self::Btf(_) => Some("compile with `clang -g -O2 -target bpf`".into()),
            Self::ByteOrder => Some("compile with `-target bpfel` for little-endian machines".into()),
            _ => None,
        }
    }
}

/// Why an object could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No variable of that name.
    #[error("the object has no variable `{0}`")]
    UnknownVariable(String),
    /// A value of the wrong size for its variable.
    #[error("variable `{variable}` has {expected} bytes, not {got}")]
    VariableSize {
        /// Its name.
        variable: String,
        /// Its size.
        expected: usize,
        /// Size of the value given.
        got: usize,
    },
    /// No map of that name.
    #[error("the object has no map `{0}`")]
    UnknownMap(String),
    /// Asked for another size or other flags of a map whose contents are the object's variables.
    #[error("map `{0}` holds variables of the object: its size and flags are fixed")]
    FixedMap(String),
    /// No program of that name.
    #[error("the object has no program `{0}`")]
    UnknownProgram(String),
    /// No hook of that name for a packet filter.
    #[error("the object has no packet filter `{hook}`, {}", known_filters(known))]
    UnknownPacketFilter {
        /// Its name.
        hook: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A text that is no packet filter.
    #[error("failed to compile the packet filter{}", named(hook))]
    PacketFilter {
        /// Name of its hook.
        hook: String,
        /// What is wrong with it.
        #[source]
        source: ig_packet_filter::FilterError,
    },
    /// A map given from outside that is not what the program expects.
    #[error("the map given for `{map}` does not fit: {problem}")]
    IncompatibleMap {
        /// Its name.
        map: String,
        /// What differs.
        problem: String,
    },
    /// The object refers to something the loader cannot resolve.
    #[error("{what} `{name}`: {problem}")]
    Unresolved {
        /// Kind of the thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why not.
        problem: String,
    },
    /// A CO-RE relocation that cannot be carried out.
    #[error("failed to relocate `{function}`")]
    Relocation {
        /// Function that holds it.
        function: String,
        /// The cause.
        #[source]
        source: crate::core_relo::CoreError,
    },
    /// The kernel's types cannot be read.
    #[error("the types of this kernel cannot be read")]
    KernelBtf(#[source] BtfError),
    /// The kernel's table of symbols cannot be read.
    #[error("the symbols of this kernel cannot be read")]
    KernelSymbols(#[source] io::Error),
    /// The kernel's configuration cannot be read now.
    #[error("the configuration of this kernel cannot be read")]
    KernelConfig(#[source] io::Error),
    /// The object's own types could not be loaded.
    #[error("failed to load the types of the object")]
    ObjectBtf(#[source] io::Error),
    /// The kernel has no such hook.
    #[error("program `{program}` needs `{hook}`, which this kernel does not have")]
    MissingHook {
        /// Its name.
        program: String,
        /// Name of the hook.
        hook: String,
    },
    /// The kernel has no such kind of hook at all.
    #[error("program `{program}` (section `{section}`): this kernel needs {needs}")]
    UnsupportedKernel {
        /// Its name.
        program: String,
        /// The section.
        section: String,
        /// What would have it.
        needs: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A section name that says no program type.
    #[error("program `{program}`: section `{section}` names no known program type")]
    UnknownSection {
        /// Its name.
        program: String,
        /// The section.
        section: String,
    },
    /// A map could not be created.
    #[error("failed to create map `{map}`")]
    CreateMap {
        /// Its name.
        map: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A map could not be filled.
    #[error("failed to fill map `{map}`")]
    FillMap {
        /// Its name.
        map: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The verifier refused a program.
    #[error("the verifier refused program `{program}`: {summary}")]
    Verifier {
        /// Its name.
        program: String,
        /// The line of the log that matters.
        summary: String,
        /// The whole log.
        log: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a program before it was verified.
    #[error("failed to load program `{program}`")]
    LoadProgram {
        /// Its name.
        program: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn named(hook: &str) -> String {
    if hook.is_empty() { String::new() } else { format!(" of hook `{hook}`") }
}

/// The hooks there are, for whoever asked for another.
fn known_filters(known: &[String]) -> String {
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nor any other".to_owned() } else { format!("only {}", names.join(", ")) }
}

impl LoadError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of_shortage(self).unwrap_or_else(|| self.kind_of_step())
    }

    fn kind_of_step(&self) -> ErrorKind {
        match self {
            Self::UnknownVariable(_)
            | Self::UnknownMap(_)
            | Self::UnknownProgram(_)
            | Self::UnknownPacketFilter { .. }
            | Self::MissingHook { .. } => ErrorKind::NotFound,
            Self::VariableSize { .. }
            | Self::FixedMap(_)
            | Self::IncompatibleMap { .. }
            | Self::PacketFilter { .. } => ErrorKind::InvalidInput,
            Self::Unresolved { .. } | Self::Relocation { .. } | Self::UnknownSection { .. } => {
                ErrorKind::InvalidObject
            }
            Self::UnsupportedKernel { needs, .. } => {
                ErrorKind::UnsupportedKernel { needs: (*needs).to_owned() }
            }
            Self::KernelBtf(_) => {
                ErrorKind::UnsupportedKernel { needs: "Linux 5.4 with CONFIG_DEBUG_INFO_BTF".to_owned() }
            }
            Self::Verifier { .. } => ErrorKind::Verifier,
            Self::KernelSymbols(source) | Self::KernelConfig(source) | Self::ObjectBtf(source) => {
                ErrorKind::of_io(source)
            }
            Self::CreateMap { source, .. }
            | Self::FillMap { source, .. }
            | Self::LoadProgram { source, .. } => match source.raw_os_error() {
                Some(libc::EINVAL) => {
                    ErrorKind::UnsupportedKernel { needs: "a kernel that knows this type".to_owned() }
                }
                // More entries, bytes or instructions than the kernel allows.
                Some(libc::E2BIG) => ErrorKind::InvalidInput,
                _ => ErrorKind::of_io(source),
            },
        }
    }

    /// The verifier's log, when it refused a program.
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } => Some(log),
            _ => None,
        }
    }
}

impl Hint for LoadError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        if let Some(shortage) = Shortage::of(self) {
            return Some(shortage.hint().into());
        }
        match self {
            Self::KernelBtf(_) => Some("the kernel needs CONFIG_DEBUG_INFO_BTF and sysfs on /sys".into()),
            Self::Verifier { .. } => Some("the whole log of the verifier is shown with -v".into()),
            _ if self.kind() == ErrorKind::PermissionDenied => Some(PERMISSION_HINT.into()),
            _ => None,
        }
    }
}

/// Why a program could not be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No program of that name.
    #[error("no program `{0}` is loaded")]
    UnknownProgram(String),
    /// The program is meant to stay unattached.
    #[error("program `{0}` is disabled")]
    Disabled(String),
    /// The loader cannot attach this kind of program, or cannot do it without more information.
    #[error("program `{program}`: attaching `{section}` is not supported: {problem}")]
    Unsupported {
        /// Its name.
        program: String,
        /// Its section.
        section: String,
        /// Why not.
        problem: &'static str,
    },
    /// The section or the override names no usable target.
    #[error("program `{program}`: `{target}` is no target of the form {form}")]
    Target {
        /// Its name.
        program: String,
        /// The target given.
        target: String,
        /// The form expected.
        form: &'static str,
    },
    /// The kernel has no such hook.
    #[error("failed to attach `{program}`: this kernel has no {hook}")]
    MissingHook {
        /// Its name.
        program: String,
        /// The hook.
        hook: String,
    },
    /// The kernel has no such kind of hook at all.
    #[error("failed to attach `{program}` to {hook}: this kernel needs {needs}")]
    UnsupportedKernel {
        /// Its name.
        program: String,
        /// The hook.
        hook: String,
        /// What would have it.
        needs: &'static str,
    },
    /// Tracefs could not be read.
    #[error("failed to attach `{program}`")]
    Tracefs {
        /// Its name.
        program: String,
        /// The cause.
        #[source]
        source: ig_kernel::tracefs::TracefsError,
    },
    /// Any other refusal.
    #[error("failed to attach `{program}` to {hook}")]
    Io {
        /// Its name.
        program: String,
        /// The hook.
        hook: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A link that is not an iterator was asked for records.
    #[error("failed to start a walk of iterator `{program}`")]
    Iterator {
        /// Its name.
        program: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl AttachError {
    /// Whether this kernel lacks the hook or its whole kind: a program that the object can do without is then left
    /// unattached.
    pub fn is_missing_hook(&self) -> bool {
        match self {
            Self::MissingHook { .. } | Self::UnsupportedKernel { .. } => true,
            Self::Tracefs { source, .. } => {
                matches!(source, ig_kernel::tracefs::TracefsError::NoEvent { .. })
            }
            _ => false,
        }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of_shortage(self).unwrap_or_else(|| self.kind_of_step())
    }

    fn kind_of_step(&self) -> ErrorKind {
        match self {
            Self::UnknownProgram(_) | Self::MissingHook { .. } => ErrorKind::NotFound,
            Self::Disabled(_) | Self::Unsupported { .. } | Self::Target { .. } => ErrorKind::InvalidInput,
            Self::UnsupportedKernel { needs, .. } => {
                ErrorKind::UnsupportedKernel { needs: (*needs).to_owned() }
            }
            Self::Tracefs { source, .. } => match source {
                ig_kernel::tracefs::TracefsError::NoEvent { .. } => ErrorKind::NotFound,
                ig_kernel::tracefs::TracefsError::Define { source, .. } => ErrorKind::of_io(source),
                _ => ErrorKind::UnsupportedKernel { needs: "a mounted tracefs".to_owned() },
            },
            // Programs of others may leave.
            _ if self.is_full_hook() => ErrorKind::Retryable,
            Self::Io { source, .. } | Self::Iterator { source, .. } => ErrorKind::of_io(source),
        }
    }

    /// Whether the hook has as many programs as the kernel allows: 64 at a tracepoint or probe (`BPF_TRACE_MAX_PROGS` in
    /// kernel/trace/bpf_trace.c), those of all tools together.
    fn is_full_hook(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.raw_os_error() == Some(libc::E2BIG))
    }
}

impl Hint for AttachError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        if let Some(shortage) = Shortage::of(self) {
            return Some(shortage.hint().into());
        }
        let of_cause = match self {
            Self::Tracefs { source, .. } => source.hint(),
            _ if self.is_full_hook() => Some(
                "the kernel takes 64 programs there, those of all tools together; it is tried again, or attach the \
                 program as a raw tracepoint, which has no such limit"
                    .into(),
            ),
            _ => None,
        };
        of_cause.or_else(|| (self.kind() == ErrorKind::PermissionDenied).then_some(PERMISSION_HINT.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use ig_kernel::tracefs::TracefsError;
    use ig_model::Hint as _;

    use super::{AttachError, ErrorKind, LoadError};

    /// Scenario: each step of a load and an attachment fails for want of a descriptor, of memory, or because of a signal.
    /// Guarantees: each may be tried again and says what to do about it; none is taken for what the step would mean.
    #[test]
    fn a_shortage_is_one_at_every_step() {
        for number in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN, libc::EINTR] {
            let source = || io::Error::from_raw_os_error(number);
            let name = String::new;
            let read = ig_kernel::btf::BtfError::Read { path: name(), source: source() };
            for error in [
                LoadError::KernelBtf(read),
                LoadError::KernelSymbols(source()),
                LoadError::KernelConfig(source()),
                LoadError::ObjectBtf(source()),
                LoadError::CreateMap { map: name(), source: source() },
                LoadError::LoadProgram { program: name(), source: source() },
            ] {
                assert_eq!(error.kind(), ErrorKind::Retryable, "{number}: {error}");
                assert!(error.hint().is_some_and(|hint| hint.contains("tried again")), "{error}");
            }
            let open = TracefsError::Open(source());
            let read = TracefsError::Read { group: name(), name: name(), source: source() };
            for error in [
                AttachError::Tracefs { program: name(), source: open },
                AttachError::Tracefs { program: name(), source: read },
                AttachError::Io { program: name(), hook: name(), source: source() },
            ] {
                assert_eq!(error.kind(), ErrorKind::Retryable, "{number}: {error}");
                assert!(!error.is_missing_hook());
                assert!(error.hint().is_some_and(|hint| hint.contains("tried again")), "{error}");
            }
        }
    }
}
