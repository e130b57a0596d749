//! Parameters of a gadget: `GADGET_PARAM` variables, their types, defaults, and the bytes a text value becomes.

use std::net::IpAddr;

use ig_config::metadata::EbpfParam;
use ig_kernel::btf::{Btf, Type};
use ig_loader::{Object, ProgramKind, Variable};
use ig_model::FieldKind;
use thiserror::Error;

use crate::{
    field::{Number, until_nul},
    layout::scalar_kind,
};

/// Prefix of the fully qualified name of every eBPF parameter.
pub const EBPF_PREFIX: &str = "operator.oci.ebpf.";

/// A settable variable of the eBPF object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Short name as users write it, `pid`.
    pub key: String,
    /// Name of the C variable, `targ_pid`; of the hook for packet filters, empty for the interface.
    pub variable: String,
    /// What text is accepted.
    pub kind: ParamType,
    /// The value in force when nobody sets one.
    pub default: String,
    /// One sentence for `--help`.
    pub description: String,
}

/// How the text of a parameter becomes the bytes of its variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// An integer, bool or float of a fixed size.
    Scalar(FieldKind),
    /// A NUL-padded string of at most this many bytes.
    Text(usize),
    /// A `gadget_l3endpoint_t` of this many bytes: an IPv4 or IPv6 address.
    Address(usize),
    /// Another type of this many bytes; a text of exactly this length is written as it is.
    Opaque(usize),
    /// No variable but a hook: an expression in the language of tcpdump.
    PacketFilter,
    /// No variable either: the network interface that programs are attached to.
    Interface,
}

/// A value that does not fit its parameter.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("invalid value `{value}` for parameter `{key}`: expected {expected}")]
pub struct ParamError {
    /// Short name of the parameter.
    pub key: String,
    /// The text as given.
    pub value: String,
    /// What would have been accepted.
    pub expected: String,
}

impl ParamType {
    /// What an error names as expected.
    pub fn hint(self) -> String {
        match self {
            Self::Scalar(kind) => kind.name().to_owned(),
            Self::Text(max) => format!("a string of at most {max} bytes"),
            Self::Address(_) => "an IPv4 or IPv6 address".to_owned(),
            Self::Opaque(size) => format!("a text of exactly {size} bytes: its type has no other spelling"),
            Self::PacketFilter => "a packet filter such as `tcp port 80`".to_owned(),
            Self::Interface => "the name of a network interface".to_owned(),
        }
    }

    /// The type hint that the reference gives to clients; empty for types without one.
    pub fn type_hint(self) -> &'static str {
        match self {
            Self::Scalar(kind) => kind.name(),
            Self::Text(_) | Self::PacketFilter | Self::Interface => "string",
            Self::Address(_) => "ip",
            Self::Opaque(_) => "",
        }
    }
}

impl Param {
    /// The fully qualified name, `operator.oci.ebpf.pid`.
    pub fn full_key(&self) -> String {
        format!("{EBPF_PREFIX}{}", self.key)
    }

    /// The bytes to write into the variable for `text`.
    ///
    /// # Shape
    /// As many bytes as the variable has, host byte order, text padded with zeros.
    /// # Errors
    /// When the text is not of the parameter's type or does not fit.
    pub fn encode(&self, text: &str) -> Result<Vec<u8>, ParamError> {
        self.kind.encode(text).ok_or_else(|| ParamError {
            key: self.key.clone(),
            value: text.to_owned(),
            expected: self.kind.hint(),
        })
    }
}

impl ParamType {
    fn encode(self, text: &str) -> Option<Vec<u8>> {
        Some(match self {
            Self::Scalar(kind) => match kind {
                FieldKind::Bool => {
                    vec![u8::from(if text.eq_ignore_ascii_case("true") {
                        true
                    } else if text.eq_ignore_ascii_case("false") {
                        false
                    } else {
                        return None;
                    })]
                }
                FieldKind::Int8 => decimal::<i8>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Int16 => decimal::<i16>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Int32 => decimal::<i32>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Int64 => decimal::<i64>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Uint8 => decimal::<u8>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Uint16 => decimal::<u16>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Uint32 => decimal::<u32>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Uint64 => decimal::<u64>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Float32 => float::<f32>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Float64 => float::<f64>(text)?.to_ne_bytes().to_vec(),
                FieldKind::Invalid
                | FieldKind::String
                | FieldKind::CString
                | FieldKind::Bytes
                | FieldKind::Array(_) => return None,
            },
            Self::Text(max) => padded(text.as_bytes(), max)?,
            Self::Address(size) => {
                let (bytes, version) = match text.parse().ok()? {
                    IpAddr::V4(address) => (address.octets().to_vec(), 4),
                    IpAddr::V6(address) => (address.octets().to_vec(), 6),
                };
                let mut image = padded(&bytes, size)?;
                *image.get_mut(16)? = version;
                image
            }
            Self::Opaque(size) => (text.len() == size).then(|| text.as_bytes().to_vec())?,
            // There is no variable.
            Self::PacketFilter | Self::Interface => return None,
        })
    }
}

/// Describes the parameter behind `variable`.
///
/// # Source
/// Keys: gadget.yaml, else the well-known ones, else the variable's name. Defaults: the object's initial value for
/// numbers in read-only data, whatever gadget.yaml says (gadgets rely on it), else gadget.yaml's, else the object's.
/// The reference writes every default back and so zeroes floats and texts that gadget.yaml does not repeat; here a
/// variable that nobody sets keeps its initial value.
pub(crate) fn describe(
    btf: &Btf,
    variable: &Variable,
    initial: &[u8],
    described: Option<&EbpfParam>,
) -> Param {
    let kind = param_type(btf, variable);
    let key = described
        .and_then(|known| known.key.as_deref())
        .filter(|key| !key.is_empty())
        .or_else(|| WELL_KNOWN.iter().find(|(name, _)| *name == variable.name).map(|(_, key)| *key))
        .unwrap_or(&variable.name);
    let in_object = match kind {
        ParamType::Scalar(kind) => Number::read(kind, initial).map(|number| match number {
            Number::Unsigned(value) if kind == FieldKind::Bool => (value == 1).to_string(),
            Number::Unsigned(value) => value.to_string(),
            Number::Signed(value) => value.to_string(),
            Number::Float(value) => value.to_string(),
        }),
        ParamType::Text(_) => Some(String::from_utf8_lossy(until_nul(initial)).into_owned()),
        ParamType::Address(_) => address(initial).map(|address| address.to_string()),
        ParamType::Opaque(_) | ParamType::PacketFilter | ParamType::Interface => None,
    };
    let written = described.and_then(|known| known.default_value.clone());
    let object_wins = variable.read_only && matches!(kind, ParamType::Scalar(_) | ParamType::Address(_));
    let default = if object_wins { in_object.or(written) } else { written.or(in_object) };
    Param {
        key: key.to_owned(),
        variable: variable.name.clone(),
        kind,
        default: default.unwrap_or_default(),
        description: described.and_then(|known| known.description.clone()).unwrap_or_default(),
    }
}

/// The parameters that programs at network interfaces bring along: a filter for each hook that takes one, and the
/// interface.
pub(crate) fn of_network(object: &Object) -> Vec<Param> {
    let new = |key: &str, variable: &str, kind, description: &str| Param {
        key: key.to_owned(),
        variable: variable.to_owned(),
        kind,
        default: String::new(),
        description: description.to_owned(),
    };
    let mut params: Vec<Param> = Vec::new();
    for hook in object.packet_filters() {
        let key = if hook.is_empty() { "pf".to_owned() } else { format!("pf-{hook}") };
        let description = "Only packets that match this expression in the language of tcpdump";
        if params.iter().all(|param| param.key != key) {
            params.push(new(&key, hook, ParamType::PacketFilter, description));
        }
    }
    if object.programs().iter().any(|program| program.kind == ProgramKind::Classifier) {
        let description = "Network interface to attach to, instead of those of containers";
        params.push(new("iface", "", ParamType::Interface, description));
    }
    params
}

/// Keys of variables that the shared headers declare.
const WELL_KNOWN: [(&str, &str); 8] = [
    ("targ_pid", "pid"),
    ("targ_tid", "tid"),
    ("targ_uid", "uid"),
    ("targ_gid", "gid"),
    ("targ_comm", "comm"),
    ("collect_ustack", "collect-ustack"),
    ("collect_build_id", "collect-build-id"),
    ("collect_otel_stack", "collect-otel-stack"),
];

fn param_type(btf: &Btf, variable: &Variable) -> ParamType {
    let opaque = ParamType::Opaque(variable.size as usize);
    match btf.skip_modifiers_and_typedefs(variable.type_id) {
        Some((_, Type::Array(array))) => match btf.skip_modifiers_and_typedefs(array.element) {
            // What the types say must be what there is to be written to.
            Some((_, Type::Int(int)))
                if int.size == 1 && int.name == "char" && array.len == variable.size =>
            {
                ParamType::Text(array.len as usize)
            }
            _ => opaque,
        },
        Some((_, Type::Struct(composite)))
            if composite.name == "gadget_l3endpoint_t" && composite.size == variable.size =>
        {
            ParamType::Address(composite.size as usize)
        }
        Some((_, ty @ (Type::Int(_) | Type::Float(_)))) => scalar_kind(&ty).map_or(opaque, ParamType::Scalar),
        _ => opaque,
    }
}

/// The address that a `gadget_l3endpoint_t` holds: 16 bytes and the version; zeros are no address yet.
fn address(image: &[u8]) -> Option<IpAddr> {
    let bytes: &[u8; 16] = image.first_chunk()?;
    match image.get(16)? {
        6 => Some(IpAddr::from(*bytes)),
        _ => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
    }
}

/// Decimal or with an exponent; words such as `inf` are not numbers of a program.
fn float<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.contains(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Base 10 only; a leading `+` is not a number here, as in the reference.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn padded(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    if bytes.len() > size {
        return None;
    }
    let mut image = bytes.to_vec();
    image.resize(size, 0);
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(kind: ParamType) -> Param {
        Param {
            key: "p".into(),
            variable: "targ_p".into(),
            kind,
            default: String::new(),
            description: String::new(),
        }
    }

    /// Scenario: each type with a value at its limit and one just past it.
    /// Guarantees: what fits is encoded in the variable's size, what does not is an error that names both.
    #[test]
    fn values_are_range_checked() {
        let p = param(ParamType::Scalar(FieldKind::Uint16));
        assert_eq!(p.encode("65535"), Ok(vec![0xff, 0xff]));
        let error = p.encode("65536").unwrap_err();
        assert_eq!(error.to_string(), "invalid value `65536` for parameter `p`: expected uint16");
        assert!(p.encode("-1").is_err());
        assert!(p.encode("0x10").is_err());
        assert!(p.encode("").is_err());
        assert_eq!(param(ParamType::Scalar(FieldKind::Bool)).encode("TRUE"), Ok(vec![1]));
        assert!(param(ParamType::Scalar(FieldKind::Bool)).encode("1").is_err());
    }

    /// Scenario: strings as long as the variable and one byte longer.
    /// Guarantees: a full string is allowed without terminator, a longer one is refused.
    #[test]
    fn text_may_fill_its_array() {
        let p = param(ParamType::Text(4));
        assert_eq!(p.encode("ab"), Ok(vec![b'a', b'b', 0, 0]));
        assert_eq!(p.encode("abcd"), Ok(b"abcd".to_vec()));
        assert!(p.encode("abcde").is_err());
    }

    /// Scenario: an address parameter of the size the C struct has.
    /// Guarantees: version and bytes stand where the struct has them.
    #[test]
    fn addresses_fill_the_endpoint_struct() {
        let image = param(ParamType::Address(32)).encode("10.0.0.1").unwrap();
        assert_eq!((image.len(), &image[..4], image[16]), (32, &[10, 0, 0, 1][..], 4));
        assert!(param(ParamType::Address(32)).encode("").is_err());
    }
}
