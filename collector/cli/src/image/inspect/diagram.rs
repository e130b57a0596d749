//! Programs and maps as diagrams in Mermaid's language: who reads and writes what.

use std::collections::BTreeSet;

use ig_loader::{FunctionCode, Object};

/// Helpers of bpf(2) that take a map, by number: what they do to it.
const READS: [u32; 6] = [1, 12, 27, 51, 53, 195];
const WRITES: [u32; 9] = [2, 3, 25, 87, 88, 130, 131, 132, 133];
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// A program and a map that it refers to.
struct Edge<'o> {
    program: &'o str,
    map: &'o str,
    reads: bool,
    writes: bool,
}

/// Every map each program refers to; what it does is judged by the helpers that the program calls.
fn edges(object: &Object) -> Vec<Edge<'_>> {
    let mut edges = Vec::new();
    for function in object.functions().filter(|function| function.section != ".text") {
        let names: BTreeSet<&str> =
            function.maps.iter().copied().filter(|name| !name.starts_with('.')).collect();
        let (reads, writes) = (calls(&function, &READS), calls(&function, &WRITES));
        for map in names {
            edges.push(Edge { program: function.name, map, reads, writes });
        }
    }
    edges
}

fn calls(function: &FunctionCode<'_>, helpers: &[u32]) -> bool {
    function.insns.iter().any(|insn| {
        insn.code == CALL
            && insn.regs >> 4 == 0
            && u32::try_from(insn.imm).is_ok_and(|n| helpers.contains(&n))
    })
}

/// A graph of programs and maps.
pub(super) fn flowchart(object: &Object) -> String {
    let mut out = String::from("flowchart LR\n");
    for map in object.maps().iter().filter(|map| !map.name.starts_with('.')) {
        line(&mut out, &format!("{}[(\"{}\")]", map.name, map.name));
    }
    for program in object.programs() {
        line(&mut out, &format!("{}[\"{}\"]", program.name, program.name));
    }
    for edge in edges(object) {
        let (program, map) = (edge.program, edge.map);
        match (edge.reads, edge.writes) {
            (true, true) => line(&mut out, &format!("{program} <-- \"reads, writes\" --> {map}")),
            (true, false) => line(&mut out, &format!("{map} -- \"reads\" --> {program}")),
            _ => line(&mut out, &format!("{program} -- \"writes\" --> {map}")),
        }
    }
    out
}

/// The same as messages between participants.
pub(super) fn sequence(object: &Object) -> String {
    let mut out = String::from("sequenceDiagram\n");
    let edges = edges(object);
    let programs: BTreeSet<&str> = edges.iter().map(|edge| edge.program).collect();
    let maps: BTreeSet<&str> = edges.iter().map(|edge| edge.map).collect();
    for participant in programs.iter().chain(&maps) {
        line(&mut out, &format!("participant {participant}"));
    }
    for edge in &edges {
        let word = match (edge.reads, edge.writes) {
            (true, true) => "reads, writes",
            (true, false) => "reads",
            _ => "writes",
        };
        line(&mut out, &format!("{}->>{}: {word}", edge.program, edge.map));
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str("    ");
    out.push_str(text);
    out.push('\n');
}
