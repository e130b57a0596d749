//! Packets as a capture file that Wireshark, tshark and tcpdump read from a pipe while it grows.
//!
//! # Source
//! The annotations are the reference's: `pcap.payload`, `pcap.timestamp` and `pcap.packet-length` on the data source
//! name fields; fields annotated `pcap.interface-key` or `pcap.interface-var` tell interfaces apart, and the latter
//! describe them. Time stamps have nanosecond resolution here; the reference misreads their unit.

mod blocks;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range, sync::Arc};

use ig_datasource::DataSource;
use ig_model::{BootClock, KtimeNs};
use ig_operators::{Batch, Column, Columns, Render, Sink, SinkLedger, Value, ValueKind, ValueScratch};

use crate::{error::ConsoleError, output::RowBuffer};

const MODE: &str = "pcap-ng";
/// Interfaces that are told apart; packets of further ones are filed under the last.
const MOST_INTERFACES: usize = 4096;

/// Writes packets as a pcap-ng file.
#[derive(Debug)]
pub(crate) struct PcapSink {
    rows: RowBuffer,
    payload: Column,
    time: Time,
    length: Column,
    keys: Vec<Key>,
    interfaces: HashMap<Vec<u8>, u32>,
    /// What has been handed over; the rest is told again if its chunk is dropped.
    announced: Announced,
    key: Vec<u8>,
    scratch: ValueScratch,
}

/// The parts of the file that packets refer to.
#[derive(Clone, Copy, Debug, Default)]
struct Announced {
    section: bool,
    interfaces: usize,
}

/// A field that tells interfaces apart.
#[derive(Debug)]
struct Key {
    column: Column,
    /// Under this name it describes the interface.
    variable: Option<String>,
}

/// Where the time stamp is.
#[derive(Debug)]
enum Time {
    /// A number: nanoseconds since 1970.
    Wall(Column),
    /// What a formatter makes text of: nanoseconds since boot.
    Boot(Range<usize>, BootClock),
}

impl PcapSink {
    pub(crate) fn new(source: &DataSource, columns: &Columns, rows: RowBuffer) -> Result<Self, ConsoleError> {
        let field = |annotation: &'static str| {
            let name = source.annotations.get(annotation).ok_or_else(|| ConsoleError::MissingAnnotation {
                mode: MODE,
                annotation,
                source_name: source.name.clone(),
            })?;
            columns.find(name).ok_or_else(|| ConsoleError::Annotation {
                place: format!("data source `{}`", source.name),
                annotation,
                value: name.clone(),
                expected: format!("a field that exists; {}", columns.unknown(name)),
            })
        };
        let fault = |column: &Column, reason: &str| ConsoleError::Field {
            mode: MODE,
            field: column.name.clone(),
            reason: reason.to_owned(),
        };
        let payload = field("pcap.payload")?;
        if payload.value_kind() != ValueKind::Bytes {
            return Err(fault(payload, "holds no bytes, so it cannot be the packet"));
        }
        let length = field("pcap.packet-length")?;
        if !matches!(length.value_kind(), ValueKind::Unsigned | ValueKind::Signed) {
            return Err(fault(length, "is no integer, so it cannot be the length of the packet"));
        }
        let stamp = field("pcap.timestamp")?;
        let time = match (&stamp.render, stamp.inputs.as_slice()) {
            (Render::Timestamp(clock) | Render::FormattedTime(clock, _), [range]) => {
                Time::Boot(range.clone(), *clock)
            }
            _ if stamp.value_kind() == ValueKind::Unsigned => Time::Wall(stamp.clone()),
            _ => {
                return Err(fault(
                    stamp,
                    "is no time stamp: neither a gadget_timestamp nor an unsigned integer",
                ));
            }
        };
        let mut keys = Vec::new();
        for column in columns.iter() {
            let variable = column.annotation("pcap.interface-var");
            if variable.is_some() && column.value_kind() != ValueKind::Text {
                return Err(fault(column, "is no text, so it cannot describe an interface"));
            }
            if variable.is_some() || column.annotation("pcap.interface-key") == Some("true") {
                keys.push(Key { column: column.clone(), variable: variable.map(str::to_owned) });
            }
        }
        let mut sink = Self {
            rows,
            payload: payload.clone(),
            time,
            length: length.clone(),
            keys,
            interfaces: HashMap::new(),
            announced: Announced::default(),
            key: Vec::new(),
            scratch: ValueScratch::default(),
        };
        // A reader at the other end of a pipe waits for the head of the file.
        blocks::section(sink.rows.buffer());
        let taken = sink.rows.flush();
        sink.settle(taken);
        Ok(sink)
    }

    /// The number of the record's interface; one that is new is announced first.
    fn interface(&mut self, record: &[u8]) -> u32 {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for Key { column, .. } in &self.keys {
            let start = key.len();
            match column.value(record, &mut self.scratch) {
                Value::Text(bytes) | Value::Bytes(bytes) => key.extend_from_slice(bytes),
                _ => column.copy_input(record, &mut key),
            }
            // Lengths keep `a` + `bc` apart from `ab` + `c`.
            key.extend_from_slice(&(key.len() - start).to_ne_bytes());
        }
        let number = match self.interfaces.get(&key) {
            Some(number) => *number,
            None if self.interfaces.len() >= MOST_INTERFACES => number_of(MOST_INTERFACES - 1),
            None => {
                let number = number_of(self.interfaces.len());
                let (name, description) = self.describe(record);
                blocks::interface(&name, &description, self.rows.buffer());
                self.interfaces.insert(key.clone(), number);
                number
            }
        };
        self.key = key;
        number
    }

    /// `ifindex=3`, and `k8s.podName=a;k8s.node=b` with the values escaped as in a query.
    fn describe(&mut self, record: &[u8]) -> (String, String) {
        let (mut name, mut description) = (String::new(), String::new());
        for Key { column, variable } in &self.keys {
            let (out, title) = match variable {
                Some(variable) => (&mut description, variable.as_str()),
                None => (&mut name, column.name.as_str()),
            };
            if !out.is_empty() {
                out.push(';');
            }
            out.push_str(title);
            out.push('=');
            if let Value::Text(text) = column.value(record, &mut self.scratch) {
                blocks::query(text, out);
            } else {
                let (mut input, mut text) = (Vec::new(), String::new());
                column.copy_input(record, &mut input);
                column.text(&input, &mut text);
                blocks::query(text.as_bytes(), out);
            }
        }
        if name.is_empty() {
            name.push_str("virtual");
        }
        (name, description)
    }

    fn nanoseconds(&mut self, record: &[u8]) -> u64 {
        match &self.time {
            Time::Boot(range, clock) => {
                let stamp = record.get(range.clone()).and_then(|bytes| bytes.try_into().ok());
                clock.wall(KtimeNs(stamp.map_or(0, u64::from_ne_bytes))).0
            }
            Time::Wall(column) => unsigned(&column.value(record, &mut self.scratch)),
        }
    }

    /// Keeps what was announced in a chunk that was taken, and forgets it if the chunk was dropped.
    fn settle(&mut self, taken: bool) {
        if taken {
            self.announced = Announced { section: true, interfaces: self.interfaces.len() };
        } else {
            let known = self.announced.interfaces;
            self.interfaces.retain(|_, number| usize::try_from(*number).is_ok_and(|number| number < known));
        }
    }

    fn record(&mut self, record: &[u8]) {
        if !self.announced.section && self.rows.buffer().is_empty() {
            blocks::section(self.rows.buffer());
        }
        let interface = self.interface(record);
        let nanoseconds = self.nanoseconds(record);
        let length = unsigned(&self.length.value(record, &mut self.scratch));
        let payload = match self.payload.value(record, &mut self.scratch) {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        };
        blocks::packet(interface, nanoseconds, payload, length, self.rows.buffer());
        let had = self.rows.buffer().len();
        let taken = self.rows.end_row();
        // A buffer that still holds the row has not been handed over.
        if self.rows.buffer().len() != had {
            self.settle(taken);
        }
    }
}

impl Sink for PcapSink {
    fn take(&mut self, batch: &Batch) {
        batch.iter().for_each(|record| self.record(record));
    }

    fn flush(&mut self) {
        let taken = self.rows.flush();
        self.settle(taken);
    }

    fn finish(&mut self) {
        self.flush();
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        self.rows.ledger()
    }
}

fn number_of(interfaces: usize) -> u32 {
    u32::try_from(interfaces).unwrap_or(u32::MAX)
}

fn unsigned(value: &Value<'_>) -> u64 {
    match value {
        Value::Unsigned(value) => *value,
        Value::Signed(value) => u64::try_from(*value).unwrap_or(0),
        _ => 0,
    }
}
