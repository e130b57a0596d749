//! Values as people read them: pure functions from raw numbers and bytes to text.
//!
//! Each function appends to a buffer that the caller reuses and allocates nothing else. No input is invalid: what
//! has no name gets a text that shows the number. The spellings are those of the Go project, so that filters,
//! labels and dashboards made for it keep working.

use std::fmt::{self, Write as _};

mod enums;
mod file;
mod layout;
mod names;
mod net;
mod passwd;
mod quantity;
mod syscall;
mod time;

pub use enums::{bit_set, enum_name};
pub use file::{file_flags, file_mode};
pub use layout::TimeLayout;
pub use names::{errno, protocol, signal, signals};
pub use net::{address, endpoint};
pub use passwd::Accounts;
pub use quantity::{bytes, hex};
pub use syscall::{SyscallTable, syscall, syscall_of};
pub use time::{duration, timestamp};

/// Appends formatted text; writing to a string cannot fail.
fn push(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

/// Appends items with a separator between them.
fn join<'a>(items: impl Iterator<Item = &'a str>, separator: &str, out: &mut String) {
    for (number, item) in items.enumerate() {
        if number > 0 {
            out.push_str(separator);
        }
        out.push_str(item);
    }
}

#[cfg(test)]
fn text(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::from("kept ");
    write(&mut out);
    out.strip_prefix("kept ").expect("formatters only append").to_owned()
}
