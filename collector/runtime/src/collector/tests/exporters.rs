//! What becomes of exporters that cannot be made.

use std::fs;

use super::*;

const GOOD: &str = "  good: {endpoint: 'http://127.0.0.1:1'}\n";
const BAD: &str = "  bad: {endpoint: 'https://h', tls: {ca-file: ca.pem}}\n";

fn sections(exporters: &[&str], gadgets: &[&str]) -> String {
    format!("exporters:\n otlp:\n{}gadgets:\n{}", exporters.concat(), gadgets.concat())
}

fn running() -> (State, String) {
    (State::Running, String::new())
}

/// Scenario: a start with an exporter whose authorities are not there, beside a good exporter and a gadget; then the
/// gadgets change; then the file holds nothing; then it is right.
/// Guarantees: the exporter is refused alone, by name and with its file; it keeps no reload from what it asks for; it
/// starts once its file is right.
#[tokio::test(start_paused = true)]
async fn an_exporter_that_cannot_be_made_stops_nothing() {
    let (bench, mut driver) = Bench::running(&sections(&[GOOD, BAD], &[A])).await;
    let (state, reason) = bench.exporter("bad").unwrap();
    assert_eq!((bench.state("a"), bench.exporter("good").unwrap(), state), (RUNS, running(), State::Refused));
    assert!(reason.contains("exporters.otlp.bad") && reason.contains("ca.pem"), "{reason}");
    assert!(reason.contains("tried again as soon as the file changes"), "{reason}");
    beside(&mut driver, async {
        let (answer, _) = bench.reload(&sections(&[GOOD, BAD], &[A, B])).await;
        assert!(matches!(answer, Reloaded::Applied), "{answer:?}");
        assert_eq!((bench.state("b"), bench.exporter("bad").unwrap().0), (RUNS, State::Refused));

        fs::write(bench.file("ca.pem"), "nothing\n").unwrap();
        bench.reload(&sections(&[GOOD, BAD], &[A])).await;
        let (state, reason) = bench.exporter("bad").unwrap();
        assert!(state == State::Refused && reason.contains("without certificates"), "{reason}");

        let authority = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
        fs::write(bench.file("ca.pem"), authority.cert.pem()).unwrap();
        let (answer, _) = bench.reload(&sections(&[GOOD, BAD], &[A])).await;
        assert!(matches!(answer, Reloaded::Applied), "{answer:?}");
        assert_eq!((bench.exporter("bad"), bench.exporter("good")), (Some(running()), Some(running())));

        bench.reload(&sections(&[GOOD], &[A])).await;
        assert_eq!(bench.exporter("bad"), None);
    })
    .await;
}

/// Scenario: a reload adds an exporter whose authorities are not there, and a gadget.
/// Guarantees: it is refused as a whole, as for every wrong edit, with the name of the exporter and the remedy.
#[tokio::test(start_paused = true)]
async fn an_edit_that_adds_a_wrong_exporter_is_refused() {
    let (bench, mut driver) = Bench::running(&sections(&[GOOD], &[A])).await;
    beside(&mut driver, async {
        let (answer, done) = bench.reload(&sections(&[GOOD, BAD], &[A, B])).await;
        let text = refused(&answer);
        assert!(text.contains("exporters.otlp.bad") && text.contains("ca.pem"), "{text}");
        assert_eq!((done.as_str(), bench.exporter("bad"), bench.state("b")), ("", None, None));
    })
    .await;
}
