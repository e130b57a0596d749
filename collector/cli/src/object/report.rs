//! Findings as text and as JSON.

use std::collections::BTreeSet;

use ig_kernel::release::KernelRelease;
use ig_loader::MapType;
use serde_json::{Value, json};

use super::Target;
use super::check::{Fault, ProgramReport, Report, Stage, Statistics, Verdict};
use super::hooks::{Answer, Hook, capabilities};

/// One line for the object, one for each program, indented ones for what went wrong.
pub(crate) fn text(report: &Report, with_logs: bool) -> String {
    let mut out = String::new();
    let result = if report.passed() { "ok" } else { "failed" };
    let file = report.file.display();
    let count = (report.programs.len(), report.maps.len());
    line(
        &mut out,
        &format!("{file}: {result}, {} program(s), {} map(s), {}", count.0, count.1, stage(report)),
    );
    if let Some(fault) = &report.fault {
        write_fault(&mut out, fault, with_logs);
    }
    let width = report.programs.iter().map(|program| program.spec.name.len()).max().unwrap_or(0);
    for program in &report.programs {
        let spec = &program.spec;
        let mut about = Vec::new();
        if let Verdict::Loaded(statistics) = &program.verdict {
            about.push(numbers(statistics));
        }
        match &program.verdict {
            Verdict::Skipped(why) => about.push(format!("optional: {why}")),
            _ if spec.optional => about.push("optional".to_owned()),
            _ => {}
        }
        match &program.hook.answer {
            _ if matches!(program.verdict, Verdict::Skipped(_)) => {}
            Answer::There => {}
            Answer::Missing(needs) => about.push(format!("cannot attach: needs {needs}")),
            Answer::Unknown(why) => about.push(format!("attaches to {}: {why}", program.hook.name)),
        }
        let about = about.join("; ");
        line(
            &mut out,
            &format!("  {:<11} {:width$}  {}  {about}", word(&program.verdict), spec.name, spec.section),
        );
        if let Verdict::Failed(fault) = &program.verdict {
            write_fault(&mut out, fault, with_logs);
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn write_fault(out: &mut String, fault: &Fault, with_logs: bool) {
    line(out, &format!("    {}", fault.reason));
    if let Some(hint) = &fault.hint
        && !(with_logs && fault.log.is_some())
    {
        line(out, &format!("    hint: {hint}"));
    }
    for text in fault.log.iter().filter(|_| with_logs).flat_map(|log| log.lines()) {
        line(out, &format!("    | {text}"));
    }
}

fn numbers(statistics: &Statistics) -> String {
    let mut parts = Vec::new();
    if let Some(verified) = statistics.verified_insns {
        parts.push(format!("{verified} instructions verified"));
    }
    parts.push(format!("{} bytes", statistics.translated_bytes));
    if statistics.jited_bytes > 0 {
        parts.push(format!("{} of machine code", statistics.jited_bytes));
    }
    parts.join(", ")
}

fn stage(report: &Report) -> &'static str {
    match (report.stage, report.passed()) {
        (Stage::Read, _) => "not read",
        (Stage::Open, _) => "not opened",
        (Stage::Relocate, true) => "relocated",
        (Stage::Relocate, false) => "not relocated",
        (Stage::Load, true) => "loaded",
        (Stage::Load, false) => "not loaded",
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Loaded(_) => "loaded",
        Verdict::Relocated => "relocated",
        Verdict::Failed(_) => "failed",
        Verdict::Skipped(_) => "skipped",
        Verdict::NotReached => "not reached",
    }
}

/// The same as a document; `result` is `ok` or `failed`, of programs the words of the text.
pub(crate) fn json(report: &Report, target: &Target, with_logs: bool) -> Value {
    let maps: Vec<Value> = report
        .maps
        .iter()
        .map(|map| {
            json!({
                "name": map.name,
                "type": map_type(map.kind),
                "keySize": map.key_size,
                "valueSize": map.value_size,
                "maxEntries": map.max_entries,
                "flags": map.flags.0,
                "pinned": map.pinned_by_name,
            })
        })
        .collect();
    let capabilities: BTreeSet<&str> =
        report.programs.iter().flat_map(|program| capabilities(&program.spec)).copied().collect();
    let mut object = json!({
        "file": report.file,
        "result": if report.passed() { "ok" } else { "failed" },
        "stage": stage(report),
        "kernel": target.running.then(|| KernelRelease::running().to_string()),
        "btf": target.origin,
        "sections": report.sections,
        "maps": maps,
        "capabilities": capabilities,
        "programs": report.programs.iter().map(|one| program(one, with_logs)).collect::<Vec<_>>(),
    });
    put_fault(&mut object, report.fault.as_ref(), with_logs);
    object
}

fn program(program: &ProgramReport, with_logs: bool) -> Value {
    let spec = &program.spec;
    let mut object = json!({
        "name": spec.name,
        "section": spec.section,
        "kind": snake_case(&format!("{:?}", spec.kind)),
        "target": spec.target,
        "optional": spec.optional,
        "result": word(&program.verdict).replace(' ', "-"),
        "capabilities": capabilities(spec),
        "hook": hook(&program.hook),
    });
    match &program.verdict {
        Verdict::Loaded(statistics) => {
            let Statistics { verified_insns, translated_bytes, jited_bytes, maps, tag } = statistics;
            put(
                &mut object,
                "verifier",
                json!({
                    "verifiedInstructions": verified_insns,
                    "translatedBytes": translated_bytes,
                    "jitedBytes": jited_bytes,
                    "maps": maps,
                    "tag": tag,
                }),
            );
        }
        Verdict::Failed(fault) => put_fault(&mut object, Some(fault), with_logs),
        Verdict::Skipped(why) => put(&mut object, "reason", Value::from(why.as_str())),
        Verdict::Relocated | Verdict::NotReached => {}
    }
    object
}

fn hook(hook: &Hook) -> Value {
    let (verdict, key, text) = match &hook.answer {
        Answer::There => return json!({ "name": hook.name, "verdict": "there" }),
        Answer::Missing(needs) => ("missing", "needs", needs),
        Answer::Unknown(why) => ("unknown", "reason", why),
    };
    json!({ "name": hook.name, "verdict": verdict, key: text })
}

fn put_fault(object: &mut Value, fault: Option<&Fault>, with_logs: bool) {
    let Some(Fault { reason, hint, log }) = fault else { return };
    put(object, "reason", Value::from(reason.as_str()));
    if let Some(hint) = hint {
        put(object, "hint", Value::from(hint.as_str()));
    }
    if let Some(log) = log.as_ref().filter(|_| with_logs) {
        put(object, "log", Value::from(log.as_str()));
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// `TracepointBtf` as `tracepoint_btf`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// `BPF_MAP_TYPE_*` in lower case; the number of types not known here.
fn map_type(kind: MapType) -> Value {
    const NAMES: [&str; 34] = [
        "unspec",
        "hash",
        "array",
        "prog_array",
        "perf_event_array",
        "percpu_hash",
        "percpu_array",
        "stack_trace",
        "cgroup_array",
        "lru_hash",
        "lru_percpu_hash",
        "lpm_trie",
        "array_of_maps",
        "hash_of_maps",
        "devmap",
        "sockmap",
        "cpumap",
        "xskmap",
        "sockhash",
        "cgroup_storage",
        "reuseport_sockarray",
        "percpu_cgroup_storage",
        "queue",
        "stack",
        "sk_storage",
        "devmap_hash",
        "struct_ops",
        "ringbuf",
        "inode_storage",
        "task_storage",
        "bloom_filter",
        "user_ringbuf",
        "cgrp_storage",
        "arena",
    ];
    NAMES.get(kind.0 as usize).map_or_else(|| Value::from(kind.0), |name| Value::from(*name))
}
