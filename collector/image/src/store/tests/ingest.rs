//! Blobs that come in pieces, break off, or are not what they claim to be.

use super::*;
use crate::store::Limits;

const CONTENT: &[u8] = b"a blob that comes in pieces";

fn files_in(folder: PathBuf) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn ingested(store: &Store) -> Vec<String> {
    files_in(store.path().join("ingest"))
}

/// Scenario: a blob comes in two pieces, with a break and another process's worth of state between them.
/// Guarantees: the second writer goes on where the first stopped; the blob is read-only and intact; nothing is left.
#[test]
fn broken_off_blobs_are_resumed() {
    let (_folder, store) = store();
    let digest = Digest::of(CONTENT);
    let size = CONTENT.len() as u64;
    let mut first = store.blob_writer(digest, size).unwrap();
    first.write(&CONTENT[..10]).unwrap();
    drop(first);
    assert_eq!(ingested(&store), [format!("{}_resume", digest.hex())]);
    assert!(!store.has_blob(digest).unwrap());

    let again = Store::open(store.path()).unwrap();
    let mut second = again.blob_writer(digest, size).unwrap();
    assert_eq!(second.offset(), 10);
    second.write(&CONTENT[10..]).unwrap();
    second.commit().unwrap();
    assert!(store.has_blob(digest).unwrap());
    assert_eq!(store.read_blob(digest, size).unwrap(), CONTENT);
    assert!(matches!(store.read_blob(digest, size - 1), Err(BlobError::TooLarge { .. })));
    assert!(ingested(&store).is_empty());
    let path = blob::path(store.path(), digest);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o444);
}

/// Scenario: too many bytes, too few, other ones, and more than the store takes.
/// Guarantees: each is refused by name, and no such blob appears; what is only short can be resumed, what is wrong not.
#[test]
fn wrong_content_is_refused() {
    let (_folder, store) = store();
    let digest = Digest::of(CONTENT);
    let size = CONTENT.len() as u64;
    let mut writer = store.blob_writer(digest, size).unwrap();
    writer.write(CONTENT).unwrap();
    assert!(matches!(writer.write(b"!").unwrap_err(), IngestError::TooLong { .. }));
    drop(writer);
    let mut writer = store.blob_writer(digest, size).unwrap();
    writer.restart().unwrap();
    writer.write(&CONTENT[1..]).unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.to_string(), format!("blob `{digest}` ends after 26 of 27 bytes"));
    assert_eq!(ingested(&store).len(), 1);

    let mut writer = store.blob_writer(digest, size).unwrap();
    assert_eq!(writer.offset(), 26, "what was left does not fit, but only the digest can tell");
    writer.write(b"?").unwrap();
    let error = writer.commit().unwrap_err();
    assert!(matches!(error, IngestError::Content { .. }) && error.kind() == ErrorKind::Corrupt);
    assert!(ingested(&store).is_empty(), "it is of no use to anybody");
    assert!(!store.has_blob(digest).unwrap());

    let small = store.clone().with_limits(Limits { blob: 5, ..Limits::default() });
    assert!(matches!(small.blob_writer(digest, size).unwrap_err(), IngestError::TooLarge { limit: 5, .. }));
    assert!(store.blob_writer(digest, u64::MAX).is_err());
}

/// Scenario: a partial file that is longer than the blob, one that is a pipe, one that is a link to another file.
/// Guarantees: the long one is begun anew, the others are refused at once, and nothing is written through a link.
#[test]
fn odd_partial_files_are_not_trusted() {
    let (folder, store) = store();
    let digest = Digest::of(CONTENT);
    let partial = store.path().join("ingest").join(format!("{}_resume", digest.hex()));
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, [b'x'; 100]).unwrap();
    assert_eq!(store.blob_writer(digest, 27).unwrap().offset(), 0);

    let victim = folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, &partial).unwrap();
    assert!(store.blob_writer(digest, 27).is_err());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    fs::remove_file(&partial).unwrap();
    hostile::make_pipe(&partial);
    assert!(store.blob_writer(digest, 27).unwrap_err().to_string().contains("failed to open"));
}

/// Scenario: two writers of one blob at the same time, the second faster; then the first finishes, too.
/// Guarantees: they do not disturb each other, and both succeed.
#[test]
fn two_writers_do_not_meet() {
    let (_folder, store) = store();
    let digest = Digest::of(CONTENT);
    let mut slow = store.blob_writer(digest, 27).unwrap();
    slow.write(&CONTENT[..5]).unwrap();
    let mut fast = store.blob_writer(digest, 27).unwrap();
    assert_eq!(fast.offset(), 0);
    fast.write(CONTENT).unwrap();
    fast.commit().unwrap();
    assert!(store.has_blob(digest).unwrap());
    slow.write(&CONTENT[5..]).unwrap();
    slow.commit().unwrap();
    assert_eq!(store.read_blob(digest, 27).unwrap(), CONTENT);
    assert!(ingested(&store).is_empty());
    let mut third = store.blob_writer(digest, 27).unwrap();
    third.write(&CONTENT[..5]).unwrap();
    drop(store.blob_writer(digest, 27).unwrap());
    assert_eq!(ingested(&store).len(), 1, "a second writer that gives up takes only its own file away");
}

/// Scenario: a stored blob has a flipped bit, or is a link to what it should be.
/// Guarantees: it counts as missing, and storing it again puts it right.
#[test]
fn damaged_blobs_count_as_missing() {
    let (folder, store) = store();
    store.put_blob(EBPF, CONTENT).unwrap();
    let digest = Digest::of(CONTENT);
    let path = blob::path(store.path(), digest);
    let mut flipped = CONTENT.to_vec();
    flipped[3] ^= 4;
    hostile::overwrite(&path, &flipped);
    assert!(!store.has_blob(digest).unwrap());
    store.put_blob(EBPF, CONTENT).unwrap();
    assert!(store.has_blob(digest).unwrap());

    let outside = folder.path().join("outside");
    fs::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    assert!(!store.has_blob(digest).unwrap());
    assert!(chain(&store.open_blob(digest).unwrap_err()).contains("it is a symbolic link"));
    store.put_blob(EBPF, CONTENT).unwrap();
    assert!(store.has_blob(digest).unwrap() && store.open_blob(digest).is_ok());
}

/// Scenario: partial files of yesterday, one of which somebody still writes, and one of a minute ago.
/// Guarantees: only what nobody comes back to is swept.
#[test]
fn old_partial_files_are_swept() {
    let (_folder, store) = store();
    let begun: Vec<_> = [&b"one"[..], b"two", b"three"]
        .iter()
        .map(|content| {
            let mut writer = store.blob_writer(Digest::of(content), 3).unwrap();
            writer.write(&content[..2]).unwrap();
            writer
        })
        .collect();
    let name = |content: &[u8]| format!("{}_resume", Digest::of(content).hex());
    let [_one, two, three] = <[_; 3]>::try_from(begun).unwrap();
    drop((two, three));
    for content in [&b"one"[..], b"two"] {
        let file = File::open(store.path().join("ingest").join(name(content))).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600)).unwrap();
    }
    let collected = store.collect(GRACE, Collect::DryRun).unwrap();
    assert_eq!((collected.files, collected.bytes), (1, 2));
    assert_eq!(ingested(&store).len(), 3);
    store.collect(GRACE, Collect::Remove).unwrap();
    let mut left = [name(b"one"), name(b"three")];
    left.sort();
    assert_eq!(ingested(&store), left);
}
