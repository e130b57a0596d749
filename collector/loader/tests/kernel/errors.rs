//! What a caller is told when loading fails.

use ig_loader::{ErrorKind, Loader};

use crate::compile::object;

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
