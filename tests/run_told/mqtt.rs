//! Alerts by MQTT, through a restart of the broker, and how long they take by each way; what Home Assistant finds.

use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::delays::{Stamped, answers, print_delays, seconds};
use super::support::HANG;
use super::support::kafka::Port;
use super::support::mosquitto::Mosquitto;
use super::support::receiver::Receiver;
use super::support::served::{Served, serve};
use super::{again, alerts, ended, film, label, once, sink};

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
    served.until("it is announced", |_| broker.retained("homeassistant/#").len() >= 5);
    let found = broker.retained("homeassistant/#");
    let topics: Vec<&str> = found.iter().map(|(topic, _)| topic.as_str()).collect();
    let expected = [
        "homeassistant/binary_sensor/av_first/watched/config",
        "homeassistant/binary_sensor/av_second/watched/config",
        "homeassistant/event/av_first/events/config",
        "homeassistant/event/av_second/events/config",
        "homeassistant/event/av_rules/r_2e1/config",
    ];
    assert!(expected.iter().all(|topic| topics.contains(topic)) && topics.len() == 5, "{topics:?}");
    for (topic, config) in &found {
        let config: Value = serde_json::from_str(config).expect("JSON");
        assert_eq!(config["availability"][0]["topic"], "av/available", "{topic}");
    }
    assert_eq!(served.call("DELETE", "/v1/streams/first", None).status, 204);
    served.until("it is taken back", |_| broker.retained("homeassistant/#").len() == 3);

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
    // What is to go was announced by an earlier run.
    let mut served = again(served, &format!("{rest}streams = [\"second\"]\nsend = [\"streams\"]\n"));
    served.until("the rest is taken back", |_| {
        let found = broker.retained("homeassistant/#");
        found
            .iter()
            .map(|(topic, _)| topic.as_str())
            .eq(["homeassistant/binary_sensor/av_second/watched/config"])
    });
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let _ended = (subscriber.kill(), subscriber.wait());
}
