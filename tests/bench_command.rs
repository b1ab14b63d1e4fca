//! `avicuna bench streams`, with a daemon that watches a generated picture.

mod support;

use std::process::Output;

use support::avicuna;

const SMALL: &str = "assets/models/avicuna-small";

/// A bench of a generated source, which is live.
fn bench(arguments: &[&str]) -> Output {
    let mut command = avicuna();
    command.args(["bench", "streams", "test://?width=320&height=240&fps=10"]);
    command.args(arguments).output().expect("it runs")
}

#[test]
fn a_number_of_streams_is_tried_and_what_it_takes_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trials.json");
    let output = bench(&[
        "--model",
        SMALL,
        "--window",
        "4",
        "--hop",
        "2",
        "--query",
        "a bell rings",
        "--measure",
        "8",
        "--streams",
        "2",
        "--json",
        path.to_str().expect("UTF-8"),
    ]);
    let (table, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(table.contains("program") && table.contains("this"), "{table}");
    let told: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("it is written")).expect("JSON");
    let trial = &told[0]["trials"][0];
    let number = |key: &str| trial[key].as_f64().expect("a number");
    assert_eq!(number("streams"), 2.0, "{told}");
    // A machine that others keep busy may be late.
    assert!(number("answered") >= 1.0, "{told}");
    assert!(trial["holds"] == false || number("shed") == 0.0, "{told}");
    // A window is answered after its last clip and what is late.
    assert!(trial["delays"][0].as_f64().expect("a number") > 0.5, "{told}");
    assert!(number("cores") > 0.01 && number("mebibytes") > 50.0 && number("answering") > 0.0, "{told}");
}

#[test]
fn what_cannot_be_tried_says_why() {
    let fails = |more: &[&str], why: &str| {
        let output = bench(more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    fails(&["--model", SMALL, "--streams", "0"], "no stream is no trial");
    fails(&["--model", "nowhere", "--streams", "1"], "nowhere");
    fails(&["--model", SMALL, "--streams", "1", "--hop", "3.3"], "the nearest valid hops");
    fails(&["--model", SMALL, "--streams", "1", "--late", "nine"], "seconds are from");
}
