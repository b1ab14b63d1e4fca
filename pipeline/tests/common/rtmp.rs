//! A real RTMP server: nginx with its RTMP module, which `make setup` unpacks into the cache.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::Port;
use super::{HANG, cached};

/// Passes on what is published to it, until it is dropped.
pub struct Rtmp {
    port: Port,
    child: Child,
    _directory: TempDir,
}

impl Rtmp {
    pub fn serve() -> Self {
        let root = cached("nginx");
        let module = root.join("usr/lib/nginx/modules/ngx_rtmp_module.so");
        let directory = TempDir::new().expect("a directory");
        let port = Port::free();
        let path: PathBuf = directory.path().join("nginx.conf");
        let config = format!(
            "load_module {module};\ndaemon off; master_process off; pid {folder}/pid; error_log stderr error;\n\
             events {{}}\nhttp {{ access_log off; }}\n\
             rtmp {{ access_log off; server {{ listen {address}; application live {{ live on; }} }} }}\n",
            address = port.address(),
            module = module.display(),
            folder = directory.path().display()
        );
        std::fs::write(&path, config).expect("writes");
        let mut command = Command::new(root.join("usr/sbin/nginx"));
        command.args(["-e", "stderr", "-p"]).arg(directory.path()).arg("-c").arg(&path);
        let child = command.stdout(Stdio::null()).spawn().expect("nginx starts");
        let started = Instant::now();
        while TcpStream::connect(port.address()).is_err() {
            assert!(started.elapsed() < HANG, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { port, child, _directory: directory }
    }

    pub fn url(&self) -> String {
        format!("rtmp://{}/live/cam", self.port.address())
    }
}

impl Drop for Rtmp {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}
