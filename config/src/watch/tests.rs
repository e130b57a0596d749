use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Watcher,
    paths::{directories, fingerprint},
};

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for signals until `path` reads `text`, the way a loader compares contents.
async fn until(watcher: &mut Watcher, path: &Path, text: &str) {
    let wait = async {
        loop {
            watcher.changed().await.expect("the thread lives");
            if fs::read_to_string(path).is_ok_and(|found| found == text) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("a signal after the change");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn link(&self, target: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        symlink(target, &path).unwrap();
        path
    }
}

#[tokio::test]
async fn signals_a_save_in_place_and_a_rename_over() {
    let folder = Folder::new();
    let path = folder.write("config.yaml", "1");
    let mut watcher = Watcher::new(&path).unwrap();
    fs::write(&path, "2").unwrap();
    until(&mut watcher, &path, "2").await;
    let other = folder.write("config.yaml.tmp", "3");
    fs::rename(other, &path).unwrap();
    until(&mut watcher, &path, "3").await;
    fs::write(&path, "4").unwrap();
    until(&mut watcher, &path, "4").await;
}

#[tokio::test]
async fn signals_a_file_that_appears_and_one_that_comes_back() {
    let folder = Folder::new();
    let path = folder.path("sub/config.yaml");
    let mut watcher = Watcher::new(&path).unwrap();
    folder.write("sub/config.yaml", "1");
    until(&mut watcher, &path, "1").await;
    fs::remove_dir_all(folder.path("sub")).unwrap();
    folder.write("sub/config.yaml", "2");
    until(&mut watcher, &path, "2").await;
}

/// Scenario: what the kubelet does when a ConfigMap changes: a new directory, then a rename of the link to it.
/// Guarantees: the swap gives a signal, twice in a row, for the file and for the directory.
#[tokio::test]
async fn signals_the_symlink_swap_of_a_config_map() {
    for whole_directory in [false, true] {
        let folder = Folder::new();
        folder.write("..2024_01/config.yaml", "1");
        folder.link("..2024_01", "..data");
        let path = folder.link("..data/config.yaml", "config.yaml");
        let watched = if whole_directory { path.parent().unwrap().to_owned() } else { path.clone() };
        let mut watcher = Watcher::new(watched).unwrap();
        for (version, text) in [("..2024_02", "2"), ("..2024_03", "3")] {
            folder.write(&format!("{version}/config.yaml"), text);
            folder.link(version, "..data_tmp");
            fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
            until(&mut watcher, &path, text).await;
        }
    }
}

#[tokio::test]
async fn signals_a_change_behind_a_link_that_moved() {
    let folder = Folder::new();
    folder.write("one/config.yaml", "1");
    folder.write("two/config.yaml", "2");
    let path = folder.link("one/config.yaml", "config.yaml");
    let mut watcher = Watcher::new(&path).unwrap();
    folder.link("two/config.yaml", "next");
    fs::rename(folder.path("next"), &path).unwrap();
    until(&mut watcher, &path, "2").await;
    folder.write("two/config.yaml", "3");
    until(&mut watcher, &path, "3").await;
}

#[tokio::test]
async fn signals_files_of_a_directory_and_further_files() {
    let folder = Folder::new();
    let first = folder.write("conf/a.yaml", "1");
    let secret = folder.write("secrets/token", "1");
    let mut watcher = Watcher::new(folder.path("conf")).unwrap();
    let second = folder.write("conf/b.yml", "2");
    until(&mut watcher, &second, "2").await;
    fs::write(&first, "3").unwrap();
    until(&mut watcher, &first, "3").await;
    watcher.also(vec![secret.clone()]);
    until(&mut watcher, &secret, "1").await;
    fs::write(&secret, "4").unwrap();
    until(&mut watcher, &secret, "4").await;
}

#[tokio::test]
async fn polling_signals_as_well() {
    let folder = Folder::new();
    let path = folder.write("config.yaml", "1");
    let mut watcher = Watcher::polling(&path, Duration::from_millis(5)).unwrap();
    assert!(watcher.is_polling());
    fs::write(&path, "22").unwrap();
    until(&mut watcher, &path, "22").await;
}

/// Guarantees: reading a document and writing its neighbours change no fingerprint; each way of replacing it does.
#[test]
fn fingerprints_tell_documents_apart() {
    let folder = Folder::new();
    let path = folder.write("config.yaml", "1");
    let before = fingerprint([path.as_path()]);
    fs::read(&path).unwrap();
    folder.write("other.yaml", "x");
    assert_eq!(before, fingerprint([path.as_path()]));
    folder.write("new", "1");
    fs::rename(folder.path("new"), &path).unwrap();
    let replaced = fingerprint([path.as_path()]);
    assert_ne!(before, replaced);
    fs::remove_file(&path).unwrap();
    assert_ne!(replaced, fingerprint([path.as_path()]));
}

#[test]
fn every_directory_on_the_way_is_watched() {
    let folder = Folder::new();
    folder.write("real/dir/config.yaml", "1");
    folder.link("real", "alias");
    let path = folder.link("alias/dir/../dir/config.yaml", "config.yaml");
    let found = directories(&path);
    for name in ["", "real/dir"] {
        let expected = folder.path(name).components().collect::<PathBuf>();
        assert!(found.contains(&expected), "{} in {found:?}", expected.display());
    }
    folder.link("loop", "loop");
    assert!(!directories(&folder.path("loop")).is_empty());
    assert!(directories(Path::new("/nowhere/at/all")).contains(Path::new("/")));
}
