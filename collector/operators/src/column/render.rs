//! How the bytes of a column become a number or text.

use std::{fmt::Debug, sync::Arc};

use ig_datasource::{Bits, Enumerators, Number, Rest, field::until_nul};
use ig_model::{BootClock, FieldKind, KtimeNs, kind::Scalar};

use super::value::ArrayValue;
use crate::format::{self, Accounts};

/// How bytes become a value.
#[derive(Clone, Debug)]
pub enum Render {
    /// A struct or union whose members are columns of their own; it has no value.
    Members,
    /// A number.
    Number(NumberForm),
    /// Text up to the first NUL.
    CString,
    /// Raw bytes; lower-case hexadecimal as text.
    Hex,
    /// Numbers of the same kind, one after the other.
    Array(Scalar),
    /// What follows the layout.
    Rest(Rest),
    /// The same text for every record.
    Constant(Arc<str>),
    /// Symbolic errno, empty for zero.
    Errno,
    /// `SIGKILL`.
    Signal,
    /// `SYS_OPENAT`.
    Syscall,
    /// RFC 3339 with nanoseconds.
    Timestamp(BootClock),
    /// A wall-clock time in a format of the gadget's own.
    FormattedTime(BootClock, Arc<format::TimeLayout>),
    /// `82 MB`.
    Bytes,
    /// `1.5ms`.
    Duration,
    /// `-rw-r--r--`.
    FileMode,
    /// `O_RDONLY|O_CLOEXEC`.
    FileFlags,
    /// 16 address bytes and the version byte.
    Address,
    /// 16 address bytes, the version byte and the port.
    Endpoint,
    /// Keyword of an IP protocol number.
    Protocol,
    /// Name of an enum value.
    Enum(NumberForm, Arc<Enumerators>),
    /// Names of all bits set, joined by a separator.
    BitSet(NumberForm, Arc<Enumerators>, String),
    /// Login name of a user id.
    User(Arc<Accounts>),
    /// Name of a group id.
    Group(Arc<Accounts>),
    /// Text that another part of the collector knows: symbols of a stack, the name of a container.
    Resolved(Arc<dyn Resolver>),
}

/// Makes text from the input bytes of a column.
///
/// It is called on the thread that reads records, once for each record whose column a sink wants: it must not block.
pub trait Resolver: Send + Sync + Debug {
    /// Appends the text for `input`, the joined input ranges of the column.
    fn text(&self, input: &[u8], out: &mut String);
}

/// How a number stands in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberForm {
    /// As a whole value in host byte order.
    Plain(FieldKind),
    /// As some bits of them.
    Bits(FieldKind, Bits),
    /// As nanoseconds since boot that are shown as nanoseconds since 1970.
    Wall(BootClock),
}

impl NumberForm {
    /// The kind of the value.
    pub fn kind(self) -> FieldKind {
        match self {
            Self::Plain(kind) | Self::Bits(kind, _) => kind,
            Self::Wall(_) => FieldKind::Uint64,
        }
    }

    /// The value, `None` if `bytes` are not as many as it has.
    pub fn read(self, bytes: &[u8]) -> Option<Number> {
        match self {
            Self::Plain(kind) => Number::read(kind, bytes),
            Self::Bits(kind, bits) => Number::read_bits(kind, bits, bytes),
            Self::Wall(clock) => {
                let ktime = u64::from_ne_bytes(bytes.try_into().ok()?);
                Some(Number::Unsigned(clock.wall(KtimeNs(ktime)).0))
            }
        }
    }

    /// The value's bits without sign and as wide as the field, as enumerators are kept.
    fn bits(self, bytes: &[u8]) -> u64 {
        let width = u64::MAX >> (64 - 8 * bytes.len().clamp(1, 8));
        match self.read(bytes) {
            Some(Number::Unsigned(value)) => value,
            Some(Number::Signed(value)) => value as u64 & width,
            Some(Number::Float(_)) | None => 0,
        }
    }
}

impl Render {
    /// Appends the text of a value.
    pub(super) fn text(&self, input: &[u8], out: &mut String) {
        match self {
            Self::Members | Self::Rest(_) => {}
            Self::Number(form) => number_text(*form, input, out),
            Self::CString => out.push_str(&String::from_utf8_lossy(until_nul(input))),
            Self::Hex => format::hex(input, out),
            Self::Array(scalar) => array_text(ArrayValue::new(*scalar, input), out),
            Self::Constant(text) => out.push_str(text),
            Self::Errno => format::errno(u32_of(input), out),
            Self::Signal => format::signal(u32_of(input), out),
            Self::Syscall => format::syscall(u64_of(input), out),
            Self::Timestamp(clock) => format::timestamp(clock.wall(KtimeNs(u64_of(input))).0, 0, out),
            Self::FormattedTime(clock, layout) => layout.write(clock.wall(KtimeNs(u64_of(input))).0, 0, out),
            Self::Bytes => format::bytes(u64_of(input), out),
            Self::Duration => format::duration(u64_of(input), out),
            Self::FileMode => format::file_mode(u32_of(input), out),
            Self::FileFlags => format::file_flags(u32_of(input), out),
            Self::Address => address_text(input, out),
            Self::Endpoint => {
                let (address, port) = input.split_at(input.len().saturating_sub(2));
                endpoint_text(address, u16_of(port), out);
            }
            Self::Protocol => format::protocol(u16_of(input), out),
            Self::Enum(form, enumerators) => {
                format::enum_name(form.bits(input), &enumerators.variants, out);
            }
            Self::BitSet(form, enumerators, separator) => {
                format::bit_set(form.bits(input), &enumerators.variants, separator, out);
            }
            Self::User(accounts) => accounts.user(u32_of(input), out),
            Self::Group(accounts) => accounts.group(u32_of(input), out),
            Self::Resolved(resolver) => resolver.text(input, out),
        }
    }
}

fn number_text(form: NumberForm, input: &[u8], out: &mut String) {
    if let Some(number) = form.read(input) {
        push_number(number, form.kind() == FieldKind::Bool, out);
    }
}

fn push_number(number: Number, is_bool: bool, out: &mut String) {
    use std::fmt::Write as _;

    let written = match number {
        Number::Unsigned(value) if is_bool => write!(out, "{}", value == 1),
        Number::Unsigned(value) => write!(out, "{value}"),
        Number::Signed(value) => write!(out, "{value}"),
        Number::Float(value) => write!(out, "{value}"),
    };
    // Writing to a string cannot fail.
    written.unwrap_or_default();
}

fn array_text(array: ArrayValue<'_>, out: &mut String) {
    let is_bool = array.scalar() == Scalar::Bool;
    out.push('[');
    for (index, number) in array.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_number(number, is_bool, out);
    }
    out.push(']');
}

/// The last byte is the IP version; any other than 4 and 6 is no address.
fn address_text(input: &[u8], out: &mut String) {
    let Some((version, address)) = input.split_last() else { return };
    // An unknown version is no address and has no text.
    let _known = format::address(address, *version, out);
}

/// The same with a port, which stands alone behind what is no address.
fn endpoint_text(input: &[u8], port: u16, out: &mut String) {
    let known =
        input.split_last().is_some_and(|(version, address)| format::endpoint(address, *version, port, out));
    if !known {
        out.push(':');
        out.push_str(&port.to_string());
    }
}

fn u16_of(input: &[u8]) -> u16 {
    input.try_into().map_or(0, u16::from_ne_bytes)
}

fn u32_of(input: &[u8]) -> u32 {
    input.try_into().map_or(0, u32::from_ne_bytes)
}

fn u64_of(input: &[u8]) -> u64 {
    input.try_into().map_or(0, u64::from_ne_bytes)
}
