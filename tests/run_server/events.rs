//! Events, found, heard live, reviewed and explained.

use std::process::Command;

use serde_json::{Value, json};

use super::support::served::{Ear, serve};
use super::support::{self, lines, repository};

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
