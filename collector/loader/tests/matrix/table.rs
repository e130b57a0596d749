//! The table in the documentation: a row per feature, a column per kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::Departure;
use crate::judge::Row;

const HEAD: &str = "\
# Features beside libbpf

Made by `make test-kernels`: a column for each of Debian's cloud kernels, x86-64, in a VM, and one for the machine it was
made on, which `UPDATE=1 cargo test -p ig-loader --test matrix` alone brings up to date.

A row is a small program, loaded by our loader and by libbpf on the same kernel. `same`: both load it, the kernel's tag
and rewritten instructions are equal, and so is what it writes when it is run once. `neither`: the kernel, or both
loaders, refuse it. `ours only`, `differs`: see the list below the table.
";

type Cells = BTreeMap<String, String>;

/// Writes the column of this kernel, or compares with it.
pub(crate) fn check(rows: &[Row], departures: &[Departure]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/loader-matrix.md");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let kernel = kernel_name(&kernel);
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let (features, mut columns) = read(&old);
    let cells: Cells = rows.iter().map(|row| (row.feature.clone(), row.verdict.to_string())).collect();
    if std::env::var_os("UPDATE").is_some() {
        if let Some(folder) = std::env::var_os("MATRIX_COLUMNS") {
            columns = from_machines(Path::new(&folder));
        }
        columns.insert(kernel, cells);
        std::fs::write(&path, write(rows, &columns, departures)).unwrap();
        return;
    }
    let named: Vec<&str> = rows.iter().map(|row| row.feature.as_str()).collect();
    assert_eq!(features, named, "the rows of {} are out of date: run with UPDATE=1", path.display());
    if let Some(column) = columns.get(&kernel) {
        assert_eq!(*column, cells, "the column of Linux {kernel} is out of date: run with UPDATE=1");
    }
}

/// What one machine found, for whoever makes the table: a line a row.
pub(crate) fn lines(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\t{}\n", row.feature, row.verdict)).collect()
}

/// The columns of several machines: a file of [`lines`] each, named after the kernel.
fn from_machines(folder: &Path) -> BTreeMap<String, Cells> {
    let column = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let cells = text.lines().map(|line| line.split_once('\t').unwrap());
        let cells = cells.map(|(feature, verdict)| (feature.to_owned(), verdict.to_owned())).collect();
        (kernel_name(path.file_name().unwrap().to_str().unwrap()), cells)
    };
    std::fs::read_dir(folder).unwrap().map(column).collect()
}

/// A release without the name of Debian's flavour.
fn kernel_name(release: &str) -> String {
    release.trim().trim_end_matches("-cloud-amd64").to_owned()
}

/// The features and columns of a table.
fn read(text: &str) -> (Vec<String>, BTreeMap<String, Cells>) {
    let mut lines = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    let kernels: Vec<String> = lines.next().unwrap_or_default();
    let mut columns: BTreeMap<String, Cells> = BTreeMap::new();
    let mut features = Vec::new();
    for line in lines.skip(1) {
        let (feature, cells) = line.split_first().unwrap();
        features.push(feature.clone());
        for (kernel, cell) in kernels.iter().skip(1).zip(cells) {
            let kernel = kernel.trim_start_matches("Linux ").to_owned();
            columns.entry(kernel).or_default().insert(feature.clone(), cell.clone());
        }
    }
    (features, columns)
}

fn write(rows: &[Row], columns: &BTreeMap<String, Cells>, departures: &[Departure]) -> String {
    let mut kernels: Vec<&String> = columns.keys().collect();
    kernels.sort_by_key(|kernel| {
        let numbers = kernel.split(|letter: char| !letter.is_ascii_digit());
        numbers.map(|number| number.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>()
    });
    let mut text = format!("{HEAD}\n| feature |");
    for kernel in &kernels {
        write!(text, " Linux {kernel} |").unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(kernels.len()));
    text.push('\n');
    for row in rows {
        write!(text, "| {} |", row.feature).unwrap();
        for kernel in &kernels {
            let cell = columns[*kernel].get(&row.feature).map_or("", String::as_str);
            write!(text, " {cell} |").unwrap();
        }
        text.push('\n');
    }
    text.push_str("\nMeant to differ from libbpf:\n\n");
    for Departure { feature, reason, .. } in departures {
        writeln!(text, "- {feature}: {reason}").unwrap();
    }
    text
}
