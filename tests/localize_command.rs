//! `avicuna localize` of a source that is not there.

mod support;

use support::avicuna;

#[test]
fn a_live_source_that_is_not_there_is_told_at_once_and_given_up() {
    let mut command = avicuna();
    command.args([
        "localize",
        "rtsp://me:hunter22@127.0.0.1:9/cam",
        "--model",
        "assets/models/avicuna-small",
        "--timeout",
        "2",
    ]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("unreachable: rtsp://***@127.0.0.1:9/cam"), "{said}");
    assert!(first.ends_with("; it is tried again for 2 s"), "{said}");
    let last = lines.last().unwrap_or_default();
    assert!(last.contains("gave-up: ") && last.contains("given up after"), "{said}");
    assert!(!said.contains("hunter22"), "{said}");
}
