#!/usr/bin/env bash
# Crate notify 8.2: whoever opens a file to read it, in a folder that is watched for changes, wakes the watcher.
#
# Guess: a watcher of changes asks the kernel for changes; reading costs nothing, and where an event kind can be filtered, the filter
# is the kernel's.
# Seen: the watch asks inotify for opens as well, and version 8 has no way to say otherwise: every open for reading by any process is an
# event, a wake-up of the library's thread and a call of the handler, which may only throw it away. A service that watches a folder
# which programs read at each start (or whose missing folder's parent is such a one) pays for what others do. Version
# 9.0.0-rc.7 has a mask that reaches the kernel: with it, the same reads give no event at all.
# Versions: notify =8.2.0 and =9.0.0-rc.7, inotify of Linux 6.18.
# Output seen:
#   notify 8.2.0: 100 reads by another process, 100 events or more: yes
#   notify 9.0.0-rc.7 with a mask of changes: 100 reads by another process, 0 events
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p eight/src nine/src watched
echo content > watched/file
for one in eight:=8.2.0 nine:=9.0.0-rc.7; do
    cat > "${one%%:*}/Cargo.toml" <<TOML
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
notify = { version = "${one#*:}", default-features = false }
TOML
done
# Each reads the file a hundred times in another process, then makes a change, and counts what came before the change.
common='
fn count(events: std::sync::mpsc::Receiver<notify::Event>, folder: &str) -> usize {
    let file = format!("{folder}/file");
    let reads = format!("for i in $(seq 100); do cat {file} > /dev/null; done");
    assert!(std::process::Command::new("sh").args(["-c", &reads]).status().unwrap().success());
    std::fs::write(format!("{folder}/last"), "").unwrap();
    events.iter().take_while(|event| !event.paths.iter().any(|path| path.ends_with("last"))).count()
}
'
cat > eight/src/main.rs <<RUST
use notify::{RecursiveMode, Watcher as _};
$common
fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        sender.send(event.unwrap()).ok();
    })
    .unwrap();
    watcher.watch(folder.as_ref(), RecursiveMode::NonRecursive).unwrap();
    let many = if count(events, &folder) >= 100 { "yes" } else { "no" };
    println!("notify 8.2.0: 100 reads by another process, 100 events or more: {many}");
}
RUST
cat > nine/src/main.rs <<RUST
use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};
$common
fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    let config = Config::default().with_event_kinds(EventKindMask::CORE);
    let handler = move |event: notify::Result<notify::Event>| {
        sender.send(event.unwrap()).ok();
    };
    let mut watcher = RecommendedWatcher::new(handler, config).unwrap();
    watcher.watch(folder.as_ref(), RecursiveMode::NonRecursive).unwrap();
    println!("notify 9.0.0-rc.7 with a mask of changes: 100 reads by another process, {} events", count(events, &folder));
}
RUST
for one in eight nine; do
    rm -f watched/last
    (cd "$one" && CARGO_TARGET_DIR="$work/target-$one" cargo run --quiet -- "$work/watched")
done | tee seen
diff seen - <<'WANTED'
notify 8.2.0: 100 reads by another process, 100 events or more: yes
notify 9.0.0-rc.7 with a mask of changes: 100 reads by another process, 0 events
WANTED
echo "still so"
