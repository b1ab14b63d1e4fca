//! Parts from a hub and from plain web servers: downloads that break off, go on or are refused.

use super::place::Place;
use super::server::{Behaviour, Server, serving};
use super::{Anything, content};

const HUB: &str = r#"{ hub = { repo = "somebody/tiny", revision = "main", file = "llm.gguf" } }"#;

const HUB_PATH: &str = "/somebody/tiny/resolve/main/llm.gguf";

#[test]
fn a_part_comes_from_the_hub_once() -> Anything {
    let (bytes, sum) = content(300_000);
    let server = Server::start(serving(HUB_PATH, &bytes))?;
    let place = Place::new(HUB, &sum)?;
    assert!(place.run("show", &[])?.contains("not usable"));
    let environment = [("HF_ENDPOINT", &*server.address), ("HF_TOKEN", "secret")];
    let said = place.run("pull", &environment)?;
    assert!(said.contains("llm       fetched"), "{said}");
    assert!(said.contains("audio     present"), "{said}");
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    assert!(server.downloads().iter().all(|r| r.authorization.as_deref() == Some("Bearer secret")));
    let asked = server.requests.lock().expect("no test panics with it").len();
    assert!(place.run("pull", &environment)?.contains("llm       present"));
    assert_eq!(server.requests.lock().expect("no test panics with it").len(), asked, "it was there");
    let shown = place.run("show", &[])?;
    assert!(shown.contains("test@3") && !shown.contains("not usable"), "{shown}");
    Ok(())
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() -> Anything {
    let (bytes, sum) = content(500_000);
    let url = format!("{HUB_PATH}.url");
    for hub in [true, false] {
        let path = if hub { HUB_PATH } else { &url };
        let behaviour = Behaviour { cuts: 2, cut_after: 150_000, ..serving(path, &bytes) };
        let server = Server::start(behaviour)?;
        let address = format!("{{ url = {{ url = \"{}{url}\" }} }}", server.address);
        let place = Place::new(if hub { HUB } else { &address }, &sum)?;
        place.run("pull", &[("HF_ENDPOINT", &server.address)])?;
        assert_eq!(std::fs::read(place.fetched())?, bytes);
        let ranges: Vec<String> = server.downloads().into_iter().filter_map(|r| r.range).collect();
        assert_eq!(ranges, ["bytes=0-", "bytes=150000-", "bytes=300000-"], "hub {hub}");
    }
    Ok(())
}

#[test]
fn a_later_pull_goes_on_where_an_earlier_one_gave_up() -> Anything {
    let (bytes, sum) = content(500_000);
    let behaviour = Behaviour { cuts: 1000, cut_after: 40_000, ..serving(HUB_PATH, &bytes) };
    let server = Server::start(behaviour)?;
    let place = Place::new(HUB, &sum)?;
    let environment = [("HF_ENDPOINT", &*server.address)];
    let said = place.run("pull", &environment).expect_err("it breaks off again and again");
    assert!(said.contains("run the command again"), "{said}");
    assert_eq!(place.parts(), 0, "nothing unfinished is taken for a part");
    let before = server.downloads().len();
    server.change(|b| b.cuts = 0);
    place.run("pull", &environment)?;
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    let last = server.downloads().split_off(before);
    assert_eq!(last.len(), 1);
    assert_ne!(last[0].range.as_deref(), Some("bytes=0-"), "it started again");
    Ok(())
}

#[test]
fn a_server_without_ranges_is_asked_again_from_the_start() -> Anything {
    let (bytes, sum) = content(200_000);
    let behaviour = Behaviour { cuts: 1, cut_after: 70_000, whole: true, ..serving("/llm", &bytes) };
    let server = Server::start(behaviour)?;
    let place = Place::new(&format!("{{ url = {{ url = \"{}/llm\" }} }}", server.address), &sum)?;
    place.run("pull", &[])?;
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    Ok(())
}

#[test]
fn what_has_another_checksum_is_not_kept() -> Anything {
    let (bytes, sum) = content(10_000);
    let mut other = bytes.clone();
    other[5000] ^= 1;
    let server = Server::start(serving(HUB_PATH, &other))?;
    let environment = [("HF_ENDPOINT", &*server.address)];
    let place = Place::new(HUB, &sum)?;
    let said = place.run("pull", &environment).expect_err("the bytes are others");
    assert!(said.contains("llm.gguf") && said.contains(&sum) && said.contains("sha256"), "{said}");
    assert_eq!(place.parts(), 0);
    server.change(|b| {
        b.files.insert(HUB_PATH.into(), bytes.clone());
    });
    place.run("pull", &environment)?;
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    // A part that was damaged on the disk is fetched again; one in the model directory is the user's.
    std::fs::write(place.fetched(), "damaged")?;
    place.run("pull", &environment)?;
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    let users = place.folder.path().join("model/tiny/llm.gguf");
    std::fs::create_dir(users.parent().expect("it has one"))?;
    std::fs::write(&users, "somebody's own")?;
    let said = place.run("pull", &environment).expect_err("it is another file");
    assert!(said.contains("delete it"), "{said}");
    assert_eq!(std::fs::read(&users)?, b"somebody's own");
    Ok(())
}

#[test]
fn refusals_say_what_to_do() -> Anything {
    let (bytes, sum) = content(1000);
    let server = Server::start(serving(HUB_PATH, &bytes))?;
    let place = Place::new(HUB, &sum)?;
    for (status, advice) in [(401, "HF_TOKEN"), (403, "licence"), (404, "revision `main`"), (503, "503")] {
        server.change(|b| b.status = Some(status));
        let said = place.run("pull", &[("HF_ENDPOINT", &server.address)]).expect_err("it refuses");
        assert!(said.contains(advice) && said.contains("somebody/tiny"), "{status}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    for repo in ["../../etc", "a b/c", "x/%2e%2e"] {
        place.write(&HUB.replace("somebody/tiny", repo), &sum)?;
        let said = place.run("pull", &[("HF_ENDPOINT", &server.address)]).expect_err("no repository");
        assert!(said.contains("no name on the hub"), "{repo}: {said}");
    }
    Ok(())
}
