//! Reading the verifier's log.

use crate::insn::{self, POISON_HELPER};
use crate::object::Extern;

/// What lines behind the complaint begin with: statistics, and the states of registers that belong to it.
const REMARKS: [&str; 8] = [
    "processed ",
    "verification time ",
    "stack depth ",
    "max_states_per_insn",
    "mark_precise",
    // Behind "infinite loop detected".
    "cur state:",
    "old state:",
    "from ",
];

/// The lines of a log that say why a program was refused: the complaint, and the source line it is about. `externs` are
/// those of the object, by whose place missing functions are numbered.
///
/// # Source
/// `kernel/bpf/verifier.c` of Linux 6.12: the complaint is what was written last but for the remarks.
pub(crate) fn summarise(log: &str, externs: &[Extern]) -> String {
    let is_remark =
        |line: &&str| REMARKS.iter().any(|remark| line.starts_with(remark)) || is_instruction(line);
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let Some(last) = lines.iter().rposition(|line| !is_remark(line)) else {
        return "the verifier gave no reason".to_owned();
    };
    let complaint = lines.get(last).copied().unwrap_or_default();
    let complaint = if complaint.contains(&format!("#{POISON_HELPER}")) || complaint.contains("#195896080") {
        "it reaches a type, field or value that this kernel does not have".to_owned()
    } else if let Some(function) = missing_function(complaint, externs) {
        format!("it calls the kernel function `{function}`, which this kernel does not have")
    } else {
        complaint.trim().to_owned()
    };
    // Source lines begin with a semicolon; newer kernels add `@ file:line`.
    let before = lines.get(..last).unwrap_or_default();
    let source = before.iter().rev().find_map(|line| line.strip_prefix(';'));
    match source.map(str::trim).filter(|source| !source.is_empty()) {
        Some(source) => format!("{complaint} (at `{source}`)"),
        None => complaint,
    }
}

/// `3: (61) r0 = *(u32 *)(r1 +0)` or the state before it, `3: R1=ctx()`.
fn is_instruction(line: &str) -> bool {
    let number = line.split_once(": ").map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of the function that is not there in `invalid func unknown#2002000003`.
fn missing_function<'e>(complaint: &str, externs: &'e [Extern]) -> Option<&'e str> {
    let number = complaint.split_once("unknown#")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let number = number.get(..end)?.parse().ok()?;
    externs.get(insn::missing_index(number)?).map(|found| found.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::{Extern, insn};
    use crate::object::ExternKind;

    fn summarise(log: &str) -> String {
        super::summarise(log, &[])
    }

    /// Scenario: a loop without an end, in the words of Linux 6.12.
    /// Guarantees: what is shown is that, not the state of the registers behind it.
    #[test]
    fn an_infinite_loop_is_called_so() {
        let log = "0: R1=ctx() R10=fp0\n; for (;;) @ bad.bpf.c:4\n0: (05) goto pc-1\n\
                   infinite loop detected at insn 0\ncur state: R1=ctx() R10=fp0\nold state: R1=ctx() R10=fp0\n\
                   processed 2 insns (limit 1000000) max_states_per_insn 0\n";
        assert_eq!(summarise(log), "infinite loop detected at insn 0 (at `for (;;) @ bad.bpf.c:4`)");
    }

    /// Scenario: a call of a weak kernel function that is not there and that the program does not ask for before.
    /// Guarantees: the function is named; a number of no extern stays what the kernel says.
    #[test]
    fn a_missing_kernel_function_is_named() {
        let named = |name: &str| Extern { name: name.to_owned(), weak: true, kind: ExternKind::Untyped };
        let externs = ["bpf_first", "bpf_dynptr_size"].map(named);
        let log = |index| {
            let number = insn::missing_function(index).imm;
            format!("7: (85) call unknown#{number}\ninvalid func unknown#{number}\nprocessed 8 insns\n")
        };
        let said = super::summarise(&log(1), &externs);
        assert_eq!(said, "it calls the kernel function `bpf_dynptr_size`, which this kernel does not have");
        assert!(super::summarise(&log(2), &externs).starts_with("invalid func unknown#"));
        assert!(super::summarise("invalid func unknown#211\n", &externs).starts_with("invalid func"));
    }

    #[test]
    fn the_complaint_and_its_source_are_found() {
        let log = "0: R1=ctx() R10=fp0\n; return *p; @ bad.bpf.c:9\n3: (61) r0 = *(u32 *)(r1 +0)\n\
                   R1 invalid mem access 'scalar'\nprocessed 4 insns (limit 1000000) max_states_per_insn 0\n";
        assert_eq!(summarise(log), "R1 invalid mem access 'scalar' (at `return *p; @ bad.bpf.c:9`)");
    }

    #[test]
    fn poison_is_explained() {
        let log = "; x = a->gone;\n7: (85) call unknown#195896080\ninvalid func unknown#195896080\n";
        assert!(
            summarise(log).starts_with("it reaches a type, field or value that this kernel does not have")
        );
        assert_eq!(summarise(""), "the verifier gave no reason");
    }
}
