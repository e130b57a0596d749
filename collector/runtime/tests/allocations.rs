//! The way of a record that only feeds metrics allocates nothing.

#![expect(unsafe_code, reason = "counting allocations needs an allocator")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "allocations/pipelines.rs"]
mod pipelines;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use pipelines::{Operators, pipeline, record};

/// Counts the allocations of each thread, then leaves them to the system.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: both methods hand their arguments to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is this one's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is this one's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Scenario: ten thousand records of a hundred commands go through counter, filter and handover check, after every
/// series was seen once.
/// Guarantees: not one allocation, and every record is in the numbers.
#[test]
fn metrics_allocate_nothing_per_event() {
    for operators in [Operators::None, Operators::Filter] {
        let (mut pipeline, stats) = pipeline(operators);
        let records: Vec<Vec<u8>> = (0..100).map(record).collect();
        for record in &records {
            pipeline.take(record, ig_runtime::pipeline::Handover::None);
        }
        pipeline.flush();
        let before = ALLOCATIONS.with(Cell::get);
        for round in 0..100 {
            for record in &records {
                pipeline.take(record, ig_runtime::pipeline::Handover::None);
            }
            if round % 10 == 9 {
                pipeline.flush();
            }
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{operators:?}");
        assert_eq!(stats.received.load(), 10_100);
        assert_eq!(stats.delivered.load(), 10_100);
    }
}
