//! From the bytes of a record to the text of a stack.

use std::{fmt::Write as _, sync::Arc};

use ig_symbols::{ExeId, Method, Process};

use super::{Inner, StackCounts, StackMaps, Stacks};
use crate::column::Resolver;

/// Bytes of a frame's build id: status, id, offset or address.
const BUILD_ID: usize = 32;
/// The frame has a build id.
const VALID: i32 = 1;
/// The frame has its address only.
const ADDRESS: i32 = 2;
/// What `bpf_get_stackid` returns when the place of a stack is taken by another (EEXIST) or none is left (ENOMEM).
const NO_ROOM: [i32; 2] = [-17, -12];

/// Names of a kernel stack.
#[derive(Debug)]
pub(super) struct KernelNames(pub(super) Arc<Inner>);

/// Addresses of a user stack.
#[derive(Debug)]
pub(super) struct Addresses(pub(super) Arc<Inner>);

/// Build ids of a user stack.
#[derive(Debug)]
pub(super) struct BuildIds(pub(super) Arc<Inner>);

/// Names of a user stack.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) inner: Arc<Inner>,
    pub(super) method: Option<Method>,
}

/// A user stack as the record has it.
struct UserStack {
    process: Process,
    id: u32,
}

impl Resolver for KernelNames {
    fn text(&self, input: &[u8], out: &mut String) {
        let Ok(id) = input.try_into().map(u32::from_ne_bytes) else { return };
        self.0.stack(
            |maps| maps.kernel.as_deref(),
            id,
            |addresses, counts| {
                let found = self.0.symbols.kernel(addresses, out);
                if found.is_late {
                    StackCounts::add(&counts.late);
                }
            },
        );
    }
}

impl Resolver for Addresses {
    fn text(&self, input: &[u8], out: &mut String) {
        let Some(stack) = UserStack::read(input) else { return };
        // Counted where the stack gets its names.
        self.0.user(&stack, false, |addresses, _| {
            for address in addresses {
                write!(out, "0x{address:016x}; ").unwrap_or_default();
            }
        });
    }
}

impl Resolver for Names {
    fn text(&self, input: &[u8], out: &mut String) {
        let (Some(stack), Some(method)) = (UserStack::read(input), self.method) else { return };
        self.inner.user(&stack, true, |addresses, counts| {
            let found = self.inner.symbols.user(&stack.process, addresses, method, out);
            if found.is_late {
                StackCounts::add(&counts.late);
            }
        });
    }
}

impl Resolver for BuildIds {
    fn text(&self, input: &[u8], out: &mut String) {
        let Some(stack) = UserStack::read(input).filter(|stack| stack.process.exe.inode != 0) else { return };
        let Some((maps, _)) = self.0.bound.get() else { return };
        let Some(frames) = maps.user.as_deref().and_then(|user| user.build_ids(stack.id)) else { return };
        for frame in frames.chunks_exact(BUILD_ID) {
            let number = |range: std::ops::Range<usize>| frame.get(range).unwrap_or_default();
            let status = number(0..4).try_into().map_or(0, i32::from_ne_bytes);
            let place = number(24..32).try_into().map_or(0, u64::from_ne_bytes);
            match status {
                VALID => {
                    crate::format::hex(number(4..24), out);
                    write!(out, " +{place:x}; ").unwrap_or_default();
                }
                ADDRESS => write!(out, "{place:x}; ").unwrap_or_default(),
                _ => break,
            }
        }
    }
}

impl Inner {
    /// Gives the addresses of a stack to `show`; what is not there is counted.
    fn stack<'a>(
        &'a self,
        map: impl Fn(&'a StackMaps) -> Option<&'a Stacks>,
        id: u32,
        show: impl FnOnce(&[u64], &StackCounts),
    ) {
        let Some((maps, counts)) = self.bound.get() else { return };
        let code = id as i32;
        if code < 0 {
            // Anything else, as EFAULT, says that there is no such stack: a sample of user code has none of the kernel.
            if NO_ROOM.contains(&code) {
                StackCounts::add(&counts.full);
            }
            return;
        }
        match map(maps).and_then(|stacks| stacks.addresses(id)) {
            Some(addresses) => show(&addresses, counts),
            None => StackCounts::add(&counts.missing),
        }
    }

    /// The same for a user stack; `counts` says whether a stack that is missing is counted here.
    fn user(&self, stack: &UserStack, counts: bool, show: impl FnOnce(&[u64], &StackCounts)) {
        let ignored = StackCounts::default();
        if stack.process.exe.inode == 0 {
            // Nobody asked for stacks, or there was no room for this one.
            if let (true, Some((_, counts))) = (counts, self.bound.get())
                && NO_ROOM.contains(&(stack.id as i32))
            {
                StackCounts::add(&counts.full);
            }
        } else if counts {
            self.stack(|maps| maps.user.as_deref(), stack.id, show);
        } else if let Some((maps, _)) = self.bound.get()
            && let Some(addresses) = maps.user.as_deref().and_then(|stacks| stacks.addresses(stack.id))
        {
            show(&addresses, &ignored);
        }
    }
}

impl UserStack {
    /// From the members in the order of [`super::MEMBERS`].
    fn read(mut input: &[u8]) -> Option<Self> {
        let (major, minor) = (u32_from(&mut input)?, u32_from(&mut input)?);
        let (inode, mtime_sec) = (u64_from(&mut input)?, u64_from(&mut input)? as i64);
        let (mtime_nsec, generation) = (u32_from(&mut input)?, u32_from(&mut input)?);
        let (id, pid) = (u32_from(&mut input)?, u32_from(&mut input)?);
        let exe = ExeId { major, minor, inode, mtime_sec, mtime_nsec };
        Some(Self { process: Process { pid, generation, exe }, id })
    }
}

fn u32_from(input: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u32::from_ne_bytes(*bytes))
}

fn u64_from(input: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u64::from_ne_bytes(*bytes))
}
