//! `avicuna config`: what is wrong is named, what is in effect is shown, secrets are not.

mod support;

use std::process::Output;

use support::avicuna;

fn check(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.toml");
    std::fs::write(&path, text).expect("writes");
    let output = avicuna().args(["config", "check"]).arg(&path).output().expect("it runs");
    let Output { status, stderr, .. } = output;
    let said = String::from_utf8(stderr).expect("UTF-8").replace(&path.display().to_string(), "a.toml");
    (status.code(), said)
}

#[test]
fn the_example_is_good() {
    let output = avicuna().args(["config", "check", "config/avicuna.toml"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "config/avicuna.toml: good; 1 streams\n");
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_field() {
    let stream = "[[stream]]\nid = \"cam\"\nuri = \"test://\"\n";
    let cases = [
        (format!("{stream}{stream}"), "a.toml:5:6: stream[1].id: \"cam\" is the id of stream[0] too"),
        (format!("{stream}hopp = \"1s\"\n"), "a.toml:4:1: stream[0].hopp: unknown field"),
        (format!("{stream}window = \"0s\"\n"), "a.toml:4:10: stream[0].window: a window cannot be 0 long"),
        (
            format!("{stream}hop = \"25s\"\n"),
            "a.toml:4:7: stream[0].hop: the hop of 25 s is longer than the window of 20 s",
        ),
        (format!("{stream}hop = \"700ms\"\n"), "the nearest valid hops: 0.5 s and 1 s"),
        (
            "[[stream]]\nid = \"a\"\nuri = \"/nowhere/a.mp4\"\n".to_owned(),
            "a.toml:3:7: stream[0].uri: /nowhere/a.mp4 cannot be read",
        ),
        (
            format!("model.path = \"/nowhere\"\n{stream}"),
            "a.toml:1:14: model.path: cannot read /nowhere/model.toml",
        ),
        (
            format!("outbox.path = \"a.redb\"\nhistory.path = \"./a.redb\"\n{stream}"),
            "history.path: is the file of outbox.path too",
        ),
        (
            format!("sink.kind = \"jsonl\"\nsink.jsonl.path = \"b\"\nhistory.path = \"b\"\n{stream}"),
            "sink.jsonl.path: is the file of history.path too",
        ),
        (format!("model.device = \"gpu\"\n{stream}"), "a.toml:1:16: model.device: \"gpu\" is no device"),
        (format!("traces.share = 2\n{stream}"), "a.toml:1:16: traces.share: must be from 0 to 1"),
        (format!("traces.service = \"\"\n{stream}"), "traces.service: must not be empty"),
    ];
    for (text, expected) in cases {
        let (code, said) = check(&text);
        assert_eq!(code, Some(2), "{text}{said}");
        assert!(said.contains(expected), "{text}\nsaid {said}\nnot  {expected}");
    }
}

#[test]
fn an_address_that_no_collector_has_is_refused_and_secrets_are_not_repeated() {
    for (endpoint, expected) in [
        ("http://user:geheim@coll:4318", "an address here has no user or password"),
        ("ftp://u:geheim@coll:4318", "an address here has no user or password"),
        ("http://coll:4318/otel?key=geheim", "ends with its path"),
        ("http://coll:4318/#frag", "ends with its path"),
        ("http://coll:4318/v1/traces", "leave it out"),
        ("coll:4318", "is no address"),
        ("http://", "is no address"),
        ("http://a b:4318", "is no address"),
        ("http://[::1", "is no address"),
        ("http://coll:99999", "is no address"),
        ("ftp://coll:4318", "is no address"),
    ] {
        let text =
            format!("[traces]\nendpoint = {endpoint:?}\n[[stream]]\nid = \"cam\"\nuri = \"test://\"\n");
        let (code, said) = check(&text);
        assert_eq!(code, Some(2), "{endpoint}: {said}");
        assert!(
            said.starts_with("a.toml:2:12: traces.endpoint: ") && said.contains(expected),
            "{endpoint}: {said}"
        );
        assert!(!said.contains("geheim"), "{said}");
    }
    for endpoint in ["http://coll:4318", "https://coll/otel/", "HTTP://coll", "http://[::1]:4318"] {
        let text =
            format!("[traces]\nendpoint = {endpoint:?}\n[[stream]]\nid = \"cam\"\nuri = \"test://\"\n");
        let (code, said) = check(&text);
        assert_eq!(code, Some(0), "{endpoint}: {said}");
    }
}

/// As a package has them: the program in `bin`, the model in `share`, and the user anywhere.
#[test]
fn the_default_model_is_found_where_it_was_installed_with_the_program() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (bin, models) = (place.path().join("bin"), place.path().join("share/avicuna/models"));
    std::fs::create_dir_all(&bin).expect("a folder");
    std::fs::create_dir_all(&models).expect("a folder");
    let program = bin.join("avicuna");
    std::fs::hard_link(env!("CARGO_BIN_EXE_avicuna"), &program).expect("a link on one file system");
    let model = models.join("avicuna-natural");
    let natural = support::repository("assets/models/avicuna-natural");
    std::os::unix::fs::symlink(&natural, &model).expect("a link");
    let config = place.path().join("a.toml");
    std::fs::write(&config, "[[stream]]\nid = \"cam\"\nuri = \"test://\"\n").expect("writes");
    let show = || {
        let mut command = std::process::Command::new(&program);
        let output =
            command.args(["config", "show", "--config"]).arg(&config).current_dir(place.path()).output();
        String::from_utf8(output.expect("it runs").stdout).expect("UTF-8")
    };
    assert!(show().contains(&format!("path = {natural:?}")), "{}", show());
    std::fs::remove_file(&model).expect("the link is there");
    assert!(show().contains("path = \"assets/models/avicuna-natural\""), "{}", show());
}

#[test]
fn a_missing_configuration_is_wrong_use() {
    for command in [["config", "check", "/nowhere/a.toml"], ["run", "--config", "/nowhere/a.toml"]] {
        let output = avicuna().args(command).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.starts_with("/nowhere/a.toml: cannot be read") && said.contains("config/avicuna.toml"),
            "{said}"
        );
    }
}

#[test]
fn a_start_that_fails_says_why_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.toml");
    let stream = "[[stream]]\nid = \"cam\"\nuri = \"test://\"\n";
    let here = folder.path().display();
    for (section, expected) in [
        (format!("outbox.path = \"{here}\"\n"), "Is a directory"),
        (
            format!(
                "outbox.path = \"{here}/o.redb\"\nsink.kind = \"jsonl\"\nsink.jsonl.path = \"/nowhere/a\"\n"
            ),
            "No such file",
        ),
        ("model.path = \"/nowhere\"\n".to_owned(), "No such file"),
    ] {
        std::fs::write(&path, format!("control.listen = \"off\"\n{section}{stream}")).expect("writes");
        let output = avicuna().args(["run", "--config"]).arg(&path).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches(expected).count(), 1, "{said}");
    }
}

#[test]
fn what_is_shown_has_the_environment_and_no_secrets() {
    let output = avicuna()
        .args(["config", "show", "--config", "config/avicuna.toml"])
        .env("AVICUNA__SCHEDULE__MAX_BATCH", "7")
        .env("AVICUNA__STREAM__DEMO__URI", "rtsp://me:hunter2@host/cam")
        .env("AVICUNA__SINK__KAFKA__PROPERTIES", "{ \"sasl.password\" = \"hunter2\" }")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("max_batch = 7"), "{said}");
    assert!(said.contains("rtsp://***@host/cam") && !said.contains("hunter2"), "{said}");
}
