//! Objects that were damaged on purpose.

use std::sync::OnceLock;

use ig_loader::core_relo::Relocator;
use ig_loader::{Object, ParseError};
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::compile::compile;

fn sample() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| compile("maps"))
}

/// Parses, and relocates against the object's own types, which are then hostile on both sides.
fn open_and_relocate(bytes: &[u8]) {
    if let Ok(object) = Object::parse("hostile", bytes) {
        object.check_relocations(&mut Relocator::new(object.btf(), vec![object.btf()]));
        for variable in object.variables() {
            assert_eq!(object.initial_value(variable).len(), variable.size as usize);
        }
    }
}

#[test]
fn what_is_no_object_is_told_apart() {
    assert!(matches!(Object::parse("x", b""), Err(ParseError::Elf { .. })));
    assert!(matches!(Object::parse("x", b"\x7fELF"), Err(ParseError::Elf { .. })));
    let own = std::fs::read("/proc/self/exe").unwrap();
    let error = Object::parse("x", &own).unwrap_err();
    assert!(matches!(error, ParseError::Machine(_)) || error.to_string().contains("64 MiB"), "{error}");
    let mut other = sample().to_vec();
    other[5] = 2;
    assert!(matches!(Object::parse("x", &other), Err(ParseError::ByteOrder | ParseError::Elf { .. })));
}

/// Guarantees: an object cut anywhere is refused or parsed, never a panic.
#[test]
fn truncation_is_survived() {
    let bytes = sample();
    for len in (0..bytes.len()).step_by(61) {
        open_and_relocate(&bytes[..len]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Guarantees: damaged bytes are refused or parsed, never a panic, a hang or a huge allocation.
    #[test]
    fn damage_is_survived(edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..40)) {
        let mut bytes = sample().to_vec();
        let len = bytes.len();
        for (at, value) in edits {
            bytes[at % len] = value;
        }
        open_and_relocate(&bytes);
    }

    /// Guarantees: as above, for words that look like sizes, counts and offsets.
    #[test]
    fn wrong_numbers_are_survived(edits in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u32>()), 1..8)) {
        let mut bytes = sample().to_vec();
        let len = bytes.len();
        for (at, class, value) in edits {
            let at = at % (len - 4) / 4 * 4;
            let value = match class % 4 { 0 => value, 1 => value % 64, 2 => u32::MAX - value % 16, _ => 1 << (value % 32) };
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        open_and_relocate(&bytes);
    }
}
