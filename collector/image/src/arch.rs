//! The processor architectures that gadgets are built for.

use std::fmt;
use std::str::FromStr;

/// A processor architecture, named as in the `platform` of an OCI descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

/// The text is not an architecture that gadgets are built for.
#[derive(Debug, thiserror::Error)]
#[error("unknown architecture `{text}`, expected `amd64` or `arm64`")]
pub struct ParseArchError {
    text: String,
}

impl Arch {
    /// Every architecture, in the order in which an index lists them.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The architecture this program runs on.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// The name used by OCI platforms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = ParseArchError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|arch| arch.name() == text)
            .ok_or_else(|| ParseArchError { text: text.to_owned() })
    }
}
