//! Embeds the headers that gadget programs include, so that the installed binary can build gadgets anywhere.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

const HEADERS: &str = "../../gadgets/include/gadget";

fn main() -> io::Result<()> {
    let variable = |name| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join(HEADERS);
    writeln!(io::stdout(), "cargo::rerun-if-changed={}", folder.display())?;

    let mut headers = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "h") {
            headers.push(path.canonicalize()?);
        }
    }
    headers.sort();

    let mut list = String::from("&[\n");
    for header in &headers {
        let name = header.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        writeln!(list, "    ({name:?}, include_str!({:?})),", header.display().to_string())
            .map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&variable("OUT_DIR")?).join("headers.rs"), list)
}
