//! What of the file system the process of a source may read: libraries, plugins and what the network needs. It writes nothing but clips into the
//! folder where they are made, for with GStreamer's list of plugins alone it could bring the daemon to load a library of its making.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};

/// Libraries and what they read wherever they are, the tables of the network, certificates, and what a decoder must know of the machine.
const ALWAYS: [&str; 30] = [
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/etc/ld.so.cache",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/pkcs11",
    "/etc/gnutls",
    "/etc/crypto-policies",
    "/etc/glvnd",
    "/etc/OpenCL",
    "/etc/vulkan",
    "/etc/alternatives",
];
/// Decoders of graphics cards are spoken to through these; `/dev/null` is as well.
const DEVICES: &str = "/dev";
/// The last right that is known here is that of device calls.
const KNOWN: ABI = ABI::V5;

/// What the libraries of this process need, found while nothing is forbidden. Initialises GStreamer, which may look for plugins for a while.
pub(super) fn found() -> Vec<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = ALWAYS.iter().map(PathBuf::from).collect();
    let folder = |path: &Path| path.parent().filter(|parent| parent.parent().is_some()).map(Path::to_owned);
    if gst::init().is_ok() {
        let plugins = gst::Registry::get().plugins();
        folders.extend(plugins.iter().filter_map(|plugin| folder(Path::new(&plugin.filename()?))));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let libraries = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    folders.extend(libraries.filter(|path| path.to_string_lossy().contains(".so")).filter_map(folder));
    let named = |name: &str| {
        std::env::var_os(name).into_iter().flat_map(|paths| {
            std::env::split_paths(&paths).filter(|path| path.is_absolute()).collect::<Vec<_>>()
        })
    };
    for name in ["LD_LIBRARY_PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "GST_PLUGIN_PATH", "GIO_EXTRA_MODULES"] {
        folders.extend(named(name));
    }
    folders.extend(registry());
    folders.into_iter().collect()
}

/// Where GStreamer keeps its list of plugins.
fn registry() -> Option<PathBuf> {
    let set = ["GST_REGISTRY_1_0", "GST_REGISTRY"].into_iter().find_map(std::env::var_os);
    if let Some(file) = set {
        return Path::new(&file).parent().map(Path::to_owned);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    cache.map(|cache| cache.join("gstreamer-1.0"))
}

/// Does this kernel hold processes to such a room?
pub(super) fn is_possible() -> bool {
    let probe = || -> Result<(), RulesetError> {
        let hard = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        hard.handle_access(AccessFs::from_all(ABI::V1))?.create().map(drop)
    };
    probe().is_ok()
}

/// Lets the calling thread, and all that it starts from now on, read what is beneath `readable`, and write files beneath `writable` only.
/// `false` where the kernel cannot.
pub(super) fn enter(readable: &[PathBuf], writable: Option<&Path>) -> Result<bool, RulesetError> {
    let all = AccessFs::from_all(KNOWN);
    let devices = AccessFs::from_read(KNOWN) | AccessFs::WriteFile | AccessFs::IoctlDev;
    let files = AccessFs::from_read(KNOWN)
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let RestrictionStatus { ruleset, .. } = Ruleset::default()
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(readable, AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules([DEVICES], devices))?
        .add_rules(path_beneath_rules(writable, files))?
        .restrict_self()?;
    Ok(ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, read, read_dir};
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn libraries_are_read_and_nothing_else_is_read_or_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "x").expect("it is written");
        let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
        let readable = found();
        let clips = tempfile::tempdir().expect("a folder");
        let work = clips.path().to_owned();
        // In a thread of its own, for it never gets out again.
        let inside = std::thread::spawn(move || {
            assert!(enter(&readable, Some(&work)).expect("it is granted"), "this kernel has no landlock");
            for folder in ["/usr/lib", "/proc/self", "/etc/ssl/certs"] {
                assert!(read_dir(folder).is_ok(), "{folder}");
            }
            read("/etc/resolv.conf").expect("names are looked up");
            File::options().write(true).open("/dev/null").expect("nowhere can be written to");
            File::create(work.join("clip")).expect("clips are written");
            let refused = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            refused(read(&secret).expect_err("it is not read"));
            refused(read("/etc/passwd").expect_err("it is not read"));
            refused(read_dir(&home).map(drop).expect_err("it is not listed"));
            for path in [home.join("new"), home.join(".cache/gstreamer-1.0/new"), "/tmp/new".into(), secret] {
                refused(File::create(&path).map(drop).expect_err("it is not written"));
            }
        });
        inside.join().expect("it is held");
    }
}
