//! Numbers in the texts of procfs and cgroupfs.

/// The number at the start of `bytes`, behind blanks; 0 if there is none, the greatest one if it does not fit.
pub(super) fn unsigned(bytes: &[u8]) -> u64 {
    let digits = bytes.trim_ascii_start().iter().map_while(|byte| char::from(*byte).to_digit(10));
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(digit.into()))
}

/// The number at the start of `bytes`, which may have a sign.
pub(super) fn signed(bytes: &[u8]) -> i64 {
    let bytes = bytes.trim_ascii_start();
    match bytes.strip_prefix(b"-") {
        Some(rest) => i64::try_from(unsigned(rest)).map_or(i64::MIN, |number| -number),
        None => i64::try_from(unsigned(bytes)).unwrap_or(i64::MAX),
    }
}

/// The decimal number at the start of `bytes`, such as `1.50`; 0 if there is none.
pub(super) fn decimal(bytes: &[u8]) -> f64 {
    let end = bytes.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let text = bytes.get(..end).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
    text.parse().unwrap_or(0.0)
}

/// Lines of a text.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// Words of a line.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// What stands behind `key` in the first line that begins with it.
pub(super) fn value<'t>(text: &'t [u8], key: &str) -> Option<&'t [u8]> {
    lines(text).find_map(|line| line.strip_prefix(key.as_bytes()))
}
