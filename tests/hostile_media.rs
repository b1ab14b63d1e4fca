//! Damaged media through the process of a source: whatever a server sends, the one who asked for it lives, and each source ends by itself
//! or is ended. `FUZZ_MEDIA` damaged inputs of each kind, ten without; `FUZZ_SEED` for other damage: `fuzz/README.md`.

#[path = "support/mutate.rs"]
mod mutate;

#[path = "support/apart.rs"]
mod apart;
#[path = "support/films.rs"]
mod films;
#[path = "../pipeline/tests/common/http.rs"]
mod http;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apart::{config, watch};
use avicuna_pipeline::source::End;
use avicuna_pipeline::source::failure::Kind;
use films::ffmpeg;
use http::Http;
use mutate::Mutator;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Sources at once.
const AT_ONCE: usize = 4;
/// What of a kind of media is damaged: whole files of it, and the words of the format.
struct Media {
    name: &'static str,
    extension: &'static str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

const PICTURES: &str = "-f lavfi -t 2 -i testsrc2=size=64x48:rate=10";
const SOUND: &str = "-f lavfi -t 2 -i sine=frequency=440:sample_rate=16000";
const CODECS: &str = "-c:v libx264 -preset ultrafast -g 5 -pix_fmt yuv420p -c:a aac -b:a 32k";

fn media(folder: &Path) -> Vec<Media> {
    let made = |arguments: &str, name: &str| {
        let path = folder.join(name);
        ffmpeg(arguments, &path);
        std::fs::read(path).expect("it was made")
    };
    let both = |more: &str, name: &str| made(&format!("{PICTURES} {SOUND} {CODECS} {more}"), name);
    vec![
        Media {
            name: "mp4",
            extension: "mp4",
            seeds: vec![
                both("", "plain.mp4"),
                both("-movflags +faststart", "front.mp4"),
                both("-movflags frag_keyframe+empty_moov", "parts.mp4"),
            ],
            words: &[
                "moov", "trak", "mdia", "minf", "stbl", "stsd", "stts", "stsc", "stsz", "stco", "co64",
                "ctts", "elst", "mvhd", "tkhd", "avcC", "esds", "moof", "traf", "trun", "mdat", "free",
                "udta", "meta",
            ],
        },
        Media {
            name: "ts",
            extension: "ts",
            seeds: vec![both("", "a.ts")],
            words: &["\u{47}@\0\u{10}", "\u{47}P\0\u{10}", "\0\0\u{1}", "\u{2}\u{b0}"],
        },
        Media {
            name: "mkv",
            extension: "mkv",
            seeds: vec![both("", "a.mkv"), made(&format!("{SOUND} -c:a libopus"), "b.mkv")],
            words: &["V_MPEG4/ISO/AVC", "A_AAC", "A_OPUS", "V_VP9", "A_VORBIS", "A_FLAC", "matroska", "webm"],
        },
        Media {
            name: "h264",
            extension: "h264",
            seeds: vec![made(&format!("{PICTURES} {CODECS}"), "a.h264")],
            words: &["\0\0\0\u{1}g", "\0\0\0\u{1}h", "\0\0\0\u{1}e", "\0\0\u{1}A", "\0\0\u{1}\u{6}"],
        },
        Media {
            name: "aac",
            extension: "aac",
            seeds: vec![made(&format!("{SOUND} -c:a aac"), "a.aac")],
            words: &["\u{ff}\u{f1}", "\u{ff}\u{f9}"],
        },
        Media {
            name: "hls",
            extension: "m3u8",
            seeds: vec![playlist(folder)],
            words: &[
                "#EXTM3U\n",
                "#EXTINF:",
                "#EXTINF:0,\n",
                "#EXTINF:1e99,\n",
                "#EXT-X-ENDLIST\n",
                "#EXT-X-TARGETDURATION:",
                "#EXT-X-MEDIA-SEQUENCE:",
                "#EXT-X-DISCONTINUITY\n",
                "#EXT-X-BYTERANGE:1@0\n",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"a\"\n",
                "#EXT-X-MAP:URI=\"part0.ts\"\n",
                "#EXT-X-STREAM-INF:BANDWIDTH=1\n",
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"list.m3u8\"\n",
                "#EXT-X-I-FRAMES-ONLY\n",
                "part0.ts\n",
                "part9.ts\n",
                "-1",
                "99999999999999999999",
            ],
        },
    ]
}

/// A playlist and its parts, which stay as they are.
fn playlist(folder: &Path) -> Vec<u8> {
    let list = folder.join("list.m3u8");
    let parts = folder.join("part%d.ts");
    let arguments = format!(
        "{PICTURES} {SOUND} {CODECS} -f hls -hls_time 1 -hls_list_size 0 -hls_playlist_type vod -hls_segment_filename {}",
        parts.display()
    );
    ffmpeg(&arguments, &list);
    std::fs::read(list).expect("it was made")
}

/// How a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// At the end of what it could read.
    Ended,
    /// With a reason.
    Failed,
    /// By a fault or an assertion in its process.
    Crashed,
    /// Its process was killed, for it hung or grew.
    Killed,
}

/// Watches `uri` in a process; how it ended and how many frames and pieces of sound came before.
async fn fate(uri: String) -> (Fate, usize) {
    let (end, count) = watch(config(uri)).await;
    let fate =
        match end {
            End::OfFile => Fate::Ended,
            End::Failed(failure) if failure.kind == Kind::Crashed => {
                if failure.message.contains("ended by SIG") { Fate::Crashed } else { Fate::Killed }
            }
            _ => Fate::Failed,
        };
    (fate, count)
}

fn number(name: &str, usual: u64) -> u64 {
    let read = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"));
    std::env::var(name).map_or(usual, read)
}

/// Where inputs are kept that ended a process.
fn kept() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_media_end_their_source_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let http = Http::serve(folder.path());
    let (inputs, seed) = (number("FUZZ_MEDIA", 10), number("FUZZ_SEED", 1));
    let (places, mut running) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for Media { name, extension, seeds, words } in media(folder.path()) {
        let mut mutator = Mutator::new(seed, words);
        let whole = seeds.len();
        for index in 0..whole + inputs as usize {
            let input = if index < whole { seeds[index].clone() } else { mutator.damaged(&seeds) };
            let file = format!("{name}-{index}.{extension}");
            let path = folder.path().join(&file);
            let place = Arc::clone(&places).acquire_owned().await.expect("it is open");
            std::fs::write(&path, &input).expect("it is written");
            let uri = if name == "hls" { http.url(&file) } else { path.display().to_string() };
            running.spawn(async move {
                let (fate, count) = fate(uri.clone()).await;
                assert!(
                    index >= whole || (fate == Fate::Ended && count > 0),
                    "{uri} is whole: {fate:?}, {count}"
                );
                if matches!(fate, Fate::Crashed | Fate::Killed) {
                    std::fs::write(kept().join(&file), &input).expect("it is kept");
                }
                // Gone before the next comes, or a long run would fill the disk.
                std::fs::remove_file(&path).expect("it is there");
                drop(place);
                (name, fate, count > 0)
            });
        }
    }
    let mut fates: BTreeMap<(&str, Fate), usize> = BTreeMap::new();
    let mut watched = 0;
    while let Some(ended) = running.join_next().await {
        let (name, fate, some) = ended.expect("no panic");
        *fates.entry((name, fate)).or_default() += 1;
        watched += usize::from(some);
    }
    let total: usize = fates.values().sum();
    println!("{total} inputs, {watched} of which something was watched: {fates:?}");
    assert!(
        watched > 0 && fates.keys().any(|(_, fate)| *fate == Fate::Failed),
        "the damage shows: {fates:?}"
    );
}
