//! How columns share the width of a terminal.
//!
//! Columns in which there is nothing go first where not all find the room they ask for, then those of low priority.
//! What must not be cut keeps its cells; the others shrink. Where even that is too wide, columns are left out from the
//! right.
//!
//! # Source
//! Inspektor Gadget's scaler: columns grow and shrink in proportion to their annotated widths, within their minimum
//! and maximum; what is left over goes one cell at a time from the left. Two of its habits are left out: it lets
//! lines grow beyond the terminal when the minimums do not fit, and when one column meets its minimum and another
//! its maximum at the same time.

/// Texts are given so many cells before columns of higher priority than others are all that is left.
const READABLE: usize = 10;
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
    /// Never narrower than its minimum.
    pub(super) whole: bool,
    /// Has shown nothing so far.
    pub(super) empty: bool,
    /// Columns of lower priority are left out first.
    pub(super) priority: i32,
}

impl Space {
    fn least(&self) -> usize {
        if self.fixed { self.width } else { self.min }
    }
}

/// Columns side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The width of each column; `None` for one that is left out.
    pub(super) widths: Vec<Option<usize>>,
    /// Whether one is left out in which there is something. If the line has three cells, two are kept for a mark then.
    pub(super) is_cut: bool,
}

/// The width of each column in a line of `total` cells, with one cell between two columns.
pub(super) fn line(columns: &[Space], total: usize) -> Line {
    let mut kept: Vec<Option<Space>> = columns.iter().copied().map(Some).collect();
    if taken(&kept, |space| space.width) > total && columns.iter().any(|space| !space.empty) {
        kept.iter_mut()
            .filter(|space| space.is_some_and(|space| space.empty))
            .for_each(|space| *space = None);
    }
    let highest = columns.iter().map(|space| space.priority).max().unwrap_or_default();
    let texts = |space: &&mut Space| !space.whole && !space.fixed;
    let least: Vec<usize> = columns.iter().map(|space| space.min).collect();
    for space in kept.iter_mut().flatten().filter(texts) {
        space.min = space.min.max(space.width.min(READABLE));
    }
    let mut room = leave_out(&mut kept, highest, total, total);
    if taken(&kept, Space::least) > room {
        for (space, least) in kept.iter_mut().zip(least) {
            space.iter_mut().filter(texts).for_each(|space| space.min = least);
        }
    }
    if taken(&kept, Space::least) > room {
        for space in kept.iter_mut().flatten().filter(|space| !space.whole) {
            *space = Space { min: space.width.min(NARROWEST), fixed: false, ..*space };
        }
        room = leave_out(&mut kept, i32::MAX, room, total);
    }
    let spaces: Vec<Space> = kept.iter().flatten().copied().collect();
    let mut cells = scale(&spaces, room).into_iter();
    let widths = kept.iter().map(|space| space.and_then(|_kept| cells.next())).collect();
    Line { widths, is_cut: room < total }
}

/// Leaves out columns of a priority below `below`, the lowest first and of equal ones the last, until the others fit
/// `room`; returns the room that is left beside the mark.
fn leave_out(kept: &mut [Option<Space>], below: i32, mut room: usize, total: usize) -> usize {
    while taken(kept, Space::least) > room && kept.iter().flatten().count() > 1 {
        let last = kept.iter_mut().rev().filter(|space| space.is_some_and(|space| space.priority < below));
        let Some(space) = last.min_by_key(|space| space.map(|space| space.priority)) else { break };
        *space = None;
        room = if total > MARK { total - MARK } else { total };
    }
    room
}

/// Cells of a line in which each column has as many as `cells` says.
fn taken(kept: &[Option<Space>], cells: impl Fn(&Space) -> usize) -> usize {
    let columns = || kept.iter().flatten();
    columns().map(cells).sum::<usize>() + columns().count().saturating_sub(1)
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
        Space { width, min, max, fixed: false, whole: false, empty: false, priority: 0 }
    }

    fn number(cells: usize) -> Space {
        Space { whole: true, ..space(cells, cells, cells) }
    }

    fn widths(columns: &[Space], total: usize) -> Vec<usize> {
        line(columns, total).widths.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Scenario: three columns of 16, 10 and 32 cells on lines of 80, 40, 20, 10 cells and of one.
    /// Guarantees: the whole line is used, within minimum and maximum; what does not fit is left out from the right.
    #[test]
    fn columns_share_the_line() {
        let columns = [space(16, 1, 16), space(10, 7, 10), space(32, 24, 0)];
        assert_eq!(widths(&columns, 80), [16, 10, 52]);
        assert_eq!(widths(&columns, 40), [7, 7, 24]);
        assert_eq!(widths(&columns, 20), [5, 4, 9]);
        assert_eq!(widths(&columns, 10), [8, 0, 0], "one column and the mark for those left out");
        assert!(line(&columns, 10).is_cut && !line(&columns, 20).is_cut);
        assert_eq!(widths(&columns, 1), [1, 0, 0]);
    }

    /// Scenario: numbers beside texts on a line that is too narrow for all.
    /// Guarantees: texts shrink, numbers do not; then the last column goes.
    #[test]
    fn what_is_whole_is_not_cut() {
        let columns = [space(16, 8, 16), number(10), space(16, 8, 0), number(7)];
        assert_eq!(widths(&columns, 32), [6, 10, 6, 7]);
        assert_eq!(widths(&columns, 26), [6, 10, 6, 0]);
        assert_eq!(widths(&[number(10)], 6), [6], "a single column has the whole line");
    }

    /// Scenario: columns of low priority, and ones without a value, on lines that are wide and narrow.
    /// Guarantees: nothing is left out where all fit; the empty one goes first, then the lowest priority, before a text
    /// is cut below its minimum.
    #[test]
    fn empty_columns_and_low_priorities_go_first() {
        let low = |priority| Space { priority, ..number(10) };
        let empty = Space { empty: true, ..space(10, 10, 10) };
        let columns = [low(-1), space(20, 15, 0), low(-2), empty, number(10)];
        assert_eq!(widths(&columns, 70), [10, 26, 10, 10, 10]);
        assert_eq!(widths(&columns, 60), [10, 27, 10, 0, 10]);
        assert!(!line(&columns, 60).is_cut, "nothing is missing");
        assert_eq!(widths(&columns, 45), [10, 21, 0, 0, 10]);
        assert_eq!(widths(&columns, 30), [0, 17, 0, 0, 10]);
        let all_empty = [Space { empty: true, ..space(10, 4, 0) }; 3];
        assert!(widths(&all_empty, 20).iter().all(|width| *width > 0));
    }

    /// Scenario: any columns on any terminal.
    /// Guarantees: the line never exceeds the terminal, no column shown has less than one cell, a number has all its
    /// cells unless it is alone, and on a wide enough terminal every column is there within its limits.
    #[test]
    fn lines_never_exceed_the_terminal() {
        let column =
            (1_usize..60, 1_usize..30, 0_usize..40, any::<bool>(), any::<bool>(), any::<bool>(), -2..2);
        let column = column.prop_map(|(width, min, max, fixed, whole, empty, priority)| {
            let max = if max > 0 { max.max(min) } else { 0 };
            let width = width.max(min).min(if max > 0 { max } else { usize::MAX });
            Space { width, min, max, fixed, whole, empty, priority }
        });
        proptest!(|(columns in proptest::collection::vec(column, 1..12), total in 1_usize..300)| {
            let Line { widths, is_cut } = line(&columns, total);
            let shown: Vec<_> = columns.iter().zip(&widths).filter_map(|(space, width)| Some((space, (*width)?))).collect();
            let cells = shown.iter().map(|(_, width)| *width).sum::<usize>() + shown.len() - 1;
            prop_assert!(cells + if is_cut { MARK } else { 0 } <= total, "{cells} > {total}");
            prop_assert!(shown.iter().all(|(space, width)| *width > 0 && (!space.whole || shown.len() == 1 || *width >= space.least())));
            let needed = columns.iter().map(Space::least).sum::<usize>() + columns.len() - 1;
            if needed <= total {
                prop_assert!(!is_cut);
                for (space, width) in shown {
                    prop_assert!(width >= space.least());
                    prop_assert!(space.max == 0 || space.fixed || width <= space.max);
                }
            }
        });
    }
}
