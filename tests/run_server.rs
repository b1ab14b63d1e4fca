//! The daemon's interface: streams come, change and go while it runs; events are read, heard live and reviewed.

mod support;

use std::net::TcpListener;
use std::process::Command;

use avicuna_pipeline::answer::label_key;
use serde_json::{Value, json};
use support::served::{Ear, Reply, Served, serve, start, stream};
use support::{Daemon, check_coverage, check_lives, config, lines, repository};

fn problems(reply: &Reply) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let errors = reply.json()["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["message"]))).collect()
}

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

#[test]
fn events_are_found_heard_reviewed_and_explained() {
    let scene = repository("assets/demo/scene.mp4");
    let folder = scene.parent().expect("it is in a folder");
    let allowed = format!("control.allow.files = [{folder:?}]\n");
    let mut served = serve(&allowed);
    let mut ear = Ear::new(&served, "", None);
    let film = json!({"id": "film", "uri": scene, "queries": ["music"]});
    assert_eq!(served.call("POST", "/v1/streams", Some(&film)).status, 201);
    served.until("it has ended", |served| served.get("/v1/streams/film")["status"]["state"] == "ended");
    served.until("everything is delivered", |served| {
        let ended =
            lines(&served.output(), "events").iter().filter(|event| event.data["phase"] == "ended").count();
        served.get("/v1/events?stream=film&limit=1000")["events"].as_array().map(Vec::len) == Some(ended)
    });
    let published = lines(&served.output(), "events");
    assert!(!published.is_empty(), "{}", served.daemon.log());
    // What is heard is what is published, in its order.
    let count = published.len() + lines(&served.output(), "coverage").len();
    let records = std::iter::repeat_with(|| ear.next()).filter(|(_, name, _)| name != "stream");
    let heard: Vec<_> = records.take(count).collect();
    let events: Vec<&Value> =
        heard.iter().filter(|(_, name, _)| name != "coverage").map(|(_, _, record)| record).collect();
    assert_eq!(events, published.iter().map(|record| &record.data).collect::<Vec<_>>());
    // Whoever comes back hears what it missed, and nothing twice.
    let middle = count / 2;
    let mut again = Ear::new(&served, "?stream=film", Some(&heard[middle].0));
    for (id, name, record) in &heard[middle + 1..] {
        assert_eq!(again.next(), (id.clone(), name.clone(), record.clone()));
    }

    let first = published[0].text("event_id");
    let listed = served.get("/v1/events?stream=film&limit=1000");
    let ids: std::collections::BTreeSet<&str> =
        published.iter().map(|record| record.text("event_id")).collect();
    assert_eq!(listed["events"].as_array().map(Vec::len), Some(ids.len()));
    let counted = served.get("/v1/events/counts?stream=film&bucket=3600");
    assert_eq!(counted["total"].as_u64(), Some(ids.len() as u64), "{counted}");
    let event = served.get(&format!("/v1/events/{first}"));
    let told = published.iter().filter(|record| record.text("event_id") == first).count();
    assert!(
        event["phase"] == "ended" && event["revisions"].as_array().map(Vec::len) == Some(told),
        "{event}"
    );

    let review = format!("/v1/events/{first}/review");
    for (body, expected) in [
        (json!({"verdict": "wrong"}), 200),
        (json!({"verdict": "corrected"}), 422),
        (json!({"verdict": "right", "label": "a cat"}), 422),
        (json!({"verdict": "corrected", "label": "a cat", "start": 9.0, "end": 1.0}), 422),
        (json!({"verdict": "perhaps"}), 422),
        (json!({"verdict": "corrected", "label": "a cat"}), 200),
    ] {
        assert_eq!(served.call("POST", &review, Some(&body)).status, expected, "{body}");
    }
    assert_eq!(served.get(&format!("/v1/events/{first}"))["review"]["label"], "a cat");
    assert_eq!(served.get("/v1/reviews")["reviews"][0]["event"]["event_id"], first);
    assert_eq!(served.call("POST", "/v1/events/none/review", Some(&json!({"verdict": "right"}))).status, 404);

    // What was said chooses the least scores.
    if cfg!(feature = "training") {
        let reviews = served.folder.path().join("reviews.json");
        std::fs::write(&reviews, served.call("GET", "/v1/reviews", None).body).expect("it is written");
        let mut calibrate = support::avicuna();
        calibrate.args(["eval", "calibrate", "--least", "1", "--precision", "1", "--reviews"]).arg(&reviews);
        let chosen = calibrate.output().expect("it runs");
        let chosen =
            String::from_utf8_lossy(&chosen.stdout).into_owned() + &String::from_utf8_lossy(&chosen.stderr);
        let none = "# min_score: no score gives 1 on at least 1 of 1 reviewed events (0 right)";
        assert!(chosen.contains(none), "{chosen}");
        assert!(chosen.contains("min_label_scores = { ") && chosen.contains(" = 1 }"), "{chosen}");
    }

    // Why was nothing told? Every window says what it found, and how sure it would have had to be.
    let windows = served.get("/v1/windows?stream=film&limit=1000");
    let windows = windows["windows"].as_array().expect("a list");
    assert!(windows.iter().all(|window| window["fate"] == "answered" || window["reason"].is_string()));
    let found = windows.iter().flat_map(|window| window["answers"].as_array().cloned().unwrap_or_default());
    assert!(
        found
            .flat_map(|answer| answer["found"].as_array().cloned().unwrap_or_default())
            .all(|found| found["least"].is_number())
    );
    let coverage = served.get("/v1/coverage?stream=film");
    assert_eq!(
        coverage["coverage"].as_array().map(Vec::len),
        Some(lines(&served.output(), "coverage").len())
    );

    let picture = served.folder.path().join("picture.jpg");
    let url = format!("http://{}/v1/streams/film/snapshot.jpg", served.address);
    assert!(
        Command::new("curl")
            .args(["-sSf", "-o"])
            .arg(&picture)
            .arg(url)
            .status()
            .expect("curl runs")
            .success()
    );
    let picture = std::fs::read(picture).expect("it is there");
    assert!(
        picture.starts_with(&[0xff, 0xd8, 0xff]) && picture.ends_with(&[0xff, 0xd9]) && picture.len() > 2000
    );
}

#[test]
fn what_is_asked_wrongly_is_answered_so() {
    let served = serve("");
    for (path, expected) in [
        ("/v1/events/none", 404),
        ("/v1/streams/none", 404),
        ("/v1/streams/none/health", 404),
        ("/v1/streams/none/snapshot.jpg", 404),
        ("/v1/nothing", 404),
        ("/v1/events?from=yesterday", 400),
        ("/v1/events?limit=0", 400),
        ("/v1/events?min_score=2", 400),
        ("/v1/events?cursor=x", 400),
        ("/v1/events?modality=smelt", 400),
        ("/v1/events?colour=red", 400),
        ("/v1/events/counts", 200),
        ("/v1/events/counts?bucket=0", 400),
        ("/v1/events/counts?bucket=31622401", 400),
        ("/v1/events/counts?bucket=1", 400),
        ("/v1/events/counts?bucket=1&from=2026-11-29T14:00:00Z&to=2026-11-29T15:00:00Z", 200),
        ("/v1/events/counts?min_score=2", 400),
        ("/v1/events?stream=%27%3B%20DROP%20TABLE%20events%3B--", 200),
        ("/v1/events", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/asyncapi.yaml", 200),
        ("/healthz", 200),
    ] {
        let reply = served.call("GET", path, None);
        assert_eq!(reply.status, expected, "{path}: {}", reply.body);
        if expected >= 400 {
            let problem = reply.json();
            assert!(problem["detail"].is_string() && problem["status"] == expected, "{path}: {problem}");
        }
    }
    assert_eq!(served.call("PUT", "/v1/streams", None).status, 405);
    let curl = |arguments: &[&str]| {
        let url = format!("http://{}/v1/streams", served.address);
        let output =
            Command::new("curl").args(["-sS", "-w", "\n%{http_code}"]).args(arguments).arg(url).output();
        let text = String::from_utf8_lossy(&output.expect("curl runs").stdout).into_owned();
        text.rsplit_once('\n').map(|(body, status)| (status.to_owned(), body.to_owned())).expect("a status")
    };
    assert_eq!(curl(&["-d", "{}"]).0, "415", "what a page of elsewhere could send");
    assert_eq!(curl(&["-H", "Content-Type: application/json", "-d", "{"]).0, "400");
    let large = served.folder.path().join("large");
    std::fs::write(&large, vec![b' '; 100 << 20]).expect("it is written");
    let large = format!("@{}", large.display());
    assert_eq!(curl(&["-H", "Content-Type: application/json", "--data-binary", &large]).0, "413");
    assert_eq!(curl(&["-H", "Host: evil.example.org"]).0, "421", "a name that leads here from elsewhere");

    // Nobody gets through a stream to what the operator did not allow.
    for uri in [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/a",
        "http://169.254.169.254/x",
        "udp://0.0.0.0:1",
    ] {
        let refused = served.call("POST", "/v1/streams", Some(&json!({"id": "x", "uri": uri})));
        assert_eq!((refused.status, problems(&refused)[0].0.as_str()), (422, "/uri"), "{uri}: {refused:?}");
    }
}

#[test]
fn tokens_have_roles_and_a_daemon_that_others_can_reach_wants_some() {
    let made = |name: &str, role: &str| {
        let output = support::avicuna().args(["token", name, "--role", role]).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().lines().last().map(str::to_owned);
        (text(&output.stdout).expect("a line"), text(&output.stderr).expect("a token"))
    };
    let [(reader, read), (writer, write)] = [made("ann", "read"), made("ben", "write")];
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("{reader}\n{writer}\n")).expect("it is written");
    let served = serve(&format!("control.token_file = {tokens:?}\n"));
    let status = |token: Option<&str>, method: &str, path: &str, body: Option<&Value>| {
        served.call_as(token, method, path, body).status
    };
    assert_eq!(status(None, "GET", "/v1/streams", None), 401);
    assert_eq!(status(Some("avs_ann_00"), "GET", "/v1/streams", None), 401);
    assert_eq!(status(Some(&read), "GET", "/v1/streams", None), 200);
    assert_eq!(status(Some(&read), "POST", "/v1/streams", Some(&stream("one"))), 403);
    assert_eq!(status(Some(&write), "POST", "/v1/streams", Some(&stream("one"))), 201);
    assert_eq!(status(Some(&write), "POST", "/v1/reload", None), 403);
    assert_eq!(status(None, "GET", "/healthz", None), 200, "probes are not asked");
    assert!(!served.daemon.log().contains(read.rsplit('_').next().expect("a secret")));

    let free = TcpListener::bind("0.0.0.0:0").and_then(|free| free.local_addr()).expect("a port");
    let text = config(&folder, "[[stream]]\nid = \"a\"\nuri = \"test://\"\n")
        .replace("\"off\"", &format!("\"0.0.0.0:{}\"", free.port()));
    let mut open = Daemon::start(&folder, &text);
    assert_eq!(open.wait().code(), Some(2));
    assert!(open.log().contains("control.listen") && open.log().contains("token_file"), "{}", open.log());
}

#[test]
fn a_rule_is_tried_on_what_was_and_fires_on_what_comes() {
    let mut served = serve("");
    assert_eq!(served.call("POST", "/v1/streams", Some(&json!({
        "id": "one", "uri": "test://?width=64&height=64&fps=5&wave=ticks&duration=40", "live": false,
        "hop": "5s", "window": "10s", "min_score": 0.0
    }))).status, 201);
    served.until("it has ended", |served| served.get("/v1/streams/one")["status"]["state"] == "ended");
    let windows = served.get("/v1/windows?stream=one&limit=1000");
    let found = windows["windows"].as_array().expect("a list").iter().flat_map(|window| {
        let answers = window["answers"].as_array().cloned().unwrap_or_default();
        answers
            .into_iter()
            .flat_map(|answer| answer["found"].as_array().cloned().unwrap_or_default())
            .collect::<Vec<_>>()
    });
    let labels: Vec<String> = found.map(|found| found["label"].as_str().expect("text").to_owned()).collect();
    let label = labels.first().expect("with a least score of 0 something is told");

    let rule = json!({"id": "r1", "label": label, "min_score": 0.0});
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule)).status, 201);
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule)).status, 409);
    let wrong = served.call("POST", "/v1/rules", Some(&json!({"id": "r2", "label": "x", "n_of_m": [2, 1]})));
    assert_eq!((wrong.status, problems(&wrong)[0].0.as_str()), (422, "/n_of_m"));
    let tried = served.call("POST", "/v1/rules/r1/test", Some(&json!({})));
    let alerts = tried.json()["alerts"].as_array().cloned().unwrap_or_default();
    let expected = labels.iter().filter(|other| label_key(other) == label_key(label)).count();
    assert!(!alerts.is_empty() && alerts.len() <= expected, "{tried:?}");
    let stricter = served.call(
        "POST",
        "/v1/rules/r1/test",
        Some(&json!({"rule": {"label": label, "min_score": 1.0, "cooldown": 1e6}})),
    );
    assert!(stricter.json()["alerts"].as_array().is_some_and(|some| some.len() <= 1), "{stricter:?}");

    let mut ear = Ear::new(&served, "", None);
    assert_eq!(served.call("POST", "/v1/streams", Some(&json!({
        "id": "two", "uri": "test://?width=64&height=64&fps=5&wave=ticks&duration=40", "live": false,
        "hop": "5s", "window": "10s", "min_score": 0.0
    }))).status, 201);
    let alert = loop {
        let (_, name, record) = ear.next();
        if name == "alert" {
            break record;
        }
    };
    assert_eq!((&alert["rule_id"], &alert["stream_id"]), (&json!("r1"), &json!("two")), "{alert}");
    assert_eq!(
        served.call("PATCH", "/v1/rules/r1", Some(&json!({"enabled": false}))).json()["enabled"],
        false
    );
    assert_eq!(served.call("DELETE", "/v1/rules/r1", None).status, 204);
    assert_eq!(served.call("GET", "/v1/rules/r1", None).status, 404);
}

#[test]
fn the_model_that_watches_can_be_asked_and_an_address_be_looked_at() {
    let scene = repository("assets/demo/scene.mp4");
    let folder = scene.parent().expect("it is in a folder");
    let mut served = serve(&format!(
        "model.path = \"assets/models/avicuna-natural\"\ncontrol.allow.files = [{folder:?}]\n"
    ));
    served.until("the model is loaded", |served| {
        served.get("/v1/models")["data"][0]["id"] == "avicuna-natural"
    });
    let ask = |question: &str, about: Value| {
        let content = json!([{"type": "text", "text": question}, about]);
        served.call(
            "POST",
            "/v1/chat/completions",
            Some(&json!({"messages": [{"role": "user", "content": content}]})),
        )
    };
    let film = json!({"type": "video_url", "video_url": {"url": scene}});
    let answer = ask("when does a violin play?", film.clone());
    let events = answer.json()["avicuna"]["events"].as_array().cloned().unwrap_or_default();
    assert!(answer.status == 200 && !events.is_empty(), "{answer:?}");
    let words = answer.json()["choices"][0]["message"]["content"].as_str().expect("words").to_owned();
    assert!(words.contains(" to ") && answer.json()["object"] == "chat.completion", "{words}");
    let none = ask("is there a helicopter?", film);
    assert_eq!(none.json()["avicuna"]["events"], json!([]), "{none:?}");
    let secret = ask("what is in it?", json!({"type": "video_url", "video_url": {"url": "/etc/passwd"}}));
    assert_eq!(secret.status, 422, "{secret:?}");

    let played = json!({"id": "scene", "uri": scene, "realtime": false});
    assert_eq!(served.call("POST", "/v1/streams", Some(&played)).status, 201);
    served.until("it has ended", |served| served.get("/v1/streams/scene")["status"]["state"] == "ended");
    let asked = |source: &str, question: &str| {
        let at = format!("http://{}", served.address);
        let output =
            support::avicuna().args(["ask", source, question, "--daemon", &at]).output().expect("it runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (good, said) = asked("scene", "what happened?");
    assert!(good && said.contains(" to "), "{said}");
    let (good, said) = asked("nobody", "what happened?");
    assert!(!good && said.contains("nobody"), "{said}");

    let looked = served.call("POST", "/v1/streams/probe", Some(&json!({"uri": scene}))).json();
    assert!(looked["works"] == true && looked["audio"] == true && looked["video"] == true, "{looked}");
    let [picture, sound] = [&looked["video_format"], &looked["audio_format"]];
    assert_eq!((&picture["codec"], &sound["codec"]), (&json!("h264"), &json!("aac")), "{looked}");
    assert!(picture["width"].as_u64() > Some(100) && picture["height"].as_u64() > Some(100), "{looked}");
    assert!(picture["frame_rate"].as_f64() > Some(1.0), "{looked}");
    assert!(sound["sample_rate"].as_u64() >= Some(8000) && sound["channels"].as_u64() >= Some(1), "{looked}");
    assert!(looked["clock"].is_string() && looked["length"].as_f64() > Some(59.0), "{looked}");
    let looked =
        served.call("POST", "/v1/streams/probe", Some(&json!({"uri": "rtsp://192.0.2.1:1/x"}))).json();
    assert!(looked["works"] == false && looked["reason"].is_string(), "{looked}");
}

/// With few descriptors, and more connections than those that say nothing.
#[test]
fn connections_that_say_nothing_do_not_take_the_interface_away() {
    let mut served = serve("control.max_clients = 100\n");
    let mut silent = Vec::new();
    for number in 0..1500 {
        if let Ok(mut stream) = std::net::TcpStream::connect(&served.address) {
            if number % 2 == 0 {
                let _closed = std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: 127.0");
            }
            silent.push(stream);
        }
    }
    let pid = served.daemon.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    assert!(open < 200, "{open} descriptors are open");
    // Who says nothing for 10 s is let go.
    let healthy = |served: &Served| {
        let url = format!("http://{}/healthz", served.address);
        Command::new("curl")
            .args(["-sf", "--max-time", "5", &url])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    served.until("it answers again", healthy);
    drop(silent);
}

/// The `curl` commands of a document's shell blocks, each on one line.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(document)).expect("it is there");
    let mut blocks = text.split("\n```");
    let mut found = Vec::new();
    while let (Some(_words), Some(block)) = (blocks.next(), blocks.next()) {
        let Some(shell) = block.strip_prefix("sh\n") else { continue };
        let mut command = String::new();
        for line in shell.lines() {
            command = format!("{command} {}", line.trim().trim_end_matches('\\'));
            let whole = command.matches('\'').count().is_multiple_of(2) && !line.ends_with('\\');
            if whole {
                found.push(std::mem::take(&mut command).trim().to_owned());
            }
        }
    }
    found.retain(|command| command.starts_with("curl "));
    found
}

#[test]
fn the_examples_of_the_documents_work_as_written() {
    let scene = repository("assets/demo/scene.mp4");
    let store = tempfile::tempdir().expect("a folder");
    let mut served =
        serve(&format!("[clips]\nstore = {:?}\n[[stream]]\nid = \"film\"\nuri = {scene:?}\n", store.path()));
    let yard = "test://?width=64&height=64&fps=5&wave=ticks";
    served
        .until("it tells something", |served| served.get("/v1/events")["events"][0]["event_id"].is_string());
    let event = served.get("/v1/events")["events"][0]["event_id"].as_str().expect("an id").to_owned();
    let mut tried = 0;
    for command in
        ["README.md", "docs/api.md", "docs/clips.md"].iter().flat_map(|document| commands(document))
    {
        // A daemon of another machine, with a token of its own; the test of tokens has one.
        if command.contains("avicuna.example.org") {
            continue;
        }
        let adds = command.contains("POST localhost:9464/v1/streams ");
        let is_there = served.call("GET", "/v1/streams/yard", None).status == 200;
        if adds && is_there {
            assert_eq!(served.call("DELETE", "/v1/streams/yard", None).status, 204);
        } else if !adds && !is_there {
            let again = json!({"id": "yard", "uri": yard});
            assert_eq!(served.call("POST", "/v1/streams", Some(&again)).status, 201);
        }
        let here = command
            .replace("localhost:9464", &served.address)
            .replace("EVENT_ID", &event)
            .replace("rtsp://camera.example.org/stream1", yard);
        let here = here.replacen("curl ", "curl -sS --max-time 5 -w '\n%{http_code}' ", 1);
        // A picture, and a window that can be asked about, take their time.
        served.until(&command, |served| {
            let mut shell = Command::new("sh");
            let output =
                shell.args(["-c", &here]).current_dir(served.folder.path()).output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stdout);
            said.rsplit('\n').next().is_some_and(|status| status.starts_with('2'))
        });
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} examples were found");
}
