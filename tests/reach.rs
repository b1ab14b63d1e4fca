//! Where a source may lead to, in a process of its own: what a server says does not bring it elsewhere.

#[path = "support/apart.rs"]
mod apart;
#[path = "support/films.rs"]
mod films;
#[path = "../pipeline/tests/common/http.rs"]
mod http;

use std::path::Path;

use apart::{config, watch};
use avicuna_pipeline::source::reach::Reach;
use avicuna_pipeline::source::{End, SourceConfig};
use films::ffmpeg;
use http::Http;
use tempfile::TempDir;

/// How the source ends that may lead to `hosts`, and how much came before.
async fn watched(uri: String, hosts: &[&str]) -> (End, usize) {
    let reach = Reach::new(hosts.iter().map(|host| (*host).to_owned()).collect());
    watch(SourceConfig { reach: Some(reach), ..config(uri) }).await
}

fn film(folder: &TempDir, name: &str, more: &str) {
    let both =
        "-f lavfi -t 3 -i testsrc2=size=64x48:rate=10 -f lavfi -t 3 -i sine=frequency=440:sample_rate=16000";
    ffmpeg(
        &format!("{both} -c:v libx264 -preset ultrafast -g 10 -pix_fmt yuv420p -c:a aac {more}"),
        &folder.path().join(name),
    );
}

fn list(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("list.m3u8")).expect("it was made")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_to_allowed_hosts_only() {
    let folder = TempDir::new().expect("a folder");
    film(&folder, "a.mp4", "");
    let (here, there) = (Http::serve(folder.path()), Http::serve_at("127.0.0.2", folder.path()));
    let (end, count) = watched(here.url("a.mp4"), &["127.0.0.1"]).await;
    assert!(end == End::OfFile && count > 12, "{end}: {count}");
    let elsewhere = here.url(&format!("to/{}", there.url("a.mp4")));
    let (end, count) = watched(elsewhere.clone(), &["127.0.0.0/8"]).await;
    assert!(end == End::OfFile && count > 12, "{end}: {count}");
    for to in
        [elsewhere, here.url("to/http://169.254.169.254/latest/meta-data"), here.url("to/http://[::1]:1/")]
    {
        let (end, count) = watched(to.clone(), &["127.0.0.1"]).await;
        let said = end.to_string();
        assert!(
            said.starts_with("not-allowed: ") && said.contains("leads to ") && count == 0,
            "{to}: {said}"
        );
    }
    // And what a stream of the file may do is as it was.
    let (end, _) = watch(config(here.url(&format!("to/{}", there.url("a.mp4"))))).await;
    assert_eq!(end, End::OfFile);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_leads_to_allowed_hosts_only() {
    let folder = TempDir::new().expect("a folder");
    let parts = folder.path().join("part%d.ts");
    film(
        &folder,
        "list.m3u8",
        &format!("-f hls -hls_time 1 -hls_list_size 0 -hls_segment_filename {}", parts.display()),
    );
    let (here, there) = (Http::serve(folder.path()), Http::serve_at("127.0.0.2", folder.path()));
    let (end, count) = watched(here.url("list.m3u8"), &["127.0.0.1"]).await;
    assert!(end == End::OfFile && count > 12, "{end}: {count}");
    let text = list(folder.path());
    let write =
        |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("it is written");
    write("elsewhere.m3u8", text.replace("part", &there.url("part")));
    write("led.m3u8", text.replace("part", &here.url(&format!("to/{}", there.url("part")))));
    write(
        "master.m3u8",
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\n{}\n", there.url("list.m3u8")),
    );
    for name in ["elsewhere.m3u8", "led.m3u8", "master.m3u8"] {
        let (end, count) = watched(here.url(name), &["127.0.0.1"]).await;
        let said = end.to_string();
        assert!(
            said.starts_with("not-allowed: ") && said.contains("leads to 127.0.0.2:") && count == 0,
            "{name}: {said}"
        );
        let (end, count) = watched(here.url(name), &["127.0.0.1", "127.0.0.2"]).await;
        assert!(end == End::OfFile && count > 12, "{name}: {end}: {count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_in_a_process_of_its_own_and_its_neighbours_are_not() {
    let folder = TempDir::new().expect("a folder");
    film(&folder, "a.mkv", "");
    let (end, count) = watched(folder.path().join("a.mkv").display().to_string(), &["*"]).await;
    assert!(end == End::OfFile && count > 12, "{end}: {count}");
}
