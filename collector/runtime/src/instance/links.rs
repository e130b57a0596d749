//! The attachments of a gadget, and how they end.

use std::{
    sync::{Arc, Weak},
    thread,
};

use ig_loader::Link;
use tracing::debug;

use crate::reader::Followers;

/// The attachments of a gadget. Closing a classic tracepoint takes the kernel about 75 ms, so they are closed on a
/// thread of their own when nobody asks to wait.
#[derive(Default)]
pub(super) struct Links(Vec<Arc<Link>>);

impl Links {
    /// Adds one.
    pub(super) fn push(&mut self, link: Arc<Link>) {
        self.0.push(link);
    }

    /// Has those that are bound to CPUs follow them.
    pub(super) fn follow_cpus(&self, gadget: &str, followers: &Followers) {
        for link in &self.0 {
            let link: Weak<Link> = Arc::downgrade(link);
            followers.enter(gadget, link);
        }
    }

    /// Detaches everything and waits for it.
    pub(super) async fn close(mut self) {
        let links = std::mem::take(&mut self.0);
        // An error means that the closing thread panicked; the descriptors are gone with it.
        drop(tokio::task::spawn_blocking(move || drop(links)).await);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.0);
        if !links.is_empty()
            && thread::Builder::new().name("ig-detach".to_owned()).spawn(move || drop(links)).is_err()
        {
            debug!("no thread to detach on; detached in place");
        }
    }
}
