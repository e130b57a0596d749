//! Content digests. Only SHA-256 is spoken: it is the one algorithm that gadget images use.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::Digest as _;

/// A SHA-256 content digest, written `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not a digest this crate can check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest of the form `sha256:` and 64 lower-case hexadecimal digits")]
pub struct ParseDigestError {
    text: String,
}

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(sha2::Sha256::digest(content).into())
    }

    /// The 64 hexadecimal digits without the algorithm.
    pub fn hex(&self) -> String {
        self.digits().collect()
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    fn digits(&self) -> impl Iterator<Item = char> {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        self.0.iter().flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
    }
}

impl From<sha2::Sha256> for Digest {
    /// The digest of all that was hashed.
    fn from(hasher: sha2::Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.digits().try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || {
            let mut shown = crate::store::graph::shown(text, 100);
            if text.chars().count() > 100 {
                shown.push_str("...");
            }
            ParseDigestError { text: shown }
        };
        let hex = text.strip_prefix("sha256:").ok_or_else(fault)?.as_bytes();
        if hex.len() != 64 {
            return Err(fault());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(fault()) };
            *byte = nibble(high).ok_or_else(fault)? << 4 | nibble(low).ok_or_else(fault)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the digest of the empty JSON object, which every image without metadata refers to.
    /// Guarantees: text and value agree in both directions.
    #[test]
    fn digest_text_round_trips() {
        let digest = Digest::of(b"{}");
        let text = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
    }

    /// Scenario: wrong algorithm, wrong length, upper case, other characters, a path in disguise.
    /// Guarantees: each is refused, and the message stays short.
    #[test]
    fn malformed_digests_are_refused() {
        let long = "a".repeat(10_000);
        for text in ["", "sha256:", "sha512:00", &"sha256:A".repeat(9), "sha256:../../etc/passwd", &long] {
            assert!(text.parse::<Digest>().unwrap_err().to_string().len() < 250, "{text}");
        }
        assert!(format!("sha256:{}", "G".repeat(64)).parse::<Digest>().is_err());
        assert!(format!("sha256:{}", "é".repeat(32)).parse::<Digest>().is_err());
    }
}
