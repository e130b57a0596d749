//! X.500 names as text, and when one contains another.

use std::collections::BTreeMap;
use std::fmt;

use x509_parser::x509::X509Name;

/// Short names of attributes with their object identifiers, as RFC 4514 and Go write them.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("CN", "2.5.4.3"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("POSTALCODE", "2.5.4.17"),
];
/// The attributes that an identity must have: without them it would match far too much.
const MANDATORY: [&str; 3] = ["C", "ST", "O"];
const MAX_NAME: usize = 4096;

/// A name as attributes and values; each attribute stands once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(BTreeMap<String, String>);

/// The name is not one that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It does not have the form `CN=x,O=y`.
    #[error(
        "the name is malformed, expected attributes such as `CN=name, O=organisation, ST=state, C=country`"
    )]
    Malformed,
    /// Two attributes are joined by `+`.
    #[error("the name has an attribute of several values, which is not supported")]
    MultiValued,
    /// An attribute stands twice.
    #[error("the name has the attribute {0} twice")]
    Duplicate(String),
    /// An attribute that every identity needs is missing.
    #[error("the name lacks the attribute {0}; C, ST and O are mandatory")]
    Missing(&'static str),
    /// A value of the certificate is not text.
    #[error("the value of {0} is not text")]
    NotText(String),
}

impl DistinguishedName {
    /// Reads a name in the form of RFC 4514.
    ///
    /// # Errors
    /// [`NameError`] if the name is malformed or has an attribute twice.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME {
            return Err(NameError::Malformed);
        }
        let mut name = Self(BTreeMap::new());
        let mut chars = text.chars().peekable();
        loop {
            let key: String = chars.by_ref().take_while(|c| *c != '=').collect();
            let (value, end) = value(&mut chars)?;
            name.insert(&short(key.trim())?, value)?;
            match end {
                Some(',' | ';') => {}
                Some(_plus) => return Err(NameError::MultiValued),
                None => return Ok(name),
            }
        }
    }

    /// The name of a certificate.
    ///
    /// # Errors
    /// [`NameError`] if it has several values in one attribute, an attribute twice or a value that is not text.
    pub(super) fn of(subject: &X509Name<'_>) -> Result<Self, NameError> {
        let mut name = Self(BTreeMap::new());
        for set in subject.iter_rdn() {
            let mut attributes = set.iter();
            let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
                return Err(NameError::MultiValued);
            };
            let id = attribute.attr_type().to_id_string();
            let key =
                ATTRIBUTES.iter().find(|(_, known)| *known == id).map_or(id.as_str(), |(short, _)| short);
            let value = attribute.as_str().map_err(|_other_type| NameError::NotText(key.to_owned()))?;
            name.insert(key, value.to_owned())?;
        }
        Ok(name)
    }

    /// Makes sure that the attributes are there that every trusted identity needs.
    pub(super) fn check_mandatory(&self) -> Result<(), NameError> {
        match MANDATORY.into_iter().find(|key| !self.0.contains_key(*key)) {
            Some(missing) => Err(NameError::Missing(missing)),
            None => Ok(()),
        }
    }

    /// Whether every attribute of this name is in `other` with the same value.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|(key, value)| other.0.get(key) == Some(value))
    }

    fn insert(&mut self, key: &str, value: String) -> Result<(), NameError> {
        match self.0.insert(key.to_owned(), value) {
            None => Ok(()),
            Some(_first) => Err(NameError::Duplicate(key.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let value: String = value.chars().filter(|c| !c.is_control()).take(200).collect();
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

/// The attribute's short name, or its object identifier where it has none.
fn short(written: &str) -> Result<String, NameError> {
    let upper = written.to_ascii_uppercase();
    let key = if upper == "S" { "ST" } else { upper.as_str() };
    let by_name = ATTRIBUTES.iter().find(|(short, _)| *short == key);
    if let Some((short, _)) = by_name.or_else(|| ATTRIBUTES.iter().find(|(_, id)| *id == key)) {
        return Ok((*short).to_owned());
    }
    let is_id = key.contains('.') && key.split('.').all(|arc| arc.parse::<u32>().is_ok());
    if is_id { Ok(key.to_owned()) } else { Err(NameError::Malformed) }
}

/// A value up to a separator that is not escaped, and the separator.
fn value(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(String, Option<char>), NameError> {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
    let mut bytes: Vec<u8> = Vec::new();
    // How long the value is without the plain spaces at its end.
    let mut kept = 0;
    let mut end = None;
    while let Some(c) = chars.next() {
        match c {
            ',' | ';' | '+' => {
                end = Some(c);
                break;
            }
            '\\' => {
                let escaped = chars.next().ok_or(NameError::Malformed)?;
                match escaped.to_digit(16) {
                    Some(high) => {
                        let low = chars.next().and_then(|c| c.to_digit(16)).ok_or(NameError::Malformed)?;
                        bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
                    }
                    None => push(&mut bytes, escaped),
                }
                kept = bytes.len();
            }
            '"' | '#' | '<' | '>' | '\0' => return Err(NameError::Malformed),
            c => {
                push(&mut bytes, c);
                if !c.is_whitespace() {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    let text = String::from_utf8(bytes).map_err(|_not_text| NameError::Malformed)?;
    if text.is_empty() { Err(NameError::Malformed) } else { Ok((text, end)) }
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
