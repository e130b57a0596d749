//! Reading files that somebody named: whole, bounded, and nothing that could block or never end.

use std::{
    fmt,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use thiserror::Error;

use crate::version::FileVersion;

/// The content of a file as it was read.
///
/// It may be a key, so `Debug` shows its size alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A regular file that is open and was not read yet.
#[derive(Debug)]
pub struct Opened {
    path: PathBuf,
    file: File,
    metadata: Metadata,
}

/// A file cannot be read.
///
/// The cause is of kind [`io::ErrorKind::InvalidInput`] for what is not a regular file,
/// [`io::ErrorKind::FileTooLarge`] above the limit and [`io::ErrorKind::InvalidData`] for text that is not UTF-8.
#[derive(Debug, Error)]
#[error("failed to read `{}`", .path.display())]
pub struct ReadError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`ReadError`] if the file does not exist, is a device, a pipe, a socket or a directory, is larger, or cannot be
/// read. The call never waits for a writer.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Content, ReadError> {
    open_regular(path)?.read(limit)
}

/// Opens a regular file for reading.
///
/// # Errors
/// [`ReadError`] if the file does not exist, is a device, a pipe, a socket or a directory, or cannot be opened.
pub fn open_regular(path: &Path) -> Result<Opened, ReadError> {
    let failed = |cause| ReadError { path: path.to_owned(), cause };
    let regular = |metadata: Metadata| {
        if metadata.is_file() {
            return Ok(metadata);
        }
        Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")))
    };
    // Before it is opened, because opening alone does something to some devices; and after, because the path may lead
    // elsewhere by then. Without waiting, because opening a pipe does, and so does reading some files of the kernel.
    regular(std::fs::metadata(path).map_err(failed)?)?;
    let no_wait = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path).map_err(failed)?;
    let metadata = regular(file.metadata().map_err(failed)?)?;
    Ok(Opened { path: path.to_owned(), file, metadata })
}

impl Opened {
    /// What is known of the open file: owner and mode of the very file that will be read.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Reads it if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError`] if it is larger or cannot be read.
    pub fn read(self, limit: u64) -> Result<Content, ReadError> {
        let Self { path, file, .. } = self;
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        let read = read.and_then(|_| {
            if bytes.len() as u64 <= limit {
                return Ok(());
            }
            Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")))
        });
        match read {
            Ok(()) => Ok(Content { path, bytes }),
            Err(cause) => Err(ReadError { path, cause }),
        }
    }
}

impl Content {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The content as text.
    ///
    /// # Errors
    /// [`ReadError`] if it is not UTF-8.
    pub fn into_text(self) -> Result<String, ReadError> {
        let Self { path, bytes } = self;
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let cause = io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {at}"));
            ReadError { path, cause }
        })
    }

    /// The file as it was read, to be followed from there.
    pub fn version(&self) -> FileVersion {
        FileVersion::of(&self.path, &self.bytes)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes of {})", self.bytes.len(), self.path.display())
    }
}

impl ReadError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// The failure alone, for an error that names the file by itself.
    pub fn into_cause(self) -> io::Error {
        self.cause
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind, path::Path};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::read_bounded;

    /// Scenario: a document names a device that never ends, a pipe nobody writes to, a folder, and what is not there.
    /// Guarantees: each is refused at once, with its path.
    #[test]
    fn what_could_block_or_never_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [Path::new("/dev/zero"), Path::new("/dev/null"), &pipe, folder.path()] {
            let error = read_bounded(path, 100).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidInput, path));
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        let missing = folder.path().join("missing");
        assert_eq!(read_bounded(&missing, 100).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// Scenario: files of exactly the limit and one byte more, and bytes that are not text.
    /// Guarantees: the limit is what may be read; neither errors nor debug output show the content.
    #[test]
    fn the_limit_is_exact_and_contents_stay_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "secret\u{7}").unwrap();
        let content = read_bounded(&path, 7).unwrap();
        assert!(!format!("{content:?}").contains("secret"));
        assert_eq!(content.into_text().unwrap(), "secret\u{7}");
        assert_eq!(read_bounded(&path, 6).unwrap_err().kind(), ErrorKind::FileTooLarge);
        fs::write(&path, b"ab\xff").unwrap();
        let error = read_bounded(&path, 10).unwrap().into_text().unwrap_err();
        assert_eq!(error.into_cause().to_string(), "not UTF-8 at byte 2");
    }
}
