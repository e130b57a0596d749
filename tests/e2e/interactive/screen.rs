//! A real terminal, 80 and 20 columns wide, and records that would like to take it over.

use std::{
    ffi::OsStr,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

use ig_tests::{
    events::{Probe, own_name},
    wait_for,
};
use tempfile::TempDir;

use super::{Sleeper, Watch, command};

/// A tmux server of its own with one window, in which a gadget runs; ended when dropped.
struct Screen {
    server: String,
    folder: TempDir,
}

impl Screen {
    fn start(columns: u32, image: &str, flags: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = format!("ig-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let screen = Self { server, folder: tempfile::tempdir().unwrap() };
        let log = screen.folder.path().join("log");
        let script = screen.folder.path().join("script");
        let ig = command(image, flags);
        let words: Vec<String> = std::iter::once(ig.get_program())
            .chain(ig.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        // Ctrl-C is for ig alone.
        let text = format!(
            "trap : INT\nunset NO_COLOR COLUMNS\n{} 2> '{}'\necho \"ended $?\"\nexec sleep 600\n",
            words.join(" "),
            log.display()
        );
        fs::write(&script, text).unwrap();
        let size = columns.to_string();
        let shell = format!("exec sh '{}'", script.display());
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &size, "-y", "24", &shell]);
        screen.wait("the gadget to start", |screen| screen.log().contains("gadget.started").then_some(()));
        screen
    }

    /// Asks until the answer is there; a screen that never shows it is part of the complaint.
    fn wait<T>(&self, what: &str, ask: impl Fn(&Self) -> Option<T>) -> T {
        let last = std::cell::RefCell::new(String::new());
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || {
                *last.borrow_mut() = self.text();
                ask(self)
            })
        }));
        answer.unwrap_or_else(|_| panic!("{what}; screen:\n{}\nlog:\n{}", last.borrow(), self.log()))
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let output = Command::new("tmux")
            .args(["-L", &self.server])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What a person sees.
    fn text(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// The lines of the screen, after a check that none of them is the rest of the one above.
    fn lines(&self) -> Vec<String> {
        const BETWEEN: &str = "= the same screen, lines joined =";
        // One request, so that both are of one moment.
        let both = self.tmux(&[
            "capture-pane",
            "-p",
            ";",
            "display-message",
            "-p",
            BETWEEN,
            ";",
            "capture-pane",
            "-p",
            "-J",
        ]);
        let both = String::from_utf8(both.stdout).unwrap();
        let (seen, joined) = both.split_once(BETWEEN).unwrap();
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
        };
        let seen = lines(seen);
        assert_eq!(lines(joined).len(), seen.len(), "a row is longer than the screen is wide: {seen:#?}");
        seen
    }

    /// Waits for a line that holds `text`.
    fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.text().contains(text).then_some(()));
    }

    fn interrupt(&self) {
        self.tmux(&["send-keys", "C-c"]);
        self.wait_for("ended ");
        assert!(self.text().contains("ended 0"), "{}\n{}", self.text(), self.log());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let killed = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
        assert!(killed.is_ok() || std::thread::panicking());
    }
}

/// Scenario: processes in a terminal of 80 columns, and in one of 20 that has room for two columns but not for four.
/// Guarantees: header and row are there, each on one line; what was cut bears a mark; the status is 0.
#[test]
fn a_table_fits_the_screen() {
    let folder = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::new(&folder.path().join("ig-screen"));
    let rule = format!("pid=={}", sleeper.pid());
    for (columns, fields) in
        [(80, "comm,pid,tid,creds.user"), (20, "comm,pid"), (20, "comm,pid,tid,creds.user")]
    {
        let screen = Screen::start(columns, "snapshot_process", &["-F", &rule, "--fields", fields]);
        screen.wait_for("ended 0");
        let lines = screen.lines();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().count() <= columns as usize), "{lines:#?}");
        let whole = lines[0].starts_with("COMM ") && lines[1].starts_with("ig-screen ");
        let all_fit = columns == 80 || fields == "comm,pid";
        assert_eq!(whole, all_fit, "{lines:#?}");
        assert_eq!(lines[..2].iter().any(|line| line.contains('…')), !all_fit, "{lines:#?}");
    }
}

/// Scenario: events in narrow and wide terminals, then Ctrl-C.
/// Guarantees: the header comes before the first event; each event is one line; status 0.
#[test]
fn events_scroll_and_end_with_ctrl_c() {
    let comm = own_name("ev");
    for columns in [80, 20] {
        let screen = Screen::start(columns, "trace_exec", &["-F", &format!("proc.comm=={comm}")]);
        screen.wait_for("COMM");
        Probe::new(screen.folder.path(), "ev").run_times(3);
        // A row begins with the name; a wide one also ends with it, in the arguments.
        let rows = |lines: &[String]| lines.iter().filter(|line| line.starts_with("ev-")).count();
        screen.wait("three events", |screen| (rows(&screen.lines()) == 3).then_some(()));
        let lines = screen.lines();
        assert!(lines[0].starts_with("COMM"), "{lines:#?}");
        assert_eq!((lines.len(), rows(&lines)), (4, 3), "{lines:#?}");
        screen.interrupt();
    }
}

/// Scenario: `q` is pressed while events scroll, and while a table is drawn anew.
/// Guarantees: the run ends with status 0, and the terminal waits for whole lines again.
#[test]
fn q_ends_the_run() {
    for image in ["trace_exec", "top_process"] {
        let screen = Screen::start(80, image, &[]);
        // Keys are read once the gadget runs.
        screen.wait("the run to end", |screen| {
            screen.tmux(&["send-keys", "q"]);
            screen.text().contains("ended ").then_some(())
        });
        assert!(screen.text().contains("ended 0"), "{}", screen.log());
        let tty = screen.tmux(&["display-message", "-p", "#{pane_tty}"]).stdout;
        let settings =
            Command::new("stty").args(["-a", "-F", String::from_utf8(tty).unwrap().trim()]).output().unwrap();
        let settings = String::from_utf8(settings.stdout).unwrap();
        assert!(settings.contains(" icanon") && settings.contains(" echo "), "{settings}");
    }
}

/// Scenario: a table that is drawn anew every 100 ms while bytes flow.
/// Guarantees: it stays at the top of the screen, one header only, with the connection in it.
#[test]
fn a_refreshed_table_stays_in_place() {
    let screen = Screen::start(
        120,
        "top_tcp",
        &["--map-fetch-interval", "100ms", "--pid", &std::process::id().to_string()],
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let endpoint = client.local_addr().unwrap().to_string();
    screen.wait("a table with the connection", |screen| {
        client.try_clone().unwrap().write_all(&[1; 1000]).unwrap();
        let lines = screen.lines();
        let titles = lines.iter().filter(|line| line.contains("RECEIVED")).count();
        let first = lines.first().is_some_and(|line| line.contains("RECEIVED"));
        // The program may be in the middle of drawing.
        (titles == 1 && first && lines.iter().skip(1).any(|line| line.contains(&endpoint))).then_some(())
    });
    client.write_all(&[2; 1]).unwrap();
    accepted.read_exact(&mut [0; 1001]).unwrap();
    screen.interrupt();
}

/// Names that hold what a terminal obeys, ends of lines, and bytes that are no text.
const HOSTILE: [&[u8]; 5] = [
    b"\x1b]0;ig-owned\x07\x1b[2J\x1b[H",
    b"two\nlines\r\ttab",
    b"\xff\xfe\x9b31m",
    b"\xe2\x80\xaegpj.exe",
    b"\x1b[31m\x1b[?1049h\x1bc",
];

/// A thread that has such a name. It opens nothing until it attacks, and nothing else then: what a gadget that is kept
/// to it shows are exactly these opens, however long others look at the screen meanwhile.
struct Attacker {
    rule: String,
    attack: Sender<PathBuf>,
    thread: JoinHandle<()>,
}

impl Attacker {
    fn new() -> Self {
        let (tell, told) = channel();
        let (attack, ordered) = channel::<PathBuf>();
        let thread = std::thread::spawn(move || {
            fs::write("/proc/thread-self/comm", b"\x1b[31mred\n\x07\xff\x1bc").unwrap();
            tell.send(rustix::thread::gettid()).unwrap();
            let Ok(folder) = ordered.recv() else { return };
            for name in HOSTILE {
                fs::write(folder.join(OsStr::from_bytes(name)), "x").unwrap();
            }
            fs::File::open(format!("/{}", "x/".repeat(2046))).unwrap_err();
            fs::File::open(folder.join("ig-the-last")).unwrap_err();
        });
        let rule = format!("proc.tid=={}", told.recv().unwrap().as_raw_nonzero());
        Self { rule, attack, thread }
    }

    /// Opens files with such names, and a path of 4 KiB.
    fn attack(self, folder: &Path) {
        self.attack.send(folder.to_owned()).unwrap();
        self.thread.join().unwrap();
    }
}

/// Scenario: hostile names of tasks and files in every mode, into a file.
/// Guarantees: no control character but the ends of lines gets out, nor one that reverses text; JSON stays JSON.
#[test]
fn hostile_records_are_made_harmless() {
    for mode in ["columns", "json", "jsonpretty", "yaml"] {
        let folder = tempfile::tempdir().unwrap();
        let attacker = Attacker::new();
        let watch = Watch::start("trace_open", &["-o", mode, "-F", &attacker.rule]);
        attacker.attack(folder.path());
        watch.wait_for("ig-the-last");
        let ended = watch.interrupt();
        assert!(ended.status.success(), "{}", ended.stderr);
        // A table has a tab between two values, and none in them.
        let columns = if mode == "columns" { 8 } else { 1 };
        assert!(ended.stdout.lines().all(|line| line.split('\t').count() == columns), "{}", ended.stdout);
        let bad = ended.stdout.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(bad, None, "{mode}: {}", ended.stdout.escape_debug());
        if mode == "json" {
            let names: Vec<String> = ended
                .stdout
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .map(|row| row["fname"].as_str().unwrap().to_owned())
                .collect();
            // JSON carries them whole, escaped; what is no text is replaced.
            for name in ["\x1b]0;ig-owned\x07\x1b[2J\x1b[H", "two\nlines\r\ttab", "\x1b[31m\x1b[?1049h\x1bc"]
            {
                assert!(names.iter().any(|known| known.ends_with(name)), "{names:?}");
            }
            assert!(names.iter().any(|name| name.starts_with("/x/x/x/")), "{names:?}");
        } else if mode == "columns" {
            assert!(!ended.stdout.contains('\u{202e}'), "{}", ended.stdout.escape_debug());
        }
    }
}

/// Scenario: the same in a real terminal.
/// Guarantees: its title, its content and its mode stay as they were; each record is one line.
#[test]
fn hostile_records_do_not_reach_the_terminal() {
    let attacker = Attacker::new();
    let flags = ["-F", &attacker.rule, "--fields", "proc.comm,error,fname"];
    let screen = Screen::start(80, "trace_open", &flags);
    let state = |screen: &Screen| {
        screen.tmux(&["display-message", "-p", "#{pane_title} #{alternate_on} #{pane_width}"]).stdout
    };
    let before = state(&screen);
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    attacker.attack(folder.path());
    // The last of them.
    screen.wait_for("ENOENT");
    let lines = screen.lines();
    assert!(lines[0].starts_with("COMM") || lines[0].starts_with("PROC"), "{lines:#?}");
    assert_eq!(lines.len(), 1 + HOSTILE.len() + 2, "{lines:#?}");
    assert!(lines[1..].iter().all(|line| line.starts_with("\\x1b[31mred")), "{lines:#?}");
    assert_eq!(state(&screen), before);
    screen.interrupt();
}
