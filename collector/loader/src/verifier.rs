//! Reading the verifier's log.

use crate::insn::POISON_HELPER;

/// The lines of a log that say why a program was refused: the complaint, and the source line it is about.
pub(crate) fn summarise(log: &str) -> String {
    let is_statistic = |line: &&str| {
        line.starts_with("processed ")
            || line.starts_with("verification time ")
            || line.starts_with("stack depth ")
            || line.starts_with("max_states_per_insn")
            || line.starts_with("mark_precise")
    };
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let Some(last) = lines.iter().rposition(|line| !is_statistic(line)) else {
        return "the verifier gave no reason".to_owned();
    };
    let complaint = lines.get(last).copied().unwrap_or_default();
    let complaint = if complaint.contains(&format!("#{POISON_HELPER}")) || complaint.contains("#195896080") {
        "it reaches a type, field or value that this kernel does not have".to_owned()
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

#[cfg(test)]
mod tests {
    use super::summarise;

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
