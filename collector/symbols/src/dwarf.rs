//! Functions of DWARF debug information, those that compilers put into others included.
//!
//! All of it is read once into a table of address ranges, each pointing to the one around it, and then given back: the
//! table takes a fraction of the memory, and reading has no recursion. Work is limited by the number of entries and by
//! time; what was read until then counts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use gimli::{
    AttributeValue, DebugInfoOffset, Dwarf, EndianSlice, RunTimeEndian, Unit, UnitOffset, constants as dw,
};

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Ranges of one file; a browser's debug information has some million.
const MAX_SPANS: usize = 1 << 20;
/// Bytes of all names of one file.
const MAX_NAMES: usize = 32 << 20;
/// Longest name that is kept.
const MAX_NAME: usize = 2048;
/// Attributes of one entry; compilers write some twenty.
const MAX_ATTRIBUTES: usize = 256;
/// Ranges of one function.
const MAX_RANGES: usize = 256;
/// Entries followed from an entry without a name: a copy, what it copies, that one's declaration.
const MAX_HOPS: usize = 6;
/// Functions within functions.
const MAX_DEPTH: usize = 32;
/// Units of other files' code that are kept open while one unit is read.
const MAX_OPEN: usize = 16;
/// Time for one file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Entries between two looks at the clock.
const BETWEEN_LOOKS: usize = 1024;

/// No name, no range around this one.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    end: u64,
    name: u32,
    /// The smallest range around it.
    around: u32,
}

/// Ranges of functions, by address.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    spans: Vec<Span>,
    names: Vec<u8>,
}

impl Functions {
    /// Appends the names of all functions around `address`, innermost first.
    pub(crate) fn at<'a>(&'a self, address: u64, names: &mut Vec<&'a [u8]>) {
        let after = self.spans.partition_point(|span| span.start <= address);
        let mut next = after.checked_sub(1);
        let mut found = 0;
        // Ranges that do not cover the address are left towards those around them.
        for _ in 0..8 * MAX_DEPTH {
            let Some(span) = next.and_then(|index| self.spans.get(index)) else { return };
            if address < span.end && found < MAX_DEPTH {
                found += 1;
                let name = self
                    .names
                    .get(span.name as usize..)
                    .and_then(|from| from.split(|byte| *byte == 0).next());
                names.extend(name);
            }
            next = (span.around != NONE).then_some(span.around as usize);
        }
    }

    /// Number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.names.capacity()
    }
}

/// Reads what can be read.
pub(crate) fn read(dwarf: &Dwarf<Slice<'_>>) -> Functions {
    let mut headers = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        headers.extend(header.debug_info_offset());
        if headers.len() > MAX_SPANS {
            break;
        }
    }
    let mut reader = Reader {
        dwarf,
        units: headers,
        open: HashMap::new(),
        known: HashMap::new(),
        functions: Functions::default(),
        ranges: Vec::new(),
        until: Instant::now() + PATIENCE,
        looks: 0,
    };
    for index in 0..reader.units.len() {
        reader.open.clear();
        if !reader.is_in_time() || reader.unit(index).is_none() && reader.is_full() {
            break;
        }
    }
    reader.functions.nest();
    reader.functions
}

impl Functions {
    /// Sorts the ranges and finds for each the one around it.
    fn nest(&mut self) {
        self.spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        let mut around: Vec<usize> = Vec::new();
        let ends: Vec<u64> = self.spans.iter().map(|span| span.end).collect();
        for (index, span) in self.spans.iter_mut().enumerate() {
            while around.last().is_some_and(|outer| ends.get(*outer).is_none_or(|end| *end <= span.start)) {
                around.pop();
            }
            span.around = around.last().and_then(|outer| u32::try_from(*outer).ok()).unwrap_or(NONE);
            around.push(index);
        }
        self.spans.shrink_to_fit();
        self.names.shrink_to_fit();
    }
}

struct Reader<'d, 'a> {
    dwarf: &'d Dwarf<Slice<'a>>,
    /// Where the units begin, in order.
    units: Vec<DebugInfoOffset>,
    /// Units that others point into, `None` if damaged.
    open: HashMap<usize, Option<Unit<Slice<'a>>>>,
    /// Names by the place of the entry, [`NONE`] for entries without.
    known: HashMap<usize, u32>,
    functions: Functions,
    ranges: Vec<(u64, u64)>,
    until: Instant,
    looks: usize,
}

/// What matters of an entry.
#[derive(Default)]
struct Function<'a> {
    name: Option<Slice<'a>>,
    linkage_name: Option<Slice<'a>>,
    origin: Option<AttributeValue<Slice<'a>>>,
    low: Option<u64>,
    high: Option<AttributeValue<Slice<'a>>>,
    ranges: Option<AttributeValue<Slice<'a>>>,
}

impl<'a> Reader<'_, 'a> {
    fn is_in_time(&mut self) -> bool {
        self.looks += 1;
        !self.looks.is_multiple_of(BETWEEN_LOOKS) || Instant::now() < self.until
    }

    fn is_full(&self) -> bool {
        self.functions.spans.len() >= MAX_SPANS
            || self.functions.names.len() >= MAX_NAMES
            || Instant::now() >= self.until
    }

    /// Reads one unit; `None` if it is damaged or there is no room for more.
    fn unit(&mut self, index: usize) -> Option<()> {
        let unit = self.open_unit(index)?;
        let mut entries = unit.entries_raw(None).ok()?;
        while !entries.is_empty() {
            if !self.is_in_time() {
                return None;
            }
            let offset = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
            let attributes = abbreviation.attributes();
            if attributes.len() > MAX_ATTRIBUTES {
                return None;
            }
            if !matches!(abbreviation.tag(), dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine) {
                entries.skip_attributes(attributes).ok()?;
                continue;
            }
            let function = self.function(&unit, &mut entries, attributes)?;
            self.collect_ranges(&unit, &function);
            if self.ranges.is_empty() {
                continue;
            }
            let Some(name) = self.name(&unit, index, offset, function) else { continue };
            for (start, end) in std::mem::take(&mut self.ranges) {
                if self.functions.spans.len() >= MAX_SPANS {
                    return None;
                }
                self.functions.spans.push(Span { start, end, name, around: NONE });
            }
        }
        Some(())
    }

    fn open_unit(&self, index: usize) -> Option<Unit<Slice<'a>>> {
        let header = self.dwarf.unit_header(*self.units.get(index)?).ok()?;
        self.dwarf.unit(header).ok()
    }

    fn function(
        &self,
        unit: &Unit<Slice<'a>>,
        entries: &mut gimli::EntriesRaw<'_, Slice<'a>>,
        attributes: &[gimli::AttributeSpecification],
    ) -> Option<Function<'a>> {
        let mut function = Function::default();
        for attribute in attributes {
            let attribute = entries.read_attribute(*attribute).ok()?;
            let value = attribute.value();
            match attribute.name() {
                dw::DW_AT_name => function.name = self.dwarf.attr_string(unit, value).ok(),
                dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => {
                    function.linkage_name = self.dwarf.attr_string(unit, value).ok();
                }
                dw::DW_AT_abstract_origin | dw::DW_AT_specification => function.origin = Some(value),
                dw::DW_AT_low_pc => function.low = self.dwarf.attr_address(unit, value).ok().flatten(),
                dw::DW_AT_high_pc => function.high = Some(value),
                dw::DW_AT_ranges => function.ranges = Some(value),
                _ => {}
            }
        }
        Some(function)
    }

    /// Fills `ranges`; code that the linker threw away begins at 0 or at the last address.
    fn collect_ranges(&mut self, unit: &Unit<Slice<'a>>, function: &Function<'a>) {
        self.ranges.clear();
        if let Some(ranges) = &function.ranges {
            if let Ok(Some(mut ranges)) = self.dwarf.attr_ranges(unit, *ranges) {
                while let Ok(Some(range)) = ranges.next() {
                    self.ranges.push((range.begin, range.end));
                    if self.ranges.len() >= MAX_RANGES {
                        break;
                    }
                }
            }
        } else if let (Some(low), Some(high)) = (function.low, &function.high) {
            let end = match high.udata_value() {
                Some(size) => low.saturating_add(size),
                None => self.dwarf.attr_address(unit, *high).ok().flatten().unwrap_or(0),
            };
            self.ranges.push((low, end));
        }
        self.ranges.retain(|(start, end)| *start != 0 && start < end);
    }

    /// Where the name of a function is kept; it may stand in the entry that this one is a copy of.
    fn name(
        &mut self,
        unit: &Unit<Slice<'a>>,
        index: usize,
        offset: UnitOffset,
        mut function: Function<'a>,
    ) -> Option<u32> {
        let (mut index, mut offset) = (index, offset);
        let mut visited = Vec::with_capacity(MAX_HOPS);
        let mut plain = None;
        let mut found = None;
        for _ in 0..MAX_HOPS {
            let place = self.place(index, offset)?;
            if let Some(name) = self.known.get(&place) {
                found = Some(*name);
                break;
            }
            visited.push(place);
            plain = plain.or(function.name);
            if let Some(name) = function.linkage_name {
                found = Some(self.keep(&name));
                break;
            }
            let next = function.origin.take().and_then(|origin| self.target(index, &origin));
            let Some((next_index, next_offset)) = next else { break };
            (index, offset) = (next_index, next_offset);
            let Some(next) = self.entry(unit, index, offset) else { break };
            function = next;
        }
        let name = found.unwrap_or_else(|| plain.map_or(NONE, |name| self.keep(&name)));
        self.known.extend(visited.into_iter().map(|place| (place, name)));
        (name != NONE).then_some(name)
    }

    fn place(&self, index: usize, offset: UnitOffset) -> Option<usize> {
        self.units.get(index)?.0.checked_add(offset.0)
    }

    /// Unit and offset of the entry that an attribute points to.
    fn target(&self, index: usize, origin: &AttributeValue<Slice<'a>>) -> Option<(usize, UnitOffset)> {
        match origin {
            AttributeValue::UnitRef(offset) => Some((index, *offset)),
            AttributeValue::DebugInfoRef(place) => {
                let after = self.units.partition_point(|unit| unit.0 <= place.0);
                let index = after.checked_sub(1)?;
                Some((index, UnitOffset(place.0.checked_sub(self.units.get(index)?.0)?)))
            }
            _ => None,
        }
    }

    /// The entry at a place; `own` is the unit that is being read.
    fn entry(&mut self, own: &Unit<Slice<'a>>, index: usize, offset: UnitOffset) -> Option<Function<'a>> {
        let is_own = own.header.debug_info_offset() == self.units.get(index).copied();
        if !is_own && !self.open.contains_key(&index) {
            if self.open.len() >= MAX_OPEN {
                self.open.clear();
            }
            if Instant::now() >= self.until {
                return None;
            }
            let unit = self.open_unit(index);
            self.open.insert(index, unit);
        }
        let unit = if is_own { own } else { self.open.get(&index)?.as_ref()? };
        let mut entries = unit.entries_raw(Some(offset)).ok()?;
        let attributes = entries.read_abbreviation().ok()??.attributes();
        if attributes.len() > MAX_ATTRIBUTES {
            return None;
        }
        self.function(unit, &mut entries, attributes)
    }

    fn keep(&mut self, name: &[u8]) -> u32 {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let at = self.functions.names.len();
        if name.is_empty() || at + name.len() >= MAX_NAMES {
            return NONE;
        }
        self.functions.names.extend_from_slice(name);
        self.functions.names.push(0);
        u32::try_from(at).unwrap_or(NONE)
    }
}
