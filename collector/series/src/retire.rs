//! The end of a series: why it ended, how often that happened, and the log from which exporters learn of it.
//!
//! Every series ends through `Store::retire`, whatever the cause, so that nothing can leave uncounted or unseen. A
//! series that a limit keeps out never begins; what it would have counted is in the overflow series, where a retired
//! series' values go too if nobody has read them.
//!
//! # What is exact
//! What each exporter sees of a table as increases, or as deltas, adds up to what was counted. The sum of one page does
//! not: a series that has ended is no longer on it.
//! - A counter or histogram ends after its last export: every exporter that has read the table in the stale time, at
//!   least five minutes, has taken its last values.
//! - If no exporter has taken any of its values, it may end earlier, and the overflow series takes them, for the reasons
//!   that [`RetireReason::folds`] names.
//! - Gauges do not wait: a value that is out of date says nothing.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::table::Table;

/// Bytes of tables that left and are kept for a subscriber that does not look.
const MOST_TABLE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of retired rows kept for a subscriber that does not look.
const MOST_ROW_BYTES: usize = 1024 * 1024;

/// Why a series ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetireReason {
    /// Idle for the stale time, it made room for another.
    Evicted,
    /// It was absent from the last reading of its source as a whole.
    Absent,
    /// It was idle for the stale time.
    Stale,
    /// What its key stands for has ended, such as a container.
    Ended,
    /// Its label text was corrected; its values go on under another text.
    Relabelled,
    /// Its table left the registry.
    Unregistered,
}

impl RetireReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Evicted, Self::Absent, Self::Stale, Self::Ended, Self::Relabelled, Self::Unregistered];

    /// The reason in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Absent => "absent",
            Self::Stale => "stale",
            Self::Ended => "ended",
            Self::Relabelled => "relabelled",
            Self::Unregistered => "unregistered",
        }
    }

    /// Whether the overflow series takes the values of a row that no exporter has read. Otherwise its values go on
    /// elsewhere or there are none: what is absent are gauges, a table that leaves is read once more.
    pub const fn folds(self) -> bool {
        match self {
            Self::Evicted | Self::Stale | Self::Ended => true,
            Self::Absent | Self::Relabelled | Self::Unregistered => false,
        }
    }
}

/// How many series have ended, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retirements([u64; RetireReason::ALL.len()]);

impl Index<RetireReason> for Retirements {
    type Output = u64;

    #[expect(clippy::indexing_slicing, reason = "there is a number for each variant")]
    fn index(&self, reason: RetireReason) -> &u64 {
        &self.0[reason as usize]
    }
}

impl IndexMut<RetireReason> for Retirements {
    #[expect(clippy::indexing_slicing, reason = "there is a number for each variant")]
    fn index_mut(&mut self, reason: RetireReason) -> &mut u64 {
        &mut self.0[reason as usize]
    }
}

/// One life of a row: the place it had in its table, and its birth, which tells lives in one place apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowId {
    /// Position among the rows of the table.
    pub position: usize,
    /// Order of creation within the table.
    pub born: u64,
}

impl RowId {
    /// The overflow row of any table.
    pub const OVERFLOW: Self = Self { position: 0, born: 0 };
}

/// How much of a row has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Row,
    /// Its gauges; they begin anew if they are set again.
    Gauges,
}

/// A row that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Retired {
    /// The table it was in.
    pub table: u64,
    /// Which row it was.
    pub row: RowId,
    /// Why it ended.
    pub reason: RetireReason,
    /// What of it ended.
    pub extent: Extent,
    /// Wall time at which its values began, nanoseconds.
    pub start: u64,
    /// Wall time at which it ended, nanoseconds.
    pub end: u64,
    /// Its label text, as [`RowView::text`](crate::RowView::text) was.
    pub text: Box<[u8]>,
    /// Its final cells, instrument by instrument.
    pub cells: Box<[u64]>,
    /// The row of the same table that its counters and histograms were added to.
    pub successor: Option<RowId>,
}

impl Retired {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.cells)
    }
}

/// Hands what has ended to every subscriber. Locked after registry and tables.
#[derive(Debug, Default)]
pub(crate) struct RetireLog {
    inboxes: Mutex<Vec<Weak<Inbox>>>,
}

impl RetireLog {
    pub(crate) fn subscribe(&self) -> Subscription {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = self.inboxes();
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.push(Arc::downgrade(&inbox));
        Subscription { inbox }
    }

    /// Notes a row, which is described only if somebody wants to know.
    pub(crate) fn note_row(&self, describe: impl FnOnce() -> Retired) {
        let inboxes = self.inboxes();
        let mut wanted = inboxes.iter().filter_map(Weak::upgrade).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let row = Arc::new(describe());
        wanted.for_each(|inbox| inbox.put_row(&row));
    }

    /// Notes a table that has left.
    pub(crate) fn note_table(&self, table: &Table) {
        // Before the inboxes are locked: tables are locked first.
        let bytes = table.stats().bytes;
        for inbox in self.inboxes().iter().filter_map(Weak::upgrade) {
            inbox.tables.lock().unwrap_or_else(PoisonError::into_inner).push(table.clone(), bytes);
        }
    }

    fn inboxes(&self) -> MutexGuard<'_, Vec<Weak<Inbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tables that have left, the oldest first. Bounded by the bytes they hold: the oldest goes first, the last one stays.
#[derive(Debug, Default)]
pub struct LeftTables {
    tables: VecDeque<(Table, usize)>,
    bytes: usize,
    lost: u64,
}

impl LeftTables {
    /// None so far.
    pub const fn new() -> Self {
        Self { tables: VecDeque::new(), bytes: 0, lost: 0 }
    }

    fn push(&mut self, table: Table, bytes: usize) {
        self.bytes += bytes;
        self.tables.push_back((table, bytes));
        while self.bytes > MOST_TABLE_BYTES
            && self.tables.len() > 1
            && let Some((_, oldest)) = self.tables.pop_front()
        {
            self.bytes -= oldest;
            self.lost += 1;
        }
    }

    /// Adds those that left later.
    pub fn append(&mut self, later: Self) {
        self.lost += later.lost;
        for (table, bytes) in later.tables {
            self.push(table, bytes);
        }
    }

    /// The tables, in the order in which they left.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Table> + ExactSizeIterator {
        self.tables.iter().map(|(table, _)| table)
    }

    /// Lets go of all tables.
    pub fn clear(&mut self) {
        self.tables.clear();
        self.bytes = 0;
    }

    /// How many tables were dropped unseen since the last call, because too many had left.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// What one subscriber has not yet taken.
#[derive(Debug, Default)]
struct Inbox {
    tables: Mutex<LeftTables>,
    rows: Mutex<Rows>,
    lost_rows: AtomicU64,
}

#[derive(Debug, Default)]
struct Rows {
    queue: VecDeque<Arc<Retired>>,
    /// Of all in the queue.
    bytes: usize,
}

impl Inbox {
    fn put_row(&self, row: &Arc<Retired>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.bytes += row.bytes();
        rows.queue.push_back(Arc::clone(row));
        while rows.bytes > MOST_ROW_BYTES
            && let Some(oldest) = rows.queue.pop_front()
        {
            rows.bytes -= oldest.bytes();
            // Relaxed: a count that stands alone.
            self.lost_rows.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Receives what ends in a registry, for as long as it lives; bounded, the oldest goes first.
#[derive(Debug)]
pub struct Subscription {
    inbox: Arc<Inbox>,
}

impl Subscription {
    /// Takes the tables that have left since the last call. Their rows can be read as before.
    pub fn take_tables(&self) -> LeftTables {
        let mut tables = self.inbox.tables.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *tables)
    }

    /// Takes the rows that have ended since the last call, in that order. Rows of a table that left are not among
    /// them.
    ///
    /// A row is noted while its table is locked: with the table locked, nothing of it is missing here.
    pub fn take_rows(&self) -> Vec<Arc<Retired>> {
        let mut rows = self.inbox.rows.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rows).queue.into()
    }

    /// How many rows were dropped unseen since the last call, because too many had ended.
    pub fn take_lost_rows(&self) -> u64 {
        self.inbox.lost_rows.swap(0, Ordering::Relaxed)
    }
}
