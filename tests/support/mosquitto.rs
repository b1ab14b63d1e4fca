//! A real MQTT broker, and its own client to read with.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::kafka::Port;

/// A broker; gone with the test.
pub struct Mosquitto {
    port: Port,
    config: PathBuf,
    scheme: &'static str,
    broker: Option<Child>,
}

impl Mosquitto {
    /// Starts one that keeps what it has acknowledged in `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, "mqtt", "")
    }

    /// One that speaks TLS with this certificate and key.
    pub fn start_tls(folder: &Path, certificate: &Path, key: &Path) -> Self {
        let files = format!("certfile {}\nkeyfile {}\n", certificate.display(), key.display());
        Self::start_with(folder, "mqtts", &files)
    }

    fn start_with(folder: &Path, scheme: &'static str, of_listener: &str) -> Self {
        let port = Port::free();
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\n{of_listener}allow_anonymous true\npersistence true\npersistence_location {}/\nuser root\n",
            port.number(),
            folder.display()
        );
        std::fs::write(&config, text).expect("writes");
        let mut started = Self { port, config, scheme, broker: None };
        started.up();
        started
    }

    /// Its address for the daemon.
    pub fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.port.address())
    }

    /// Starts it, again.
    pub fn up(&mut self) {
        let mut command = Command::new("/usr/sbin/mosquitto");
        let command = command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        self.broker = Some(command.spawn().expect("mosquitto is installed: `make setup`"));
        while std::net::TcpStream::connect(self.port.address()).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Ends it in order: it writes down what it has acknowledged.
    pub fn down(&mut self) {
        let Some(mut broker) = self.broker.take() else { return };
        let pid = broker.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill runs").success());
        let _status = broker.wait();
    }

    /// `mosquitto_sub` on this broker: topic, retained or not, QoS and message, with blanks between.
    pub fn subscribe(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("mosquitto_sub");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.number().to_string(),
            "-q",
            "1",
            "-F",
            "%t %r %q %p",
        ]);
        command.args(arguments);
        command
    }

    /// Messages that it keeps below a topic: topic and message. Waits a moment for them.
    pub fn retained(&self, topic: &str) -> Vec<(String, String)> {
        let output = self.subscribe(&["-t", topic, "-W", "1", "--retained-only"]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let parts = |line: &str| {
            let mut parts = line.splitn(4, ' ');
            Some((parts.next()?.to_owned(), parts.nth(2)?.to_owned()))
        };
        text.lines().filter_map(parts).collect()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(broker) = &mut self.broker {
            let _ended = broker.kill();
            let _status = broker.wait();
        }
    }
}
