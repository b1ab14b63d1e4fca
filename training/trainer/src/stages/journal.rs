//! What a run tells: one JSON object a line for each step, and a picture of the loss.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use avicuna_models::whole;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;

/// The log in a stage's folder.
pub(super) const LOG: &str = "log.jsonl";
/// The picture in a stage's folder.
const PLOT: &str = "loss.svg";

/// What one step was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1.
    pub step: u64,
    /// From 0.
    pub epoch: u32,
    /// The mean cross entropy of its answers' tokens, nats.
    pub loss: f64,
    /// The learning rate.
    pub lr: f64,
    /// The norm of the gradient, before it was clipped.
    pub norm: f64,
    /// Rows that went through the LLM.
    pub tokens: u64,
    /// Of them, those with a label.
    pub labels: u64,
    /// Rows for each second.
    pub tokens_per_second: f64,
    /// Seconds of training up to here, over all interruptions.
    pub seconds: f64,
}

/// The log of a stage.
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
}

impl Journal {
    /// Goes on after step `done`: what an interrupted run told of later steps is taken out.
    pub(super) fn open(folder: &Path, done: u64) -> Result<Self, TrainError> {
        let path = folder.join(LOG);
        let kept = match done {
            0 => Vec::new(),
            _ => entries(&path)?.into_iter().filter(|entry| entry.step <= done).collect(),
        };
        let mut text = String::new();
        for entry in &kept {
            text += &line(entry);
        }
        whole::write(&path, text).map_err(|e| TrainError::write(&path, e))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| TrainError::write(&path, e))?;
        Ok(Self { folder: folder.to_owned(), file })
    }

    pub(super) fn tell(&mut self, entry: &Entry) -> Result<(), TrainError> {
        let path = self.folder.join(LOG);
        self.file.write_all(line(entry).as_bytes()).map_err(|e| TrainError::write(&path, e))
    }

    /// Draws the loss of all steps.
    pub(super) fn plot(&self) -> Result<(), TrainError> {
        let entries = entries(&self.folder.join(LOG))?;
        draw(&self.folder.join(PLOT), &entries).map_err(|e| TrainError::Plot(e.to_string()))
    }
}

fn line(entry: &Entry) -> String {
    format!("{}\n", serde_json::to_string(entry).expect("numbers are JSON"))
}

/// All whole lines of a log.
fn entries(path: &Path) -> Result<Vec<Entry>, TrainError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(TrainError::read(path, e)),
    };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    // The last line may have been cut off when the run was killed.
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()).collect())
}

fn draw(path: &Path, entries: &[Entry]) -> Result<(), Box<dyn std::error::Error>> {
    let Some(last) = entries.last() else { return Ok(()) };
    let smooth = smoothed(entries);
    let top = entries.iter().map(|entry| entry.loss).fold(0.1, f64::max);
    let root = SVGBackend::new(path, (800, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(0f64..last.step as f64, 0f64..top * 1.05)?;
    chart.configure_mesh().x_desc("step").y_desc("loss, nats per token").light_line_style(WHITE).draw()?;
    let steps = || entries.iter().map(|entry| entry.step as f64);
    chart.draw_series(LineSeries::new(
        steps().zip(entries.iter().map(|entry| entry.loss)),
        &RGBColor(170, 190, 220),
    ))?;
    chart.draw_series(LineSeries::new(steps().zip(smooth), RGBColor(20, 60, 140).stroke_width(2)))?;
    root.present()?;
    Ok(())
}

/// An exponential mean over about a twentieth of the run, without the pull of its start.
fn smoothed(entries: &[Entry]) -> Vec<f64> {
    let keep = 1.0 - 1.0 / (entries.len() as f64 / 20.0).max(2.0);
    let (mut mean, mut weight) = (0.0, 0.0);
    let next = |entry: &Entry| {
        mean = keep * mean + (1.0 - keep) * entry.loss;
        weight = keep * weight + (1.0 - keep);
        mean / weight
    };
    entries.iter().map(next).collect()
}
