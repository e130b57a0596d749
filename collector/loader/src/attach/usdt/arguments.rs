//! Arguments of static probes: text such as `-4@-20(%rbp)` into the records that libbpf's header file reads.

/// Most arguments of a probe.
const MAX_ARGUMENTS: usize = 12;
/// Bytes of one argument's record, and of all with the number and the count behind them.
const RECORD: usize = 16;
const SPEC: usize = MAX_ARGUMENTS * RECORD + 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Constant(i64),
    /// Offset of the register in `struct pt_regs`.
    Register(u16),
    /// What the register points to, with an offset.
    Memory {
        register: u16,
        offset: i64,
    },
}

/// `struct __bpf_usdt_spec`; `None` for text of an unknown form.
pub(super) fn parse(text: &str) -> Option<Vec<u8>> {
    let mut spec = vec![0; SPEC];
    let mut count: u16 = 0;
    let mut rest = text.trim();
    for record in spec.chunks_exact_mut(RECORD).take(MAX_ARGUMENTS) {
        if rest.is_empty() {
            break;
        }
        let (size, place, behind) = argument(rest)?;
        rest = behind.trim_start();
        count += 1;
        let (kind, value, register) = match place {
            Place::Constant(value) => (0u32, value, 0),
            Place::Register(register) => (1, 0, register),
            Place::Memory { register, offset } => (2, offset, register),
        };
        let bits = 64 - size.unsigned_abs() * 8;
        record.get_mut(0..8)?.copy_from_slice(&value.to_ne_bytes());
        record.get_mut(8..12)?.copy_from_slice(&kind.to_ne_bytes());
        record.get_mut(12..14)?.copy_from_slice(&register.to_ne_bytes());
        record.get_mut(14..16)?.copy_from_slice(&[u8::from(size < 0), bits]);
    }
    if !rest.is_empty() {
        return None;
    }
    spec.get_mut(SPEC - 8..SPEC - 6)?.copy_from_slice(&count.to_ne_bytes());
    Some(spec)
}

/// Size (negative for signed ones), place, and the text behind the first argument.
fn argument(text: &str) -> Option<(i8, Place, &str)> {
    let (size, text) = text.split_once('@')?;
    // Floats have an `f` behind their size; programs get their bits.
    let size: i8 = size.trim().trim_end_matches('f').parse().ok()?;
    if !matches!(size.unsigned_abs(), 1 | 2 | 4 | 8) {
        return None;
    }
    let (place, rest) = place(text)?;
    Some((size, place, rest))
}

#[cfg(target_arch = "x86_64")]
fn place(text: &str) -> Option<(Place, &str)> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (text, rest) = text.split_at_checked(end)?;
    if let Some(constant) = text.strip_prefix('$') {
        return Some((Place::Constant(number(constant)?), rest));
    }
    if let Some(name) = text.strip_prefix('%') {
        return Some((Place::Register(register(name)?), rest));
    }
    let (offset, base) = text.split_once("(%")?;
    let offset = if offset.is_empty() { 0 } else { number(offset)? };
    Some((Place::Memory { register: register(base.strip_suffix(')')?)?, offset }, rest))
}

/// `struct pt_regs` of x86-64 by any name a register goes by.
#[cfg(target_arch = "x86_64")]
fn register(name: &str) -> Option<u16> {
    const REGISTERS: [(&[&str], u16); 17] = [
        (&["r15", "r15d", "r15w", "r15b"], 0),
        (&["r14", "r14d", "r14w", "r14b"], 8),
        (&["r13", "r13d", "r13w", "r13b"], 16),
        (&["r12", "r12d", "r12w", "r12b"], 24),
        (&["rbp", "ebp", "bp", "bpl"], 32),
        (&["rbx", "ebx", "bx", "bl"], 40),
        (&["r11", "r11d", "r11w", "r11b"], 48),
        (&["r10", "r10d", "r10w", "r10b"], 56),
        (&["r9", "r9d", "r9w", "r9b"], 64),
        (&["r8", "r8d", "r8w", "r8b"], 72),
        (&["rax", "eax", "ax", "al"], 80),
        (&["rcx", "ecx", "cx", "cl"], 88),
        (&["rdx", "edx", "dx", "dl"], 96),
        (&["rsi", "esi", "si", "sil"], 104),
        (&["rdi", "edi", "di", "dil"], 112),
        (&["rip", "eip"], 128),
        (&["rsp", "esp", "sp", "spl"], 152),
    ];
    REGISTERS.iter().find(|(names, _)| names.contains(&name)).map(|(_, offset)| *offset)
}

#[cfg(target_arch = "aarch64")]
fn place(text: &str) -> Option<(Place, &str)> {
    if let Some(memory) = text.strip_prefix('[') {
        let (inner, rest) = memory.split_once(']')?;
        let (base, offset) = match inner.split_once(',') {
            Some((base, offset)) => (base, number(offset.trim())?),
            None => (inner, 0),
        };
        return Some((Place::Memory { register: register(base.trim())?, offset }, rest));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (text, rest) = text.split_at_checked(end)?;
    let place = match register(text) {
        Some(register) => Place::Register(register),
        None => Place::Constant(number(text)?),
    };
    Some((place, rest))
}

/// `struct user_pt_regs` of arm64.
#[cfg(target_arch = "aarch64")]
fn register(name: &str) -> Option<u16> {
    if name == "sp" {
        return Some(31 * 8);
    }
    let number: u16 = name.strip_prefix(['x', 'w'])?.parse().ok()?;
    (number < 31).then_some(number * 8)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn place(_text: &str) -> Option<(Place, &str)> {
    None
}

fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let value = match digits.strip_prefix("0x") {
        // Constants may be the bits of a negative number.
        Some(digits) => u64::from_str_radix(digits, 16).ok()? as i64,
        None => digits.parse::<i64>().ok()?,
    };
    value.checked_mul(sign)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{Place, argument, parse};

    #[test]
    fn arguments_of_every_form_are_read() {
        for (text, size, place) in [
            ("-4@-20(%rbp)", -4, Place::Memory { register: 32, offset: -20 }),
            ("8@%rax", 8, Place::Register(80)),
            ("4@%r12d", 4, Place::Register(24)),
            ("-4@$-9", -4, Place::Constant(-9)),
            ("8@$0x10", 8, Place::Constant(16)),
            ("8@(%rdi)", 8, Place::Memory { register: 112, offset: 0 }),
        ] {
            assert_eq!(argument(text), Some((size, place, "")), "{text}");
        }
        for text in ["", "3@%rax", "8@%zax", "8@8(%rax,%rbx,8)", "8", "8@$x"] {
            assert_eq!(argument(text), None, "{text}");
        }
    }

    #[test]
    fn records_are_those_of_the_header_file() {
        let spec = parse("-4@%edi 8@8(%rsp)").unwrap();
        assert_eq!(spec.len(), 208);
        assert_eq!(spec[..16], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 112, 0, 1, 32]);
        assert_eq!(spec[16..32], [8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 152, 0, 0, 0]);
        assert_eq!(spec[200..202], [2, 0]);
        assert!(parse(&"8@%rax ".repeat(12)).is_some());
        assert!(parse(&"8@%rax ".repeat(13)).is_none());
    }
}
