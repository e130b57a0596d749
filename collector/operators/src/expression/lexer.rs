//! From text to tokens.

use super::Fault;

/// A word of the language.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i128),
    Float(f64),
    Text(String),
    Name(String),
    /// An operator or bracket; words that are operators too, `&&` as `and`, `||` as `or`, `^` as `**`.
    Symbol(&'static str),
    End,
}

/// A token and the byte it starts at.
pub(super) type Placed = (usize, Token);

/// Longest first where one is the start of another.
const SYMBOLS: [(&str, &str); 33] = [
    ("&&", "and"),
    ("||", "or"),
    ("|", "|"),
    ("**", "**"),
    ("*", "*"),
    ("^", "**"),
    ("==", "=="),
    ("=", "="),
    ("!=", "!="),
    ("!", "!"),
    ("<=", "<="),
    ("<", "<"),
    (">=", ">="),
    (">", ">"),
    ("?.", "?."),
    ("??", "??"),
    ("?", "?"),
    ("..", ".."),
    (".", "."),
    ("::", "::"),
    (":", ":"),
    ("(", "("),
    (")", ")"),
    ("[", "["),
    ("]", "]"),
    ("{", "{"),
    ("}", "}"),
    (",", ","),
    (";", ";"),
    ("+", "+"),
    ("-", "-"),
    ("/", "/"),
    ("%", "%"),
];

const WORDS: [&str; 11] =
    ["not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"];

/// Splits `text` into tokens; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if let Some(comment) = comment(rest) {
            at += comment.map_err(|reason| Fault::new(at, reason))?;
        } else {
            let (token, len) = token(rest, first).map_err(|reason| Fault::new(at, reason))?;
            found.push((at, token));
            at += len;
        }
    }
    found.push((text.len(), Token::End));
    Ok(found)
}

/// Length of the comment that `rest` starts with, if it starts with one.
fn comment(rest: &str) -> Option<Result<usize, &'static str>> {
    if rest.starts_with("//") {
        return Some(Ok(rest.find('\n').unwrap_or(rest.len())));
    }
    let body = rest.strip_prefix("/*")?;
    Some(body.find("*/").map(|end| end + 4).ok_or("the comment has no end"))
}

fn token(rest: &str, first: char) -> Result<(Token, usize), String> {
    let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    match first {
        '"' | '\'' => quoted(rest, first),
        '`' => {
            let body = rest.get(1..).unwrap_or_default();
            let end = body.find('`').ok_or("the text has no closing `")?;
            Ok((Token::Text(body.get(..end).unwrap_or_default().to_owned()), end + 2))
        }
        '0'..='9' => number(rest),
        '.' if second_is_digit => number(rest),
        '#' => {
            let len = 1 + word_len(rest.get(1..).unwrap_or_default());
            match rest.get(..len) {
                Some("#") => Ok((Token::Symbol("#"), 1)),
                other => Err(format!(
                    "`{}` is not supported in a filter; `#` is the element",
                    other.unwrap_or_default()
                )),
            }
        }
        first if is_word(first) => {
            let len = word_len(rest);
            let word = rest.get(..len).unwrap_or_default();
            let operator = WORDS.into_iter().find(|known| *known == word);
            Ok((operator.map_or_else(|| Token::Name(word.to_owned()), Token::Symbol), len))
        }
        _ => {
            let symbol = SYMBOLS.into_iter().find(|(written, _)| rest.starts_with(written));
            let (written, symbol) = symbol.ok_or_else(|| match first {
                '&' => "`&` is no operator; `and` joins conditions, bitand() joins bits".to_owned(),
                '~' => "`~` is no operator here; `matches` searches a regular expression".to_owned(),
                _ => format!("`{}` starts nothing in this language", first.escape_debug()),
            })?;
            Ok((Token::Symbol(symbol), written.len()))
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

fn word_len(rest: &str) -> usize {
    rest.find(|character| !is_word(character)).unwrap_or(rest.len())
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let bytes = rest.as_bytes();
    let run = |from: usize, is_digit: fn(&u8) -> bool| {
        let digits = bytes.get(from..).unwrap_or_default().iter();
        from + digits.take_while(|byte| is_digit(byte) || **byte == b'_').count()
    };
    let radix = match rest.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0o" | "0O") => 8,
        Some("0b" | "0B") => 2,
        _ => 10,
    };
    let mut end = if radix == 10 { run(0, u8::is_ascii_digit) } else { run(2, u8::is_ascii_hexdigit) };
    let mut is_float = false;
    if radix == 10 {
        // `1..3` is a range.
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1) != Some(&b'.') {
            end = run(end + 1, u8::is_ascii_digit);
            is_float = true;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = run(end + 1 + sign, u8::is_ascii_digit);
            is_float = true;
        }
    }
    let end = end + word_len(rest.get(end..).unwrap_or_default());
    let written = rest.get(..end).unwrap_or_default();
    let digits = written.replace('_', "");
    let bad = || format!("`{}` is no number", written.chars().take(40).collect::<String>());
    if is_float {
        let value: f64 = digits.parse().ok().ok_or_else(bad)?;
        return if value.is_finite() { Ok((Token::Float(value), end)) } else { Err(bad()) };
    }
    let digits = if radix == 10 { digits.as_str() } else { digits.get(2..).unwrap_or_default() };
    let value = u64::from_str_radix(digits, radix).ok().ok_or_else(|| {
        if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) {
            format!("the number is too large; the largest is {}", u64::MAX)
        } else {
            bad()
        }
    })?;
    Ok((Token::Int(value.into()), end))
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Ok((Token::Text(text), at + 1));
        }
        if character != '\\' {
            text.push(character);
            continue;
        }
        let Some((at, escape)) = characters.next() else { break };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            '0'..='3' => 3,
            _ => 0,
        };
        if digits == 0 {
            text.push(match escape {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                '\\' | '\'' | '"' | '`' | '?' | '/' => escape,
                other => {
                    return Err(format!("`\\{}` is no escape; a backslash is `\\\\`", other.escape_debug()));
                }
            });
            continue;
        }
        let (start, radix) = if escape.is_ascii_digit() { (at, 8) } else { (at + 1, 16) };
        let code = rest.get(start..start + digits).filter(|code| code.chars().all(|c| c.is_digit(radix)));
        let decoded = code.and_then(|code| u32::from_str_radix(code, radix).ok()).and_then(char::from_u32);
        text.push(
            decoded
                .ok_or_else(|| format!("`\\{escape}` is not followed by {digits} digits of a character"))?,
        );
        let more = start + digits - at - 1;
        for _ in 0..more {
            characters.next();
        }
    }
    Err(format!("the text has no closing {quote}"))
}
