//! How long after the model's answer its alert is heard.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// Lines of a program with the times at which they came.
#[derive(Clone, Default)]
pub struct Stamped {
    lines: Arc<Mutex<Vec<(SystemTime, String)>>>,
}

impl Stamped {
    pub fn of(child: &mut Child) -> Self {
        let (stamped, output) = (Self::default(), child.stdout.take().expect("it is piped"));
        let lines = stamped.lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().expect("nobody panics").push((SystemTime::now(), line));
            }
        });
        stamped
    }

    pub fn lines(&self) -> Vec<(SystemTime, String)> {
        self.lines.lock().expect("nobody panics").clone()
    }
}

pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs_f64()
}

/// When the model answered each window, from the log.
pub fn answers(log: &str) -> BTreeMap<String, f64> {
    let answered = log.lines().filter(|line| line.contains("answered window="));
    let parsed = answered.map(|line| {
        let window = line.split("window=").nth(1).expect("a window").trim().to_owned();
        let time =
            Command::new("date").args(["+%s.%N", "-d", line.split(' ').next().expect("a time")]).output();
        let text = String::from_utf8_lossy(&time.expect("date runs").stdout).trim().to_owned();
        (window, text.parse().expect("a number"))
    });
    parsed.collect()
}

pub fn print_delays(what: &str, answered: &BTreeMap<String, f64>, heard: &[(String, f64)]) {
    let mut delays: Vec<f64> =
        heard.iter().filter_map(|(window, at)| Some((at - answered.get(window)?) * 1e3)).collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays.len() > 2, "{what}: {heard:?} of {answered:?}");
    let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize];
    println!(
        "{what}: {} alerts, median {:.1} ms, 95% {:.1} ms, worst {:.1} ms",
        delays.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}
