//! Creating maps, and filling those that have contents.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use ig_kernel::map::{Map, MapCreate, MapFlags, MapType, possible_cpus};
use ig_kernel::probe::{Feature, probe};
use ig_kernel::sys::bpf;

use super::{Loader, Program};
use crate::config;
use crate::error::LoadError;
use crate::map_spec::{MapSpec, SlotContent};

/// An object's maps in the object's order, and that of its configuration values.
pub(super) struct CreatedMaps {
    pub(super) maps: Vec<Map>,
    pub(super) kconfig: Option<Map>,
}

impl Loader<'_> {
    /// Entries of a map: as set, as its variable says, as the object says, or as the kernel needs.
    pub(super) fn entries(&self, index: usize) -> u32 {
        let Some(spec) = self.object.maps.get(index) else { return 0 };
        let by_variable = || {
            let bytes = self.variable(&format!("{}_max_entries", spec.name)).ok()?;
            bytes.first_chunk().copied().map(u32::from_ne_bytes)
        };
        if !self.given_maps.contains_key(&index) && self.is_switched_off(spec) {
            return fitting_entries(spec.kind, 1);
        }
        let entries = self.max_entries.get(&index).copied().or_else(by_variable).unwrap_or(spec.max_entries);
        fitting_entries(spec.kind, entries)
    }

    pub(super) fn value_size(&self, index: usize) -> u32 {
        let given = self.value_sizes.get(&index).copied();
        given.or_else(|| self.object.maps.get(index).map(|spec| spec.value_size)).unwrap_or_default()
    }

    fn map_flags(&self, index: usize, spec: &MapSpec) -> MapFlags {
        self.map_flags.get(&index).copied().unwrap_or(spec.flags)
    }

    pub(super) fn create_maps(&self, btf: Option<BorrowedFd<'_>>) -> Result<CreatedMaps, LoadError> {
        let mut maps = Vec::with_capacity(self.object.maps.len());
        for (index, spec) in self.object.maps.iter().enumerate() {
            let map = match self.given_maps.get(&index) {
                Some(given) => {
                    self.check_fits(index, spec, given)?;
                    given
                        .try_clone()
                        .map_err(|source| LoadError::CreateMap { map: spec.name.clone(), source })?
                }
                None if self.is_shared(spec) => self.shared(index, spec, btf)?,
                None => self.create(index, spec, btf)?,
            };
            maps.push(map);
        }
        for (section, index) in (self.object.first_data..maps.len()).enumerate() {
            if let (Some(map), Some(spec)) = (maps.get(index), self.object.maps.get(index)) {
                self.fill_data(section, spec, map)
                    .map_err(|source| LoadError::FillMap { map: spec.name.clone(), source })?;
            }
        }
        let kconfig = self.create_kconfig()?;
        Ok(CreatedMaps { maps, kconfig })
    }

    pub(super) fn create(
        &self,
        index: usize,
        spec: &MapSpec,
        btf: Option<BorrowedFd<'_>>,
    ) -> Result<Map, LoadError> {
        let failed = |source| LoadError::CreateMap { map: spec.name.clone(), source };
        let inner = match &spec.inner {
            Some(inner) if spec.kind.holds_maps() => {
                let create = MapCreate {
                    name: &inner.name,
                    kind: inner.kind,
                    key_size: inner.key_size,
                    value_size: inner.value_size,
                    max_entries: fitting_entries(inner.kind, inner.max_entries),
                    flags: inner.flags,
                    extra: inner.extra,
                    ..MapCreate::default()
                };
                Some(Map::create(&create).map_err(failed)?)
            }
            None if spec.kind.holds_maps() => {
                return Err(failed(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the object does not say what the maps within look like",
                )));
            }
            _ => None,
        };
        let is_data = index >= self.object.first_data;
        let name = if is_data { self.data_map_name(&spec.name) } else { spec.name.clone() };
        let mut create = MapCreate {
            name: &name,
            kind: spec.kind,
            key_size: spec.key_size,
            value_size: self.value_size(index),
            max_entries: self.entries(index),
            flags: self.map_flags(index, spec)
                | if is_data { MapFlags::MMAPABLE } else { MapFlags::default() },
            extra: spec.extra,
            inner_map: inner.as_ref().map(Map::as_fd),
            numa_node: spec.numa_node,
            ..MapCreate::default()
        };
        // The kernel compares the sizes of the types with those of the map.
        let typed = !spec.kind.refuses_btf()
            && (is_data || spec.key_type.is_some())
            && spec.value_type.is_some()
            && !self.value_sizes.contains_key(&index);
        if typed && btf.is_some() {
            create.btf = btf;
            create.btf_key_type_id = spec.key_type.unwrap_or_default().0;
            create.btf_value_type_id = spec.value_type.unwrap_or_default().0;
            if let Ok(map) = Map::create(&create) {
                return Ok(map);
            }
            // Types are for readers: a map that does not suit them is created without.
            create.btf = None;
            create.btf_key_type_id = 0;
            create.btf_value_type_id = 0;
        }
        match Map::create(&create) {
            Err(error) if is_data && error.raw_os_error() == Some(libc::EINVAL) => {
                // Linux 5.5 brought maps that can be mapped; nothing here depends on it.
                create.flags = create.flags.without(MapFlags::MMAPABLE);
                Map::create(&create).map_err(failed)
            }
            Err(error)
                if spec.kind == MapType::RINGBUF
                    && error.raw_os_error() == Some(libc::EINVAL)
                    && probe(Feature::RingBuffer).is_unsupported() =>
            {
                Map::create(&per_cpu_buffers(&name)).map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    /// `.rodata` of `trace_exec` is `trace_ex.rodata` to the kernel, as libbpf names it.
    fn data_map_name(&self, section: &str) -> String {
        let room = (bpf::NAME_LEN - 1).saturating_sub(section.len());
        let object: String = self.object.name.chars().take(room).collect();
        format!("{object}{section}")
    }

    pub(super) fn check_fits(&self, index: usize, spec: &MapSpec, map: &Map) -> Result<(), LoadError> {
        for (what, expected, got) in [
            ("type", spec.kind.0, map.kind().0),
            ("key size", spec.key_size, map.key_size()),
            ("value size", self.value_size(index), map.value_size()),
            ("number of entries", self.entries(index), map.max_entries()),
            ("set of flags", self.map_flags(index, spec).0, map.flags().0),
        ] {
            if expected != got {
                let problem = format!("its {what} is {got}, not {expected}");
                return Err(LoadError::IncompatibleMap { map: spec.name.clone(), problem });
            }
        }
        Ok(())
    }

    fn fill_data(&self, section: usize, spec: &MapSpec, map: &Map) -> io::Result<()> {
        let original = self.object.data.get(section).map(|data| data.content.as_slice()).unwrap_or_default();
        let content = self.data.get(&section).map_or(original, Vec::as_slice);
        // Maps start as zeros, which is all that `.bss` wants.
        if content.len() == spec.value_size as usize {
            map.update(&0u32.to_ne_bytes(), content)?;
        }
        if spec.flags.contains(MapFlags::RDONLY_PROG) {
            // The verifier reads frozen contents as constants. Before Linux 5.2 there is no freezing.
            match map.freeze() {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn create_kconfig(&self) -> Result<Option<Map>, LoadError> {
        let size = self.object.kconfig_size;
        if size == 0 {
            return Ok(None);
        }
        let content = config::fill(&self.object.btf, &self.object.externs, size)?;
        let name = self.data_map_name(".kconfig");
        let create = MapCreate {
            name: &name,
            kind: MapType::ARRAY,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            flags: MapFlags::RDONLY_PROG,
            ..MapCreate::default()
        };
        let fill = || {
            let map = Map::create(&create)?;
            map.update(&0u32.to_ne_bytes(), &content)?;
            map.freeze()?;
            Ok(map)
        };
        fill().map(Some).map_err(|source| LoadError::CreateMap { map: ".kconfig".to_owned(), source })
    }

    /// Puts maps and programs into the maps whose definitions name them.
    pub(super) fn fill_slots(&self, created: &CreatedMaps, programs: &[Program]) -> Result<(), LoadError> {
        for (spec, map) in self.object.maps.iter().zip(&created.maps) {
            for slot in &spec.slots {
                let value = match slot.content {
                    SlotContent::Map(index) => created.maps.get(index).map(|map| map.as_fd().as_raw_fd()),
                    SlotContent::Function(index) => {
                        let mut loaded = programs.iter();
                        loaded.find(|program| program.function == index).map(|program| program.fd.as_raw_fd())
                    }
                };
                let Some(value) = value else { continue };
                map.update(&slot.index.to_ne_bytes(), &value.to_ne_bytes())
                    .map_err(|source| LoadError::FillMap { map: spec.name.clone(), source })?;
            }
        }
        Ok(())
    }
}

/// What takes the place of a ring buffer before Linux 5.8: gadgets ask for the helper and then write to either.
fn per_cpu_buffers(name: &str) -> MapCreate<'_> {
    MapCreate {
        name,
        kind: MapType::PERF_EVENT_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: fitting_entries(MapType::PERF_EVENT_ARRAY, 0),
        ..MapCreate::default()
    }
}

/// What the kernel accepts in place of what the object leaves open.
fn fitting_entries(kind: MapType, entries: u32) -> u32 {
    match kind {
        MapType::PERF_EVENT_ARRAY => {
            let cpus = possible_cpus().unwrap_or(1);
            if entries == 0 { cpus } else { entries.min(cpus) }
        }
        MapType::RINGBUF => {
            // A power of two of whole pages; pages are 4 KiB or more.
            const SMALLEST: u32 = 4096;
            const LARGEST: u32 = 1 << 30;
            entries.clamp(SMALLEST, LARGEST).next_power_of_two()
        }
        _ => entries,
    }
}

#[cfg(test)]
mod tests {
    use super::{Map, per_cpu_buffers};

    /// Guarantees: what stands in for a ring buffer is a map that kernels accept.
    #[test]
    fn the_stand_in_for_ring_buffers_can_be_created() {
        Map::create(&per_cpu_buffers("events")).unwrap();
    }
}
