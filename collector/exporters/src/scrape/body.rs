//! A response body that writes the page as the connection asks for it.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame};

use super::slots::Lease;
use crate::prometheus::{Encoding, FRAME_BYTES, Page};

/// Compressed frames are sent from this size on.
const GZIP_FRAME_BYTES: usize = 16 * 1024;

/// A page on its way out.
pub(super) struct PageBody {
    page: Page,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// One frame, reused where it is compressed.
    plain: Vec<u8>,
    done: bool,
    lease: Lease,
}

impl PageBody {
    pub(super) fn new(page: Page, encoding: Encoding, lease: Lease) -> Self {
        let gzip = (encoding == Encoding::Gzip).then(|| GzEncoder::new(Vec::new(), Compression::new(1)));
        Self { page, gzip, plain: Vec::new(), done: false, lease }
    }

    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.done {
            return Ok(None);
        }
        if !self.lease.goes_on() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "page was read too slowly and its place given to another scrape",
            ));
        }
        if self.gzip.is_some() {
            return self.next_compressed();
        }
        // Room for the last row too: growing would copy the frame.
        let mut frame = Vec::with_capacity(FRAME_BYTES + 8 * 1024);
        self.done = !self.page.frame(&mut frame);
        Ok((!frame.is_empty()).then(|| frame.into()))
    }

    fn next_compressed(&mut self) -> std::io::Result<Option<Bytes>> {
        let Some(mut gzip) = self.gzip.take() else { return Ok(None) };
        while !self.done && gzip.get_ref().len() < GZIP_FRAME_BYTES {
            self.plain.clear();
            self.done = !self.page.frame(&mut self.plain);
            gzip.write_all(&self.plain)?;
        }
        if self.done {
            return Ok(Some(gzip.finish()?.into()));
        }
        let frame = std::mem::replace(gzip.get_mut(), Vec::with_capacity(2 * GZIP_FRAME_BYTES));
        self.gzip = Some(gzip);
        Ok(Some(frame.into()))
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.next().map(|frame| frame.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}
