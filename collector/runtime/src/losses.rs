//! Says that records are lost when it happens: in the log and in the state of their gadget.
//!
//! The numbers are kept where the losses happen; here they are looked at once a second.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ig_model::{Loss, Losses};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use crate::{
    status::{Reason, ReasonKind, SourceStats, Status},
    tasks::Tasks,
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// A data source is said to lose records at most this often.
const QUIET: Duration = Duration::from_secs(10);
/// A gadget is degraded for this long after its last loss.
const SHOWN: Duration = Duration::from_mins(1);

/// What nobody asked for. Filters and limits are configured, and what another instance delivers is not lost.
const UNWANTED: [Loss; 5] = [Loss::Ringbuf, Loss::Queue, Loss::Decode, Loss::Expression, Loss::Output];

/// Looks at the losses of all gadgets for as long as the tasks run.
pub(crate) fn watch(tasks: &Tasks, status: &Status) {
    let status = status.clone();
    tasks.supervise("losses", "", move |stop| {
        let status = status.clone();
        async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut watch = Watch::default();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    now = ticks.tick() => watch.look(&status, now),
                }
            }
        }
    });
}

/// What was seen of every data source, by gadget and name.
#[derive(Debug, Default)]
struct Watch(BTreeMap<(String, String), Seen>);

/// What was seen of a data source.
#[derive(Debug, Default)]
struct Seen {
    /// All that was lost when it was last looked at.
    known: Losses,
    /// What was lost and not said yet.
    unsaid: Losses,
    said_at: Option<Instant>,
    /// When something was lost last, while its gadget is degraded for it.
    lost_at: Option<Instant>,
}

impl Watch {
    fn look(&mut self, status: &Status, now: Instant) {
        let sources: Vec<((String, String), Arc<SourceStats>)> = status.with(|board| {
            let of_gadget = |(gadget, status): (&String, &crate::status::GadgetStatus)| {
                let source = |(source, stats): (&String, &Arc<SourceStats>)| {
                    ((gadget.clone(), source.clone()), Arc::clone(stats))
                };
                status.sources.iter().map(source).collect::<Vec<_>>()
            };
            board.gadgets.iter().flat_map(of_gadget).collect()
        });
        // A gadget that was taken out of the configuration and comes back counts from zero.
        self.0.retain(|key, _| sources.binary_search_by(|(known, _)| known.cmp(key)).is_ok());
        for (key, stats) in sources {
            let lost = lost(&stats);
            let seen = self.0.entry(key.clone()).or_default();
            seen.look(&key.0, &key.1, lost, status, now);
        }
    }
}

impl Seen {
    fn look(&mut self, gadget: &str, source: &str, lost: Losses, status: &Status, now: Instant) {
        let mut is_losing = false;
        for loss in UNWANTED {
            let news = lost[loss].saturating_sub(self.known[loss]);
            is_losing |= news > 0;
            self.unsaid.add(loss, news);
        }
        self.known = lost;
        if is_losing {
            self.lost_at = Some(now);
            let texts = UNWANTED.into_iter().filter(|loss| self.known[*loss] > 0).map(Loss::help);
            let texts = texts.collect::<Vec<_>>().join("; ");
            let text = format!("data source `{source}` loses records: {texts}");
            status.source_loses(gadget, source, Some(Reason::new(ReasonKind::Losing, text)));
        } else if self.lost_at.is_some_and(|at| now.saturating_duration_since(at) >= SHOWN) {
            self.lost_at = None;
            status.source_loses(gadget, source, None);
        }
        let is_quiet = self.said_at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET);
        if is_quiet && self.unsaid.total() > 0 {
            self.said_at = Some(now);
            for (loss, lost) in std::mem::take(&mut self.unsaid).iter() {
                warn!(name: "records.lost", gadget, source, reason = loss.label(), lost, "{}", loss.help());
            }
        }
    }
}

/// All that a data source and its sinks lost so far.
fn lost(stats: &SourceStats) -> Losses {
    let mut lost = stats.losses.snapshot();
    for (_, totals) in stats.sinks.totals() {
        for (loss, count) in totals.lost.iter() {
            lost.add(loss, count);
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{GadgetStatus, State};

    /// Scenario: nobody scrapes; a buffer overflows again and again, a filter rejects records; then the buffer has room.
    /// Guarantees: the gadget is degraded within a second, for as long as it loses records and a minute more; what is
    /// configured is no loss.
    #[tokio::test(start_paused = true)]
    async fn a_loss_is_said_when_it_happens() {
        let (tasks, status) = (Tasks::new(), Status::default());
        let gadget = GadgetStatus::new(State::Pending, "image".into());
        status.with(|board| board.gadgets.insert("a".into(), gadget));
        status.set("a", State::Running, Vec::new());
        let stats = status.source("a", "events");
        let state = || status.with(|board| board.gadgets["a"].state);
        watch(&tasks, &status);
        stats.losses.add(Loss::Filter, 5);
        tokio::time::sleep(INTERVAL * 2).await;
        assert_eq!(state(), State::Running);
        for _ in 0..5 {
            stats.losses.add(Loss::Ringbuf, 3);
            tokio::time::sleep(INTERVAL * 2).await;
            let reasons = status.with(|board| Reason::join(&board.gadgets["a"].reasons));
            assert_eq!(state(), State::Degraded);
            assert!(reasons.starts_with("data source `events` loses records"), "{reasons}");
            tokio::time::sleep(SHOWN / 2).await;
        }
        tokio::time::sleep(SHOWN).await;
        assert_eq!(state(), State::Running);
        assert_eq!(tasks.drain(INTERVAL).await, Ok(()));
    }
}
