//! Where a store is: root's own, a user's, and the one of the user behind sudo.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Store, StoreError};

const ROOT_STORE: &str = "/var/lib/ig/oci-store";
const USER_STORE: &str = ".ig/oci-store";
const PASSWD: &str = "/etc/passwd";

impl Store {
    /// The store of the current user: `/var/lib/ig/oci-store` for root, else `~/.ig/oci-store`.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] if the user is not root and has no home folder.
    pub fn default_path() -> Result<PathBuf, StoreError> {
        if rustix::process::geteuid().is_root() {
            return Ok(ROOT_STORE.into());
        }
        let home = std::env::home_dir().filter(|home| home.is_absolute()).ok_or(StoreError::NoHome)?;
        Ok(home.join(USER_STORE))
    }

    /// The store of the user who called sudo, named by `SUDO_USER`. It belongs to somebody else: open it with
    /// [`Store::open_read_only`].
    ///
    /// # Errors
    /// [`StoreError::NoSudoUser`] if `SUDO_USER` is not set or the account's home folder cannot be found.
    pub fn sudo_user_path() -> Result<PathBuf, StoreError> {
        let user = std::env::var("SUDO_USER").unwrap_or_default();
        let passwd = fs::read_to_string(PASSWD).map_err(StoreError::io("read", Path::new(PASSWD)))?;
        home_of(&user, &passwd).map(|home| home.join(USER_STORE)).ok_or(StoreError::NoSudoUser { user })
    }
}

/// The home folder of an account.
fn home_of(user: &str, passwd: &str) -> Option<PathBuf> {
    if user.is_empty() {
        return None;
    }
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find_map(|fields| match fields.as_slice() {
        [name, _, _, _, _, home, ..] if *name == user && home.starts_with('/') => Some(PathBuf::from(home)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: accounts with and without a home, comments, and names that are part of another.
    /// Guarantees: only the account of exactly that name counts, and only with an absolute home.
    #[test]
    fn home_folders_are_found() {
        let passwd = "# users\nroot:x:0:0:root:/root:/bin/sh\nann:x:1:1:,,,:/home/ann:/bin/sh\nanna:x:2:2::relative:\n";
        assert_eq!(home_of("ann", passwd), Some("/home/ann".into()));
        for nobody in ["", "an", "anna", "x"] {
            assert_eq!(home_of(nobody, passwd), None, "{nobody}");
        }
    }
}
