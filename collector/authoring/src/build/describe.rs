//! gadget.yaml beside the object that was just compiled: completed where that is asked for, and held against it.

use std::fs;
use std::path::Path;

use ig_loader::Object;

use super::Progress;
use super::error::BuildError;
use crate::gadget_yaml::{self, Companion};

/// Completes the file at `path`, or makes it, from what `object` declares.
pub(super) fn update(path: &Path, text: Option<&str>, object: &Object) -> Result<(), BuildError> {
    let refuse = |source| BuildError::Update { path: path.to_owned(), source: Box::new(source) };
    let updated = gadget_yaml::update(object, text).map_err(refuse)?;
    if text == Some(updated.as_str()) {
        return Ok(());
    }
    // Beside the file first: a full disk must not cost the author what was there.
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, updated.as_bytes())?;
        let mode = fs::metadata(path)
            .map_or(0o644, |known| std::os::unix::fs::PermissionsExt::mode(&known.permissions()));
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(BuildError::io("write", path))
}

/// Holds the text of a gadget.yaml against the object; errors end the build, warnings are told.
pub(super) fn validate(
    path: &Path,
    text: &str,
    object: Option<&Object>,
    companion: Companion,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), BuildError> {
    let review = gadget_yaml::validate(object, companion, &path.display().to_string(), text);
    for warning in &review.warnings {
        progress(Progress::Warning { text: &warning.to_string() });
    }
    if review.errors.is_empty() {
        return Ok(());
    }
    Err(BuildError::Document { path: path.to_owned(), faults: review.errors })
}
