//! Words for units, as they stand in names.
//!
//! # Source
//! UCUM, <https://ucum.org/ucum>: prefixes (§27 to §29) and unit atoms in their case-sensitive form.

/// The words of a unit.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `bytes`.
    pub(super) main: Option<String>,
    /// What it is counted per: `second`.
    pub(super) per: Option<String>,
}

impl Words {
    /// The unit as it stands at the end of a name: `bytes`, `bytes_per_second`.
    pub(super) fn suffix(&self) -> Option<String> {
        match (&self.main, &self.per) {
            (Some(main), Some(per)) => Some(format!("{main}_per_{per}")),
            (Some(main), None) => Some(main.clone()),
            (None, Some(per)) => Some(format!("per_{per}")),
            (None, None) => None,
        }
    }
}

/// The words for a unit and for what it is counted per.
pub(super) fn words(unit: &str) -> Words {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    Words { main: word(main, main_word), per: word(per, per_word) }
}

fn word(unit: &str, translate: fn(&str) -> Option<String>) -> Option<String> {
    let unit = unit.trim();
    if unit.is_empty() || unit.contains(['{', '}']) {
        return None;
    }
    if let Some(known) = translate(unit) {
        return (!known.is_empty()).then_some(known);
    }
    let clean: Vec<&str> =
        unit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    (!clean.is_empty()).then(|| clean.join("_"))
}

/// Units that take a prefix.
const METRIC: [(&str, &str); 10] = [
    ("By", "bytes"),
    ("bit", "bits"),
    ("s", "seconds"),
    ("m", "meters"),
    ("g", "grams"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("Hz", "hertz"),
];

/// Prefixes; `K` is none, but many write it.
const PREFIXES: [(&str, &str); 16] = [
    ("Ki", "kibi"),
    ("Mi", "mebi"),
    ("Gi", "gibi"),
    ("Ti", "tebi"),
    ("Pi", "pebi"),
    ("k", "kilo"),
    ("K", "kilo"),
    ("M", "mega"),
    ("G", "giga"),
    ("T", "tera"),
    ("P", "peta"),
    ("m", "milli"),
    ("u", "micro"),
    ("\u{b5}", "micro"),
    ("\u{3bc}", "micro"),
    ("n", "nano"),
];

fn main_word(unit: &str) -> Option<String> {
    let known = match unit {
        "1" => "",
        "%" => "percent",
        "min" => "minutes",
        "h" => "hours",
        "d" => "days",
        "wk" => "weeks",
        "mo" => "months",
        "a" => "years",
        "Cel" => "celsius",
        "K" => "kelvin",
        // As the reference spells it.
        "TiBy" => "tibibytes",
        _ => return metric(unit),
    };
    Some(known.to_owned())
}

fn metric(unit: &str) -> Option<String> {
    let atom = |atom: &str| METRIC.iter().find(|(symbol, _)| *symbol == atom).map(|(_, word)| *word);
    if let Some(word) = atom(unit) {
        return Some(word.to_owned());
    }
    PREFIXES.iter().find_map(|(prefix, word)| Some(format!("{word}{}", atom(unit.strip_prefix(prefix)?)?)))
}

fn per_word(unit: &str) -> Option<String> {
    let known = match unit {
        "s" => "second",
        // The reference's own; UCUM's minute is `min`.
        "m" | "min" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" | "wk" => "week",
        "mo" => "month",
        "y" | "a" => "year",
        _ => {
            return metric(unit)
                .map(|word| word.strip_suffix('s').map_or_else(|| word.clone(), str::to_owned));
        }
    };
    Some(known.to_owned())
}
