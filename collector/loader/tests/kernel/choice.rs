//! One object for several kernels: what is left out, what stands in, and a verdict on each program.

use ig_loader::{ErrorKind, Loader, SkipReason};

use crate::{loader_for_self, object, read_u64, trigger};

/// Loads without the programs that no kernel takes.
fn wholesome(object: &ig_loader::Object) -> Loader<'_> {
    let mut loader = loader_for_self(object);
    loader.skip("refused").unwrap();
    loader.skip("unsupplied").unwrap();
    loader
}

/// Scenario: an object with optional programs on hooks of each kind that this kernel lacks, and one that it has.
/// Guarantees: those without a hook are left out, each with its reason; the others are loaded and run.
#[test]
fn optional_programs_without_a_hook_are_left_out() {
    let object = object("choice");
    let loaded = wholesome(&object).load().unwrap_or_else(|error| panic!("{error:?}"));
    let names: Vec<&str> = loaded.programs().iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["there", "instead"]);
    assert!(loaded.program("there").unwrap().optional);
    for (program, reason) in [
        ("typed", "this kernel has no tracepoint `no_such_tracepoint`"),
        ("classic", "this kernel has no tracepoint `syscalls:sys_enter_nothing`"),
        ("raw", "this kernel has no raw tracepoint `no_such_tracepoint`"),
        ("probe", "this kernel has no function `no_such_function_in_any_kernel`"),
        ("refused", "it was not asked for"),
    ] {
        let skipped = loaded.skipped().iter().find(|skipped| skipped.program == program).unwrap();
        assert_eq!(skipped.reason.to_string(), reason);
    }
    let links = [loaded.attach("there").unwrap(), loaded.attach("instead").unwrap()];
    trigger(1);
    drop(links);
    assert_eq!((read_u64(&object, &loaded, "seen"), read_u64(&object, &loaded, "seen_instead")), (1, 1));
}

/// Scenario: a program stands in for an optional one, once for one whose hook is there, once for one without.
/// Guarantees: exactly one of the two is loaded.
#[test]
fn a_stand_in_is_loaded_only_where_it_is_needed() {
    let object = object("choice");
    let mut loader = wholesome(&object);
    loader.instead_of("instead", "there").unwrap();
    let loaded = loader.load().unwrap();
    assert!(loaded.program("there").is_some() && loaded.program("instead").is_none());
    let skipped = loaded.skipped().iter().find(|skipped| skipped.program == "instead").unwrap();
    assert_eq!(skipped.reason, SkipReason::NotNeeded { instead: "there".to_owned() });

    let mut loader = wholesome(&object);
    loader.instead_of("instead", "typed").unwrap();
    assert!(loader.load().unwrap().program("instead").is_some());

    let error = Loader::new(&object).instead_of("instead", "nobody").unwrap_err();
    assert_eq!(error.to_string(), "the object has no program `nobody`");
}

/// Scenario: the caller insists on an optional program without a hook.
/// Guarantees: loading fails and names the hook.
#[test]
fn an_optional_program_that_is_wanted_must_have_its_hook() {
    let object = object("choice");
    let mut loader = wholesome(&object);
    loader.want("typed").unwrap();
    let error = loader.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("tp_btf/no_such_tracepoint"), "{error}");
}

/// Scenario: of an object's programs the verifier refuses one and another calls what the kernel does not have.
/// Guarantees: a load for verdicts names both and has all others; a plain load fails with the first.
#[test]
fn each_program_gets_its_verdict() {
    let object = object("choice");
    let (loaded, refused) = loader_for_self(&object).load_each().unwrap();
    let verdicts: Vec<(&str, ErrorKind)> =
        refused.iter().map(|refused| (refused.program.as_str(), refused.error.kind())).collect();
    assert_eq!(verdicts, [("refused", ErrorKind::Verifier), ("unsupplied", ErrorKind::InvalidObject)]);
    assert!(refused[1].error.to_string().contains("no_such_kernel_function"), "{}", refused[1].error);
    assert!(loaded.program("there").is_some() && loaded.program("instead").is_some());

    let error = loader_for_self(&object).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verifier, "{error}");
}
