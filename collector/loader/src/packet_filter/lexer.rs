//! Text to tokens.
//!
//! As in libpcap the longest reading wins, so that `80-90` is one token and `len-14` is a name. Time is linear in the
//! size of the text, but for addresses, which are bounded.

use std::net::Ipv6Addr;

use super::ast::{Dotted, Span};
use super::error::{FilterError, quote};
use super::words::{self, Word};

/// Most bytes of an expression.
const MAX_TEXT: usize = 64 << 10;
/// More characters than any address has.
const MAX_ADDRESS: usize = 64;

/// The pieces that a filter is made of.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    Number(u32),
    Dotted(Dotted),
    V6(Ipv6Addr),
    Mac([u8; 6]),
    Word(Word),
    /// Any other name, and words behind a backslash.
    Name(String),
    Symbol(Symbol),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Symbol {
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Colon,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Ampersand,
    Bar,
    Caret,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Two characters before one, so that the longer is found first.
const SYMBOLS: &[(&str, Token)] = &[
    ("&&", Token::Word(Word::And)),
    ("||", Token::Word(Word::Or)),
    ("!=", Token::Symbol(Symbol::NotEqual)),
    ("==", Token::Symbol(Symbol::Equal)),
    ("<=", Token::Symbol(Symbol::LessOrEqual)),
    (">=", Token::Symbol(Symbol::GreaterOrEqual)),
    ("<<", Token::Symbol(Symbol::ShiftLeft)),
    (">>", Token::Symbol(Symbol::ShiftRight)),
    ("!", Token::Word(Word::Not)),
    ("(", Token::Symbol(Symbol::Open)),
    (")", Token::Symbol(Symbol::Close)),
    ("[", Token::Symbol(Symbol::OpenBracket)),
    ("]", Token::Symbol(Symbol::CloseBracket)),
    (":", Token::Symbol(Symbol::Colon)),
    ("+", Token::Symbol(Symbol::Plus)),
    ("-", Token::Symbol(Symbol::Minus)),
    ("*", Token::Symbol(Symbol::Star)),
    ("/", Token::Symbol(Symbol::Slash)),
    ("%", Token::Symbol(Symbol::Percent)),
    ("&", Token::Symbol(Symbol::Ampersand)),
    ("|", Token::Symbol(Symbol::Bar)),
    ("^", Token::Symbol(Symbol::Caret)),
    ("=", Token::Symbol(Symbol::Equal)),
    ("<", Token::Symbol(Symbol::Less)),
    (">", Token::Symbol(Symbol::Greater)),
];

/// Cuts a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Span)>, FilterError> {
    if text.len() > MAX_TEXT {
        return Err(FilterError::of_all(text, "the expression is longer than 64 KiB"));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if blank > 0 {
            at += blank;
            continue;
        }
        let (token, len) = token(text, at, rest)?;
        tokens.push((token, at..at + len));
        at += len;
    }
    Ok(tokens)
}

/// The token that `rest`, which begins at `at`, begins with; and its bytes.
fn token(text: &str, at: usize, rest: &str) -> Result<(Token, usize), FilterError> {
    if let Some(name) = rest.strip_prefix('\\') {
        let len = name.find(|c: char| !name_character(c)).unwrap_or(name.len());
        let name = name.get(..len).unwrap_or_default();
        if name.is_empty() {
            return Err(FilterError::at(text, &(at..at + 1), "no name stands behind the backslash"));
        }
        return Ok((Token::Name(name.to_owned()), len + 1));
    }
    if let Some((token, len)) = address(rest) {
        return Ok((token, len));
    }
    if rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let len = name_length(rest);
        let name = rest.get(..len).unwrap_or_default();
        return Ok((named(text, at, name)?, len));
    }
    let symbol = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol));
    if let Some((symbol, token)) = symbol {
        return Ok((token.clone(), symbol.len()));
    }
    let end = rest.chars().next().map_or(0, char::len_utf8);
    let piece = rest.get(..end).unwrap_or_default();
    let error = FilterError::at(text, &(at..at + end), format!("{} has no meaning here", quote(piece)));
    Err(if rest.starts_with('$') { error.hint("ARCnet addresses are not supported") } else { error })
}

fn name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A name may hold `-` and `_` but does not end with them.
fn name_length(rest: &str) -> usize {
    let run = rest.find(|c: char| !name_character(c)).unwrap_or(rest.len());
    rest.get(..run).unwrap_or_default().trim_end_matches(['-', '_']).len()
}

/// An address of IPv6 or Ethernet; those of IPv4 are numbers with dots.
fn address(rest: &str) -> Option<(Token, usize)> {
    let run =
        rest.find(|c: char| !c.is_ascii_hexdigit() && !matches!(c, ':' | '.' | '-')).unwrap_or(rest.len());
    if run > MAX_ADDRESS {
        return None;
    }
    let run = rest.get(..run)?.trim_end_matches(['-', '.']);
    // Longer names win.
    if rest
        .get(run.len()..)
        .is_some_and(|behind| behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    {
        return None;
    }
    if let Some(mac) = mac(run) {
        return Some((Token::Mac(mac), run.len()));
    }
    if run.matches(':').count() < 2 {
        return None;
    }
    run.parse().ok().map(|address| (Token::V6(address), run.len()))
}

/// `1:2:3:4:5:6`, the same with `-` or `.`, `0102.0304.0506`, and twelve digits.
fn mac(text: &str) -> Option<[u8; 6]> {
    let pair = |part: &str| (part.len() <= 2).then(|| u8::from_str_radix(part, 16).ok()).flatten();
    for separator in [':', '-', '.'] {
        let parts: Vec<&str> = text.split(separator).collect();
        if parts.len() == 6 {
            let bytes: Option<Vec<u8>> = parts.iter().map(|part| pair(part)).collect();
            return bytes?.try_into().ok();
        }
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() == 3 && parts.iter().all(|part| part.len() == 4) {
        let halves: Option<Vec<u16>> = parts.iter().map(|part| u16::from_str_radix(part, 16).ok()).collect();
        return halves?.into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>().try_into().ok();
    }
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let number = u64::from_str_radix(text, 16).ok()?;
        return number.to_be_bytes().last_chunk().copied();
    }
    None
}

/// A number, numbers with dots, a word or another name.
fn named(text: &str, at: usize, name: &str) -> Result<Token, FilterError> {
    let span = at..at + name.len();
    let fault = |problem: &str| FilterError::at(text, &span, format!("{} {problem}", quote(name)));
    if let Some(word) = words::word(name) {
        return Ok(Token::Word(word));
    }
    if name.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        if !name.contains('.') {
            let number = match name.strip_prefix('0') {
                Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8),
                _ => name.parse(),
            };
            return Ok(Token::Number(number.map_err(|_bad| fault("is no number of 32 bits"))?));
        }
        let parts: Result<Vec<u8>, _> = name.split('.').map(str::parse).collect();
        let parts = parts.map_err(|_bad| fault("is no IPv4 address: its parts go from 0 to 255"))?;
        let bits = match parts.len() {
            2 => 16,
            3 => 24,
            4 => 32,
            _ => return Err(fault("is no IPv4 address: it has more than four parts")),
        };
        let value = parts.iter().fold(0, |value, part| value << 8 | u32::from(*part));
        return Ok(Token::Dotted(Dotted { value, bits }));
    }
    if let Some(digits) = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X"))
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        let number = u32::from_str_radix(digits, 16);
        return Ok(Token::Number(number.map_err(|_bad| fault("is no number of 32 bits"))?));
    }
    Ok(Token::Name(name.to_owned()))
}
