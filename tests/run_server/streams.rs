//! Streams come, change and go, and are remembered; a changed file is read again.

use serde_json::{Value, json};

use super::problems;
use super::support::films::ffmpeg;
use super::support::served::{Served, serve, start, stream};
use super::support::{check_coverage, check_lives, lines};

#[test]
fn streams_come_change_and_go_and_nobody_else_notices() {
    let of_file = "[[stream]]\nid = \"file\"\nuri = \"test://?width=64&height=64&fps=5&wave=ticks\"\nlive = true\n\
                   hop = \"5s\"\nwindow = \"10s\"\n";
    let mut served = serve(of_file);
    let added = served.call("POST", "/v1/streams", Some(&stream("one")));
    assert_eq!((added.status, added.json()["origin"].as_str()), (201, Some("api")), "{added:?}");
    let again = served.call("POST", "/v1/streams", Some(&stream("one")));
    assert_eq!((again.status, again.json()["type"].as_str()), (409, Some("conflict")));

    let wrong = json!({"id": "two", "uri": "gopher://x", "hop": "30s", "window": "10s", "min_score": 7});
    let refused = served.call("POST", "/v1/streams", Some(&wrong));
    let pointers: Vec<String> = problems(&refused).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!((refused.status, pointers), (422, ["/uri", "/hop", "/min_score"].map(str::to_owned).to_vec()));
    let typed =
        served.call("POST", "/v1/streams", Some(&json!({"id": "two", "uri": "test://", "queries": [1]})));
    assert_eq!((typed.status, problems(&typed)[0].0.as_str()), (422, "/queries/0"));
    let several = json!([stream("three"), stream("one"), {"id": "four"}]);
    let several = served.call("POST", "/v1/streams", Some(&several));
    let told = several.json();
    assert_eq!((several.status, told["results"][0]["id"].as_str()), (207, Some("three")), "{told}");
    let statuses: Vec<_> =
        told["errors"].as_array().expect("a list").iter().map(|e| &e["problem"]["status"]).collect();
    assert_eq!(statuses, [&json!(409), &json!(422)]);

    let watched = |served: &Served, id: &str| {
        let spans = lines(&served.output(), "coverage");
        spans.iter().filter(|span| span.key == id && span.data["watched"] == true).count()
    };
    served
        .until("all are watched", |served| ["file", "one", "three"].iter().all(|id| watched(served, id) > 0));
    let health = served.get("/v1/streams/one/health");
    assert!(health["state"] == "watching" && health["coverage"]["watched"].as_f64() > Some(4.0), "{health}");
    assert!(health["last_frame"].is_string() && health["last_sample"].is_string(), "{health}");

    let since = health["since"].clone();
    let changed = served.call("PATCH", "/v1/streams/one", Some(&json!({"queries": ["a bell rings"]})));
    assert_eq!((changed.status, &changed.json()["queries"]), (200, &json!(["a bell rings"])), "{changed:?}");
    served.until("it is asked about from then on", |served| {
        let windows = served.get("/v1/windows?stream=one&limit=1000");
        let windows = windows["windows"].as_array().cloned().unwrap_or_default();
        windows.iter().any(|window| window["answers"].as_array().is_some_and(|answers| answers.len() == 2))
    });
    // Another hop needs other windows, and begins anew.
    let health = served.get("/v1/streams/one/health");
    assert_eq!((&health["since"], &health["reconnects"]), (&since, &json!(0)), "it went on: {health}");
    let changed = served.call("PATCH", "/v1/streams/one", Some(&json!({"hop": "4s"})));
    assert_eq!(changed.status, 200, "{changed:?}");
    served.until("it is watched anew", |served| {
        let health = served.get("/v1/streams/one/health");
        health["state"] == "watching" && health["since"] != since
    });
    let file = served.call("PATCH", "/v1/streams/file", Some(&json!({"detect": true})));
    assert!(file.status == 409 && file.body.contains("SIGHUP"), "{file:?}");
    assert_eq!(served.call("PATCH", "/v1/streams/nobody", Some(&json!({}))).status, 404);

    for path in ["/v1/streams/one?drain=true", "/v1/streams/one", "/v1/streams/three"] {
        assert_eq!(served.call("DELETE", path, None).status, 204, "{path}");
    }
    assert_eq!(served.call("DELETE", "/v1/streams/file", None).status, 409);
    let left = served.get("/v1/streams");
    let ids: Vec<_> =
        left["streams"].as_array().expect("a list").iter().map(|stream| &stream["id"]).collect();
    assert_eq!(ids, ["file"]);
    assert!(
        !served.call("GET", "/metrics", None).body.contains("stream=\"one\""),
        "nothing is told of it any more"
    );

    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let events = lines(&served.output(), "events");
    for id in ["file", "one", "three"] {
        check_lives(&events, id);
    }
    let (end, seen) = check_coverage(&lines(&served.output(), "coverage"), "file");
    assert!(seen > end - 6.0, "{seen} of {end} s of the other stream were watched");
}

#[test]
fn what_was_added_is_there_after_a_restart_and_a_changed_file_is_read_again() {
    let of_file = |ids: &[&str]| {
        let one = |id: &&str| {
            format!("[[stream]]\nid = {id:?}\nuri = \"test://?width=64&height=64&fps=5\"\nlive = true\n")
        };
        ids.iter().map(one).collect::<String>()
    };
    let mut served = serve(&of_file(&["kept", "gone"]));
    assert_eq!(served.call("POST", "/v1/streams", Some(&stream("mine"))).status, 201);
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let Served { folder, daemon, .. } = served;
    drop(daemon);
    std::fs::remove_file(folder.path().join("log")).expect("it is there");
    let mut served = start(folder, &of_file(&["kept", "gone"]));
    let ids = |served: &Served| -> Vec<(String, String)> {
        let streams = served.get("/v1/streams");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let all = streams["streams"].as_array().expect("a list").iter();
        all.map(|stream| (text(&stream["id"]), text(&stream["origin"]))).collect()
    };
    let named = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(id, origin)| ((*id).to_owned(), (*origin).to_owned())).collect()
    };
    let all = named(&[("gone", "file"), ("kept", "file"), ("mine", "api")]);
    served.until("it remembers", |served| ids(served) == all);

    let path = served.folder.path().join("avicuna.toml");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let since = |served: &Served| served.get("/v1/streams/kept")["status"]["since"].clone();
    served.until("it is watched", |served| served.get("/v1/streams/kept")["status"]["state"] == "watching");
    let before = since(&served);
    std::fs::write(&path, text.replace("\"gone\"", "\"new\"")).expect("it is written");
    served.daemon.signal("HUP");
    let all = named(&[("kept", "file"), ("mine", "api"), ("new", "file")]);
    served.until("the file is read again", |served| ids(served) == all);
    assert_eq!(since(&served), before, "what is as before is not touched");

    std::fs::write(&path, text.replace("live = true", "live = maybe")).expect("it is written");
    let refused = served.call("POST", "/v1/reload", None);
    assert!(refused.status == 409 && refused.body.contains("avicuna.toml:"), "{refused:?}");
    assert_eq!(ids(&served), all, "a wrong file changes nothing");
}

/// With the default model: the windows of a camera that shows one thing all along are read once, and answered alike.
#[test]
fn the_language_model_is_not_asked_again_where_nothing_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let film = |id: &str, look: &str, sound: &str| {
        let path = folder.path().join(format!("{id}.mp4"));
        ffmpeg(&format!("-f lavfi -i {look} -f lavfi -i {sound} -t 60 -pix_fmt yuv420p"), &path);
        format!("[[stream]]\nid = \"{id}\"\nuri = {path:?}\nhop = \"5s\"\n")
    };
    let model = "model.path = \"assets/models/avicuna-natural\"\n";
    let still = film("still", "color=black:size=64x64:rate=4", "anullsrc=r=16000:cl=mono");
    let moving = film("moving", "testsrc2=size=64x64:rate=4", "anoisesrc=r=16000:a=0.1");
    let mut served = serve(&format!("{model}{still}{moving}"));
    served.until("both are watched", |served| {
        let ended =
            |id: &str| served.get(&format!("/v1/streams/{id}/health"))["coverage"]["watched"].as_f64();
        [ended("still"), ended("moving")].iter().all(|seconds| *seconds >= Some(60.0))
    });
    let answers = |id: &str| {
        let windows = served.get(&format!("/v1/windows?stream={id}&limit=1000"));
        let windows = windows["windows"].as_array().expect("a list").clone();
        windows.iter().map(|window| window["answers"][0]["text"].clone()).collect::<Vec<_>>()
    };
    let (still, moving) = (answers("still"), answers("moving"));
    assert!(still.len() >= 9 && still.len() == moving.len(), "{still:?} {moving:?}");
    assert!(still.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 1, "{still:?}");
    let metrics = served.call("GET", "/metrics", None).body;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("avicuna_unchanged_windows_total{stream=\"still\"} "));
    let count: usize = count.and_then(|count| count.parse().ok()).expect("it is counted");
    // Of the moving one none need be; of the other all but the first, and the last, which may be shorter.
    assert!(count >= still.len() - 2, "{count} of {}", still.len());
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
}
