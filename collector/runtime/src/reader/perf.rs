//! Perf event arrays: a buffer per CPU, for kernels before 5.8 and for gadgets that send records of varying length.
//!
//! # Source
//! perf_event_open(2), "MMAP layout"; a sample carries up to seven bytes of padding at its end.

use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd},
};

use aya::{
    maps::{
        Map, MapData, MapError, PerfEventArray,
        perf::{PerfBufferError, PerfEvent, PerfEventArrayBuffer},
    },
    util::online_cpus,
};
use rustix::event::epoll;
use thiserror::Error;

use super::{stream::Stream, sys::Descriptor};

/// Pages of each CPU's buffer, as many as the reference has.
const PAGES: usize = 64;

/// The buffers of a perf event array, one for each CPU that is online.
pub struct PerfFeed {
    /// Holds every buffer's descriptor, so that one descriptor stands for all.
    any: OwnedFd,
    buffers: Vec<PerfEventArrayBuffer<MapData>>,
    /// A record that wraps around the end of its buffer, put together.
    whole: Vec<u8>,
    lost: u64,
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
    #[error("failed to read which CPUs are online")]
    Cpus(#[source] io::Error),
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
            let mut array = PerfEventArray::try_from(Map::from_map_data(MapData::from_fd(array)?)?)?;
            let cpus = online_cpus().map_err(|(_, cause)| PerfCause::Cpus(cause))?;
            let watch = |cause: rustix::io::Errno| PerfCause::Watch(cause.into());
            let any = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(watch)?;
            let mut buffers = Vec::with_capacity(cpus.len());
            for cpu in cpus {
                let buffer =
                    array.open(cpu, Some(PAGES)).map_err(|source| PerfCause::Buffer { cpu, source })?;
                let data = epoll::EventData::new_u64(u64::from(cpu));
                epoll::add(&any, buffer.as_fd(), data, epoll::EventFlags::IN).map_err(watch)?;
                buffers.push(buffer);
            }
            Ok((any, buffers))
        };
        let (any, buffers) = open().map_err(|cause| PerfError { map: map.to_owned(), cause })?;
        Ok(Self { any, buffers, whole: Vec::new(), lost: 0 })
    }
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
        for buffer in buffers {
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
