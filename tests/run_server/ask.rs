//! Questions to the model that watches, and addresses that are looked at.

use serde_json::{Value, json};

use super::support::served::serve;
use super::support::{self, repository};

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
