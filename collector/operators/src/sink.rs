//! What takes the records of a data source at the end of its pipeline.

use std::fmt::Debug;

/// A consumer of records: a console, a log file, a stream to a client.
///
/// All calls come from the thread that reads the data source, in order. None may block: what cannot be taken is
/// dropped and counted by the sink.
pub trait Sink: Send + Debug {
    /// A batch begins: the records of one fetch of a map or iterator, or those that one drain of a buffer found.
    fn begin(&mut self) {}
    /// One record, at least as long as the layout.
    fn record(&mut self, record: &[u8]);
    /// The batch ends.
    fn end(&mut self) {}
    /// A drain ends: what is buffered should go out.
    fn flush(&mut self) {}
    /// The run ends; nothing is called after this.
    fn finish(&mut self) {}
}
