//! How columns share the width of a terminal.
//!
//! # Source
//! Inspektor Gadget's scaler: columns grow and shrink in proportion to their annotated widths, within their minimum
//! and maximum; what is left over goes one cell at a time from the left. Two of its habits are left out: it lets
//! lines grow beyond the terminal when the minimums do not fit, and when one column meets its minimum and another
//! its maximum at the same time.

/// Columns narrower than this are not worth showing, unless they are no wider anyway.
const NARROWEST: usize = 4;

/// Cells for the mark that says that columns are left out.
pub(super) const MARK: usize = 2;

/// What a column asks for, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) width: usize,
    /// 1 or more.
    pub(super) min: usize,
    /// 0 for none.
    pub(super) max: usize,
    /// Neither grows nor shrinks.
    pub(super) fixed: bool,
}

/// The width of each column in a line of `total` cells, with one cell between two columns.
///
/// Columns that find no room at all are left out at the end; two cells are kept for a mark then, if there are three.
pub(super) fn widths(columns: impl Iterator<Item = Space>, total: Option<usize>) -> Vec<usize> {
    let mut columns: Vec<Space> = columns.collect();
    let Some(total) = total else { return columns.iter().map(|space| space.width).collect() };
    let least = |space: &Space| if space.fixed { space.width } else { space.min };
    if columns.iter().map(least).sum::<usize>() + columns.len().saturating_sub(1) > total {
        for space in &mut columns {
            *space = Space { min: space.width.min(NARROWEST), fixed: false, ..*space };
        }
        let fitting = fitting(&columns, total);
        if fitting < columns.len() {
            columns.truncate(fitting);
            return scale(&columns, if total > MARK { total - MARK } else { total });
        }
    }
    scale(&columns, total)
}

/// How many columns fit with their minimum.
fn fitting(columns: &[Space], total: usize) -> usize {
    let mut taken = 0;
    let mut fitting = 0;
    for (index, space) in columns.iter().enumerate() {
        taken += space.min + usize::from(index > 0);
        let mark = if index + 1 < columns.len() { MARK } else { 0 };
        if taken > total {
            break;
        }
        if taken + mark <= total {
            fitting = index + 1;
        }
    }
    fitting.max(1)
}

fn scale(columns: &[Space], total: usize) -> Vec<usize> {
    // A single column may still be wider than the whole terminal.
    let capped = |cells: usize| cells.min(total);
    let mut settled: Vec<Option<usize>> =
        columns.iter().map(|space| space.fixed.then_some(capped(space.width))).collect();
    let dividers = columns.len().saturating_sub(1);
    loop {
        let taken: usize = settled.iter().flatten().sum::<usize>() + dividers;
        let room = total.saturating_sub(taken);
        let open = || columns.iter().zip(&settled).filter(|(_, settled)| settled.is_none());
        let weight: usize = open().map(|(space, _)| space.width).sum();
        let share = |space: &Space| space.width.saturating_mul(room).checked_div(weight).unwrap_or(0);
        let narrow = |space: &Space| (share(space) < space.min).then_some(capped(space.min));
        let wide = |space: &Space| (space.max > 0 && share(space) > space.max).then_some(space.max);
        // Minimums first: once they are settled there is always room for the rest.
        let rule: &dyn Fn(&Space) -> Option<usize> =
            if open().any(|(space, _)| narrow(space).is_some()) { &narrow } else { &wide };
        let next: Vec<Option<usize>> =
            columns.iter().zip(&settled).map(|(space, settled)| settled.or_else(|| rule(space))).collect();
        if next == settled {
            return distribute(columns, &settled, share, room);
        }
        settled = next;
    }
}

/// Fills in the open columns and hands out what rounding left over.
fn distribute(
    columns: &[Space],
    settled: &[Option<usize>],
    share: impl Fn(&Space) -> usize,
    room: usize,
) -> Vec<usize> {
    let open = || columns.iter().zip(settled).filter(|(_, settled)| settled.is_none());
    let mut left = room.saturating_sub(open().map(|(space, _)| share(space)).sum());
    let each = columns.iter().zip(settled).map(|(space, settled)| {
        settled.unwrap_or_else(|| {
            let cells = share(space);
            let more = left > 0 && (space.max == 0 || cells < space.max);
            left -= usize::from(more);
            cells + usize::from(more)
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space(width: usize, min: usize, max: usize) -> Space {
        Space { width, min, max, fixed: false }
    }

    /// Scenario: three columns of 16, 10 and 32 cells on terminals of 80, 40 and 20 columns, and on none.
    /// Guarantees: annotated widths without a terminal, the whole line used with one, within minimum and maximum.
    #[test]
    fn columns_share_the_line() {
        let columns = [space(16, 1, 16), space(10, 7, 10), space(32, 24, 0)];
        let at = |total| widths(columns.iter().copied(), total);
        assert_eq!(at(None), [16, 10, 32]);
        assert_eq!(at(Some(80)), [16, 10, 52]);
        assert_eq!(at(Some(40)), [7, 7, 24]);
        assert_eq!(at(Some(20)), [5, 4, 9]);
        assert_eq!(at(Some(10)), [8], "one column and the mark for those left out");
        assert_eq!(at(Some(1)), [1]);
    }

    /// Scenario: any columns on any terminal.
    /// Guarantees: the line never exceeds the terminal, no column shown has less than one cell, and on a wide enough
    /// terminal every column is there within its limits.
    #[test]
    fn lines_never_exceed_the_terminal() {
        let column =
            (1_usize..60, 1_usize..30, 0_usize..40, any::<bool>()).prop_map(|(width, min, max, fixed)| {
                let max = if max > 0 { max.max(min) } else { 0 };
                let width = width.max(min).min(if max > 0 { max } else { usize::MAX });
                Space { width, min, max, fixed }
            });
        proptest!(|(columns in proptest::collection::vec(column, 1..12), total in 1_usize..300)| {
            let widths = widths(columns.iter().copied(), Some(total));
            let left_out = widths.len() < columns.len();
            let line = widths.iter().sum::<usize>() + widths.len() - 1;
            prop_assert!(line <= total, "{line} > {total}");
            prop_assert!(widths.iter().all(|width| *width > 0));
            let needed: usize = columns.iter().map(|c| if c.fixed { c.width } else { c.min }).sum::<usize>() + columns.len() - 1;
            if needed <= total {
                prop_assert!(!left_out);
                for (space, width) in columns.iter().zip(&widths) {
                    let least = if space.fixed { space.width } else { space.min };
                    prop_assert!(*width >= least);
                    prop_assert!(space.max == 0 || space.fixed || *width <= space.max);
                }
            }
        });
    }
}
