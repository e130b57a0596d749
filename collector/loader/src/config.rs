//! Values of `.kconfig` externs: the kernel's release, its configuration, and a few facts libbpf invented names for.

use std::collections::HashMap;
use std::io::{self, Read as _};

use ig_kernel::btf::{Btf, Type, TypeId};
use ig_kernel::release::KernelRelease;
use ig_kernel::symbols::{self, Symbol};
use ig_model::Shortage;

use crate::error::LoadError;
use crate::object::{Extern, ExternKind};

/// A configuration file larger than this is no configuration file.
const MAX_CONFIG: u64 = 4 << 20;

/// Fills the map of configuration values.
pub(crate) fn fill(btf: &Btf, externs: &[Extern], size: u32) -> Result<Vec<u8>, LoadError> {
    let mut bytes = vec![0; size as usize];
    let wanted: Vec<_> = externs
        .iter()
        .filter_map(|found| match found.kind {
            ExternKind::Kconfig { offset, size, type_id } => Some((found, offset, size, type_id)),
            _ => None,
        })
        .collect();
    let options = if wanted.iter().any(|(found, ..)| found.name.starts_with("CONFIG_")) {
        let names: Vec<_> = wanted.iter().map(|(found, ..)| found.name.as_str()).collect();
        read_config(&names)?
    } else {
        HashMap::new()
    };
    for (found, offset, size, type_id) in wanted {
        let fault = |problem: &str| LoadError::Unresolved {
            what: "kernel configuration value",
            name: found.name.clone(),
            problem: problem.to_owned(),
        };
        let number = match found.name.as_str() {
            "LINUX_KERNEL_VERSION" => Some(u64::from(KernelRelease::running().code())),
            "LINUX_HAS_SYSCALL_WRAPPER" => Some(u64::from(has_syscall_wrapper()?)),
            "LINUX_HAS_BPF_COOKIE" => {
                Some(u64::from(KernelRelease::running() >= KernelRelease::new(5, 15, 0)))
            }
            _ => None,
        };
        let place = bytes.get_mut(offset as usize..offset as usize + size as usize);
        let place = place.ok_or_else(|| fault("it does not fit"))?;
        if let Some(number) = number {
            write_number(place, number).ok_or_else(|| fault("its type is too small"))?;
        } else if let Some(text) = options.get(&found.name) {
            write_option(btf, type_id, place, text)
                .ok_or_else(|| fault("its type does not suit the value"))?;
        } else if !found.weak {
            return Err(fault("this kernel's configuration does not tell it"));
        }
    }
    Ok(bytes)
}

fn has_syscall_wrapper() -> Result<bool, LoadError> {
    let names = ["__x64_sys_bpf", "__arm64_sys_bpf", "__s390x_sys_bpf", "__riscv_sys_bpf"];
    let found = symbols::lookup(names).map_err(LoadError::KernelSymbols)?;
    Ok(found.values().any(|symbol| !matches!(symbol, Symbol::Absent)))
}

/// The options asked for, from `/proc/config.gz` or `/boot/config-RELEASE`.
///
/// # Errors
/// [`LoadError::KernelConfig`] when neither can be read for want of descriptors or memory; else a file that cannot be
/// read tells nothing.
fn read_config(names: &[&str]) -> Result<HashMap<String, String>, LoadError> {
    let packed = || {
        let mut text = String::new();
        let file = std::fs::File::open("/proc/config.gz")?;
        flate2::read::GzDecoder::new(file).take(MAX_CONFIG).read_to_string(&mut text)?;
        Ok(text)
    };
    let in_boot = |_absent: io::Error| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        std::fs::read_to_string(format!("/boot/config-{}", release.trim()))
    };
    let text = match packed().or_else(in_boot) {
        Err(source) if Shortage::of(&source).is_some() => return Err(LoadError::KernelConfig(source)),
        text => text.unwrap_or_default(),
    };
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let wanted = lines.filter(|(name, _)| names.contains(name));
    Ok(wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// `y`, `n`, `m`, a number or a quoted text, as the type wants it.
fn write_option(btf: &Btf, type_id: TypeId, place: &mut [u8], text: &str) -> Option<()> {
    let (_, ty) = btf.skip_modifiers_and_typedefs(type_id)?;
    match (ty, text) {
        (Type::Enum(_), "n") => write_number(place, 0),
        (Type::Enum(_), "y") => write_number(place, 1),
        (Type::Enum(_), "m") => write_number(place, 2),
        (Type::Int(int), "y" | "n") if int.is_bool => write_number(place, u64::from(text == "y")),
        (Type::Int(int), "y" | "n" | "m") if int.size == 1 => {
            place.copy_from_slice(text.as_bytes());
            Some(())
        }
        (Type::Int(_), number) => {
            let number = match number.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok()?,
                None => number.parse::<i64>().ok()? as u64,
            };
            write_number(place, number)
        }
        (Type::Array(_), text) => {
            let text = text.strip_prefix('"')?.strip_suffix('"')?;
            let len = text.len().min(place.len().checked_sub(1)?);
            place.get_mut(..len)?.copy_from_slice(text.as_bytes().get(..len)?);
            Some(())
        }
        _ => None,
    }
}

fn write_number(place: &mut [u8], number: u64) -> Option<()> {
    let bytes = number.to_le_bytes();
    let len = place.len();
    if cfg!(target_endian = "big") || len > 8 {
        return None;
    }
    // What is cut off must be zeros, or the sign.
    let rest = bytes.get(len..)?;
    if rest.iter().any(|byte| *byte != 0) && rest.iter().any(|byte| *byte != 0xff) {
        return None;
    }
    place.copy_from_slice(bytes.get(..len)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::write_number;

    #[test]
    fn numbers_must_fit_their_type() {
        let mut place = [0; 2];
        assert_eq!(write_number(&mut place, 0x1234), Some(()));
        assert_eq!(place, [0x34, 0x12]);
        assert_eq!(write_number(&mut place, 0x1_0000), None);
        assert_eq!(write_number(&mut place, u64::MAX), Some(()));
    }
}
