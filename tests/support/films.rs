//! Films that are made for a test.

use std::path::Path;
use std::process::Command;

/// Makes `output` of ffmpeg's arguments, which have no blanks of their own.
pub fn ffmpeg(arguments: &str, output: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(output)
        .status()
        .expect("ffmpeg is installed");
    assert!(made.success(), "{arguments}");
}
