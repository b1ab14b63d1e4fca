//! Clips of events, from a camera to who looks at them, and what becomes of them when a store fails. Events are never touched by it.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::rtsp::Camera;
use support::s3::{BUCKET, KEY, S3};
use support::served::{Served, serve};
use support::{check_lives, lines, repository, sources};

const SCENE: &str = "assets/demo/scene.mp4";

/// `[clips]` with a store, and that the scene may be watched as a file.
fn sections(store: &str, more: &str) -> String {
    let folder = repository("assets/demo");
    format!(
        "control.allow.files = [{folder:?}]\n[clips]\nstore = {store:?}\npre_roll = \"2s\"\npost_roll = \"3s\"\nlongest = \"20s\"\n\
         {more}\n"
    )
}

fn film(id: &str) -> Value {
    json!({"id": id, "uri": repository(SCENE), "hop": "5s", "window": "10s", "min_score": 0.0})
}

/// The events of a stream, in their last state.
fn events(served: &Served, stream: &str) -> Vec<Value> {
    let page = served.get(&format!("/v1/events?stream={stream}&limit=1000"));
    page["events"].as_array().cloned().unwrap_or_default()
}

fn id(event: &Value) -> &str {
    event["event_id"].as_str().expect("an id")
}

/// Watches the scene to its end.
fn watch(served: &mut Served, stream: &str) {
    assert_eq!(served.call("POST", "/v1/streams", Some(&film(stream))).status, 201);
    let path = format!("/v1/streams/{stream}");
    served.until("it has ended", |served| served.get(&path)["status"]["state"] == "ended");
    served.until("its events are kept", |served| {
        let events = events(served, stream);
        !events.is_empty() && events.iter().all(|event| event["phase"] == "ended")
    });
}

/// What became of the evidence of an event, once something did.
fn fate(served: &mut Served, event: &str) -> (u16, Value) {
    let path = format!("/v1/events/{event}/evidence");
    served.until("something became of a clip", |served| {
        let reply = served.call("GET", &path, None);
        !(reply.status == 404 && reply.json()["type"] == "not-yet")
    });
    let reply = served.call("GET", &path, None);
    (reply.status, reply.json())
}

/// A file of the interface: the status, its headers in small letters, and its bytes.
fn fetch(served: &Served, path: &str, headers: &[&str]) -> (u16, String, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (head, body) = (folder.path().join("head"), folder.path().join("body"));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60", "-D"]).arg(&head).arg("-o").arg(&body);
    headers.iter().for_each(|header| {
        curl.args(["-H", header]);
    });
    let status = curl.arg(format!("http://{}{path}", served.address)).status().expect("curl runs");
    assert!(status.success(), "{path}");
    let head = std::fs::read_to_string(&head).expect("headers").to_lowercase();
    let code = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (code, head, std::fs::read(&body).unwrap_or_default())
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The codecs of a file, sorted, and how long it is.
fn probe(path: &Path) -> (Vec<String>, f64) {
    let path = path.to_str().expect("UTF-8");
    let show = |what: &str| run("ffprobe", &["-v", "error", "-show_entries", what, "-of", "csv=p=0", path]);
    let mut codecs: Vec<String> =
        show("stream=codec_name").lines().map(|line| line.trim_matches(',').to_owned()).collect();
    codecs.sort();
    (codecs, show("format=duration").trim().parse().expect("a number"))
}

/// Longest group of pictures of the scene, in seconds.
const GROUP: f64 = 2.2;

#[test]
fn a_camera_is_watched_and_its_events_can_be_looked_at() {
    let camera = Camera::start(&repository(SCENE));
    let store = tempfile::tempdir().expect("a folder");
    let sections = sections(store.path().to_str().expect("UTF-8"), "");
    let mut served = serve(&format!("control.allow.hosts = [\"127.0.0.1\"]\n{sections}"));
    let stream = json!({"id": "a\"b'<é>", "uri": camera.uri(), "hop": "5s", "window": "10s", "min_score": 0.0,
                        "reconnect": {"initial": "300ms", "max": "1s"}});
    assert_eq!(served.call("POST", "/v1/streams", Some(&stream)).status, 201);
    let name = "a%22b%27%3C%C3%A9%3E";
    served.until("an event is over", |served| {
        events(served, name).iter().any(|event| event["phase"] == "ended")
    });
    let all = events(&served, name);
    let event = all.iter().find(|event| event["phase"] == "ended").expect("one").clone();
    let path = format!("/v1/events/{}", id(&event));
    assert_eq!(event["evidence"]["clip"], format!("{path}/clip.mp4"), "{event}");
    let (status, made) = fate(&mut served, id(&event));
    assert_eq!(status, 200, "{made}");
    assert_eq!((&made["clip"]["video"], &made["clip"]["audio"]), (&json!("H.264"), &json!("AAC")), "{made}");

    let (code, head, bytes) = fetch(&served, &format!("{path}/clip.mp4"), &[]);
    assert!(
        code == 200 && head.contains("content-type: video/mp4") && head.contains("accept-ranges: bytes"),
        "{head}"
    );
    let file = served.folder.path().join("clip.mp4");
    std::fs::write(&file, &bytes).expect("written");
    let (codecs, length) = probe(&file);
    assert_eq!(codecs, ["aac", "h264"]);
    let seconds = |pointer: &str| event.pointer(pointer).and_then(Value::as_f64).expect("a number");
    let (start, end) = (seconds("/start/stream"), seconds("/end/stream"));
    let expected = end.min(start + 20.0) + 3.0 - (start - 2.0).max(0.0);
    assert!(length > expected - 1.0 && length < expected + GROUP, "{length} s for {start} to {end}");
    let (code, head, picture) = fetch(&served, &format!("{path}/snapshot.jpg"), &[]);
    assert!(
        code == 200 && head.contains("content-type: image/jpeg") && picture.starts_with(b"\xff\xd8"),
        "{head}"
    );
    let (code, head, picture) = fetch(&served, &format!("{path}/spectrogram.png"), &[]);
    assert!(
        code == 200 && head.contains("content-type: image/png") && picture.starts_with(b"\x89PNG"),
        "{head}"
    );

    let clip = format!("{path}/clip.mp4");
    let (code, head, part) = fetch(&served, &clip, &["Range: bytes=100-199"]);
    assert_eq!((code, &part[..]), (206, &bytes[100..200]));
    assert!(head.contains(&format!("content-range: bytes 100-199/{}", bytes.len())), "{head}");
    let (code, _, part) = fetch(&served, &clip, &["Range: bytes=-50"]);
    assert_eq!((code, &part[..]), (206, &bytes[bytes.len() - 50..]));
    let (code, head, _) = fetch(&served, &clip, &[&format!("Range: bytes={}-", bytes.len())]);
    assert!(
        code == 416 && head.contains(&format!("content-range: bytes */{}", bytes.len())),
        "{code} {head}"
    );
    let (code, _, part) = fetch(&served, &clip, &["Range: bytes=0-9", "If-Range: \"other\""]);
    assert_eq!((code, part.len()), (200, bytes.len()));
    let tag = head_of(&fetch(&served, &clip, &[]).1, "etag");
    assert_eq!(fetch(&served, &clip, &[&format!("If-None-Match: {tag}")]).0, 304);
    assert_eq!(fetch(&served, "/v1/events/nobody/clip.mp4", &[]).0, 404);

    // The process of the source dies, and with it what it kept: events go on, and clips come again.
    let before = events(&served, name).len();
    let [source] = sources(served.daemon.pid())[..] else { panic!("one source is apart") };
    assert!(
        Command::new("kill").args(["-s", "ABRT", &source.to_string()]).status().expect("kill runs").success()
    );
    served.until("events go on", |served| events(served, name).len() > before + 1);
    served.until("clips come again", |served| {
        let after = events(served, name);
        let newest = after.iter().take(after.len() - before).filter(|event| event["phase"] == "ended");
        newest.map(id).any(|id| served.call("GET", &format!("/v1/events/{id}/evidence"), None).status == 200)
    });
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    check_lives(&lines(&served.output(), "events"), "a\"b'<é>");
}

#[test]
fn what_people_said_of_events_becomes_a_corpus_to_train_on() {
    let store = tempfile::tempdir().expect("a folder");
    let mut served = serve(&sections(store.path().to_str().expect("UTF-8"), ""));
    watch(&mut served, "yard");
    let kept = |served: &mut Served, event: &Value| fate(served, id(event)).0 == 200;
    let all: Vec<Value> =
        events(&served, "yard").into_iter().filter(|event| kept(&mut served, event)).collect();
    let [right, wrong, ..] = &all[..] else { panic!("{all:?}") };
    let review = |event: &Value, said: Value| {
        let path = format!("/v1/events/{}/review", id(event));
        assert_eq!(served.call("POST", &path, Some(&said)).status, 200);
    };
    review(right, json!({"verdict": "corrected", "label": "A brass bell"}));
    review(wrong, json!({"verdict": "wrong"}));
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(place("reviews.json"), served.get("/v1/reviews?limit=100000").to_string())
        .expect("written");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());

    let import =
        ["dataset", "import", "--dataset", "reviews", "--own-labels", "--absent-queries", "0", "--list"];
    let (list, media, out) =
        (place("reviews.json"), store.path().to_str().expect("UTF-8").to_owned(), place("corpus"));
    run(env!("CARGO_BIN_EXE_avicuna"), &[&import[..], &[&list, "--media", &media, "--out", &out]].concat());
    let lines = std::fs::read_to_string(place("corpus/timelines.jsonl")).expect("time lines");
    let timelines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(timelines.len(), 2, "{lines}");
    let of = |event: &Value| {
        let found = timelines.iter().find(|timeline| timeline["id"] == event["event_id"]);
        found.unwrap_or_else(|| panic!("{event} in {lines}"))
    };
    assert_eq!(of(right)["segments"][0]["label"], "a brass bell");
    let told = wrong["label"].as_str().expect("a label").to_lowercase();
    assert!(of(wrong)["absent"].as_array().is_some_and(|absent| absent.contains(&json!(told))), "{lines}");
    let (codecs, length) = probe(Path::new(&place(&format!("corpus/videos/{}.mp4", id(right)))));
    assert_eq!(codecs, ["aac", "h264"]);
    let duration = of(right)["duration"].as_f64().expect("seconds");
    assert!((length - duration).abs() < 0.5, "{length} s and {duration} s");
}

fn head_of(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.expect("the header is there").trim().to_owned()
}

#[test]
fn a_store_that_vanishes_or_fills_costs_clips_and_no_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, away) = (folder.path().join("clips"), folder.path().join("away"));
    let mut served = serve(&sections(store.to_str().expect("UTF-8"), ""));
    watch(&mut served, "whole");
    let all = events(&served, "whole");
    for event in &all {
        let (status, made) = fate(&mut served, id(event));
        assert_eq!(status, 200, "{made}");
    }
    let kept = |served: &Served| served.call("GET", "/metrics", None).body;
    let metrics = kept(&served);
    let count = |stream: &str, outcome: &str, count: usize| {
        format!("avicuna_event_clips_total{{stream=\"{stream}\",outcome=\"{outcome}\"}} {count}\n")
    };
    assert!(metrics.contains(&count("whole", "kept", all.len())), "{metrics}");
    assert!(served.get("/readyz")["clips"].is_null());

    std::fs::rename(&store, &away).expect("moved away");
    watch(&mut served, "gone");
    let lost = events(&served, "gone");
    assert_eq!(lost.len(), all.len(), "no event is lost");
    for event in &lost {
        let (status, why) = fate(&mut served, id(event));
        assert!(status == 410 && why["type"] == "dropped", "{why}");
        assert!(why["detail"].as_str().is_some_and(|detail| detail.contains("the folder is gone")), "{why}");
        assert_eq!(fetch(&served, &format!("/v1/events/{}/snapshot.jpg", id(event)), &[]).0, 410);
    }
    let ready = served.get("/readyz");
    assert!(
        ready["ready"] == true
            && ready["clips"].as_str().is_some_and(|why| why.contains("the folder is gone")),
        "{ready}"
    );
    assert!(kept(&served).contains(&count("gone", "dropped", lost.len())));
    assert_eq!(served.daemon.log().matches("the store of clips fails").count(), 1, "it is said once");
    assert!(!store.exists(), "a folder that is gone is not made again");
    assert_eq!(served.call("GET", &format!("/v1/events/{}/evidence", id(&all[0])), None).status, 503);

    std::fs::rename(&away, &store).expect("moved back");
    let full = Full::of(&store);
    watch(&mut served, "full");
    let lost = events(&served, "full");
    assert_eq!(lost.len(), all.len(), "no event is lost");
    for event in &lost {
        let (status, why) = fate(&mut served, id(event));
        assert!(status == 410 && why["type"] == "dropped", "{why}");
    }
    drop(full);
    watch(&mut served, "again");
    for event in &events(&served, "again") {
        assert_eq!(fate(&mut served, id(event)).0, 200);
    }
    assert!(served.get("/readyz")["clips"].is_null());
    assert!(served.daemon.log().contains("the store of clips works again"));

    // Somebody deletes a clip.
    std::fs::remove_dir_all(store.join("whole")).expect("it is there");
    let (status, why) = fate(&mut served, id(&all[0]));
    assert!(status == 410 && why["type"] == "deleted", "{why}");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let told = lines(&served.output(), "events");
    for stream in ["whole", "gone", "full", "again"] {
        check_lives(&told, stream);
    }
    let work = served.folder.path().join("avicuna-clips-work/cuts");
    let streams = std::fs::read_dir(&work).expect("it is there");
    let left =
        streams.flat_map(|stream| std::fs::read_dir(stream.expect("a folder").path()).expect("a stream's"));
    assert_eq!(left.count(), 0, "nothing is left behind");
}

/// A folder that takes nothing: a tiny disk is mounted over it, or, where that may not be done, it must not be written.
struct Full {
    path: std::path::PathBuf,
    mounted: bool,
}

impl Full {
    fn of(path: &Path) -> Self {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "none"]).arg(path).status();
        let mounted = mount.is_ok_and(|status| status.success());
        let full = Self { path: path.to_owned(), mounted };
        full.writable(false);
        full
    }

    fn writable(&self, writable: bool) {
        use std::os::unix::fs::PermissionsExt;
        if !self.mounted {
            let mode = if writable { 0o755 } else { 0o555 };
            std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.writable(true);
        if self.mounted {
            let _status = Command::new("umount").arg(&self.path).status();
        }
    }
}

#[test]
fn clips_lie_in_an_s3_store_are_read_in_parts_and_deleted_when_they_are_too_many() {
    let s3 = S3::listen();
    let keys = format!(
        "[clips.s3]\nendpoint = \"http://{}\"\nregion = \"eu-1\"\naccess_key_id = {KEY:?}\nsecret_access_key = \"secret\"\n",
        s3.address
    );
    let mut served = serve(&sections(&format!("s3://{BUCKET}/some/where"), &keys));
    watch(&mut served, "film");
    let all = events(&served, "film");
    for event in &all {
        let (status, made) = fate(&mut served, id(event));
        assert_eq!(status, 200, "{made}");
    }
    let paths = s3.paths();
    assert!(paths.iter().all(|path| path.starts_with("some/where/film/")), "{paths:?}");
    assert_eq!(paths.iter().filter(|path| path.ends_with("/about.json")).count(), all.len());
    let clip = format!("/v1/events/{}/clip.mp4", id(&all[0]));
    let (_, _, bytes) = fetch(&served, &clip, &[]);
    let (code, _, part) = fetch(&served, &clip, &["Range: bytes=10-29"]);
    assert_eq!((code, &part[..]), (206, &bytes[10..30]));

    s3.fill(true);
    watch(&mut served, "full");
    let dropped = events(&served, "full");
    assert_eq!(dropped.len(), all.len(), "no event is lost");
    let (status, why) = fate(&mut served, id(&dropped[0]));
    assert!(
        status == 410 && why["detail"].as_str().is_some_and(|why| why.contains("InsufficientStorage")),
        "{why}"
    );
    s3.fill(false);
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());

    // The next daemon may keep hardly anything: what is there is deleted, the oldest first.
    let folder = served.folder;
    drop(served.daemon);
    std::fs::remove_file(folder.path().join("log")).expect("it is there");
    let small = format!("max_bytes = 1\n{keys}");
    let mut served = support::served::start(folder, &sections(&format!("s3://{BUCKET}/some/where"), &small));
    served.until("everything is deleted", |_| s3.paths().is_empty());
    let (status, why) = fate(&mut served, id(&all[0]));
    assert!(status == 410 && why["type"] == "deleted", "{why}");
    assert!(why["detail"].as_str().is_some_and(|why| why.contains("clips.max_bytes were reached")), "{why}");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    let store = tempfile::tempdir().expect("a folder");
    let mut served = serve(&sections(store.path().to_str().expect("UTF-8"), ""));
    let mut off = film("off");
    off["clips"] = json!(false);
    let mut masked = film("masked");
    (masked["mask"], masked["clip_audio"]) = (json!([[0.0, 0.0, 1.0, 1.0]]), json!(false));
    for stream in [&off, &masked] {
        assert_eq!(served.call("POST", "/v1/streams", Some(stream)).status, 201);
    }
    served.until("both are over", |served| {
        ["off", "masked"]
            .iter()
            .all(|id| served.get(&format!("/v1/streams/{id}"))["status"]["state"] == "ended")
    });
    served.until("events are kept", |served| {
        ["off", "masked"].iter().all(|id| events(served, id).iter().any(|event| event["phase"] == "ended"))
    });
    let off = events(&served, "off");
    assert!(off.iter().all(|event| event.get("evidence").is_none()), "{off:?}");
    let (status, why) = fate(&mut served, id(&off[0]));
    assert!(status == 404 && why["type"] == "not-kept", "{why}");
    let masked = events(&served, "masked");
    let event = masked.iter().find(|event| event["phase"] == "ended").expect("one").clone();
    assert_eq!(event["evidence"], json!({"snapshot": format!("/v1/events/{}/snapshot.jpg", id(&event))}));
    let (status, made) = fate(&mut served, id(&event));
    assert!(status == 200 && made["clip"].is_null() && made["spectrogram"] == false, "{made}");
    assert_eq!(fetch(&served, &format!("/v1/events/{}/clip.mp4", id(&event)), &[]).0, 410);
    assert_eq!(fetch(&served, &format!("/v1/events/{}/snapshot.jpg", id(&event)), &[]).0, 200);
    assert!(!store.path().join("off").exists());
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
}
