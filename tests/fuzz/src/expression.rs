//! Filter expressions of any text, over records of any bytes.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, kind::Scalar};
use ig_operators::expression::Scratch;
use ig_operators::format::Accounts;
use ig_operators::{Columns, Expression, FormatContext};

/// A field of each kind that expressions tell apart.
static COLUMNS: LazyLock<Columns> = LazyLock::new(|| {
    let number = Field::new("error_raw", FieldKind::Uint32, 24, 4);
    let fields = vec![
        Field::new("comm", FieldKind::CString, 0, 16),
        Field::new("pid", FieldKind::Uint32, 16, 4),
        Field::new("ret", FieldKind::Int32, 20, 4),
        Field { types: vec!["gadget_errno".to_owned()], ..number },
        Field::new("flag", FieldKind::Bool, 28, 1),
        Field::new("big", FieldKind::Uint64, 32, 8),
        Field::new("ratio", FieldKind::Float64, 40, 8),
        Field::new("slots", FieldKind::Array(Scalar::Uint(4)), 48, 16),
        Field::new("raw", FieldKind::Bytes, 64, 8),
    ];
    let origin = Origin::Tracer { map: "events".to_owned() };
    let source = DataSource { fields, ..DataSource::new("fuzz", SourceKind::Single, origin, 72) };
    let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
    Columns::plan(&source, &FormatContext { clock: BootClock::with_offset(1), accounts })
});

/// An expression up to the first NUL, and a record behind it.
pub(crate) fn expression(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (text, record) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    match Expression::plan(text, &COLUMNS) {
        Ok(expression) => {
            let mut scratch = Scratch::default();
            let first = expression.keeps(record, &mut scratch);
            assert_eq!(
                first,
                expression.keeps(record, &mut scratch),
                "a verdict depends on the record alone"
            );
        }
        Err(error) => {
            black_box(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the seeds, with every operator and function in them.
    /// Guarantees: each is a whole expression, so that the fuzzer starts behind the parser.
    #[test]
    fn seeds_are_understood() {
        for seed in
            std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/expression")).unwrap()
        {
            let path = seed.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            expression(&bytes);
            let text = bytes.split(|byte| *byte == 0).next().unwrap();
            if let Err(error) = Expression::plan(std::str::from_utf8(text).unwrap(), &COLUMNS) {
                panic!("{}: {error}", path.display());
            }
        }
    }
}
