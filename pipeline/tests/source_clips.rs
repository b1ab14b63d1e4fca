//! Clips that sources cut from what they got, encoded: looked at with ffprobe and ffmpeg, which are not what made them.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use avicuna_pipeline::source::cut::{
    CLIP, ClipRules, Container, Cut, CutOrder, Made, Recording, Rectangle, SNAPSHOT, SPECTROGRAM,
};
use avicuna_pipeline::source::{RingConfig, SourceConfig, SourceEvent, spawn_recorded};
use avicuna_pipeline::timeline::StreamTime;
use common::media::ffmpeg;
use common::rtsp::Rtsp;
use common::{HANG, config, live};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A film that flashes and clicks at every even second; a group of pictures has a second.
fn film(path: &Path, seconds: u32, video: &str, audio: &str) {
    let flash = "drawbox=color=white:t=fill:enable='lt(mod(t,2),0.2)'";
    let click = "aevalsrc=exprs='if(lt(mod(t,2),0.1),0.8*sin(2*PI*1000*t),0)':s=48000";
    ffmpeg(&format!(
        "-f lavfi -i color=black:s=320x240:r=25:d={seconds},{flash} -f lavfi -i {click}:d={seconds} \
         -g 25 -pix_fmt yuv420p {video} {audio} {}",
        path.display()
    ));
}

const H264: &str = "-c:v libx264 -preset ultrafast";
const B_FRAMES: &str = "-c:v libx264 -preset ultrafast -bf 3 -x264-params b-adapt=0";
const AAC: &str = "-c:a aac";

fn rules(mask: Vec<Rectangle>, audio: bool) -> ClipRules {
    let ring = RingConfig { time: Duration::from_secs(60), bytes: 32 << 20 };
    ClipRules { ring, mask, audio }
}

/// A source whose clips can be had.
struct Recorded {
    events: mpsc::Receiver<SourceEvent>,
    cuts: mpsc::Sender<CutOrder>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Recorded {
    fn start(config: SourceConfig, rules: ClipRules) -> Self {
        let (sender, events) = mpsc::channel(16);
        let (cuts, orders) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let _task = spawn_recorded(
            config,
            Recording { rules, folder: std::env::temp_dir(), orders },
            sender,
            stop.clone(),
        );
        Self { events, cuts, stop, folder: tempfile::tempdir().expect("a folder") }
    }

    /// Reads until the stream has come so far, or is over.
    async fn until(&mut self, seconds: f64) {
        loop {
            let next = tokio::time::timeout(HANG, self.events.recv()).await.expect("it hangs");
            match next {
                Some(SourceEvent::Progress(at)) if at.as_secs_f64() >= seconds => return,
                Some(SourceEvent::Ended(_)) | None => return,
                Some(_) => {}
            }
        }
    }

    /// Orders a clip and goes on reading until it is there.
    async fn cut(&mut self, from: f64, to: f64, surest: f64) -> Result<Made, String> {
        let at = |seconds: f64| StreamTime((seconds * 1e9) as i64);
        let folder = self.folder.path().to_owned();
        let cut = Cut { from: at(from), to: at(to), surest: at(surest), folder };
        let (reply, mut answer) = oneshot::channel();
        self.cuts.send((cut, reply)).await.expect("it listens");
        let started = std::time::Instant::now();
        loop {
            tokio::select! {
                made = &mut answer => return made.expect("it answers"),
                Some(_) = self.events.recv() => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            assert!(started.elapsed() < HANG, "no clip");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The codecs of a file's streams, and how long it is.
fn probe(path: &Path) -> (Vec<String>, f64) {
    let path = path.to_str().expect("UTF-8");
    let show = |what: &str| {
        let said = run("ffprobe", &["-v", "error", "-show_entries", what, "-of", "csv=p=0", path]);
        String::from_utf8(said).expect("UTF-8")
    };
    // Lines of what else is said of a stream are empty.
    let names = show("stream=codec_name");
    let codecs = names.lines().map(|line| line.trim_matches(',')).filter(|name| !name.is_empty());
    let codecs = codecs.map(str::to_owned).collect();
    (codecs, show("format=duration").trim().parse().expect("a number"))
}

/// When pictures become bright, in seconds from the beginning.
fn flashes(path: &Path) -> Vec<f64> {
    let filter = "fps=100:start_time=0,scale=1:1";
    let path = path.to_str().expect("UTF-8");
    let bytes =
        run("ffmpeg", &["-v", "error", "-i", path, "-vf", filter, "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    rises(bytes.iter().map(|byte| f64::from(*byte) > 128.0), 100.0)
}

/// When sound becomes loud, in seconds from the beginning.
fn clicks(path: &Path) -> Vec<f64> {
    let path = path.to_str().expect("UTF-8");
    let resample = "aresample=16000:async=1:first_pts=0";
    let bytes = run("ffmpeg", &["-v", "error", "-i", path, "-af", resample, "-ac", "1", "-f", "f32le", "-"]);
    let samples: Vec<f32> =
        bytes.chunks_exact(4).map(|at| f32::from_le_bytes([at[0], at[1], at[2], at[3]])).collect();
    let loud = samples.chunks(80).map(|piece| piece.iter().any(|sample| sample.abs() > 0.2));
    rises(loud, 200.0)
}

/// Where something that was not for half a second becomes so; `rate` looks a second.
fn rises(looks: impl Iterator<Item = bool>, rate: f64) -> Vec<f64> {
    let (mut rises, mut last) = (Vec::new(), f64::NEG_INFINITY);
    for (index, is) in looks.enumerate() {
        let at = index as f64 / rate;
        if is {
            // What begins within a flash says nothing of when it began.
            if at - last > 0.5 && at > 0.3 {
                rises.push(at);
            }
            last = at;
        }
    }
    rises
}

/// Every flash of a clip has its click: how far apart they are at most, in seconds.
fn apart(path: &Path) -> f64 {
    let (flashes, clicks) = (flashes(path), clicks(path));
    assert!(flashes.len() >= 3, "flashes at {flashes:?}, clicks at {clicks:?}");
    let nearest =
        |flash: &f64| clicks.iter().map(|click| (click - flash).abs()).fold(f64::INFINITY, f64::min);
    let apart = flashes.iter().map(nearest).fold(0.0, f64::max);
    println!("sound and picture are at most {:.0} ms apart", 1e3 * apart);
    apart
}

/// A camera that shows a film.
fn camera(film: &Path) -> Rtsp {
    let line = format!(
        "( filesrc location={} ! qtdemux name=d d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 \
         d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )",
        film.display()
    );
    Rtsp::serve(0, &line, |_| {})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clip_of_a_camera_has_picture_and_sound_together_and_is_as_long_as_it_should_be() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, codec) in [("plain", H264), ("with B-frames", B_FRAMES)] {
        let path = folder.path().join("film.mp4");
        film(&path, 40, codec, AAC);
        let camera = camera(&path);
        let mut source = Recorded::start(live(camera.url()), rules(Vec::new(), true));
        source.until(8.0).await;
        // Its end has not come yet: the clip waits for it.
        let made = source.cut(3.5, 12.0, 6.1).await.expect("a clip");
        let clip = made.clip.clone().expect("a clip");
        assert_eq!(made.remarks, Vec::<String>::new());
        assert_eq!(
            (clip.container, clip.video.as_deref(), clip.audio.as_deref()),
            (Container::Mp4, Some("H.264"), Some("AAC"))
        );
        assert!(clip.from <= 3.5 && clip.from > 2.3 && (clip.to - 12.0).abs() < 0.2, "{clip:?}");
        let (mut codecs, length) = probe(&source.file(CLIP));
        codecs.sort();
        assert_eq!(codecs, ["aac", "h264"], "{name}");
        assert!((length - (clip.to - clip.from)).abs() < 0.25, "{name}: {length} s of {clip:?}");
        let apart = apart(&source.file(CLIP));
        assert!(apart < 0.06, "{name}: sound and picture are {apart} s apart");
        let shown = made.snapshot.expect("a picture");
        assert!(shown <= 6.1 && shown > 6.0, "{name}: the picture is of {shown}");
        assert_eq!(probe_picture(&source.file(SNAPSHOT)), (320, 240));
        assert!(made.spectrogram);
        let (width, height) = probe_picture(&source.file(SPECTROGRAM));
        assert!(width > 700 && height == 128, "{width} x {height}");
        source.stop.cancel();
    }
}

fn probe_picture(path: &Path) -> (u32, u32) {
    let path = path.to_str().expect("UTF-8");
    let show = ["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", path];
    let said = String::from_utf8(run("ffprobe", &show)).expect("UTF-8");
    let (width, height) = said.trim().split_once(',').expect("two numbers");
    (width.parse().expect("a number"), height.parse().expect("a number"))
}

/// Brightness of a picture, by quarters: top left, top right, bottom left, bottom right.
fn quarters(path: &Path) -> Vec<u8> {
    let path = path.to_str().expect("UTF-8");
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            path,
            "-vf",
            "scale=2:2:flags=area",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_cut_as_it_is_read_and_after_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("film.mp4");
    film(&path, 20, B_FRAMES, AAC);
    let mut source = Recorded::start(config(path.to_str().expect("UTF-8")), rules(Vec::new(), true));
    source.until(f64::INFINITY).await;
    let made = source.cut(7.5, 15.0, 10.1).await.expect("a clip");
    let clip = made.clip.expect("a clip");
    assert!(clip.from <= 7.5 && clip.from >= 6.9, "{clip:?}");
    assert!(apart(&source.file(CLIP)) < 0.06);
    assert!(quarters(&source.file(SNAPSHOT)).iter().all(|light| *light > 200), "the flash of second 10");
    let made = source.cut(15.0, 40.0, 17.0).await.expect("a clip up to the end");
    assert!((made.clip.expect("a clip").to - 20.0).abs() < 0.3);
    let refused = source.cut(100.0, 110.0, 105.0).await.expect_err("there is nothing");
    assert!(refused.contains("nothing of its time is kept"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_goes_on_in_a_clip_over_its_seam() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("film.mp4");
    film(&path, 6, H264, AAC);
    let config = SourceConfig { loop_file: true, ..config(path.to_str().expect("UTF-8")) };
    let mut source = Recorded::start(config, rules(Vec::new(), true));
    source.until(15.0).await;
    let made = source.cut(3.0, 14.0, 9.0).await.expect("a clip");
    let clip = made.clip.expect("a clip");
    assert!(clip.from <= 3.0 && (clip.to - 14.0).abs() < 0.3, "{clip:?}");
    let (_, length) = probe(&source.file(CLIP));
    assert!((length - 11.0).abs() < 1.3, "{length}");
    assert!(apart(&source.file(CLIP)) < 0.06);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_seen_or_heard_is_not_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("film.mp4");
    film(&path, 12, H264, AAC);
    let uri = path.to_str().expect("UTF-8");
    let mut masked = Recorded::start(config(uri), rules(vec![Rectangle([0.0, 0.5, 0.5, 0.5])], true));
    masked.until(f64::INFINITY).await;
    let made = masked.cut(2.0, 10.0, 8.1).await.expect("it is cut");
    let clip = made.clip.expect("its sound");
    assert_eq!((clip.video, clip.audio.as_deref()), (None, Some("AAC")));
    assert_eq!(probe(&masked.file(CLIP)).0, ["aac"]);
    let quarters = quarters(&masked.file(SNAPSHOT));
    assert!(quarters[0] > 200 && quarters[1] > 200 && quarters[2] < 20 && quarters[3] > 200, "{quarters:?}");

    let mut silent = Recorded::start(config(uri), rules(Vec::new(), false));
    silent.until(f64::INFINITY).await;
    let made = silent.cut(2.0, 10.0, 8.1).await.expect("it is cut");
    assert_eq!((made.clip.expect("its picture").audio, made.spectrogram), (None, false));
    assert_eq!(probe(&silent.file(CLIP)).0, ["h264"]);
    assert!(!silent.file(SPECTROGRAM).exists());

    let mut neither = Recorded::start(config(uri), rules(vec![Rectangle([0.0, 0.0, 1.0, 1.0])], false));
    neither.until(f64::INFINITY).await;
    let made = neither.cut(2.0, 10.0, 8.1).await.expect("it is cut");
    assert!(made.clip.is_none() && made.snapshot.is_some() && !neither.file(CLIP).exists());
}

/// How wide the pixels of a film are.
fn shape(path: &Path) -> String {
    let path = path.to_str().expect("UTF-8");
    let entry = "stream=sample_aspect_ratio";
    let show = ["-v", "error", "-select_streams", "v:0", "-show_entries", entry, "-of", "csv=p=0", path];
    String::from_utf8(run("ffprobe", &show)).expect("UTF-8").trim().trim_matches(',').to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_phone_stored_on_its_side_or_a_camera_stretched_is_shown_as_it_is_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    film(&path("plain.mp4"), 8, H264, AAC);
    let plain = path("plain.mp4").display().to_string();
    ffmpeg(&format!("-i {plain} -c copy -metadata:s:v rotate=270 {}", path("turned.mp4").display()));
    film(&path("wide.mp4"), 8, &format!("{H264} -vf setsar=2/1"), AAC);
    for (name, picture) in [("turned.mp4", (240, 320)), ("wide.mp4", (640, 240))] {
        let config = config(path(name).to_str().expect("UTF-8"));
        let mut source = Recorded::start(config, rules(Vec::new(), true));
        source.until(f64::INFINITY).await;
        let made = source.cut(1.0, 7.0, 4.1).await.expect("it is cut");
        assert_eq!(probe_picture(&source.file(SNAPSHOT)), picture, "{name}");
        assert_eq!(shape(&source.file(CLIP)), shape(&path(name)), "{name}");
        let said = made.remarks.iter().any(|remark| remark.contains("lies as it was recorded"));
        assert_eq!(said, name == "turned.mp4", "{name}: {:?}", made.remarks);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_goes_into_mp4_or_matroska_and_says_which() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [
        (
            "a.mkv",
            "-c:v libx265 -preset ultrafast -x265-params log-level=error",
            "-c:a libopus",
            ["hevc", "opus"],
            "mp4",
        ),
        ("b.mkv", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8", "-c:a libmp3lame", ["vp9", "mp3"], "mp4"),
        ("c.mkv", "-c:v libvpx -deadline realtime -cpu-used 8", "-c:a libvorbis", ["vp8", "vorbis"], "mkv"),
        ("d.ts", "-c:v mpeg2video -b:v 2M", "-c:a mp2", ["mpeg2video", "mp2"], "mkv"),
        ("e.mkv", "-c:v mjpeg", "-c:a pcm_mulaw -ar 8000", ["mjpeg", "pcm_mulaw"], "mkv"),
        ("f.mkv", "-c:v libx264 -preset ultrafast", "-c:a pcm_s16le", ["h264", "pcm_s16le"], "mkv"),
        ("g.mkv", "-c:v libsvtav1 -preset 12", "-c:a flac", ["av1", "flac"], "mkv"),
        ("h.ts", "-c:v libx264 -preset ultrafast -bf 2", "-c:a ac3", ["h264", "ac3"], "mp4"),
    ];
    for (name, video, audio, codecs, extension) in cases {
        let path = folder.path().join(name);
        film(&path, 12, video, audio);
        let mut source = Recorded::start(config(path.to_str().expect("UTF-8")), rules(Vec::new(), true));
        source.until(f64::INFINITY).await;
        let made = source.cut(2.5, 10.0, 6.1).await.unwrap_or_else(|reason| panic!("{name}: {reason}"));
        let clip = made.clip.unwrap_or_else(|| panic!("{name}: {:?}", made.remarks));
        assert_eq!(clip.container.extension(), extension, "{name}: {:?}", made.remarks);
        let said = made.remarks.iter().any(|remark| remark.starts_with("Matroska, as"));
        assert_eq!(said, extension == "mkv", "{name}: {:?}", made.remarks);
        let (mut found, length) = probe(&source.file(CLIP));
        found.sort_by_key(|codec| codecs.iter().position(|known| known == codec));
        assert_eq!(found, codecs, "{name}");
        assert!((length - (clip.to - clip.from)).abs() < 0.4, "{name}: {length} s of {clip:?}");
        assert!(apart(&source.file(CLIP)) < 0.06, "{name}");
        assert!(made.snapshot.is_some() && made.spectrogram, "{name}: {:?}", made.remarks);
    }
}
