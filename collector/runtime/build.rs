//! Tells the crate which compiler builds it, for the metric `ig_build_info`.

use std::{
    env,
    io::{self, Write as _},
    process::Command,
};

fn main() -> io::Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    // `rustc 1.90.0 (1159e78c4 2025-09-14)`
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_ascii_whitespace().nth(1).unwrap_or("unknown");
    writeln!(io::stdout(), "cargo::rerun-if-changed=build.rs")?;
    writeln!(io::stdout(), "cargo::rerun-if-env-changed=RUSTC")?;
    writeln!(io::stdout(), "cargo::rustc-env=IG_RUST_VERSION={version}")
}
