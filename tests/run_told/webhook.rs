//! Webhooks: alerts, though they fail or others do, and streams that are lost.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::kafka::Port;
use super::support::receiver::{Answer, Letter, Receiver};
use super::support::served::{Ear, serve};
use super::support::sources;
use super::{again, alerts, ended, film, label, once, sink};

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
