//! One stage, from its configuration to what it leaves.

use std::path::{Path, PathBuf};
use std::time::Instant;

use avicuna_pipeline::stream::Medium;
use rand::Rng;
use rayon::prelude::*;

use super::assemble::{Assembled, SampleAssembler, Sequence};
use super::checkpoint::{self, State};
use super::config::{Config, Missing, Part, Stage};
use super::journal::{Entry, Journal};
use super::model::{Model, folder};
use super::optimizer::{self, AdamW, Share};
use super::order::{of_epoch, steps};
use super::prepare::{Prepared, draw};
use super::source::{Joined, Sample, Source, random};
use super::{TrainError, output};
use crate::decoder::Passing;

/// How a stage is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// 1 to 4.
    pub stage: u8,
    /// The folder of the run.
    pub out: PathBuf,
    /// Go on from the checkpoint, if there is one.
    pub resume: bool,
    /// Stop after so many steps of this call, with a checkpoint.
    pub steps: Option<u64>,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Everything is loaded.
    Begins {
        /// Samples of an epoch.
        samples: usize,
        /// Steps of the whole stage.
        steps: u64,
        /// Of them, made before.
        done: u64,
        /// Numbers that learn.
        learning: usize,
    },
    /// A step was made.
    Step(&'a Entry),
    /// A checkpoint was written.
    Saved(&'a Path),
    /// A sample was left out; why.
    Skipped(&'a TrainError),
}

/// What is to be done after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Go on.
    Continue,
    /// Write a checkpoint and come back.
    Stop,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Steps that were made over all calls.
    pub steps: u64,
    /// Steps of the whole stage.
    pub of: u64,
    /// The loss of the last step, nats per token.
    pub loss: Option<f64>,
    /// Samples that were left out for want of features.
    pub skipped: u64,
    /// Rows that were cut from sequences that were too long.
    pub cut: u64,
    /// The model directory; `None`: the stage is not at its end.
    pub model: Option<PathBuf>,
}

/// Trains one stage, or goes on with it.
///
/// # Errors
/// Names the file, sample or step, and what to do. The last checkpoint is whole whatever happens.
pub fn train(
    config: &Config,
    options: &Options,
    watch: &mut dyn FnMut(Progress<'_>) -> Signal,
) -> Result<Trained, TrainError> {
    let stage = config.stage(options.stage)?;
    let Prepared { plan, source, model, assembler } = Prepared::load(config, options.stage, &options.out)?;
    let mut run = Run::new(config, options, stage, &source, (model, assembler))?;
    let all = steps(source.len(), stage.batch * stage.accumulation, stage.epochs);
    let learning = run.model.learning(stage).iter().map(|p| p.values.len()).sum();
    watch(Progress::Begins { samples: source.len(), steps: all, done: run.state.at.done, learning });
    let last = options.steps.map_or(all, |steps| all.min(run.state.at.done + steps));
    let mut loss = None;
    while run.state.at.done < last {
        let entry = run.step(all, watch)?;
        loss = entry.as_ref().map(|entry| entry.loss).or(loss);
        let signal = entry.as_ref().map_or(Signal::Continue, |entry| watch(Progress::Step(entry)));
        let stop = signal == Signal::Stop || run.state.at.done == last;
        if stop || run.state.at.done.is_multiple_of(stage.checkpoint_every) {
            run.save(watch)?;
        }
        if signal == Signal::Stop {
            break;
        }
    }
    let ended = run.state.at.done == all;
    let model = ended.then(|| output::write(&plan, config, options.stage, &options.out, &run.model));
    let State { at, skipped, cut, .. } = run.state;
    Ok(Trained { steps: at.done, of: all, loss, skipped, cut, model: model.transpose()? })
}

/// A stage at work.
struct Run<'a> {
    config: &'a Config,
    stage: &'a Stage,
    source: &'a Joined,
    folder: PathBuf,
    assembler: SampleAssembler,
    model: Model,
    optimizer: AdamW,
    shares: Vec<Share>,
    state: State,
    journal: Journal,
    /// The epoch's order, once it is known.
    order: Option<(u32, Vec<usize>)>,
}

/// What one step's samples taught, summed.
#[derive(Default)]
struct Taught {
    loss: f64,
    labels: usize,
    rows: usize,
    ids: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a Config,
        options: &Options,
        stage: &'a Stage,
        source: &'a Joined,
        (mut model, assembler): (Model, SampleAssembler),
    ) -> Result<Self, TrainError> {
        let folder = folder(&options.out, options.stage);
        std::fs::create_dir_all(&folder).map_err(|e| TrainError::write(&folder, e))?;
        let mut optimizer = AdamW::new(stage, &model.learning(stage));
        let numbers: usize = model.learning(stage).iter().map(|p| p.values.len()).sum();
        let of = format!(
            "stage {}, seed {}, {} samples, batch {} x {}, {numbers} numbers",
            options.stage,
            config.seed,
            source.len(),
            stage.batch,
            stage.accumulation
        );
        if folder.join(checkpoint::PARALLEL).exists() {
            let reason =
                "a run of scripts/train_parallel.py is here; go on with it there, or give another --out";
            return Err(TrainError::run(&folder, reason));
        }
        let path = folder.join(checkpoint::FILE);
        let state = match (path.exists(), options.resume) {
            (false, _) => State::new(of),
            (true, true) => checkpoint::load(&path, &of, &mut model.learning_mut(stage), &mut optimizer)?,
            (true, false) => {
                let reason = "there is a run already; go on with it by --resume, or give another --out";
                return Err(TrainError::run(&path, reason));
            }
        };
        let journal = Journal::open(&folder, state.at.done)?;
        let shares = model.shares(stage);
        Ok(Self {
            config,
            stage,
            source,
            folder,
            assembler,
            model,
            optimizer,
            shares,
            state,
            journal,
            order: None,
        })
    }

    /// One step of the optimizer. `None`: no sample of it could be learned from.
    fn step(
        &mut self,
        all: u64,
        watch: &mut dyn FnMut(Progress<'_>) -> Signal,
    ) -> Result<Option<Entry>, TrainError> {
        let began = Instant::now();
        let epoch = self.state.at.epoch;
        let mut taught = Taught::default();
        let indices = self.next();
        for (part, indices) in indices.chunks(self.stage.batch).enumerate() {
            let samples = self.samples(epoch, indices, watch)?;
            self.learn(&samples, part, &mut taught)?;
        }
        let lr = optimizer::rate(self.stage, self.state.at.done, all);
        self.state.at.done += 1;
        if taught.labels == 0 {
            return Ok(None);
        }
        let scale = 1.0 / taught.labels as f64;
        let loss = taught.loss * scale;
        let norm = optimizer::norm(&self.model.learning(self.stage), scale);
        for (what, value) in [("loss", loss), ("gradient", norm)] {
            if !value.is_finite() {
                let samples = taught.ids.join(", ");
                return Err(TrainError::Diverged { step: self.state.at.done, what, value, lr, samples });
            }
        }
        let scale = scale * optimizer::clipped(norm, self.stage.clip);
        let step = self.state.at.done;
        self.optimizer.step(&mut self.model.learning_mut(self.stage), &self.shares, lr, scale, step);
        let seconds = began.elapsed().as_secs_f64();
        self.state.seconds += seconds;
        let entry = Entry {
            step,
            epoch,
            loss,
            lr,
            norm,
            tokens: taught.rows as u64,
            labels: taught.labels as u64,
            tokens_per_second: taught.rows as f64 / seconds.max(1e-9),
            seconds: self.state.seconds,
        };
        self.journal.tell(&entry)?;
        Ok(Some(entry))
    }

    /// The next samples of the epoch, and moves on behind them.
    fn next(&mut self) -> Vec<usize> {
        let at = &mut self.state.at;
        let order = match &mut self.order {
            Some((epoch, order)) if *epoch == at.epoch => order,
            order => {
                let own = of_epoch(self.config.seed, at.epoch, self.source.len());
                &mut order.insert((at.epoch, own)).1
            }
        };
        let end = (at.seen + self.stage.batch * self.stage.accumulation).min(order.len());
        let indices = order[at.seen..end].to_vec();
        at.seen = end;
        if end == order.len() {
            (at.epoch, at.seen) = (at.epoch + 1, 0);
        }
        indices
    }

    /// The samples as sequences; those that cannot be had are counted, or the end.
    fn samples(
        &mut self,
        epoch: u32,
        indices: &[usize],
        watch: &mut dyn FnMut(Progress<'_>) -> Signal,
    ) -> Result<Vec<(Sample, Sequence)>, TrainError> {
        let (source, assembler, seed) = (self.source, &self.assembler, self.config.seed);
        let drawn = indices.par_iter().map(|index| draw((source, assembler), (seed, epoch), *index));
        let drawn: Vec<_> = drawn.collect();
        let mut samples = Vec::with_capacity(drawn.len());
        for drawn in drawn {
            match drawn {
                Ok(sample) => {
                    self.state.cut += sample.1.cut as u64;
                    samples.push(sample);
                }
                Err(error) if error.is_of_one_sample() && self.stage.missing == Missing::Skip => {
                    self.state.skipped += 1;
                    watch(Progress::Skipped(&error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(samples)
    }

    /// Goes through some samples forwards and backwards.
    fn learn(
        &mut self,
        samples: &[(Sample, Sequence)],
        part: usize,
        taught: &mut Taught,
    ) -> Result<(), TrainError> {
        if samples.is_empty() {
            return Ok(());
        }
        let Model { llm, adapters, .. } = &mut self.model;
        let assembled = Assembled::new(samples, llm, adapters)?;
        let step = self.state.at.done.to_string();
        let passing = Passing {
            checkpointing: self.config.gradient_checkpointing,
            dropout: self.stage.lora.as_ref().map_or(0.0, |lora| lora.dropout),
            key: random(self.config.seed, &["dropout", &step, &part.to_string()]).next_u64(),
        };
        let learned = llm.learn(&assembled.batch, passing)?;
        for (part, sense) in [(Part::Vision, Medium::Video), (Part::Audio, Medium::Audio)] {
            if self.stage.trains(part) {
                assembled.teach(adapters, sense, &learned.rows);
            }
        }
        taught.loss += learned.loss;
        taught.labels += assembled.batch.targets.len();
        taught.rows += assembled.rows();
        taught.ids.extend(samples.iter().map(|(sample, _)| sample.id.clone()));
        Ok(())
    }

    fn save(&self, watch: &mut dyn FnMut(Progress<'_>) -> Signal) -> Result<(), TrainError> {
        let path = self.folder.join(checkpoint::FILE);
        checkpoint::save(&path, &self.state, &self.model.learning(self.stage), &self.optimizer)?;
        self.journal.plot()?;
        watch(Progress::Saved(&path));
        Ok(())
    }
}
