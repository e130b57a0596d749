//! Ring buffers.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use aya::maps::{Map, MapData, MapError, PerCpuArray, RingBuf};
use thiserror::Error;

use super::{stream::Stream, sys::Descriptor};

/// A ring buffer and the map in which its programs count what did not fit.
pub struct RingFeed {
    ring: RingBuf<MapData>,
    lost: Option<PerCpuArray<MapData, u64>>,
    lost_total: u64,
    size: usize,
}

/// A map that is no usable ring buffer.
#[derive(Debug, Error)]
#[error("failed to open ring buffer `{map}`")]
pub struct RingError {
    map: String,
    #[source]
    cause: MapError,
}

impl RingFeed {
    /// Opens the ring behind `ring`, of `size` bytes; `lost` counts records that did not fit.
    ///
    /// # Errors
    /// When a descriptor is no map of the right type, or cannot be mapped into memory.
    pub fn open(map: &str, ring: OwnedFd, size: usize, lost: Option<OwnedFd>) -> Result<Self, RingError> {
        let open = || {
            let ring = RingBuf::try_from(Map::from_map_data(MapData::from_fd(ring)?)?)?;
            let lost = lost
                .map(|fd| PerCpuArray::try_from(Map::from_map_data(MapData::from_fd(fd)?)?))
                .transpose()?;
            Ok((ring, lost))
        };
        let (ring, lost) = open().map_err(|cause| RingError { map: map.to_owned(), cause })?;
        Ok(Self { ring, lost, lost_total: 0, size })
    }
}

impl AsRawFd for RingFeed {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl Descriptor for RingFeed {}

impl Stream for RingFeed {
    fn read(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> (usize, usize) {
        /// Bytes of the header before each record.
        const HEADER: usize = 8;

        let (mut records, mut bytes) = (0, 0);
        while records < most
            && let Some(record) = self.ring.next()
        {
            bytes += record.len() + HEADER;
            records += 1;
            take(&record);
        }
        (records, bytes)
    }

    /// As the programs count them themselves; the last answer again when the map cannot be read.
    fn lost_total(&mut self) -> u64 {
        if let Some(per_cpu) = self.lost.as_ref().and_then(|lost| lost.get(&0, 0).ok()) {
            self.lost_total = per_cpu.iter().sum();
        }
        self.lost_total
    }

    fn size(&self) -> usize {
        self.size
    }
}
