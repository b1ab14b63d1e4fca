//! What an address means: its scheme, whether it is live, and how it is shown without its secrets.

use std::fs;
use std::path::{Path, PathBuf};

use super::boxes;
use super::failure::{Failure, Kind};
use super::redact::redact;
use super::scheme::SCHEMES;
pub use super::scheme::Scheme;

/// A source's address, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// How it is reached.
    pub scheme: Scheme,
    /// As GStreamer wants it.
    pub uri: String,
    shown: String,
    path: Option<PathBuf>,
}

impl Address {
    /// Reads `scheme://...`, or a path. Does not touch the disk or the network.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let shown = redact(text);
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(Failure::new(Kind::BadUri, "the address is empty; give a URI or a path"));
            }
            if let Some(path) = text.strip_prefix("file:/") {
                return Self::of_file(&Path::new("/").join(path), shown);
            }
            if let Some((name, _)) = SCHEMES.iter().find(|(name, _)| slipped(text, name)) {
                return Err(Failure::new(Kind::BadUri, format!("{shown}: write {name}:// with two slashes")));
            }
            return Self::of_file(Path::new(text), text.to_owned());
        };
        let lower = scheme.to_ascii_lowercase();
        let Some((_, scheme)) = SCHEMES.iter().find(|(name, _)| *name == lower) else {
            let names: Vec<&str> = SCHEMES.iter().map(|(name, _)| *name).collect();
            let known = names.join(", ");
            return Err(Failure::new(
                Kind::BadUri,
                format!("{shown}: the scheme \"{scheme}\" is not known; use one of {known}, or a path"),
            ));
        };
        if *scheme == Scheme::File {
            let path = gstreamer::glib::filename_from_uri(text).map_err(|_| {
                Failure::new(Kind::BadUri, format!("{shown} is not a file URI; give file:///PATH or a path"))
            })?;
            return Self::of_file(&path.0, shown);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() && !matches!(scheme, Scheme::Test | Scheme::Udp | Scheme::Srt) {
            return Err(Failure::new(Kind::BadUri, format!("{shown} names no host")));
        }
        // "user:pa/ss@host": what stands before the slash is no host with a port.
        let port = authority.rsplit_once(':').map(|(_, port)| port);
        let cut = !authority.contains('@') && rest.contains('@');
        if cut && port.is_some_and(|port| port.parse::<u16>().is_err()) {
            let message = format!(
                "{shown}: a user name or password holds / ? # or @, which have to be written %2F %3F %23 and %40"
            );
            return Err(Failure::new(Kind::BadUri, message));
        }
        if *scheme == Scheme::Srt
            && let Some(length) = passphrase(rest)
            && !PASSPHRASE.contains(&length)
        {
            let (least, most) = (PASSPHRASE.start(), PASSPHRASE.end());
            let message = format!("{shown}: the passphrase has {length} bytes; SRT wants {least} to {most}");
            return Err(Failure::new(Kind::BadUri, message));
        }
        Ok(Self { scheme: *scheme, uri: format!("{lower}://{rest}"), shown, path: None })
    }

    fn of_file(path: &Path, shown: String) -> Result<Self, Failure> {
        let bad = |_| Failure::new(Kind::BadUri, format!("{shown} cannot be made an absolute path"));
        let absolute = std::path::absolute(path).map_err(bad)?;
        let uri = gstreamer::glib::filename_to_uri(&absolute, None)
            .map_err(|_| Failure::new(Kind::BadUri, format!("{shown} is no usable path")))?;
        Ok(Self { scheme: Scheme::File, uri: uri.to_string(), shown, path: Some(absolute) })
    }

    /// Is it live unless the configuration says otherwise? HTTP is not: most playlists and files there have an end.
    pub fn is_live(&self) -> bool {
        !matches!(self.scheme, Scheme::File | Scheme::Http)
    }

    /// Do its bytes come from elsewhere?
    pub fn is_network(&self) -> bool {
        !matches!(self.scheme, Scheme::File | Scheme::Test)
    }

    /// Is it made here, and never encoded?
    pub fn is_generated(&self) -> bool {
        self.scheme == Scheme::Test
    }

    /// The file it names, absolute.
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What stands before `://`, in lower case.
    pub fn scheme_name(&self) -> &str {
        self.uri.split_once("://").map_or("file", |(scheme, _)| scheme)
    }

    /// The host it names, an IPv6 address in brackets.
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.uri.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let host = match place.find(']') {
            Some(end) => &place[..=end],
            None => place.split(':').next()?,
        };
        (self.path.is_none() && !host.is_empty()).then_some(host)
    }

    /// For logs and messages: without user, password and tokens.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Says what is wrong with a file before any graph is built, in plainer words than a demuxer could.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let shown = self.shown();
        let unreadable = |error: std::io::Error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                let message = format!("{shown} may not be read ({error}); check its owner and permissions");
                return Failure::new(Kind::Unauthorised, message);
            }
            Failure::new(Kind::NotFound, format!("{shown} cannot be read ({error}); check the path"))
        };
        let meta = fs::metadata(path).map_err(unreadable)?;
        if meta.is_dir() {
            return Err(Failure::new(Kind::NotMedia, format!("{shown} is a directory; name a file in it")));
        }
        if meta.is_file() && meta.len() == 0 {
            return Err(Failure::new(Kind::NotMedia, format!("{shown} is empty (0 bytes)")));
        }
        // Opening a pipe would wait for its writer, and take what the graph should read.
        if meta.is_file() {
            let mut file = fs::File::open(path).map_err(unreadable)?;
            if let Some(failure) = boxes::check(&mut file, shown).map_err(unreadable)? {
                return Err(failure);
            }
        }
        Ok(())
    }
}

/// How many bytes SRT takes for a passphrase.
const PASSPHRASE: std::ops::RangeInclusive<usize> = 10..=79;

/// How many bytes the passphrase in an SRT address has; each may be written as %XX.
fn passphrase(rest: &str) -> Option<usize> {
    let (_, query) = rest.split('#').next()?.split_once('?')?;
    let coded = query.split('&').find_map(|pair| pair.strip_prefix("passphrase="))?;
    let is_code = |part: &&str| part.get(..2).is_some_and(|code| code.chars().all(|c| c.is_ascii_hexdigit()));
    Some(coded.len() - 2 * coded.split('%').skip(1).filter(is_code).count())
}

/// Does `text` begin with a scheme and one slash?
fn slipped(text: &str, scheme: &str) -> bool {
    let rest = text.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme));
    rest.is_some() && text[scheme.len()..].starts_with(":/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_say_how_and_whether_live() {
        let scheme = |text: &str| Address::parse(text).map(|address| (address.scheme, address.is_live()));
        assert_eq!(scheme("/tmp/a b.mp4"), Ok((Scheme::File, false)));
        assert_eq!(scheme("file:///tmp/a%20b.mp4"), Ok((Scheme::File, false)));
        assert_eq!(scheme("https://host/live.m3u8"), Ok((Scheme::Http, false)));
        assert_eq!(scheme("RTSP://host/cam"), Ok((Scheme::Rtsp, true)));
        assert_eq!(scheme("srt://:9000?mode=listener"), Ok((Scheme::Srt, true)));
        assert_eq!(scheme("udp://0.0.0.0:5000"), Ok((Scheme::Udp, true)));
        assert_eq!(scheme("test://"), Ok((Scheme::Test, true)));
    }

    #[test]
    fn an_address_names_a_host_or_a_file() {
        let host = |text: &str| Address::parse(text).expect("an address").host().map(str::to_owned);
        assert_eq!(host("rtsp://me:secret@cam.example.org:8554/a@b").as_deref(), Some("cam.example.org"));
        assert_eq!(host("http://[2001:db8::1]:80/a").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(
            (host("srt://:9000?mode=listener"), host("test://?a=b"), host("/tmp/a.mp4")),
            (None, None, None)
        );
        let file = Address::parse("file:///tmp/a%20b.mp4").expect("an address");
        assert_eq!((file.file(), file.scheme_name()), (Some(Path::new("/tmp/a b.mp4")), "file"));
    }

    #[test]
    fn a_path_becomes_an_absolute_uri() {
        let address = Address::parse("/tmp/a b.mp4").expect("a path");
        assert_eq!((address.uri.as_str(), address.shown()), ("file:///tmp/a%20b.mp4", "/tmp/a b.mp4"));
        let short = Address::parse("file:/tmp/a.mp4").expect("a path");
        assert_eq!(short.uri, "file:///tmp/a.mp4");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        let wrong = |text: &str| Address::parse(text).expect_err("wrong").to_string();
        assert!(wrong("").starts_with("bad-uri: the address is empty"));
        assert!(wrong("gopher://host/x").contains("\"gopher\" is not known; use one of file, http"));
        assert!(wrong("rtsp:///cam").contains("names no host"));
        assert!(wrong("rtsp:/me:pass@cam").ends_with("rtsp:/***@cam: write rtsp:// with two slashes"));
        for slip in ["rtsp://me:pa/ss@cam/1", "rtsp://me:pa?ss@cam/1", "rtsp://me:pa#ss@cam/1"] {
            let said = wrong(slip);
            assert!(said.contains("%2F %3F %23") && !said.contains("ss@"), "{said}");
        }
        let said = wrong("srt://host:9000?mode=caller&passphrase=too%20short");
        assert_eq!(said, "bad-uri: srt://host:9000?***: the passphrase has 9 bytes; SRT wants 10 to 79");
        let long = wrong(&format!("srt://host:9000?passphrase={}", "x".repeat(80)));
        assert!(long.contains("has 80 bytes"), "{long}");
        assert!(Address::parse("srt://host:9000?passphrase=longenough").is_ok());
        assert!(Address::parse("http://host:8080/a@2x.m3u8").is_ok());
        let check =
            |path: &str| Address::parse(path).expect("a path").check().expect_err("wrong").to_string();
        assert!(check("/nowhere/at/all.mp4").starts_with("not-found: /nowhere/at/all.mp4 cannot be read"));
        assert!(check("/tmp").contains("is a directory"));
    }
}
