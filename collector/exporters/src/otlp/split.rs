//! Dividing a message that a receiver finds too large, without knowing more of it than where its points are.

use super::wire::{self, Field};

/// The fields that lead from an `ExportMetricsServiceRequest` down to its data points, level by level: resource metrics,
/// scope metrics, metrics, the kinds of data, points.
///
/// # Source
/// opentelemetry-proto, `metrics.proto`.
const TO_POINTS: &[&[u64]] = &[&[1], &[2], &[2], &[5, 7, 9], &[1]];

/// A part of a message under way.
#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    points: u64,
}

/// The message in two: its first points, as many as `first`, and the rest; each says all by itself.
pub(super) fn split_metrics(message: &[u8], first: u64) -> [Vec<u8>; 2] {
    let mut room = first;
    divide(message, TO_POINTS, &mut room).map(|part| part.bytes)
}

/// Divides what one level holds; fields beside the way to the points go to both parts.
fn divide(message: &[u8], way: &[&[u64]], room: &mut u64) -> [Part; 2] {
    let [mut first, mut second] = [Part::default(), Part::default()];
    for Field { number, body, whole } in wire::fields(message) {
        match way.split_first() {
            Some((numbers, [])) if numbers.contains(&number) => {
                let part = if *room > 0 { &mut first } else { &mut second };
                *room = room.saturating_sub(1);
                part.bytes.extend_from_slice(whole);
                part.points += 1;
            }
            Some((numbers, below)) if numbers.contains(&number) => {
                let divided = divide(body, below, room);
                for (part, inner) in [&mut first, &mut second].into_iter().zip(divided) {
                    // What has no points says nothing.
                    if inner.points > 0 {
                        wire::head(&mut part.bytes, number, inner.bytes.len());
                        part.bytes.extend_from_slice(&inner.bytes);
                        part.points += inner.points;
                    }
                }
            }
            _ => {
                first.bytes.extend_from_slice(whole);
                second.bytes.extend_from_slice(whole);
            }
        }
    }
    [first, second]
}
