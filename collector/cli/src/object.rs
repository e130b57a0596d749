//! `ig object`: look at eBPF objects before they become gadgets.
//!
//! Why it exists: a gadget's author wants to know what this kernel, or another one, says about an object, program by
//! program, without attaching anything.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use ig_kernel::btf::{Btf, BtfError, vmlinux};

use crate::{failure::Failure, print};

mod check;
pub(crate) mod hooks;
mod report;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open, relocate and load objects, and say what the kernel makes of each program; attaches nothing
    Check(CheckArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 if every object passed, 1 if one did not, 2 for wrong usage.\n\
    With -v the whole log of the verifier follows each refusal.")]
struct CheckArguments {
    /// Objects, as `clang -g -O2 -target bpf -c` writes them
    #[arg(required = true, value_name = "FILE.o")]
    files: Vec<PathBuf>,
    /// Relocate against these types instead of this kernel's; loads only if they are this kernel's
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,
    /// Only open and relocate, which needs no privilege
    #[arg(long)]
    no_load: bool,
    /// How the findings are written
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON array, an element an object
    Json,
}

/// The types to relocate against.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where they are from.
    pub(crate) origin: String,
    pub(crate) btf: Arc<Btf>,
    /// Whether they are those of the kernel that runs here.
    pub(crate) running: bool,
}

pub(crate) fn run(arguments: &Arguments, verbose: u8) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(arguments) => check(arguments, verbose),
    }
}

fn check(arguments: &CheckArguments, verbose: u8) -> Result<(), Failure> {
    let target = target(arguments)?;
    let load = !arguments.no_load && target.running;
    let reports: Vec<_> = arguments.files.iter().map(|file| check::check(file, &target, load)).collect();
    match arguments.output {
        Output::Json => {
            let list: Vec<_> =
                reports.iter().map(|report| report::json(report, &target, verbose > 0)).collect();
            let text = serde_json::to_string_pretty(&list).map_err(|error| Failure::new(&error))?;
            print::out(format!("{text}\n"))?;
        }
        Output::Text => {
            for report in &reports {
                print::out(report::text(report, verbose > 0))?;
            }
        }
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::text(format!("{failed} of {} object(s) did not pass", reports.len())))
}

fn target(arguments: &CheckArguments) -> Result<Target, Failure> {
    let running = vmlinux();
    let Some(path) = &arguments.btf else {
        let btf = running.map_err(|error| {
            Failure::new(&error)
                .hint("give the types of a kernel with --btf FILE; this one shows none of its own")
        })?;
        return Ok(Target { origin: ig_kernel::btf::VMLINUX_PATH.to_owned(), btf, running: true });
    };
    let origin = path.display().to_string();
    let btf = Btf::from_file(&origin, None).map_err(|error| unusable(&origin, &error))?;
    let running = running.is_ok_and(|running| running.as_bytes() == btf.as_bytes());
    Ok(Target { origin, btf: Arc::new(btf), running })
}

fn unusable(origin: &str, error: &BtfError) -> Failure {
    let message = format!("the types in {origin} cannot be used: {}", ig_model::chain(error));
    // The first two bytes of an ELF file.
    if matches!(error, BtfError::Magic(0x457f)) {
        return Failure::config(message).hint(format!(
            "this is an ELF file; take its types out with: objcopy -O binary --only-section=.BTF \
             --set-section-flags .BTF=alloc {origin} FILE"
        ));
    }
    Failure::config(message)
        .hint("raw BTF is wanted, such as a copy of another machine's /sys/kernel/btf/vmlinux")
}
