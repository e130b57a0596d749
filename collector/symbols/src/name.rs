//! Names as people read them.
//!
//! Linkers' names of C++ and Rust functions are demangled. `; ` divides the frames of a stack, so no name may hold one:
//! a semicolon (`[u8; 4]`) becomes a comma. Control characters become question marks.

use std::fmt::{self, Write};

/// Longest raw name that is demangled; demanglers take more than linear time on names made for it.
const MAX_RAW: usize = 2048;
/// Longest name that is shown.
const MAX_SHOWN: usize = 1024;
/// Depth up to which C++ names may nest.
const DEPTH: u32 = 64;

/// Text that refuses to grow past a limit: demangled names can be exponentially longer than mangled ones.
#[derive(Default)]
struct Limited {
    text: String,
    is_full: bool,
}

impl Write for Limited {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            if self.text.len() >= MAX_SHOWN {
                if !self.is_full {
                    self.text.push('…');
                }
                self.is_full = true;
                return Err(fmt::Error);
            }
            self.text.push(match c {
                ';' => ',',
                c if c.is_control() => '?',
                c => c,
            });
        }
        Ok(())
    }
}

/// The name as shown.
pub(crate) fn readable(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw.get(..MAX_RAW).unwrap_or(raw));
    let mut out = Limited::default();
    if text.starts_with("_Z") || text.starts_with("_R") || text.starts_with("__Z") {
        let done = if is_rust(&text) { rust(&text, &mut out) } else { cpp(&text, &mut out) };
        if done || out.is_full {
            return out.text;
        }
        out = Limited::default();
    }
    // Cut off where it is too long.
    out.write_str(&text).unwrap_or_default();
    out.text
}

/// Names of Rust's first scheme look like C++ but for a hash at the end: `17h` and 16 digits.
fn is_rust(text: &str) -> bool {
    text.starts_with("_R")
        || text.match_indices("17h").any(|(at, _)| {
            let hash = text.get(at + 3..at + 20).map(str::as_bytes).unwrap_or_default();
            matches!(hash, [digits @ .., b'E'] if digits.iter().all(u8::is_ascii_hexdigit))
        })
}

fn rust(text: &str, out: &mut Limited) -> bool {
    rustc_demangle::try_demangle(text).is_ok_and(|name| write!(out, "{name:#}").is_ok())
}

fn cpp(text: &str, out: &mut Limited) -> bool {
    let parsing = cpp_demangle::ParseOptions::default().recursion_limit(DEPTH);
    let writing = cpp_demangle::DemangleOptions::default().recursion_limit(DEPTH);
    let parsed = cpp_demangle::BorrowedSymbol::with_tail_and_options(text.as_bytes(), &parsing);
    let Ok((symbol, tail)) = parsed else { return false };
    // What compilers put behind: `.cold`, `.part.0`, `.isra.0`.
    let tail = String::from_utf8_lossy(tail);
    symbol.structured_demangle(out, &writing).is_ok() && out.write_str(&tail).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_SHOWN, readable};

    /// Scenario: names as compilers of C, C++ and Rust write them, and hostile ones.
    /// Guarantees: they read as in the source; what divides frames or steers terminals is in none of them.
    #[test]
    fn names_of_three_languages() {
        let rows = [
            ("main", "main"),
            ("_ZN5shape6circle4areaEd", "shape::circle::area(double)"),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_ZN3foo3barEv.cold", "foo::bar() [clone .cold]"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvCs4fqI2P2rA04_4demo5inner", "demo::inner"),
            ("_Znot a name", "_Znot a name"),
            ("a;b\n\u{1b}[31m", "a,b??[31m"),
            ("", ""),
        ];
        for (raw, shown) in rows {
            assert_eq!(readable(raw.as_bytes()), shown, "{raw}");
        }
        let long = readable(&[b'x'; 10_000]);
        assert!(long.len() < MAX_SHOWN + 8 && long.ends_with('…'));
    }

    proptest! {
        /// Scenario: any bytes, and bytes that begin like mangled names.
        /// Guarantees: an answer that is short, on one line and without `;`.
        #[test]
        fn any_name(prefix in "(_Z|_ZN|_R|_RNv|__ZN|)", raw in prop::collection::vec(any::<u8>(), 0..200),
                    letters in "[A-Z0-9a-z_]{0,200}") {
            for raw in [[prefix.as_bytes(), &raw].concat(), format!("{prefix}{letters}").into_bytes()] {
                let shown = readable(&raw);
                prop_assert!(shown.len() < MAX_SHOWN + 8);
                prop_assert!(!shown.contains(|c: char| c == ';' || c.is_control()));
            }
        }
    }
}
