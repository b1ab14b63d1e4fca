//! Whoever is told hears every alert at least once and in order, whatever becomes of him, of others and of the daemon.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use support::kafka::Port;
use support::mosquitto::Mosquitto;
use support::receiver::{Answer, Letter, Receiver};
use support::served::{Ear, Served, serve, start};
use support::{HANG, sources};

/// A picture with sound of so many seconds, of which everything is told, however unsure.
fn film(id: &str, seconds: u32) -> Value {
    let uri = format!("test://?width=64&height=64&fps=5&wave=ticks&duration={seconds}");
    json!({"id": id, "uri": uri, "live": false, "hop": "2s", "window": "4s", "min_score": 0.0})
}

/// What the model finds in such a picture most often.
fn label(served: &mut Served) -> String {
    assert_eq!(served.call("POST", "/v1/streams", Some(&film("first", 16))).status, 201);
    ended(served, "first");
    let windows = served.get("/v1/windows?stream=first&limit=1000");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for window in windows["windows"].as_array().expect("a list") {
        for found in window["answers"][0]["found"].as_array().into_iter().flatten() {
            *counts.entry(found["label"].as_str().expect("text").to_owned()).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.expect("with a least score of 0 something is told").0
}

fn ended(served: &mut Served, id: &str) {
    let path = format!("/v1/streams/{id}");
    served.until("it has ended", |served| served.get(&path)["status"]["state"] == "ended");
    // Behind everything else of it.
    let is_last = |served: &Served| {
        let states = history(served, &format!("&stream={id}"));
        states.iter().rfind(|record| record["since"].is_string()).is_some_and(|last| last["state"] == "ended")
    };
    served.until("its end is kept", is_last);
}

/// Every record that the history remembers.
fn history(served: &Served, filter: &str) -> Vec<Value> {
    let url = format!("http://{}/v1/events/stream?after=0{filter}", served.address);
    let output = Command::new("curl").args(["-sSN", "--max-time", "2", &url]).output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

fn sink(served: &Served, name: &str) -> Value {
    let sinks = served.get("/v1/sinks");
    let sinks = sinks["sinks"].as_array().expect("a list");
    sinks.iter().find(|sink| sink["name"] == name).expect("it is configured").clone()
}

/// Ids of all alerts in the order of the history.
fn alerts(served: &Served) -> Vec<String> {
    history(served, "")
        .iter()
        .filter_map(|record| record["alert_id"].as_str().map(|id| format!("alerts/{id}")))
        .collect()
}

/// The signature as OpenSSL makes it.
fn signature(secret: &str, letter: &Letter) -> String {
    let script = "openssl dgst -sha256 -hmac \"$0\" -binary | base64";
    let mut openssl = Command::new("sh")
        .args(["-c", script, secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let signed = format!("{}.{}.{}", letter.id(), letter.headers["webhook-timestamp"], letter.body);
    openssl.stdin.take().expect("it is piped").write_all(signed.as_bytes()).expect("it reads");
    let output = openssl.wait_with_output().expect("it ends");
    format!("v1,{}", String::from_utf8_lossy(&output.stdout).trim())
}

/// The same daemon again, after it has ended.
fn again(served: Served, rest: &str) -> Served {
    let Served { folder, daemon, .. } = served;
    drop(daemon);
    std::fs::remove_file(folder.path().join("log")).expect("it is there");
    start(folder, rest)
}

/// A list without what comes again.
fn once(ids: &[String]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    ids.iter().filter(|id| seen.insert(*id)).cloned().collect()
}

#[test]
fn every_alert_reaches_a_webhook_that_fails_and_a_daemon_that_is_killed_and_nobody_waits_for_another() {
    let (flaky, steady) = (Port::free(), Port::free());
    let refuses = [Answer::Status(204, ""), Answer::Status(400, "")];
    let taker = Receiver::listen(steady.number(), &refuses);
    let rest = format!(
        "[[webhook]]\nname = \"flaky\"\nurl = \"http://{}/hook?key=hidden\"\nsecret = \"s3cret\"\ntimeout = \"1s\"\n\
         [[webhook]]\nname = \"steady\"\nurl = \"http://{}/hook\"\n\
         template = '{{\"text\": \"{{{{label}}}} at {{{{start.utc}}}}\", \"score\": {{{{score}}}}, \"id\": \"{{{{id}}}}\"}}'\n",
        flaky.address(),
        steady.address()
    );
    let mut served = serve(&rest);
    let label = label(&mut served);
    let wrong = json!({"id": "r1", "label": label, "targets": ["flaky", "nobody"]});
    let refused = served.call("POST", "/v1/rules", Some(&wrong));
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/targets/1")));
    let rule = json!({"id": "r1", "label": label, "min_score": 0.0});
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule)).status, 201);
    assert_eq!(served.call("POST", "/v1/streams", Some(&film("second", 24))).status, 201);

    // Nobody listens at the first; the second hears all the same.
    served.until("the other is told", |served| sink(served, "steady")["delivered"].as_u64() >= Some(3));
    let down = sink(&served, "flaky");
    assert!(
        down["state"] == "down" && down["delivered"] == 0 && down["waiting"].as_u64() >= Some(3),
        "{down}"
    );
    assert!(down["reason"].as_str().is_some_and(|reason| reason.contains("refused")), "{down}");
    ended(&mut served, "second");
    served.until("nothing waits", |served| sink(served, "steady")["waiting"] == 0);
    let all = alerts(&served);
    assert_eq!(sink(&served, "flaky")["waiting"], all.len(), "{all:?}");
    let heard: Vec<String> = taker.letters().iter().map(|letter| letter.id().to_owned()).collect();
    assert_eq!(heard, all, "each once and in order");
    let steady = sink(&served, "steady");
    assert_eq!((&steady["refused"], steady["delivered"].as_u64()), (&json!(1), Some(all.len() as u64 - 1)));
    assert!(steady["refusal"].as_str().is_some_and(|why| why.starts_with("400")), "{steady}");
    let said = taker.letters()[0].json();
    assert!(said["text"].as_str().is_some_and(|text| text.starts_with(&format!("{label} at 20"))), "{said}");
    assert!(
        said["score"].is_f64()
            && taker.letters()[0].id() == format!("alerts/{}", said["id"].as_str().expect("text"))
    );
    let metrics = served.call("GET", "/metrics", None).body;
    assert!(metrics.contains("avicuna_sink_up{sink=\"flaky\",kind=\"webhook\"} 0\n"), "{metrics}");
    assert!(
        metrics.contains("avicuna_sink_refused_total{sink=\"steady\",kind=\"webhook\"} 1\n"),
        "{metrics}"
    );
    let log = served.daemon.log();
    assert_eq!(log.matches("a sink is down").count(), 1, "once for each outage:\n{log}");
    assert!(
        !log.contains("hidden") && !log.contains("s3cret") && !down.to_string().contains("hidden"),
        "{log}"
    );

    // The first comes, and fails in every way; then the daemon is killed.
    let fails = [
        Answer::Status(500, ""),
        Answer::Status(429, "Retry-After: 3"),
        Answer::Hang,
        Answer::Status(503, ""),
        Answer::Status(200, ""),
        Answer::Hang,
    ];
    let giver = Receiver::listen(flaky.number(), &fails);
    served.until("it hangs again", |_| giver.letters().len() >= fails.len());
    served.daemon.kill();
    let mut served = again(served, &rest);
    served.until("the rules are there", |served| served.get("/v1/rules")["rules"][0]["id"] == "r1");
    for id in ["first", "second"] {
        ended(&mut served, id);
    }
    served.until("nothing waits", |served| sink(served, "flaky")["waiting"] == 0);
    let all = alerts(&served);
    assert_eq!(once(&giver.taken()), all, "every alert, in order");
    let repeats = giver.taken().len() - all.len();
    assert!(repeats <= 1, "{repeats} came again");
    let letters = giver.letters();
    for letter in letters.iter().step_by(5).chain(&letters[..fails.len()]) {
        assert_eq!(letter.headers["webhook-signature"], signature("s3cret", letter), "{letter:?}");
        let event = letter.json();
        assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("avicuna.alert.v1")));
        assert_eq!(
            (&event["source"], &event["id"]),
            (
                &json!(format!("/avicuna/streams/{}", event["data"]["stream_id"].as_str().expect("text"))),
                &event["data"]["alert_id"]
            )
        );
    }
    let tries: Vec<&str> = letters[..5].iter().map(Letter::id).collect();
    assert!(tries.iter().all(|id| *id == all[0]), "the first until it is taken: {tries:?}");
    assert!(letters[2].at - letters[1].at >= Duration::from_secs(3), "Retry-After is kept");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
}

/// Lines of a program with the times at which they came.
#[derive(Clone, Default)]
struct Stamped {
    lines: Arc<Mutex<Vec<(SystemTime, String)>>>,
}

impl Stamped {
    fn of(child: &mut Child) -> Self {
        let (stamped, output) = (Self::default(), child.stdout.take().expect("it is piped"));
        let lines = stamped.lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().expect("nobody panics").push((SystemTime::now(), line));
            }
        });
        stamped
    }

    fn lines(&self) -> Vec<(SystemTime, String)> {
        self.lines.lock().expect("nobody panics").clone()
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs_f64()
}

/// When the model answered each window, from the log.
fn answers(log: &str) -> BTreeMap<String, f64> {
    let answered = log.lines().filter(|line| line.contains("answered window="));
    let parsed = answered.map(|line| {
        let window = line.split("window=").nth(1).expect("a window").trim().to_owned();
        let time =
            Command::new("date").args(["+%s.%N", "-d", line.split(' ').next().expect("a time")]).output();
        let text = String::from_utf8_lossy(&time.expect("date runs").stdout).trim().to_owned();
        (window, text.parse().expect("a number"))
    });
    parsed.collect()
}

fn print_delays(what: &str, answered: &BTreeMap<String, f64>, heard: &[(String, f64)]) {
    let mut delays: Vec<f64> =
        heard.iter().filter_map(|(window, at)| Some((at - answered.get(window)?) * 1e3)).collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays.len() > 2, "{what}: {heard:?} of {answered:?}");
    let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize];
    println!(
        "{what}: {} alerts, median {:.1} ms, 95% {:.1} ms, worst {:.1} ms",
        delays.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

#[test]
fn a_broker_hears_alerts_at_once_and_after_its_restart_and_home_assistant_finds_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut broker = Mosquitto::start(folder.path());
    let port = Port::free();
    let taker = Receiver::listen(port.number(), &[]);
    let rest = format!(
        "log.level = \"debug\"\n\
         [[webhook]]\nname = \"ops\"\nurl = \"http://{}/hook\"\nsend = [\"alerts\", \"streams\"]\n\
         [[mqtt]]\nname = \"home\"\nbroker = \"{}\"\nprefix = \"av\"\n",
        port.address(),
        broker.address()
    );
    let mut subscriber = broker.subscribe(&["-t", "av/#", "-c", "-i", "test"]);
    let mut subscriber = subscriber.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let heard = Stamped::of(&mut subscriber);
    let mut served = serve(&rest);
    let mut ear = Command::new("curl")
        .args(["-sSN", &format!("http://{}/v1/events/stream", served.address)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl runs");
    let sse = Stamped::of(&mut ear);
    let label = label(&mut served);
    let rule =
        |id: &str, targets: &[&str]| json!({"id": id, "label": label, "min_score": 0.0, "targets": targets});
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule("r.1", &[]))).status, 201);
    assert_eq!(served.call("POST", "/v1/rules", Some(&rule("ops-only", &["ops"]))).status, 201);
    assert_eq!(broker.retained("av/available"), [("av/available".to_owned(), "online".to_owned())]);

    assert_eq!(served.call("POST", "/v1/streams", Some(&film("second", 24))).status, 201);
    ended(&mut served, "second");
    for name in ["home", "ops"] {
        served.until("nothing waits", |served| sink(served, name)["waiting"] == 0);
    }
    let told_home = |heard: &Stamped| -> Vec<(String, Value, f64)> {
        let parse = |(at, line): (SystemTime, String)| {
            let mut parts = line.splitn(4, ' ');
            let (topic, _retained, qos, payload) =
                (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            assert!(qos == "1" || topic == "av/available", "{line}");
            Some((topic.to_owned(), serde_json::from_str(payload).unwrap_or(Value::Null), seconds(at)))
        };
        heard.lines().into_iter().filter_map(parse).collect()
    };
    let of_home = |served: &Served| -> Vec<String> {
        alerts(served).into_iter().filter(|id| id.starts_with("alerts/r.1/")).collect()
    };
    let alert_ids = |told: &[(String, Value, f64)]| -> Vec<String> {
        let alerts = told.iter().filter(|(topic, _, _)| topic.ends_with("/alerts"));
        alerts.map(|(_, alert, _)| format!("alerts/{}", alert["alert_id"].as_str().expect("text"))).collect()
    };
    let all = alerts(&served);
    let to_ops: Vec<String> = taker.taken().into_iter().filter(|id| id.starts_with("alerts/")).collect();
    assert_eq!(to_ops, all, "no rule is kept from it");
    assert!(!of_home(&served).is_empty() && of_home(&served).len() * 2 == all.len(), "{all:?}");
    let told = told_home(&heard);
    assert_eq!(alert_ids(&told), of_home(&served), "a rule tells only its targets");
    let states: Vec<_> = told.iter().filter(|(topic, _, _)| topic == "av/second/status").collect();
    let words: Vec<_> = states.iter().map(|(_, state, _)| state["state"].as_str().expect("text")).collect();
    assert_eq!(words, ["watching", "ended"]);
    assert!(states[1].1["reason"].is_string(), "{states:?}");
    assert!(told.iter().any(|(topic, event, _)| topic == "av/second/events" && event["phase"] == "started"));

    // Delays, from the model's answer.
    let answered = answers(&served.daemon.log());
    let alert = |value: &Value| value["window_id"].as_str().map(str::to_owned);
    let mqtt: Vec<_> = told.iter().filter_map(|(_, value, at)| Some((alert(value)?, *at))).collect();
    print_delays("MQTT", &answered, &mqtt);
    let now = (SystemTime::now(), Instant::now());
    let webhook = taker.letters().into_iter().filter_map(|letter| {
        let ago = now.1 - letter.at;
        Some((alert(&letter.json()["data"])?, seconds(now.0 - ago)))
    });
    print_delays("webhook", &answered, &webhook.collect::<Vec<_>>());
    let data = sse.lines().into_iter().filter_map(|(at, line)| {
        let record: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        Some((alert(&record)?, seconds(at)))
    });
    print_delays("SSE", &answered, &data.collect::<Vec<_>>());
    let _ended = (ear.kill(), ear.wait());

    // What Home Assistant finds.
    served.until("it is announced", |_| broker.retained("homeassistant/#").len() >= 3);
    let found = broker.retained("homeassistant/#");
    let topics: Vec<&str> = found.iter().map(|(topic, _)| topic.as_str()).collect();
    let expected = [
        "homeassistant/binary_sensor/av_first/watched/config",
        "homeassistant/binary_sensor/av_second/watched/config",
        "homeassistant/event/av_rules/r_2e1/config",
    ];
    assert!(expected.iter().all(|topic| topics.contains(topic)) && topics.len() == 3, "{topics:?}");
    for (topic, config) in &found {
        let config: Value = serde_json::from_str(config).expect("JSON");
        assert_eq!(config["availability"][0]["topic"], "av/available", "{topic}");
    }
    assert_eq!(served.call("DELETE", "/v1/streams/first", None).status, 204);
    served.until("it is taken back", |_| broker.retained("homeassistant/#").len() == 2);

    // The broker goes in the middle, and comes back.
    assert_eq!(served.call("POST", "/v1/streams", Some(&film("third", 30))).status, 201);
    let before = sink(&served, "home")["delivered"].as_u64();
    served.until("some is told", |served| {
        sink(served, "home")["delivered"].as_u64() > before.map(|count| count + 2)
    });
    broker.down();
    served.until("it is noticed", |served| sink(served, "home")["state"] == "down");
    ended(&mut served, "third");
    served.until("the other does not wait", |served| sink(served, "ops")["waiting"] == 0);
    let waiting = sink(&served, "home");
    assert!(waiting["waiting"].as_u64() > Some(0) && waiting["reason"].is_string(), "{waiting}");
    broker.up();
    served.until("it is told", |served| sink(served, "home")["waiting"] == 0);
    let expected = of_home(&served);
    served.until("all came", |_| once(&alert_ids(&told_home(&heard))).len() >= expected.len());
    assert_eq!(once(&alert_ids(&told_home(&heard))), expected, "every alert, in order");

    served.daemon.kill();
    let started = Instant::now();
    while broker.retained("av/available") != [("av/available".to_owned(), "offline".to_owned())] {
        assert!(started.elapsed() < HANG, "the will: {:?}", broker.retained("av/available"));
    }
    let mut served = again(served, &rest);
    served.until("it is back", |_| broker.retained("av/available")[0].1 == "online");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    assert_eq!(broker.retained("av/available")[0].1, "offline", "a goodbye");
    let _ended = (subscriber.kill(), subscriber.wait());
}

#[test]
fn a_stream_that_is_lost_and_back_is_told_with_the_reason() {
    let port = Port::free();
    let taker = Receiver::listen(port.number(), &[]);
    let rest = format!(
        "[[webhook]]\nname = \"ops\"\nurl = \"http://{}/hook\"\nsend = [\"streams\"]\n\
         [[stream]]\nid = \"cam\"\nuri = \"test://?width=64&height=64&fps=5\"\nlive = true\n\
         isolation = \"process\"\nreconnect.initial = \"300ms\"\n",
        port.address()
    );
    let mut served = serve(&rest);
    let mut ear = Ear::new(&served, "?after=0", None);
    served.until("it is watched", |_| taker.letters().len() == 1);
    let pid = served.daemon.pid();
    let [source] = sources(pid)[..] else { panic!("one source is apart: {:?}", sources(pid)) };
    assert!(
        Command::new("kill").args(["-s", "ABRT", &source.to_string()]).status().expect("kill runs").success()
    );
    served.until("it is back", |_| taker.letters().len() == 3);
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let told: Vec<Value> = taker.letters().iter().map(|letter| letter.json()["data"].clone()).collect();
    let states: Vec<&str> = told.iter().map(|told| told["state"].as_str().expect("text")).collect();
    assert_eq!(states, ["watching", "lost", "watching", "ended"], "its end is told before the daemon ends");
    let reasons: Vec<_> = told.iter().map(|told| told["reason"].as_str()).collect();
    assert!(reasons[1].is_some_and(|reason| reason.starts_with("crashed: ")), "{told:?}");
    assert!(reasons[0].is_none() && reasons[2].is_none() && reasons[3].is_some(), "{told:?}");
    let heard = std::iter::repeat_with(|| ear.next()).find(|(_, name, _)| name == "stream");
    assert_eq!(heard.map(|(_, _, record)| record), Some(told[0].clone()), "server-sent events tell it too");
}
