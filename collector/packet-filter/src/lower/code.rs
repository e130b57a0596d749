//! Instructions with jumps to places that are not known yet.

use ig_model::Insn;

/// A place to jump to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Instructions under construction.
#[derive(Default)]
pub(super) struct Code {
    insns: Vec<Insn>,
    /// Where each label is.
    places: Vec<Option<usize>>,
    /// Jumps, and where they go.
    jumps: Vec<(usize, Label)>,
}

impl Code {
    pub(super) fn insn(code: u8, destination: u8, source: u8, off: i16, imm: i32) -> Insn {
        Insn { code, regs: source << 4 | destination, off, imm }
    }

    pub(super) fn len(&self) -> usize {
        self.insns.len()
    }

    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label is here.
    pub(super) fn place(&mut self, label: Label) {
        let here = self.insns.len();
        if let Some(place) = self.places.get_mut(label.0) {
            *place = Some(here);
        }
    }

    pub(super) fn push(&mut self, code: u8, destination: u8, source: u8, off: i16, imm: i32) {
        self.insns.push(Self::insn(code, destination, source, off, imm));
    }

    pub(super) fn jump(&mut self, code: u8, destination: u8, source: u8, imm: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(code, destination, source, 0, imm);
    }

    /// The instructions with all jumps in place; `None` if one goes too far.
    pub(super) fn finish(mut self) -> Option<Vec<Insn>> {
        for (at, label) in self.jumps {
            let place = (*self.places.get(label.0)?)?;
            let distance = i64::try_from(place).ok()? - i64::try_from(at).ok()? - 1;
            self.insns.get_mut(at)?.off = i16::try_from(distance).ok()?;
        }
        Some(self.insns)
    }
}
