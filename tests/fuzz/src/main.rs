//! libFuzzer around one target, the one that `FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use ig_fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = target(&name) else {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("error: FUZZ_TARGET is `{name}`, not one of {}", known.join(", "));
        std::process::exit(2);
    };
    target
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN(data));
