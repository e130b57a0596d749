//! Parameters of a gadget: `GADGET_PARAM` variables, their types, defaults, and the bytes a text value becomes.

use std::net::IpAddr;

use ig_config::metadata::EbpfParam;
use ig_kernel::btf::{Btf, Type, TypeId};
use ig_loader::Variable;
use ig_model::FieldKind;
use thiserror::Error;

use crate::{field::Number, layout::scalar_kind};

/// Prefix of the fully qualified name of every eBPF parameter.
pub const EBPF_PREFIX: &str = "operator.oci.ebpf.";

/// A settable variable of the eBPF object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Short name as users write it, `pid`.
    pub key: String,
    /// Name of the C variable, `targ_pid`.
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
    /// A type no text can set; the variable keeps its initial value.
    Opaque,
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
    /// The type hint of the reference, and what an error names as expected.
    pub fn hint(self) -> String {
        match self {
            Self::Scalar(kind) => kind.name().to_owned(),
            Self::Text(max) => format!("a string of at most {max} bytes"),
            Self::Address(_) => "an IPv4 or IPv6 address".to_owned(),
            Self::Opaque => "nothing: its type cannot be set from text".to_owned(),
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
                FieldKind::Float32 => text.parse::<f32>().ok()?.to_ne_bytes().to_vec(),
                FieldKind::Float64 => text.parse::<f64>().ok()?.to_ne_bytes().to_vec(),
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
            Self::Opaque => return None,
        })
    }
}

/// Describes the parameter behind `variable`.
///
/// # Source
/// Keys: gadget.yaml, else the well-known ones, else the variable's name. Defaults: the object's initial value for
/// scalars in read-only data, else gadget.yaml's.
pub(crate) fn describe(
    btf: &Btf,
    variable: &Variable,
    initial: &[u8],
    described: Option<&EbpfParam>,
) -> Param {
    let kind = param_type(btf, variable.type_id);
    let key = described
        .and_then(|known| known.key.as_deref())
        .filter(|key| !key.is_empty())
        .or_else(|| WELL_KNOWN.iter().find(|(name, _)| *name == variable.name).map(|(_, key)| *key))
        .unwrap_or(&variable.name);
    let in_object = match kind {
        ParamType::Scalar(kind) if variable.read_only => {
            Number::read(kind, initial).map(|number| match number {
                Number::Unsigned(value) if kind == FieldKind::Bool => (value == 1).to_string(),
                Number::Unsigned(value) => value.to_string(),
                Number::Signed(value) => value.to_string(),
                Number::Float(value) => value.to_string(),
            })
        }
        _ => None,
    };
    Param {
        key: key.to_owned(),
        variable: variable.name.clone(),
        kind,
        default: in_object
            .or_else(|| described.and_then(|known| known.default_value.clone()))
            .unwrap_or_default(),
        description: described.and_then(|known| known.description.clone()).unwrap_or_default(),
    }
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

fn param_type(btf: &Btf, id: TypeId) -> ParamType {
    match btf.skip_modifiers_and_typedefs(id) {
        Some((_, Type::Array(array))) => match btf.skip_modifiers_and_typedefs(array.element) {
            Some((_, Type::Int(int))) if int.size == 1 && int.name == "char" => {
                ParamType::Text(array.len as usize)
            }
            _ => ParamType::Opaque,
        },
        Some((_, Type::Struct(composite))) if composite.name == "gadget_l3endpoint_t" => {
            ParamType::Address(composite.size as usize)
        }
        Some((_, ty @ (Type::Int(_) | Type::Float(_)))) => {
            scalar_kind(&ty).map_or(ParamType::Opaque, ParamType::Scalar)
        }
        _ => ParamType::Opaque,
    }
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
