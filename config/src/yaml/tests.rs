use super::{MAX_DEPTH, MAX_TEXT, Node, ScalarKind, read};

fn one(text: &str) -> Node {
    let mut documents = read("t.yaml", text).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).root
}

fn refusal(text: &str) -> String {
    let faults = read("t.yaml", text).unwrap_err();
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn scalar(text: &str) -> (String, ScalarKind) {
    let root = one(&format!("a: {text}"));
    let scalar = root.get("a").unwrap().as_scalar().unwrap();
    (scalar.text.clone(), scalar.kind)
}

/// Guarantees: each scalar keeps its spelling and gets the type of the YAML 1.2 core schema.
#[test]
fn scalars_keep_their_spelling() {
    assert_eq!(scalar("0x1F"), ("0x1F".into(), ScalarKind::Int(31)));
    assert_eq!(scalar("-7"), ("-7".into(), ScalarKind::Int(-7)));
    assert_eq!(
        scalar("18446744073709551615"),
        ("18446744073709551615".into(), ScalarKind::Int(u64::MAX.into()))
    );
    assert_eq!(scalar("1e-9"), ("1e-9".into(), ScalarKind::Float(1e-9)));
    assert_eq!(scalar("1.50"), ("1.50".into(), ScalarKind::Float(1.5)));
    assert_eq!(scalar("True"), ("True".into(), ScalarKind::Bool(true)));
    assert_eq!(scalar("yes"), ("yes".into(), ScalarKind::Text));
    assert_eq!(scalar("'1'"), ("1".into(), ScalarKind::Text));
    assert_eq!(scalar("!!str 1"), ("1".into(), ScalarKind::Text));
    assert_eq!(scalar("127.0.0.1:2224"), ("127.0.0.1:2224".into(), ScalarKind::Text));
    assert_eq!(scalar("\"a\\tb\""), ("a\tb".into(), ScalarKind::Text));
    assert_eq!(scalar("~").1, ScalarKind::Null);
    assert_eq!(scalar("").1, ScalarKind::Null);
    assert_eq!(scalar("|\n  two\n  lines\n"), ("two\nlines\n".into(), ScalarKind::Text));
}

/// Guarantees: positions count from one, in characters, for keys and values, in block and flow style.
#[test]
fn positions_are_those_of_the_text() {
    let root = one("a: 1\nbä: {c: [x, yy]}\n");
    let entry = root.entry("bä").unwrap();
    assert_eq!((entry.key_span.line, entry.key_span.column), (2, 1));
    let list = entry.value.get("c").unwrap();
    let item = &list.as_sequence().unwrap()[1];
    assert_eq!((item.span.line, item.span.column), (2, 13));
    assert_eq!((item.span.end_line, item.span.end_column), (2, 15));
    let crlf = one("a: 1\r\nb: 2\r\n");
    assert_eq!(crlf.get("b").unwrap().span.line, 2);
}

#[test]
fn several_documents_stand_in_one_text() {
    let documents = read("t.yaml", "a: 1\n---\n---\n# only a comment\n---\nb: 2\n").unwrap();
    let keys: Vec<_> = documents.iter().map(|d| d.root.as_mapping().unwrap()[0].key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
    for empty in ["", "\n", "# nothing\n", "---\n", "\u{feff}"] {
        assert!(read("t.yaml", empty).unwrap().is_empty(), "{empty:?}");
    }
}

#[test]
fn aliases_and_merge_keys_expand() {
    let root = one("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nmany: {<<: [{x: 5}, *b]}\nitem: *b\n");
    let use_ = root.get("use").unwrap();
    assert_eq!(use_.get("x").unwrap().as_scalar().unwrap().kind, ScalarKind::Int(1));
    assert_eq!(use_.get("y").unwrap().as_scalar().unwrap().kind, ScalarKind::Int(3));
    assert_eq!(use_.get("x").unwrap().span.line, 1, "positions are those of the anchor");
    let many = root.get("many").unwrap();
    assert_eq!(many.get("x").unwrap().as_scalar().unwrap().kind, ScalarKind::Int(5));
    assert_eq!(root.get("item").unwrap().as_mapping().unwrap().len(), 2);
    assert!(refusal("a: {<<: 5}").contains("expected a mapping or a list of mappings"));
}

/// Guarantees: every key written twice is named with both places, also where YAML gives the two other types.
#[test]
fn duplicate_keys_are_all_named() {
    let text = refusal("a: 1\nb: {x: 1, x: 2}\na: 3\n1: a\n'1': b\n");
    assert_eq!(
        text,
        "t.yaml:2:11: b.x: key is written twice, first at t.yaml:2:5\n\
         t.yaml:3:1: a: key is written twice, first at t.yaml:1:1\n\
         t.yaml:5:1: \"1\": key is written twice, first at t.yaml:4:1"
            .replace("\"1\"", "1")
    );
}

#[test]
fn syntax_errors_carry_their_place() {
    assert!(refusal("a: [1,\nb: 2").starts_with("t.yaml:2:1: broken YAML: "), "{}", refusal("a: [1,\nb: 2"));
    assert!(refusal("a:\n\tb: 1\n").contains("takes no tabs"), "{}", refusal("a:\n\tb: 1\n"));
    assert!(refusal("a: *nowhere").starts_with("t.yaml:1:4: "));
    assert!(refusal("a: &x [*x]").contains("alias"), "{}", refusal("a: &x [*x]"));
    assert!(refusal("? [a]\n: b").contains("expected a single value"));
    assert!(refusal("a: !mine 1").contains("unsupported tag"));
}

/// Guarantees: what could exhaust memory, stack or time is refused by its limit.
#[test]
fn limits_hold() {
    let bomb = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        format!("{text}a{}: &a{} [*a{i}, *a{i}, *a{i}]\n", i + 1, i + 1)
    });
    assert!(refusal(&bomb).contains("too many values"));
    let long = "x".repeat(MAX_TEXT / 4);
    let fat = format!("a: &a {long}\nb: [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n");
    assert!(refusal(&fat).contains("too much text"));
    assert!(refusal(&"[".repeat(MAX_DEPTH + 1)).contains("too deeply"));
    assert!(refusal(&"x".repeat(MAX_TEXT + 1)).contains("too large"));
    let wide = "- x\n".repeat(super::MAX_NODES);
    assert!(refusal(&wide).contains("too many values"));
}

/// Guarantees: what both readers take, in the styles people use, is not lost between them.
#[test]
fn common_styles_are_read() {
    for text in [
        "a: [\n  1,\n  2\n]\n",
        "a: {\n  b: 1,\n}\n",
        "a:\n- 1\n- 2\n",
        "{\"a\": [1, {\"b\": null}]}\n",
        "a: >-\n  folded\n  text\nb: |+\n  kept\n\n",
        "%YAML 1.1\n---\na: 1\n...\n",
        "a: plain\n  over lines\n",
        "a: 'it''s'\n",
        "a: http://x:1/y#z # comment\n",
        "a: \"\\u00e9 \\x41 \\\n  next\"\n",
        "? a\n: b\n",
        "a: - b\n".trim_start_matches("a: "),
        "&x a: *x\n",
    ] {
        assert_eq!(read("t.yaml", text).map(|documents| documents.len()), Ok(1), "{text}");
    }
}

/// Scenario: texts of the largest size made of what parsers stumble over.
/// Guarantees: each is read or refused; none hangs, overflows the stack or panics.
#[test]
fn large_hostile_texts_end() {
    let parts = [
        "[",
        "{",
        "- ",
        "? ",
        "a: ",
        "&a ",
        "*a ",
        "!!str ",
        "'",
        "\"",
        "|\n",
        "#",
        "%YAML 1.2\n",
        "---\n",
        "{a: ",
        ": ",
        ",",
        "\t",
        "\r",
        "\u{85}",
        "a\n",
        "-\n",
        "<<: ",
        "\\",
        "[a: ",
        "? - ",
    ];
    for part in parts {
        let text = part.repeat(MAX_TEXT / 4 / part.len());
        drop(read("t.yaml", &text));
    }
}
