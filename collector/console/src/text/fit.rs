//! Cutting text to a number of terminal cells.

use unicode_width::UnicodeWidthChar as _;

const MARK: char = '…';

/// Where text that is too long loses characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ellipsis {
    /// At the end, without a mark.
    None,
    /// At the end.
    #[default]
    End,
    /// At the start.
    Start,
    /// In the middle.
    Middle,
}

/// Appends as much of `text` as fits `cells`, and returns the cells taken: never more, one less where a wide
/// character did not fit.
///
/// `text` holds no control characters.
pub(crate) fn fit(text: &str, cells: usize, ellipsis: Ellipsis, out: &mut String) -> usize {
    let width = width(text);
    if width <= cells {
        out.push_str(text);
        return width;
    }
    if cells == 0 {
        return 0;
    }
    let (front, back) = match ellipsis {
        Ellipsis::None => {
            let (part, taken) = prefix(text, cells);
            out.push_str(part);
            return taken;
        }
        Ellipsis::End => (cells - 1, 0),
        Ellipsis::Start => (0, cells - 1),
        Ellipsis::Middle if cells == 1 => (0, 0),
        Ellipsis::Middle => (cells / 2, cells / 2 - usize::from(cells.is_multiple_of(2))),
    };
    let (head, head_cells) = prefix(text, front);
    let (tail, tail_cells) = suffix(text, back);
    out.push_str(head);
    out.push(MARK);
    out.push_str(tail);
    head_cells + 1 + tail_cells
}

/// Cells that `text` takes; each character for itself, so that parts add up to the whole.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(cells_of).sum() }
}

fn cells_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

fn prefix(text: &str, cells: usize) -> (&str, usize) {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        let next = taken + cells_of(c);
        if next > cells {
            return (text.get(..at).unwrap_or_default(), taken);
        }
        taken = next;
    }
    (text, taken)
}

fn suffix(text: &str, cells: usize) -> (&str, usize) {
    let mut taken = 0;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        let next = taken + cells_of(c);
        if next > cells {
            break;
        }
        taken = next;
        start = at;
    }
    (text.get(start..).unwrap_or_default(), taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    fn cut(text: &str, cells: usize, ellipsis: Ellipsis) -> String {
        let mut out = String::new();
        fit(text, cells, ellipsis, &mut out);
        out
    }

    /// Scenario: the same text cut to several widths, in each of the four ways.
    /// Guarantees: the reference's places of the mark, also at widths 0, 1 and 2.
    #[test]
    fn the_mark_is_where_it_was_asked_for() {
        let text = "abcdefghij";
        assert_eq!(cut(text, 10, Ellipsis::End), text);
        assert_eq!(cut(text, 5, Ellipsis::None), "abcde");
        assert_eq!(cut(text, 5, Ellipsis::End), "abcd…");
        assert_eq!(cut(text, 5, Ellipsis::Start), "…ghij");
        assert_eq!(cut(text, 5, Ellipsis::Middle), "ab…ij");
        assert_eq!(cut(text, 6, Ellipsis::Middle), "abc…ij");
        assert_eq!(cut(text, 2, Ellipsis::Middle), "a…");
        for ellipsis in [Ellipsis::End, Ellipsis::Start, Ellipsis::Middle] {
            assert_eq!(cut(text, 1, ellipsis), "…");
            assert_eq!(cut(text, 0, ellipsis), "");
        }
        assert_eq!(cut("日本語テスト", 6, Ellipsis::End), "日本…");
    }

    /// Scenario: any printable text, any width.
    /// Guarantees: the result never takes more cells than allowed, and the count returned is what it takes.
    #[test]
    fn the_width_is_never_exceeded() {
        proptest!(|(text in "[a-z日é\u{301}😀]{0,40}", cells in 0_usize..30)| {
            for ellipsis in [Ellipsis::None, Ellipsis::End, Ellipsis::Start, Ellipsis::Middle] {
                let mut out = String::new();
                let taken = fit(&text, cells, ellipsis, &mut out);
                prop_assert!(taken <= cells);
                prop_assert_eq!(taken, width(&out));
                prop_assert!(out.as_str().width() <= cells);
            }
        });
    }
}
