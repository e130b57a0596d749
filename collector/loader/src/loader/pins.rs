//! Maps that objects share by name: `LIBBPF_PIN_BY_NAME`.
//!
//! Where bpffs is mounted every process shares them below [`PIN_ROOT`], as with libbpf. Containers and minimal machines
//! often have no bpffs. Then the gadgets of this process share them in a table of its own, which is what a pin would do
//! for them, and the log says what is lost: other processes do not see the map, and it ends with this process.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use ig_kernel::map::Map;
use ig_kernel::sys::bpf::pin;

use super::Loader;
use crate::error::LoadError;
use crate::map_spec::MapSpec;

/// Where bpffs is mounted by convention, and where libbpf pins.
pub(super) const PIN_ROOT: &str = "/sys/fs/bpf";

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// `const void *gadget_pin_if_<map>___<variable>`: the map is shared only where the variable is not zero.
const CONDITION: &str = "gadget_pin_if_";
const SEPARATOR: &str = "___";

/// The shared maps of this process where there is no bpffs. Like pins they stay until the end, whoever made them.
static SHARED: Mutex<BTreeMap<String, Map>> = Mutex::new(BTreeMap::new());

impl Loader<'_> {
    /// Whether a map is to be shared under its name. An object that only looks at a map where an option is on says so by
    /// a marker; without the option it gets one of its own, as small as can be.
    pub(super) fn is_shared(&self, spec: &MapSpec) -> bool {
        spec.pinned_by_name && !self.is_switched_off(spec)
    }

    /// Whether the object never looks at the map as its variables are set.
    pub(super) fn is_switched_off(&self, spec: &MapSpec) -> bool {
        let mut conditions = self.object.variables.iter().filter_map(|marker| {
            let (map, variable) = marker.name.strip_prefix(CONDITION)?.split_once(SEPARATOR)?;
            (map == spec.name).then(|| self.variable(variable).ok())?
        });
        conditions.any(|value| value.iter().all(|byte| *byte == 0))
    }

    /// The map that is shared under the name, or a new one that is from now on.
    pub(super) fn shared(
        &self,
        index: usize,
        spec: &MapSpec,
        btf: Option<BorrowedFd<'_>>,
    ) -> Result<Map, LoadError> {
        let failed = |source| LoadError::CreateMap { map: spec.name.clone(), source };
        // Names come from the object: they must not lead out of the directory.
        if spec.name.contains('/') {
            return Err(failed(io::ErrorKind::InvalidFilename.into()));
        }
        if !has_bpffs() {
            return self.shared_here(index, spec, btf, "bpffs is not mounted there");
        }
        let path = CString::new(format!("{PIN_ROOT}/{}", spec.name)).map_err(|error| failed(error.into()))?;
        match Map::pinned(&path) {
            Ok(map) => {
                self.check_fits(index, spec, &map)?;
                Ok(map)
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                let map = self.create(index, spec, btf)?;
                match pin::pin(&path, map.as_fd()) {
                    // Somebody else was quicker: share theirs.
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                        let theirs = Map::pinned(&path).map_err(failed)?;
                        self.check_fits(index, spec, &theirs)?;
                        Ok(theirs)
                    }
                    Err(error) if is_closed_to_us(&error) => {
                        self.shared_here(index, spec, btf, "it may not be written to")
                    }
                    Err(error) => Err(failed(error)),
                    Ok(()) => Ok(map),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The same among the gadgets of this process alone.
    fn shared_here(
        &self,
        index: usize,
        spec: &MapSpec,
        btf: Option<BorrowedFd<'_>>,
        why: &'static str,
    ) -> Result<Map, LoadError> {
        let failed = |source| LoadError::CreateMap { map: spec.name.clone(), source };
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = shared.get(&spec.name) {
            self.check_fits(index, spec, map)?;
            return map.try_clone().map_err(failed);
        }
        let map = self.create(index, spec, btf)?;
        shared.insert(spec.name.clone(), map.try_clone().map_err(failed)?);
        tracing::warn!(
            name: "map.pin.impossible",
            object = self.object.name,
            map = spec.name,
            folder = PIN_ROOT,
            why,
            "other processes cannot share this map, and it is lost with this process; `mount -t bpf bpf /sys/fs/bpf` mends that"
        );
        Ok(map)
    }
}

fn has_bpffs() -> bool {
    rustix::fs::statfs(PIN_ROOT).is_ok_and(|stat| stat.f_type == BPF_FS_MAGIC)
}

/// Whether a file system is read-only or keeps us out.
fn is_closed_to_us(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::EPERM))
}
