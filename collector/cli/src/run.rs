//! `ig run`: the collector of a configuration file, or one gadget for somebody who watches.

mod collect;
mod flags;
mod rows;
mod signals;
mod watch;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use ig_image::Store;
use ig_model::{Hint as _, Host};

use crate::failure::Failure;

/// Free heap that is kept between scrapes, in bytes.
const KEPT_HEAP: i32 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "With IMAGE, a gadget runs until it has given all it will, Ctrl-C or --timeout; \
    `ig run IMAGE --help` lists its fields and parameters, which are flags after IMAGE.\n\n\
    With --file, edits of the file are followed as they are saved; SIGHUP reads it again at once. A file with faults \
    changes nothing: the log, /readyz and the metrics ig_config_reload_* say what is wrong. /readyz answers 200 once every \
    gadget was tried, /readyz?strict only while all is well.\n\n\
    The first SIGINT or SIGTERM drains and flushes; a second one ends at once.")]
pub(crate) struct Arguments {
    /// Runtime configuration: a file, or a directory of them
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: flags::Common,
    /// Gadget to run, such as trace_exec or registry.example/team/gadget:v1, and its flags: see `ig run IMAGE --help`
    #[arg(
        value_names = ["IMAGE", "FLAGS"],
        trailing_var_arg = true,
        allow_hyphen_values = true,
        num_args = 1..,
        conflicts_with = "file"
    )]
    image: Vec<OsString>,
}

impl Arguments {
    /// What stands behind the image about the log: how much more of it, and in which form.
    pub(crate) fn logging(&self) -> (u8, Option<crate::log::Format>) {
        if self.image.is_empty() { (0, None) } else { flags::peek_logging(&self.image) }
    }
}

/// Most names of gadgets that somebody who named none is shown.
const MOST_NAMES: usize = 40;

/// What somebody can do who said neither what to run nor which configuration.
fn lesson(store: &Path) -> Failure {
    let images = Store::open_read_only(store).and_then(|store| store.list()).unwrap_or_default();
    let mut names: Vec<String> = images.into_iter().map(|image| image.repository).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MOST_NAMES);
    let there = if names.is_empty() {
        format!(
            "The store {} has no gadget yet: ig image build FOLDER -t NAME, or ig image pull NAME.",
            store.display()
        )
    } else {
        format!("Gadgets in the store {}: {}.", store.display(), names.join(", "))
    };
    Failure::config(format!(
        "neither a gadget nor a configuration is named\n\n  \
         ig run trace_exec               run a gadget and watch it until Ctrl-C\n  \
         ig run trace_exec --help        what it sees, and its flags\n  \
         ig run -f runtime-config.yaml   keep the gadgets of a configuration running\n\n{there}"
    ))
    .hint("ig run --help lists the flags that every run takes")
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.file.is_none() && arguments.image.is_empty() {
        return Err(lesson(&arguments.common.store_path()));
    }
    if let Some(missing) = missing_capabilities() {
        return Err(Failure::text(format!("loading eBPF programs needs {missing}"))
            .hint("run as root, or give the process these capabilities; `ig config check` needs none"));
    }
    let host = Host::of_process();
    host.check().map_err(|error| Failure::new(&error).hint(error.hint().unwrap_or_default()))?;
    let host = Arc::new(host);
    // Failing matters only below Linux 5.11, and loading says so by itself then.
    if !ig_kernel::sys::memory::raise_memlock() {
        tracing::debug!(name: "memlock.raise.failed", "the limit on locked memory stays");
    }
    match ig_kernel::sys::memory::raise_nofile() {
        Ok(limit) => tracing::debug!(name: "nofile.raise.done", limit),
        Err(error) => tracing::debug!(name: "nofile.raise.failed", error = &error as &dyn std::error::Error),
    }
    ig_kernel::sys::memory::keep_at_most(KEPT_HEAP);
    ig_kernel::sys::memory::share_one_heap();
    crate::install_tls();
    crate::log::in_background();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_name("ig-blocking")
        .build()
        .map_err(|error| Failure::new(&error))?;
    let result = runtime.block_on(async {
        match (&arguments.file, arguments.image.first()) {
            (Some(file), _) => {
                let rows = arguments
                    .common
                    .output
                    .as_ref()
                    .map(|_| rows::Rows::open(&arguments.common, rows::Label::Gadget));
                collect::collect(file, &arguments.common, rows.transpose()?, host).await
            }
            (None, Some(image)) => {
                let image = image.to_string_lossy();
                watch::watch(&image, &arguments.common, &after_run(), host).await
            }
            (None, None) => Err(Failure::config("neither IMAGE nor --file is given")),
        }
    });
    // Blocking threads may still close links; the kernel does that at exit as well.
    runtime.shutdown_timeout(Duration::from_millis(100));
    crate::log::finish();
    result
}

/// The arguments of this process behind the word `run`.
fn after_run() -> Vec<OsString> {
    std::env::args_os().skip(1).skip_while(|argument| argument != "run").skip(1).collect()
}

/// Names the capabilities this process lacks for loading eBPF programs; `None` when it can.
fn missing_capabilities() -> Option<&'static str> {
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(line.trim(), 16).ok()?;
    if effective & SYS_ADMIN != 0 || effective & (BPF | PERFMON) == BPF | PERFMON {
        None
    } else {
        Some("CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN)")
    }
}
