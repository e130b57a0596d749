//! Text to tokens.
//!
//! As in libpcap the longest reading wins, so that `80-90` is one token and `len-14` is a name. Time is linear in the
//! size of the text: each character is looked at a bounded number of times, which [`Lexer`] counts.

use std::net::Ipv6Addr;

use super::ast::{Dotted, Span};
use super::error::{FilterError, quote};
use super::words::{self, Word};

/// Most bytes of an expression.
const MAX_TEXT: usize = 64 << 10;
/// More characters than any address has.
const MAX_ADDRESS: usize = 64;
/// How often a character is looked at, at most: by an attempt at an address from each place before it, as a blank, as a
/// name, and as what may follow a name.
const MAX_LOOKS: usize = MAX_ADDRESS + 4;

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
    let mut lexer = Lexer { text, at: 0, looks: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next_token()? {
        tokens.push(token);
    }
    debug_assert!(
        lexer.looks <= MAX_LOOKS * (text.len() + 1),
        "{} looks at {} bytes",
        lexer.looks,
        text.len()
    );
    Ok(tokens)
}

/// A place in a text.
struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Characters looked at so far; some more than once.
    looks: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The longest piece from here on whose characters all belong to it, at most `limit` characters.
    fn run(&mut self, from: &'t str, limit: usize, belongs: impl Fn(char) -> bool) -> &'t str {
        let mut end = from.len();
        for (count, (at, c)) in from.char_indices().enumerate() {
            if count == limit {
                end = at;
                break;
            }
            self.looks += 1;
            if !belongs(c) {
                end = at;
                break;
            }
        }
        from.get(..end).unwrap_or_default()
    }

    fn next_token(&mut self) -> Result<Option<(Token, Span)>, FilterError> {
        self.at += self.run(self.rest(), usize::MAX, |c| matches!(c, ' ' | '\t' | '\r' | '\n')).len();
        if self.rest().is_empty() {
            return Ok(None);
        }
        let start = self.at;
        let (token, len) = self.token()?;
        self.at += len;
        Ok(Some((token, start..self.at)))
    }

    /// The token that begins here, and its bytes.
    fn token(&mut self) -> Result<(Token, usize), FilterError> {
        let (text, at, rest) = (self.text, self.at, self.rest());
        if let Some(behind) = rest.strip_prefix('\\') {
            let name = self.run(behind, usize::MAX, name_character);
            if name.is_empty() {
                return Err(FilterError::at(text, &(at..at + 1), "no name stands behind the backslash"));
            }
            return Ok((Token::Name(name.to_owned()), name.len() + 1));
        }
        if let Some(found) = self.address() {
            return Ok(found);
        }
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            // A name may hold `-` and `_` but does not end with them.
            let name = self.run(rest, usize::MAX, name_character).trim_end_matches(['-', '_']);
            return Ok((named(text, at, name)?, name.len()));
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

    /// An address of IPv6 or Ethernet; those of IPv4 are numbers with dots.
    fn address(&mut self) -> Option<(Token, usize)> {
        let rest = self.rest();
        // One more than an address may have tells that it is none, however long it goes on.
        let run = self.run(rest, MAX_ADDRESS + 1, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '-'));
        if run.len() > MAX_ADDRESS {
            return None;
        }
        let run = run.trim_end_matches(['-', '.']);
        // Longer names win.
        let behind = rest.get(run.len()..).unwrap_or_default();
        if behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
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
}

fn name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
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

#[cfg(test)]
mod tests {
    use super::{Lexer, MAX_LOOKS};

    /// How often characters of a text are looked at until its end or its first fault.
    fn looks(text: &str) -> usize {
        let mut lexer = Lexer { text, at: 0, looks: 0 };
        while let Ok(Some(_)) = lexer.next_token() {}
        lexer.looks
    }

    /// Scenario: long texts of pieces that begin like an address or a name at every place, which each reading but the
    /// last gives up late; then twice as long.
    /// Guarantees: the work grows with the length of the text, not with its square.
    #[test]
    fn long_texts_take_linear_work() {
        const LONG: usize = 16 << 10;
        let pieces =
            ["-", ":", "--:", "a:", "a-:", "1.", "a--", "ab::", "f", "x-_", " ", "\\-", "0:0:0:0:0:0-"];
        for piece in pieces {
            // In front of the second text stands a name that leaves its end to symbols.
            for begin in ["", "a"] {
                let text = |pieces: usize| begin.to_owned() + &piece.repeat(pieces);
                let (once, twice) = (text(LONG / piece.len()), text(2 * LONG / piece.len()));
                assert!(looks(&twice) <= MAX_LOOKS * twice.len(), "{begin}{piece}: {}", looks(&twice));
                assert!(
                    looks(&twice) <= 2 * looks(&once) + MAX_LOOKS * MAX_LOOKS,
                    "{begin}{piece}: {}",
                    looks(&twice)
                );
            }
        }
    }
}
