//! Perf event arrays: a buffer per CPU, for kernels before 5.8 and for gadgets that send records of varying length.
//!
//! # Source
//! perf_event_open(2), "MMAP layout"; a sample carries up to seven bytes of padding at its end.

use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use aya::maps::{
    Map, MapData, MapError, PerfEventArray,
    perf::{PerfBufferError, PerfEvent, PerfEventArrayBuffer},
};
use ig_kernel::{
    cpus::{Followed, PerCpu},
    map::online_cpus,
};
use rustix::event::epoll;
use thiserror::Error;

use super::{
    cpus::{Coverage, FollowCpus},
    stream::Stream,
    sys::Descriptor,
};

/// Pages of each CPU's buffer, as many as the reference has.
const PAGES: usize = 64;

/// The buffers of a perf event array, one for each CPU that is online at any time.
pub struct PerfFeed {
    /// Holds every buffer's descriptor, so that one descriptor stands for all.
    any: Arc<OwnedFd>,
    buffers: Arc<Mutex<Buffers>>,
    /// A record that wraps around the end of its buffer, put together.
    whole: Vec<u8>,
    lost: u64,
}

/// The buffers, which follow the CPUs.
struct Buffers {
    any: Arc<OwnedFd>,
    array: PerfEventArray<MapData>,
    open: PerCpu<PerfEventArrayBuffer<MapData>>,
    /// Those of CPUs that went; read until the next time.
    left: Vec<PerfEventArrayBuffer<MapData>>,
}

/// A map that is no usable perf event array.
#[derive(Debug, Error)]
#[error("failed to open perf event array `{map}`")]
pub struct PerfError {
    map: String,
    #[source]
    cause: PerfCause,
}

#[derive(Debug, Error)]
enum PerfCause {
    #[error("it is no perf event array")]
    Map(#[from] MapError),
    #[error("no CPU has a buffer")]
    Cpus,
    #[error("failed to open the buffer of CPU {cpu}")]
    Buffer { cpu: u32, source: PerfBufferError },
    #[error("failed to watch its buffers")]
    Watch(#[source] io::Error),
}

impl PerfFeed {
    /// Opens a buffer for each CPU that is online.
    ///
    /// # Errors
    /// When the descriptor is no perf event array or the kernel has no buffer to give.
    pub fn open(map: &str, array: OwnedFd) -> Result<Self, PerfError> {
        let open = || -> Result<_, PerfCause> {
            let array = PerfEventArray::try_from(Map::from_map_data(MapData::from_fd(array)?)?)?;
            let any = epoll::create(epoll::CreateFlags::CLOEXEC);
            let any = Arc::new(any.map_err(|cause| PerfCause::Watch(cause.into()))?);
            let open = PerCpu::default();
            let mut buffers = Buffers { any: Arc::clone(&any), array, open, left: Vec::new() };
            match buffers.follow(&online_cpus(), false).error {
                Some(cause) => Err(cause),
                None if buffers.open.is_empty() => Err(PerfCause::Cpus),
                None => Ok((any, Arc::new(Mutex::new(buffers)))),
            }
        };
        let (any, buffers) = open().map_err(|cause| PerfError { map: map.to_owned(), cause })?;
        Ok(Self { any, buffers, whole: Vec::new(), lost: 0 })
    }

    /// What has to follow the CPUs for it.
    pub(super) fn follower(&self) -> Weak<dyn FollowCpus> {
        let follower: Weak<Mutex<Buffers>> = Arc::downgrade(&self.buffers);
        follower
    }
}

impl Buffers {
    fn follow(&mut self, online: &[u32], anew: bool) -> Followed<(), PerfCause> {
        let Self { any, array, open, left } = self;
        for buffer in left.drain(..) {
            // The map may hold the event for longer than this descriptor is open.
            epoll::delete(&**any, buffer.as_fd()).ok();
        }
        let followed = open.follow(online, anew, |cpu| {
            let buffer = match array.open(cpu, Some(PAGES)) {
                Err(PerfBufferError::OpenError { io_error }) if is_offline(&io_error) => return Ok(None),
                buffer => buffer.map_err(|source| PerfCause::Buffer { cpu, source })?,
            };
            let data = epoll::EventData::new_u64(u64::from(cpu));
            epoll::add(&**any, buffer.as_fd(), data, epoll::EventFlags::IN)
                .map_err(|cause| PerfCause::Watch(cause.into()))?;
            Ok(Some(buffer))
        });
        let Followed { left: gone, came, uncovered, error } = followed;
        left.extend(gone);
        Followed { left: Vec::new(), came, uncovered, error }
    }
}

fn is_offline(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

impl FollowCpus for Mutex<Buffers> {
    fn follow(&self, online: &[u32], anew: bool) -> Option<Coverage> {
        let Followed { came, uncovered, error, .. } = lock(self).follow(online, anew);
        let error = error.map(|error| ig_model::chain(&error));
        Some(Coverage { came, uncovered, error })
    }
}

/// Only the reader's thread takes it, so that nobody waits; a panic between two changes leaves it whole.
fn lock(buffers: &Mutex<Buffers>) -> MutexGuard<'_, Buffers> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsRawFd for PerfFeed {
    fn as_raw_fd(&self) -> RawFd {
        self.any.as_raw_fd()
    }
}

impl Descriptor for PerfFeed {}

impl Stream for PerfFeed {
    fn read(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> (usize, usize) {
        /// Bytes of the header and the size before each sample.
        const HEADER: usize = 12;

        let Self { buffers, whole, lost, .. } = self;
        let (mut records, mut bytes) = (0, 0);
        let mut buffers = lock(buffers);
        let Buffers { open, left, .. } = &mut *buffers;
        for buffer in left.iter_mut().chain(open.values_mut()) {
            let read = buffer.try_fold((), |(), event| {
                match event {
                    PerfEvent::Sample { head, tail } => {
                        records += 1;
                        bytes += head.len() + tail.len() + HEADER;
                        if tail.is_empty() {
                            take(head);
                        } else {
                            whole.clear();
                            whole.extend_from_slice(head);
                            whole.extend_from_slice(tail);
                            take(whole);
                        }
                    }
                    PerfEvent::Lost { count } => *lost += count,
                }
                if records < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if read.is_break() {
                break;
            }
        }
        (records, bytes)
    }

    fn lost_total(&mut self) -> u64 {
        self.lost
    }

    fn size(&self) -> usize {
        // One busy CPU fills its own buffer, however empty the others are.
        PAGES * rustix::param::page_size()
    }
}
