//! Figures: printed as they come, kept for the JSON file.

use std::{io, path::Path};

use serde_json::{Value, json};

/// Everything measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Value,
    figures: Vec<Value>,
    remarks: Vec<String>,
    group: &'static str,
}

/// One line before it is added.
#[derive(Debug)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
    baseline: Option<(&'static str, Vec<f64>)>,
    note: String,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        Self { name: name.into(), unit, samples, baseline: None, note: String::new() }
    }

    /// What the figure is a multiple of.
    pub(crate) fn against(mut self, what: &'static str, samples: &[f64]) -> Self {
        self.baseline = Some((what, samples.to_vec()));
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl Report {
    pub(crate) fn new(machine: Value) -> Self {
        println!("{}", machine["summary"].as_str().unwrap_or_default());
        println!(
            "median (min - max) of so many repeats; ratios are medians against the baseline of the same run"
        );
        Self { machine, figures: Vec::new(), remarks: Vec::new(), group: "" }
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, group: &'static str, title: &str) {
        self.group = group;
        println!("\n{group}: {title}");
    }

    /// Adds a line; one without samples is left out.
    pub(crate) fn add(&mut self, figure: Figure) {
        let Figure { name, unit, samples, baseline, note } = figure;
        let Some((low, middle, high)) = spread(&samples) else { return };
        let spread_text =
            if samples.len() > 1 { format!("({} - {})", short(low), short(high)) } else { String::new() };
        let ratio = baseline.as_ref().and_then(|(what, of)| {
            let (_, of, _) = spread(of)?;
            (of.abs() > f64::EPSILON).then(|| (*what, of, middle / of))
        });
        let mut line =
            format!("  {name:<46} {:>9} {unit:<9} {spread_text:<21} n={:<3}", short(middle), samples.len());
        if let Some((what, _, ratio)) = ratio {
            line.push_str(&format!(" {ratio:.2}x {what}"));
        }
        if !note.is_empty() {
            line.push_str(&format!("  [{note}]"));
        }
        println!("{}", line.trim_end());
        self.figures.push(json!({
            "section": self.group,
            "name": name,
            "unit": unit,
            "median": middle,
            "min": low,
            "max": high,
            "samples": samples,
            "baseline": ratio.map(|(what, of, ratio)| json!({"name": what, "median": of, "ratio": ratio})),
            "note": note,
        }));
    }

    /// Adds a remark that is no figure.
    pub(crate) fn remark(&mut self, text: &str) {
        println!("  {text}");
        self.remarks.push(format!("{}: {text}", self.group));
    }

    pub(crate) fn finish(&mut self, load: &str) {
        println!("\nload average at the end: {load}");
        self.machine["load_at_end"] = json!(load);
    }

    pub(crate) fn write_json(&self, path: &Path) -> io::Result<()> {
        let document = json!({"machine": self.machine, "figures": self.figures, "remarks": self.remarks});
        std::fs::write(path, serde_json::to_string_pretty(&document)? + "\n")
    }
}

/// Least, median and greatest.
pub(crate) fn spread(samples: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = (sorted.get(sorted.len().checked_sub(1)? / 2)? + sorted.get(sorted.len() / 2)?) / 2.0;
    Some((*sorted.first()?, middle, *sorted.last()?))
}

/// About four digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => group(&format!("{value:.0}")),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn group(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digit != '-' && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
