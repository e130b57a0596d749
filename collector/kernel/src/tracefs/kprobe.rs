//! Kernel probes by definition: a line in `kprobe_events` makes a tracepoint of a kernel function.
//!
//! Why it exists: the other way, a perf PMU, came with Linux 4.17 and is found through sysfs. Where either is missing
//! the definition serves. It is visible to all and outlives its maker, so each is removed when dropped, and those of
//! processes that died are swept away before the next one is made.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::{File, TracefsError, event_id, open_entry};

const LIST: &str = "kprobe_events";
const GROUP: &str = "ig";
/// Ten thousand definitions of a hundred bytes.
const MAX_LIST: u64 = 1 << 20;

/// A kernel probe that was defined by this process; dropping it removes the definition.
///
/// It cannot be removed while a perf event is open on it: that has to be dropped first.
#[derive(Debug)]
pub struct KprobeEvent {
    name: String,
    id: u64,
}

/// Whether kernel probes can be defined here.
///
/// # Errors
/// [`TracefsError::Open`] when it cannot be told now.
pub fn has_kprobe_events() -> Result<bool, TracefsError> {
    match open_entry(LIST, OFlags::RDONLY) {
        Ok(_) => Ok(true),
        Err(error @ TracefsError::Open(_)) => Err(error),
        Err(_) => Ok(false),
    }
}

impl KprobeEvent {
    /// Defines a probe at an offset of a function, or at its return. The function may be `module:function`. `procfs` is
    /// where makers of probes are looked up, best the host's.
    ///
    /// # Errors
    /// [`TracefsError::NoFunction`] where the kernel has no such function or forbids to probe it;
    /// [`TracefsError::NoKprobes`] where probes cannot be defined; else [`TracefsError`] of reading.
    ///
    /// # Kernel
    /// `CONFIG_KPROBE_EVENTS`, root or whoever may write tracefs.
    pub fn define(function: &str, offset: u64, on_return: bool, procfs: &Path) -> Result<Self, TracefsError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let fault = |source: io::Error| match source.raw_os_error() {
            Some(libc::ENOENT | libc::EINVAL | libc::EILSEQ | libc::EADDRNOTAVAIL) => {
                TracefsError::NoFunction(function.to_owned())
            }
            _ => TracefsError::Define { function: function.to_owned(), source },
        };
        if !is_symbol(function) {
            return Err(TracefsError::NoFunction(function.to_owned()));
        }
        let namespace = pid_namespace(procfs);
        sweep(procfs, namespace);
        // The number only has to be another each time; nothing else hangs on it.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("p{}_{namespace}_{number}", own_pid(procfs));
        let kind = if on_return { 'r' } else { 'p' };
        let place = if offset == 0 { function.to_owned() } else { format!("{function}+{offset}") };
        write(&format!("{kind}:{GROUP}/{name} {place}\n")).map_err(|error| match error {
            WriteError::Open(source) => source,
            WriteError::Write(source) => fault(source),
        })?;
        // From here on it is removed whatever happens.
        let mut event = Self { name, id: 0 };
        event.id = event_id(GROUP, &event.name)?;
        Ok(event)
    }

    /// Its number for perf_event_open(2), as that of any tracepoint.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for KprobeEvent {
    fn drop(&mut self) {
        if let Err(WriteError::Write(error)) = write(&format!("-:{GROUP}/{}\n", self.name)) {
            tracing::warn!(
                name: "kprobe.definition.left", event = self.name, error = &error as &dyn std::error::Error,
                "remove it with: echo -:{GROUP}/{} >> /sys/kernel/tracing/{LIST}", self.name
            );
        }
    }
}

enum WriteError {
    Open(TracefsError),
    Write(io::Error),
}

/// Adds a line to the list. Opening it to truncate would remove everybody's probes.
fn write(line: &str) -> Result<(), WriteError> {
    let list = open_entry(LIST, OFlags::WRONLY | OFlags::APPEND).map_err(|error| {
        WriteError::Open(match error {
            TracefsError::NotMounted(source) if source.raw_os_error() == Some(libc::ENOENT) => {
                TracefsError::NoKprobes
            }
            error => error,
        })
    })?;
    File::from(list).write_all(line.as_bytes()).map_err(WriteError::Write)
}

/// Number of this process in the PID namespace of a procfs.
fn own_pid(procfs: &Path) -> u32 {
    let link = fs::read_link(procfs.join("self")).ok();
    let number = link.and_then(|link| link.to_str()?.parse().ok());
    number.unwrap_or_else(std::process::id)
}

/// Inode of the PID namespace that the numbers of a procfs belong to; 0 where it cannot be told.
fn pid_namespace(procfs: &Path) -> u64 {
    let of = |process: &str| {
        let link = fs::read_link(procfs.join(process).join("ns/pid")).ok()?;
        link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
    };
    of("1").or_else(|| of("self")).unwrap_or(0)
}

/// Removes what processes of this PID namespace left behind that were killed. Of others nobody here can tell whether
/// they live.
fn sweep(procfs: &Path, namespace: u64) {
    let Ok(list) = open_entry(LIST, OFlags::RDONLY) else { return };
    let mut text = String::new();
    if File::from(list).take(MAX_LIST).read_to_string(&mut text).is_err() {
        return;
    }
    for name in of_dead_processes(&text, namespace, |pid| procfs.join(pid.to_string()).exists()) {
        match write(&format!("-:{GROUP}/{name}\n")) {
            Ok(()) => tracing::info!(name: "kprobe.definition.swept", event = name),
            Err(WriteError::Write(error)) => tracing::debug!(
                name: "kprobe.definition.kept", event = name, error = &error as &dyn std::error::Error
            ),
            Err(WriteError::Open(_)) => return,
        }
    }
}

/// Names of our group that a process of this PID namespace made which does not live.
fn of_dead_processes(list: &str, namespace: u64, alive: impl Fn(u32) -> bool) -> Vec<&str> {
    let name = |line: &'_ str| -> Option<(usize, usize)> {
        let start = line.find(':')? + 1;
        let end = line.get(start..)?.find(' ')? + start;
        Some((start, end))
    };
    list.lines()
        .filter_map(|line| {
            let (start, end) = name(line)?;
            line.get(start..end)?.strip_prefix(GROUP)?.strip_prefix('/')
        })
        .filter(|name| {
            let mut parts = name.strip_prefix('p').unwrap_or_default().split('_');
            let pid = parts.next().and_then(|pid| pid.parse().ok());
            let of = parts.next().and_then(|namespace| namespace.parse::<u64>().ok());
            parts.next().is_some() && of == Some(namespace) && pid.is_some_and(|pid| !alive(pid))
        })
        .collect()
}

/// Names come from gadgets: no blank or newline of theirs may get into the list.
fn is_symbol(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'-');
    let mut parts = name.split(':');
    let plain_part = |part: &str| !part.is_empty() && part.bytes().all(plain);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(function), None, None) => plain_part(function),
        (Some(module), Some(function), None) => plain_part(module) && plain_part(function),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{KprobeEvent, TracefsError, is_symbol, of_dead_processes, own_pid, pid_namespace};

    /// Scenario: a list with probes of others, of a living and of a dead collector, of one of the dead one's number in
    /// another PID namespace, which may well live, and lines of no known form.
    /// Guarantees: only the dead one's are named.
    #[test]
    fn only_the_dead_are_swept() {
        let list = "p:kprobes/p7_40_0 do_exit\np:ig/p5_40_1 do_exit\nr4:ig/p7_40_12 vfs_read+0\n\
                    p:ig/p7_41_3 do_exit\n:\np:ig/\nx\np:ig/other a\np:ig/p7_40 a\n";
        assert_eq!(of_dead_processes(list, 40, |pid| pid == 5), ["p7_40_12"]);
    }

    /// Guarantees: this process and its PID namespace are told from procfs, also where that says nothing.
    #[test]
    fn makers_are_told_by_procfs() {
        let proc = Path::new("/proc");
        assert_eq!(own_pid(proc), std::process::id());
        assert!(pid_namespace(proc) > 0);
        assert_eq!(
            (own_pid(Path::new("/nowhere")), pid_namespace(Path::new("/nowhere"))),
            (std::process::id(), 0)
        );
    }

    /// Scenario: function names with what would end a definition or begin another.
    /// Guarantees: they are refused before anything is written.
    #[test]
    fn names_cannot_carry_definitions() {
        for name in ["do_exit", "ext4:ext4_sync_file", "foo.isra.0", "__x64_sys_open"] {
            assert!(is_symbol(name), "{name}");
        }
        for name in ["", "a b", "a\n-:ig/x", "a:b:c", ":a", "a+0x10", "a/b"] {
            assert!(!is_symbol(name), "{name}");
            let error = KprobeEvent::define(name, 0, false, Path::new("/proc")).unwrap_err();
            assert!(matches!(error, TracefsError::NoFunction(_)), "{error}");
        }
    }
}
