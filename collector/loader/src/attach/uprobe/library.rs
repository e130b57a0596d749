//! Libraries by bare name, through the cache of the dynamic linker of the root directory in question.

use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use super::open_in_root;

const CACHE: &str = "/etc/ld.so.cache";
const MAX_CACHE: u64 = 16 << 20;
/// Most libraries of one name: one per architecture and version.
const MAX_PATHS: usize = 64;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Lengths of headers and entries of the two formats.
const OLD: (usize, usize) = (16, 12);
const NEW: (usize, usize) = (48, 24);

/// Paths of all libraries called `name.so…`.
pub(super) fn paths(root: BorrowedFd<'_>, name: &str) -> io::Result<Vec<String>> {
    let mut cache = Vec::new();
    open_in_root(root, CACHE)?.take(MAX_CACHE).read_to_end(&mut cache)?;
    find(&cache, name).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the dynamic linker's cache has no known format")
    })
}

/// `None` when the cache is none.
fn find(cache: &[u8], name: &str) -> Option<Vec<String>> {
    let word = |at: usize| cache.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let (start, strings, layout, count) = if cache.starts_with(NEW_MAGIC) {
        (0, 0, NEW, word(NEW_MAGIC.len())?)
    } else if cache.starts_with(OLD_MAGIC) {
        let count = word(OLD_MAGIC.len())?;
        let end = OLD.0.checked_add(OLD.1.checked_mul(count as usize)?)?;
        // For old programs' sake a new cache may stand behind an old one.
        let new = end.next_multiple_of(8);
        if cache.get(new..)?.starts_with(NEW_MAGIC) {
            (new, new, NEW, word(new + NEW_MAGIC.len())?)
        } else {
            (0, end, OLD, count)
        }
    } else {
        return None;
    };
    let text = |at: u32| {
        let text = cache.get(strings.checked_add(at as usize)?..)?.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    };
    let wanted = format!("{name}.so");
    let mut paths = Vec::new();
    for index in 0..count as usize {
        // Flags come first, then where key and path are.
        let Some(entry) = index.checked_mul(layout.1).and_then(|at| at.checked_add(start + layout.0)) else {
            break;
        };
        let (Some(key), Some(value)) = (word(entry + 4), word(entry + 8)) else { break };
        let (Some(key), Some(path)) = (text(key), text(value)) else { continue };
        if key.starts_with(&wanted) && paths.iter().all(|known| known != path) {
            paths.push(path.to_owned());
            if paths.len() == MAX_PATHS {
                break;
            }
        }
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{NEW_MAGIC, OLD_MAGIC, find};

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn new_cache() -> Vec<u8> {
        let mut cache = NEW_MAGIC.to_vec();
        cache.extend(words(&[1, 0, 0, 0, 0, 0, 0]));
        cache.extend(words(&[0, 72, 84, 0, 0, 0]));
        cache.extend(b"libssl.so.3\0/lib/libssl.so.3\0");
        cache
    }

    #[test]
    fn both_formats_and_their_mixture_are_read() {
        let expected = Some(vec!["/lib/libssl.so.3".to_owned()]);
        assert_eq!(find(&new_cache(), "libssl"), expected);
        assert_eq!(find(&new_cache(), "libss"), Some(Vec::new()));

        let mut old = OLD_MAGIC.to_vec();
        old.extend(words(&[1, 0, 0, 12]));
        old.extend(b"libssl.so.3\0/lib/libssl.so.3\0");
        assert_eq!(find(&old, "libssl"), expected);

        let mut mixed = OLD_MAGIC.to_vec();
        mixed.extend(words(&[0]));
        mixed.extend(new_cache());
        assert_eq!(find(&mixed, "libssl"), expected);
        assert_eq!(find(b"something else", "libssl"), None);
    }

    proptest! {
        /// Guarantees: no cache, however broken, makes the reader panic.
        #[test]
        fn broken_caches_are_harmless(tail in proptest::collection::vec(any::<u8>(), 0..200), new in any::<bool>()) {
            let mut cache = if new { NEW_MAGIC.to_vec() } else { OLD_MAGIC.to_vec() };
            cache.extend(tail);
            find(&cache, "");
        }
    }
}
