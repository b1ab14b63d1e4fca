//! What is not a stream: each ends with a word that names the trouble, and none hangs.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use avicuna_pipeline::source::{End, SourceConfig, SourceEvent};
use common::http::Http;
use common::media::{make, matroska, pictures, tone};
use common::{Running, all, check, config, frames, heard, live, media};
use tempfile::TempDir;

/// Why a file or address ends, and what came before.
async fn ends(uri: impl AsRef<Path>) -> (Vec<SourceEvent>, String) {
    let config = config(uri.as_ref().to_str().expect("utf-8"));
    let (events, reason) = all(config.clone()).await;
    check(&config, &events);
    (events, reason.to_string())
}

async fn is(uri: impl AsRef<Path>, kind: &str, words: &str) {
    let (events, reason) = ends(&uri).await;
    assert!(reason.starts_with(&format!("{kind}: ")), "{}: {reason}", uri.as_ref().display());
    assert!(reason.contains(words), "{reason}");
    assert!(frames(&events).is_empty() && heard(&events, 16_000) == 0.0);
}

#[tokio::test]
async fn what_is_not_there_or_not_a_file() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    is(path("missing.mp4"), "not-found", "missing.mp4 cannot be read").await;
    is(directory.path(), "not-media", "is a directory").await;
    is("gopher://host/a", "bad-uri", "the scheme \"gopher\" is not known; use one of").await;
    is("rtsp:///cam", "bad-uri", "names no host").await;
    is("test://?pattern=none", "bad-uri", "pattern=none is not known; use one of").await;
    let nothing = SourceConfig { grid: None, sample_rate: 0, ..config("test://") };
    assert!(all(nothing).await.1.to_string().starts_with("bad-uri: test://: neither frames nor samples"));
    let flat = SourceConfig { frame_size: 0, ..config("test://") };
    assert!(all(flat).await.1.to_string().starts_with("bad-uri: frames cannot be 0 pixels wide"));
}

#[tokio::test]
async fn what_holds_no_sound_or_pictures() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("a file is written");
    write("empty.mp4", b"");
    is(path("empty.mp4"), "not-media", "is empty (0 bytes)").await;
    let garbage: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write("garbage.mp4", &garbage);
    is(path("garbage.mp4"), "not-media", "garbage.mp4").await;
    write("words.mp4", b"these are words, and words alone do not make a film\n".repeat(100).as_slice());
    is(path("words.mp4"), "not-media", "words.mp4").await;
    // The right beginning, and nothing of what it promises.
    let mut false_start = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
    false_start.extend(&garbage);
    write("false.mp4", &false_start);
    let (_, reason) = ends(path("false.mp4")).await;
    assert!(["not-media", "decode", "truncated"].iter().any(|kind| reason.starts_with(kind)), "{reason}");

    let silent = path("silent.wav");
    make(&format!("{} ! wavenc ! filesink location={}", tone(1.0, 16_000, ""), silent.display()));
    let header = std::fs::read(&silent).expect("written")[..44].to_vec();
    write("silent.wav", &header);
    let impatient =
        SourceConfig { stall_timeout: Duration::from_secs(3), ..config(silent.to_str().expect("utf-8")) };
    let reason = all(impatient).await.1.to_string();
    assert!(reason.starts_with("not-media: ") && reason.contains("silent.wav"), "{reason}");

    let film = matroska(&path("film.mkv"), Some(&pictures(1.0, "")), None);
    let bytes = std::fs::read(&film).expect("written");
    let cluster = bytes.windows(4).position(|id| id == [0x1f, 0x43, 0xb6, 0x75]).expect("a cluster");
    write("frameless.mkv", &bytes[..cluster]);
    is(path("frameless.mkv"), "not-media", "frameless.mkv").await;

    let sound_only = SourceConfig { grid: None, ..config(film.to_str().expect("utf-8")) };
    let reason = all(sound_only).await.1.to_string();
    assert!(reason.starts_with("not-media: ") && reason.ends_with("only samples are asked for"), "{reason}");
}

#[tokio::test]
async fn a_film_that_was_cut_off_delivers_what_is_left_and_says_so() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let whole = path("whole.mp4");
    // The index at the front, as films for the web have it.
    make(&format!(
        "mp4mux name=mux faststart=true ! filesink location={} {} ! openh264enc ! h264parse ! queue ! mux. {} ! avenc_aac ! queue ! mux.",
        whole.display(),
        pictures(20.0, ""),
        tone(20.0, 48_000, "")
    ));
    let bytes = std::fs::read(&whole).expect("written");
    assert_eq!(ends(&whole).await.1, End::OfFile.to_string());
    std::fs::write(path("cut.mp4"), &bytes[..bytes.len() * 6 / 10]).expect("written");
    let (events, reason) = ends(path("cut.mp4")).await;
    assert!(reason.starts_with("truncated: "), "{reason}");
    assert!(reason.contains("lasts 20."), "{reason}");
    let seconds = heard(&events, 16_000);
    assert!((4.0..19.0).contains(&seconds), "{seconds}");

    // Real footage with its index at the end, which is gone.
    let footage = std::fs::read(media("bigbuckbunny.mp4")).expect("it is there");
    std::fs::write(path("footage.mp4"), &footage[..footage.len() / 2]).expect("written");
    is(path("footage.mp4"), "truncated", "footage.mp4").await;
}

#[tokio::test]
async fn damage_in_the_middle_does_not_cost_the_rest() {
    let directory = TempDir::new().expect("a directory");
    let damaged = directory.path().join("damaged.mp4");
    let mut bytes = std::fs::read(media("bigbuckbunny.mp4")).expect("it is there");
    for (at, byte) in bytes[300_000..500_000].iter_mut().enumerate() {
        *byte ^= (at * 31) as u8;
    }
    std::fs::write(&damaged, bytes).expect("written");
    let (events, reason) = ends(&damaged).await;
    assert!(reason == End::OfFile.to_string() || reason.starts_with("decode: "), "{reason}");
    assert!(frames(&events).len() > 5, "{}", frames(&events).len());
}

#[tokio::test]
async fn servers_that_refuse() {
    let directory = TempDir::new().expect("a directory");
    std::fs::write(directory.path().join("page.html"), "<html><body>no film here</body></html>")
        .expect("written");
    let http = Http::serve(directory.path());
    is(http.url("nothing.mp4"), "not-found", "nothing.mp4").await;
    is(http.url("nothing.m3u8?token=secret"), "not-found", "nothing.m3u8?***").await;
    is(http.url("403"), "unauthorised", "check user name, password and permissions").await;
    is(http.url("page.html"), "not-media", "page.html").await;
    let gone = http.url("a.mp4");
    drop(http);
    is(gone, "unreachable", "check that the server runs").await;
}

#[tokio::test]
async fn a_live_source_that_is_not_there_is_tried_again_until_it_is() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("late.mkv");
    let mut running = Running::start(live(path.to_str().expect("utf-8")));
    for _ in 0..3 {
        let events = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
        let Some(SourceEvent::Lost { failure, .. }) = events.last() else { panic!("{events:?}") };
        let reason = failure.to_string();
        assert!(reason.starts_with("not-found: "), "{reason}");
    }
    let ready = directory.path().join("ready.mkv");
    matroska(&ready, Some(&pictures(1.0, "")), Some(&tone(1.0, 16_000, "")));
    std::fs::rename(ready, path).expect("moved");
    running.until(|event| matches!(event, SourceEvent::Frame(_))).await;
    running.stop().await;
}

#[tokio::test]
async fn a_file_that_may_not_be_read() {
    if std::env::var_os("AVICUNA_TEST_FORBIDDEN").is_some() {
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions are set")
    };
    open(directory.path(), 0o755);
    let forbidden = directory.path().join("forbidden.mp4");
    std::fs::write(&forbidden, b"secret").expect("written");
    open(&forbidden, 0o000);
    // Root may read everything, so another user asks.
    let binary = directory.path().join("test");
    std::fs::copy(std::env::current_exe().expect("this test"), &binary).expect("copied");
    open(&binary, 0o755);
    let mut child = Command::new(&binary);
    child
        .args(["--exact", "--nocapture", "asked_by_another_user"])
        .env("AVICUNA_TEST_FORBIDDEN", &forbidden)
        .env("HOME", directory.path());
    if std::fs::File::open(&forbidden).is_ok() {
        child.uid(65_534).gid(65_534);
    }
    let output = child.output().expect("the test runs");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The other half of the test before; alone it has nothing to ask.
#[tokio::test]
async fn asked_by_another_user() {
    let Some(path) = std::env::var_os("AVICUNA_TEST_FORBIDDEN") else { return };
    is(Path::new(&path), "unauthorised", "may not be read").await;
}
