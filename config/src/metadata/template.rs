//! The templates that patches of custom parameters are written with.
//!
//! They are Go text templates in the reference. What images use of them is to insert a parameter or another value of
//! gadget.yaml, so this is what is read here; any other action is refused by name instead of being shown as text.

use std::collections::BTreeMap;

use thiserror::Error;

use super::Metadata;

/// Longest expanded text.
const MAX_TEXT: usize = 1 << 16;

/// A text that is not a template that can be expanded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// An action without end.
    #[error("template action `{start}` has no closing `}}}}`")]
    Open {
        /// How it begins.
        start: String,
    },
    /// An action that is not one of those known here.
    #[error(
        "template action `{{{{{action}}}}}` is not supported; known are `{{{{call .getParamValue \"name\"}}}}` and \
         `{{{{call .getConfig \"path\"}}}}`"
    )]
    Unknown {
        /// What stands between the braces.
        action: String,
    },
    /// The result is longer than any real one.
    #[error("the expanded text is longer than {MAX_TEXT} bytes")]
    TooLong,
}

/// The value of a parameter by its fully qualified name, exactly or else ignoring case.
pub(super) fn param<'a>(params: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    let other_case =
        || params.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    params.get(key).or_else(other_case).map(String::as_str)
}

/// Replaces each action in `text` by what it stands for; what does not exist is empty.
pub(super) fn expand(
    text: &str,
    params: &BTreeMap<String, String>,
    config: &Metadata,
) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, action)) = rest.split_once("{{") {
        let (action, after) = close(action)?;
        // A dash next to the braces takes away the white space on its side.
        let (action, trim_left) = match action.strip_prefix("- ") {
            Some(action) => (action, true),
            None => (action, false),
        };
        let (action, trim_right) = match action.strip_suffix(" -") {
            Some(action) => (action, true),
            None => (action, false),
        };
        out.push_str(if trim_left { before.trim_end() } else { before });
        out.push_str(value(action.trim(), params, config)?.as_str());
        rest = if trim_right { after.trim_start() } else { after };
        if out.len() > MAX_TEXT {
            return Err(TemplateError::TooLong);
        }
    }
    out.push_str(rest);
    if out.len() > MAX_TEXT { Err(TemplateError::TooLong) } else { Ok(out) }
}

/// The text of an action and what follows it; braces within quotes do not end it.
fn close(text: &str) -> Result<(&str, &str), TemplateError> {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '`') => quote = Some(character),
            None => {
                if let Some(after) = text.get(at..).and_then(|rest| rest.strip_prefix("}}")) {
                    return Ok((text.get(..at).unwrap_or_default(), after));
                }
            }
        }
    }
    Err(TemplateError::Open { start: shown(&format!("{{{{{text}")) })
}

fn value(
    action: &str,
    params: &BTreeMap<String, String>,
    config: &Metadata,
) -> Result<String, TemplateError> {
    let unknown = || TemplateError::Unknown { action: shown(action) };
    if action.starts_with("/*") && action.ends_with("*/") {
        return Ok(String::new());
    }
    if let Some(text) = quoted(action) {
        return Ok(text);
    }
    let mut words = action.split_whitespace();
    let (Some("call"), Some(function)) = (words.next(), words.next()) else { return Err(unknown()) };
    let argument = action.split_once(function).map(|(_, argument)| argument.trim()).and_then(quoted);
    let argument = argument.ok_or_else(unknown)?;
    match function {
        ".getParamValue" => Ok(param(params, &argument).unwrap_or_default().to_owned()),
        ".getConfig" => Ok(config.get(&argument).unwrap_or_default().to_owned()),
        _ => Err(unknown()),
    }
}

/// The text of one literal: `"…"` with the escapes of Go that matter here, or `` `…` `` as it stands.
fn quoted(literal: &str) -> Option<String> {
    if let Some(text) = literal.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return (!text.contains('`')).then(|| text.to_owned());
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => text.push(match characters.next()? {
                'n' => '\n',
                't' => '\t',
                same @ ('"' | '\\') => same,
                _ => return None,
            }),
            other => text.push(other),
        }
    }
    Some(text)
}

/// As much of a text as a message can hold.
fn shown(text: &str) -> String {
    crate::fault::shorten(text, 60)
}
