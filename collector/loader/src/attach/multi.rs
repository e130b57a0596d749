//! Many kernel functions by one pattern (`kprobe.multi/tcp_*`).

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::AsFd as _;

use ig_kernel::sys::bpf;
use ig_kernel::tracefs;

use super::Link;
use crate::error::AttachError;
use crate::loader::Program;
use crate::section::ProgramKind;

/// Most functions of one link; the kernel's own limit is a million.
const MAX_FUNCTIONS: usize = 100_000;

pub(super) fn attach(program: &Program) -> Result<Link, AttachError> {
    let hook = || format!("kernel functions `{}`", program.target);
    let available = tracefs::traceable_functions()
        .map_err(|source| AttachError::Tracefs { program: program.name.clone(), source })?;
    let names: BTreeSet<&str> = available
        .lines()
        // Functions of modules are followed by the module's name.
        .filter_map(|line| line.split_ascii_whitespace().next())
        .filter(|name| matches(&program.target, name))
        .take(MAX_FUNCTIONS)
        .collect();
    if names.is_empty() {
        return Err(AttachError::MissingHook { program: program.name.clone(), hook: hook() });
    }
    let names: Vec<CString> = names.into_iter().filter_map(|name| CString::new(name).ok()).collect();
    let names: Vec<_> = names.iter().map(CString::as_c_str).collect();
    let on_return = program.kind == ProgramKind::KretprobeMulti;
    match bpf::Link::kprobe_multi(program.fd.as_fd(), program.attach_type, &names, on_return) {
        Ok(link) => Ok(program.link(vec![link], Vec::new())),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            Err(AttachError::UnsupportedKernel {
                program: program.name.clone(),
                hook: hook(),
                needs: "Linux 5.18 with CONFIG_FPROBE",
            })
        }
        Err(error) => Err(program.failed(hook(), error)),
    }
}

/// Whether a name fits a pattern in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where to go on after the last `*`, should what follows it not fit.
    let mut again: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, here));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || Some(wanted) == name.get(here) => {
                at += 1;
                here += 1;
            }
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    (at, here) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, expected) in [
            ("tcp_*", "tcp_connect", true),
            ("tcp_*", "udp_connect", false),
            ("*_conn*t", "tcp_connect", true),
            ("*a*b", "xaxbxa", false),
            ("t?p", "tcp", true),
            ("tcp", "tcp", true),
            ("tcp", "tcpx", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
