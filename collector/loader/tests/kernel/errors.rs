//! What a caller is told when loading fails.

use ig_kernel::probe::{Feature, Probe, probe};
use ig_loader::{ErrorKind, Loader, Object};
use ig_model::Hint as _;

use crate::{loader_for_self, object, read_u64};

/// Guarantees: the summary of the verifier's log names the complaint and the source line; the whole log is there too.
#[test]
fn a_refusal_of_the_verifier_is_summarised() {
    let object = object("refused");
    let error = Loader::new(&object).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verifier, "{error:?}");
    let text = error.to_string();
    assert!(text.contains("`bad`") && text.contains("invalid mem access 'scalar'"), "{text}");
    assert!(text.contains("return *(int *)ctx->args[0];"), "{text}");
    assert!(error.verifier_log().unwrap().contains("processed"));
}

/// Guarantees: a field that the kernel lacks fails in the verifier with words a reader understands.
#[test]
fn poison_that_can_be_reached_is_explained() {
    let object = object("poisoned");
    let error = Loader::new(&object).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verifier, "{error:?}");
    assert!(error.to_string().contains("this kernel does not have"), "{error}");
}

/// Guarantees: a loop without an end is called so, not by the state of registers that the log ends with.
#[test]
fn an_endless_loop_is_called_so() {
    let object = object("endless");
    let error = Loader::new(&object).load().unwrap_err();
    assert!(error.to_string().contains("infinite loop detected"), "{error}");
    assert!(error.verifier_log().unwrap().contains("old state:"));
}

/// Guarantees: a function that the kernel lacks is named where the object calls it without asking.
#[test]
fn a_missing_function_that_is_called_is_named() {
    let object = object("kfunc");
    let error = Loader::new(&object).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verifier, "{error:?}");
    assert!(error.to_string().contains("`bpf_no_such_function`, which this kernel does not have"), "{error}");
}

/// Guarantees: a reference that leads nowhere is told with its symbol and section.
#[test]
fn a_reference_that_leads_nowhere_is_named() {
    let error = Object::parse("misplaced", &crate::compile::compile("misplaced")).unwrap_err();
    let text = ig_model::chain(&error);
    assert!(text.contains("`reads`") && text.contains("`nowhere`") && text.contains("`elsewhere`"), "{text}");
}

/// Guarantees: a hook without BTF in this kernel is named with its program.
#[test]
fn a_missing_btf_hook_is_named() {
    let object = object("missing_hook");
    let error = Loader::new(&object).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "program `nowhere` needs `tp_btf/no_such_tracepoint`, which this kernel does not have"
    );
}

/// Guarantees: where the kernel can trace functions such a program counts, elsewhere what is lacking is named, although
/// the kernel only says that the operation is not permitted.
#[test]
fn function_tracing_works_or_says_what_it_needs() {
    let object = object("traced");
    match (loader_for_self(&object).load(), probe(Feature::Fentry)) {
        (Ok(loaded), Probe::Supported) => {
            let link = loaded.attach("entered").unwrap();
            std::fs::read("/proc/self/stat").unwrap();
            drop(link);
            assert!(read_u64(&object, &loaded, "seen") >= 1);
        }
        (Err(error), Probe::Unsupported { needs }) => {
            assert_eq!(error.kind(), ErrorKind::UnsupportedKernel { needs: needs.to_owned() }, "{error:?}");
            assert!(error.to_string().contains("fentry/do_sys_openat2"), "{error}");
        }
        (result, probe) => panic!("{result:?} but {probe:?}"),
    }
}

/// Scenario: more programs than the kernel takes at one tracepoint, one that nothing else here uses.
/// Guarantees: the first that is refused is told that the hook is full, by the number, and may be tried again.
#[test]
fn a_full_hook_is_told() {
    let object = object("full");
    let mut links = Vec::new();
    let error = loop {
        assert!(links.len() <= 64, "the kernel takes more than it did");
        let loaded = Loader::new(&object).load().unwrap();
        match loaded.attach("one_of_many") {
            Ok(link) => links.push((loaded, link)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Retryable, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("64 programs")), "{error:?}");
}
