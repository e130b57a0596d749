//! tcpdump, and the classic machine that its programs are for.

use std::process::{Command, Output};

use crate::frames::Frame;

/// An instruction of the classic machine.
#[derive(Clone, Copy, Debug)]
struct Insn {
    code: u16,
    yes: u8,
    no: u8,
    number: u32,
}

/// What tcpdump makes of an expression, with and without its optimiser.
#[derive(Debug)]
pub(crate) struct Oracle {
    optimised: Vec<Insn>,
    plain: Vec<Insn>,
}

impl Oracle {
    /// Tcpdump's message if it refuses the expression.
    pub(crate) fn new(expression: &str) -> Result<Self, String> {
        Ok(Self { optimised: program(expression, &[])?, plain: program(expression, &["-O"])? })
    }

    /// The verdicts of both programs.
    pub(crate) fn verdicts(&self, frame: &[u8]) -> (bool, bool) {
        (run(&self.optimised, frame), run(&self.plain, frame))
    }
}

fn tcpdump(arguments: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("tcpdump")
        .env("PATH", format!("{path}:/usr/sbin"))
        .args(arguments)
        .output()
        .expect("tcpdump must be installed for the tests of packet filters")
}

fn program(expression: &str, more: &[&str]) -> Result<Vec<Insn>, String> {
    let run = tcpdump(&[&["-y", "EN10MB", "-ddd"], more, &["--", expression]].concat());
    if !run.status.success() {
        let message = String::from_utf8_lossy(&run.stderr).into_owned();
        // The optimiser found a contradiction.
        let nothing = message.contains("expression rejects all packets");
        return if nothing { Ok(vec![Insn { code: 6, yes: 0, no: 0, number: 0 }]) } else { Err(message) };
    }
    let text = String::from_utf8(run.stdout).unwrap();
    let insn = |line: &str| {
        let mut numbers = line.split(' ').map(|number| number.parse::<u32>().unwrap());
        let mut next = || numbers.next().unwrap();
        Insn {
            code: next().try_into().unwrap(),
            yes: next().try_into().unwrap(),
            no: next().try_into().unwrap(),
            number: next(),
        }
    };
    Ok(text.lines().skip(1).map(insn).collect())
}

/// Whether a program accepts a frame.
fn run(program: &[Insn], frame: &[u8]) -> bool {
    verdict(program, frame).unwrap_or(false)
}

/// `None` where the machine stops because a load is outside of the frame, or a division by zero.
fn verdict(program: &[Insn], frame: &[u8]) -> Option<bool> {
    let load = |place: u64, size: u64| -> Option<u32> {
        let bytes = frame.get(usize::try_from(place).ok()?..usize::try_from(place + size).ok()?)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    };
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; 16]);
    let mut at = 0;
    loop {
        let Insn { code, yes, no, number } = program[at];
        at += 1;
        let size = match code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            _ => 1,
        };
        match (code & 7, code & 0xe0) {
            (0, 0x00) => a = number,
            (0, 0x20) => a = load(number.into(), size)?,
            (0, 0x40) => a = load(u64::from(x) + u64::from(number), size)?,
            (0, 0x60) => a = memory[number as usize],
            (0, 0x80) => a = frame.len().try_into().unwrap(),
            (1, 0x00) => x = number,
            (1, 0x60) => x = memory[number as usize],
            (1, 0x80) => x = frame.len().try_into().unwrap(),
            (1, 0xa0) => x = (load(number.into(), 1)? & 0xf) * 4,
            (2, _) => memory[number as usize] = a,
            (3, _) => memory[number as usize] = x,
            (4, _) => {
                let right = if code & 8 == 0 { number } else { x };
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(right),
                    0x10 => a.wrapping_sub(right),
                    0x20 => a.wrapping_mul(right),
                    0x30 => a.checked_div(right)?,
                    0x40 => a | right,
                    0x50 => a & right,
                    0x60 => a.checked_shl(right).unwrap_or(0),
                    0x70 => a.checked_shr(right).unwrap_or(0),
                    0x80 => a.wrapping_neg(),
                    0x90 => a.checked_rem(right)?,
                    0xa0 => a ^ right,
                    _ => panic!("operation {code:#x}"),
                };
            }
            (5, _) => {
                let right = if code & 8 == 0 { number } else { x };
                let jump = match code & 0xf0 {
                    0x00 => {
                        at += number as usize;
                        continue;
                    }
                    0x10 => a == right,
                    0x20 => a > right,
                    0x30 => a >= right,
                    0x40 => a & right != 0,
                    _ => panic!("jump {code:#x}"),
                };
                at += usize::from(if jump { yes } else { no });
            }
            (6, _) => return Some(if code & 0x18 == 0x10 { a } else { number } != 0),
            (7, _) if code & 0xf8 == 0 => x = a,
            (7, _) => a = x,
            _ => panic!("instruction {code:#x}"),
        }
    }
}

/// A file of frames.
pub(crate) struct Capture {
    folder: tempfile::TempDir,
}

/// Magic number in this machine's order, version, zone, accuracy, length of frames, Ethernet.
const HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1];

impl Capture {
    pub(crate) fn new(frames: &[Frame]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes: Vec<u8> = HEADER.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for (frame, time) in frames.iter().zip(1_u32..) {
            let len = u32::try_from(frame.len()).unwrap();
            bytes.extend([time, 0, len, len].iter().flat_map(|word| word.to_ne_bytes()));
            bytes.extend(frame);
        }
        std::fs::write(folder.path().join("in.pcap"), bytes).unwrap();
        Self { folder }
    }

    /// The frames that tcpdump picks.
    pub(crate) fn read(&self, expression: &str) -> Vec<Frame> {
        let path = self.folder.path().join("in.pcap");
        let run = tcpdump(&["-r", path.to_str().unwrap(), "-w", "-", "--", expression]);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let mut rest = &run.stdout[24..];
        let mut frames = Vec::new();
        while let Some((header, behind)) = rest.split_first_chunk::<16>() {
            let len = u32::from_ne_bytes(header[8..12].try_into().unwrap()) as usize;
            frames.push(behind[..len].to_vec());
            rest = &behind[len..];
        }
        frames
    }
}
