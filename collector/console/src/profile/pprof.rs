//! Profiles as `pprof` reads them.
//!
//! # Source
//! `profile.proto` of the pprof project (package perftools.profiles). The messages are kept here by hand: the few
//! that are used, with their field numbers, which never change.

use std::{collections::HashMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use ig_model::UnixNs;
use prost::Message;

use super::Sample;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<SampleMessage>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub(super) comment: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) kind: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SampleMessage {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Label {
    #[prost(int64, tag = "1")]
    pub(super) key: i64,
    #[prost(int64, tag = "2")]
    pub(super) str: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    pub(super) system_name: i64,
}

/// Gathers samples.
#[derive(Debug)]
pub(super) struct Builder {
    profile: Profile,
    strings: HashMap<String, i64>,
    /// Location of each frame, by its name; a function has the number of its location.
    frames: HashMap<String, u64>,
}

impl Builder {
    pub(super) fn new(kind: &str, unit: &str, name: &str, began: UnixNs) -> Self {
        let mut builder =
            Self { profile: Profile::default(), strings: HashMap::new(), frames: HashMap::new() };
        // The first string is the empty one: zero means nothing.
        builder.string("");
        let value = ValueType { kind: builder.string(kind), unit: builder.string(unit) };
        let comment = builder.string(name);
        let lasted = UnixNs::now().0.saturating_sub(began.0);
        builder.profile.sample_type = vec![value];
        builder.profile.period_type = Some(value);
        builder.profile.period = 1;
        builder.profile.comment = vec![comment];
        builder.profile.time_nanos = i64::try_from(began.0).unwrap_or(i64::MAX);
        builder.profile.duration_nanos = i64::try_from(lasted).unwrap_or(i64::MAX);
        builder
    }

    pub(super) fn sample(&mut self, names: &[&str], sample: &Sample<'_>) {
        let location_id = sample.frames.iter().map(|frame| self.location(frame)).collect();
        let attributes = names.iter().zip(&sample.attributes).filter(|(_, text)| !text.is_empty());
        let label =
            attributes.map(|(name, text)| Label { key: self.string(name), str: self.string(text) }).collect();
        let value = vec![i64::try_from(sample.value).unwrap_or(i64::MAX)];
        self.profile.sample.push(SampleMessage { location_id, value, label });
    }

    /// Appends the profile, compressed as all its readers expect it.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        let mut gzip = GzEncoder::new(out, Compression::default());
        // Writing to memory cannot fail.
        gzip.write_all(&self.profile.encode_to_vec()).unwrap_or_default();
        gzip.try_finish().unwrap_or_default();
    }

    fn location(&mut self, frame: &str) -> u64 {
        if let Some(id) = self.frames.get(frame) {
            return *id;
        }
        let id = self.profile.location.len() as u64 + 1;
        let name = self.string(frame);
        self.profile.function.push(Function { id, name, system_name: name });
        self.profile.location.push(Location { id, line: vec![Line { function_id: id }] });
        self.frames.insert(frame.to_owned(), id);
        id
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = i64::try_from(self.profile.string_table.len()).unwrap_or(0);
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }
}
