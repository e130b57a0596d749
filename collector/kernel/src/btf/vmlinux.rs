//! The running kernel's BTF, parsed once for everybody who needs it at the same time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Btf, BtfError};

/// Where the kernel shows its own BTF.
pub const VMLINUX_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's BTF, shared by all who hold it; the last one to drop it gives the memory back.
///
/// Whoever loads several gadgets in a row holds one for the time being, so that it is parsed once.
///
/// # Errors
/// [`BtfError::Read`] when the kernel has none (built without `CONFIG_DEBUG_INFO_BTF`) or sysfs is not mounted.
///
/// # Kernel
/// 5.4, `CONFIG_DEBUG_INFO_BTF`.
pub fn vmlinux() -> Result<Arc<Btf>, BtfError> {
    static SHARED: Mutex<Weak<Btf>> = Mutex::new(Weak::new());
    // A panic while the lock was held cannot leave half a `Weak`.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(btf) = shared.upgrade() {
        return Ok(btf);
    }
    let btf = Arc::new(Btf::from_file(VMLINUX_PATH, None)?);
    *shared = Arc::downgrade(&btf);
    Ok(btf)
}
