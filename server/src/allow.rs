//! Which addresses may be watched because a caller asks for it: nobody gets through a stream to a file or a machine that
//! the operator did not allow.

use std::path::Path;

use avicuna_pipeline::config::{AllowConfig, StreamConfig};
use avicuna_pipeline::source::reach::Reach;
use avicuna_pipeline::source::uri::Address;

use crate::problem::FieldProblem;

/// Says no.
#[derive(Debug, Clone)]
pub struct Allow {
    config: AllowConfig,
    reach: Reach,
}

impl Allow {
    /// As the operator says.
    pub fn new(config: AllowConfig) -> Self {
        let reach = Reach::new(config.hosts.clone());
        Self { config, reach }
    }

    /// What is not allowed about a stream; asks the name service, so call it where that may take a while.
    pub fn problems(&self, stream: &StreamConfig) -> Vec<FieldProblem> {
        let at = |pointer: &str, message: String| vec![FieldProblem { pointer: pointer.to_owned(), message }];
        if stream.isolation.is_some_and(|isolation| isolation == avicuna_pipeline::config::Isolation::None) {
            return at(
                "/isolation",
                "a stream that is added by a call keeps its own process; leave it out".to_owned(),
            );
        }
        match stream.address() {
            // What is no address is told with the rest.
            Err(_) => Vec::new(),
            Ok(address) => self.address(&address).err().map_or_else(Vec::new, |message| at("/uri", message)),
        }
    }

    fn address(&self, address: &Address) -> Result<(), String> {
        if let Some(path) = address.file() {
            return self.file(path);
        }
        let scheme = address.scheme_name();
        if !self.config.schemes.iter().any(|allowed| allowed.eq_ignore_ascii_case(scheme)) {
            return Err(format!("{scheme}:// is not among control.allow.schemes"));
        }
        match address.host() {
            None => Ok(()),
            Some(host) => self.host(host),
        }
    }

    fn file(&self, path: &Path) -> Result<(), String> {
        const ADVICE: &str = "it is not in a folder of control.allow.files, or not there";
        // What it really is, links and `..` followed; a file that is not there is not told apart from one that is.
        let real = path.canonicalize().map_err(|_| ADVICE.to_owned())?;
        let inside = |folder: &Path| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
        if self.config.files.iter().any(|folder| inside(folder)) { Ok(()) } else { Err(ADVICE.to_owned()) }
    }

    fn host(&self, host: &str) -> Result<(), String> {
        if self.reach.names(host) {
            return Ok(());
        }
        Err(format!(
            "{host} is not among control.allow.hosts (\"*\" does not mean this machine and its link)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(hosts: &[&str], files: &[&Path]) -> Allow {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let files = files.iter().map(|folder| folder.to_path_buf()).collect();
        Allow::new(AllowConfig { hosts, files, ..AllowConfig::default() })
    }

    fn says(allow: &Allow, uri: &str) -> bool {
        allow.problems(&StreamConfig::new("s", uri)).is_empty()
    }

    #[test]
    fn every_host_is_not_this_machine() {
        let all = allow(&["*"], &[]);
        for uri in ["rtsp://10.1.2.3/a", "rtsp://user:secret@192.168.0.4:8554/a", "http://[2001:db8::1]/a"] {
            assert!(says(&all, uri), "{uri}");
        }
        for uri in [
            "rtsp://127.0.0.1/a",
            "http://localhost:9464/healthz",
            "http://127.1/a",
            "http://[::1]/a",
            "http://[::ffff:127.0.0.1]/a",
            "http://169.254.169.254/latest/meta-data",
            "http://0.0.0.0/a",
            "http://[fe80::1]/a",
            "http://something.localhost/a",
        ] {
            assert!(!says(&all, uri), "{uri}");
        }
    }

    #[test]
    fn only_what_is_named_where_something_is() {
        let some = allow(&["127.0.0.1", "10.0.0.0/8", "cam.example.org", "*.cams.example.org"], &[]);
        for uri in [
            "rtsp://127.0.0.1/a",
            "rtsp://10.255.0.1/a",
            "rtsp://CAM.example.org/a",
            "rtsp://a.cams.example.org/",
        ] {
            assert!(says(&some, uri), "{uri}");
        }
        for uri in [
            "rtsp://11.0.0.1/a",
            "rtsp://127.0.0.2/a",
            "rtsp://evilcams.example.org/",
            "rtsp://cams.example.org/",
        ] {
            assert!(!says(&some, uri), "{uri}");
        }
    }

    #[test]
    fn only_schemes_that_are_named() {
        let narrow = Allow::new(AllowConfig { schemes: vec!["rtsp".to_owned()], ..AllowConfig::default() });
        assert!(says(&narrow, "rtsp://10.1.2.3/a"));
        assert!(!says(&narrow, "http://10.1.2.3/a") && !says(&narrow, "test://"));
    }

    #[test]
    fn only_files_in_folders_that_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inside, outside) = (folder.path().join("films"), folder.path().join("secret.mp4"));
        std::fs::create_dir(&inside).expect("it is made");
        std::fs::write(inside.join("a.mp4"), b"").expect("it is written");
        std::fs::write(&outside, b"").expect("it is written");
        std::os::unix::fs::symlink(&outside, inside.join("link.mp4")).expect("it is linked");
        let allow = allow(&["*"], &[&inside]);
        let shown = |path: &str| inside.join(path).display().to_string();
        assert!(says(&allow, &shown("a.mp4")) && says(&allow, &format!("file://{}", shown("a.mp4"))));
        for path in ["../secret.mp4", "link.mp4", "../films/../secret.mp4", "missing.mp4"] {
            assert!(!says(&allow, &shown(path)), "{path}");
        }
        assert!(!says(&allow, "/etc/passwd") && !says(&allow, "file:///etc/passwd"));
    }
}
