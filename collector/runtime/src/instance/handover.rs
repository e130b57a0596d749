//! How the events of a gadget pass from one instance of it to the next.

use std::time::Duration;

use ig_model::KtimeNs;
use tracing::warn;

use super::{Running, RunningSource};

/// Time between the decision to switch from one instance to the next and the switch.
const SWITCH_NS: u64 = 50_000_000;

impl Running {
    /// Gives the events over to `successors`.
    ///
    /// Stamped records are divided by the moment of the switch, exactly. Without stamps the last drain of the old
    /// source and the first of the new one stand next to each other, microseconds apart.
    pub(super) async fn hand_over(self, successors: &[RunningSource]) {
        // Rings filled since the programs were attached; the moment must not find one full.
        for successor in successors {
            successor.handle.drain().await;
        }
        // Both sides must know the moment before it comes.
        let moment = KtimeNs(KtimeNs::now().0.saturating_add(SWITCH_NS));
        for successor in successors {
            let old = self.sources.iter().find(|old| old.name == successor.name);
            match old {
                Some(old) if successor.stamped => {
                    successor.handle.take_over(moment).await;
                    old.handle.hand_over(moment).await;
                }
                Some(old) => {
                    old.handle.stop().await;
                    successor.handle.take_over(moment).await;
                }
                None => successor.handle.take_over(moment).await,
            }
        }
        let now = KtimeNs::now();
        if now >= moment {
            warn!(name: "gadget.handover.late", gadget = self.name, late_ns = now.0 - moment.0,
                "events of this time may be counted twice");
        }
        tokio::time::sleep(Duration::from_nanos(moment.0.saturating_sub(now.0))).await;
        // Programs that ran at the moment of the switch have submitted their records once detaching is over.
        self.links.close().await;
        for source in &self.sources {
            source.handle.stop().await;
        }
    }
}
