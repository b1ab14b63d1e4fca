//! Parts that a script makes from what was fetched. The scripts are part of this program; they run in a Python environment
//! of their own, in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{self, last, python};
use super::error::FetchError;

/// The scripts by the name that manifests use.
const SCRIPTS: [(&str, &str); 3] = [
    ("scripts/vision_onnx.py", include_str!("../../../scripts/vision_onnx.py")),
    ("scripts/tfjs_onnx.py", include_str!("../../../scripts/tfjs_onnx.py")),
    ("scripts/ced_onnx.py", include_str!("../../../scripts/ced_onnx.py")),
];

/// What the scripts need. Another version of onnx may write other bytes.
const PACKAGES: [&str; 2] = ["numpy>=1.24,<3", "onnx==1.23.2"];

/// Runs `SCRIPT FETCHED OUT`.
pub(super) fn run(script: &str, fetched: &Path, out: &Path, cache: &Path) -> Result<(), FetchError> {
    let wrong = |reason: String| FetchError::Convert {
        file: out.display().to_string(),
        script: script.to_owned(),
        reason,
    };
    let Some((_, text)) = SCRIPTS.iter().find(|(name, _)| *name == script) else {
        let known: Vec<&str> = SCRIPTS.iter().map(|(name, _)| *name).collect();
        return Err(wrong(format!("this program has no such script; it has {}", known.join(", "))));
    };
    let python = environment(cache).map_err(wrong)?;
    let mut command = Command::new(python);
    // `-c` takes the text itself: no file of the user's can be in its way.
    command.args(["-c", text]).arg(fetched).arg(out);
    start(&mut command).map_err(wrong)?;
    if out.exists() { Ok(()) } else { Err(wrong("the script ended without writing it".into())) }
}

/// The Python of the environment, which is made when it is not there, by one process at a time.
fn environment(cache: &Path) -> Result<PathBuf, String> {
    let folder = cache.join("python").join("onnx");
    let lock = cache.join("python").join("onnx.lock");
    let locked = std::fs::create_dir_all(cache.join("python")).and_then(|()| {
        let lock = std::fs::File::create(&lock)?;
        lock.lock()?;
        Ok(lock)
    });
    // It is unlocked when it is closed.
    let _locked = locked.map_err(|e| format!("{}: {e}", lock.display()))?;
    let python_of = |folder: &Path| folder.join("bin").join("python");
    let ready = folder.join("ready");
    if std::fs::read_to_string(&ready).is_ok_and(|text| text == PACKAGES.join("\n")) {
        return Ok(python_of(&folder));
    }
    start(Command::new(python()).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(python_of(&folder));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet"]).args(PACKAGES);
    start(&mut pip)?;
    std::fs::write(&ready, PACKAGES.join("\n")).map_err(|e| format!("{}: {e}", ready.display()))?;
    Ok(python_of(&folder))
}

fn start(command: &mut Command) -> Result<(), String> {
    client::run(command, "Python", "install Python 3 with venv and pip", last(1))
}
