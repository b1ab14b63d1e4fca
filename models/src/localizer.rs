//! The assembled model: windows in, answers with token probabilities out.
//!
//! One batch's way: samples that no window has encoded yet go through the [encoders](crate::encoder::Encoders); adapters and
//! interleaver make each window's prefix ([`assemble`]); the LLM reads every prefix once and answers all questions of
//! all windows together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Tensor;

use crate::answer::Answer;
use crate::encoder::{Cells, DeviceChoice, Encoders, Rows};
use crate::evidence::{Evidence, Presence};
use crate::llm::{Generated, Llm};
use crate::manifest::Manifest;
use crate::prompt;
use crate::sample::{AudioClip, EncodeOnce, RgbFrame};
use crate::vocabulary::Vocabulary;
use crate::wording::{Meaning, Meant, Wording};

mod assemble;
mod error;
mod load;
mod tails;
mod unchanged;

pub use error::LocalizerError;
pub use unchanged::LastWindow;

use assemble::PromptAssembler;
use tails::Tails;
use unchanged::{Answers, Word};

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Where it runs.
    pub device: DeviceChoice,
    /// Threads of each encoder and of the LLM; `None`: one per core, for the LLM `RAYON_NUM_THREADS` if that is set.
    pub threads: Option<usize>,
    /// Where fetched files lie; `None`: `$AVICUNA_CACHE`, or `~/.cache/avicuna`.
    pub cache: Option<PathBuf>,
}

/// One window of one stream, with the questions about it.
#[derive(Debug, Clone)]
pub struct WindowInput {
    /// As many as the manifest's `visual_tokens`; `None`: there was no picture. Its token is left out.
    pub visual: Vec<Option<Arc<EncodeOnce<RgbFrame>>>>,
    /// As many as the manifest's `audio_tokens`; `None`: there was no sound. Its token is left out.
    pub audio: Vec<Option<Arc<EncodeOnce<AudioClip>>>>,
    /// What is asked about it.
    pub questions: Vec<Question>,
    /// What was said about the stream's last window, which may be said again; `None`: the LLM reads it in any case.
    pub last: Option<Arc<LastWindow>>,
}

impl WindowInput {
    /// Its samples.
    pub fn cells(&self) -> Cells<'_> {
        Cells { visual: &self.visual, audio: &self.audio }
    }

    /// It could not be answered: it is not what the stream's next window is compared with.
    fn forget(&self, answers: &Answers) {
        if let Some(last) = &self.last {
            last.forget(answers);
        }
    }
}

/// A question about a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In the model's words: the manifest's `prompt.detect` or `prompt.ground`, or anything else.
    pub text: String,
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
}

/// What the model says about a window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowAnswer {
    /// One for each question, in their order.
    pub answers: Vec<Answer>,
    /// What the encoders' own classes say; `None`: they have none.
    pub evidence: Option<Evidence>,
    /// Nothing has changed since the stream's last window: the LLM did not read this one, the answers are that one's.
    pub unchanged: bool,
    /// What the window's batch took.
    pub timing: Timing,
}

/// What one batch took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Preprocessing and encoders.
    pub encode: Duration,
    /// Adapters and LLM.
    pub llm: Duration,
    /// Frames that were not encoded before.
    pub frames_encoded: usize,
    /// Clips that were not encoded before.
    pub clips_encoded: usize,
    /// Windows of the batch.
    pub batch: usize,
}

/// The sentences that an answer to what happens may be made of where the encoders say so much, in the model's words.
pub type Expect<'a> = dyn Fn(&Evidence) -> Vec<String> + 'a;

/// A loaded model.
///
/// It is shared between threads as it is: each encoder runs one call at a time, the LLM as many as come.
pub struct Localizer {
    manifest: Manifest,
    wording: Option<Wording>,
    presence: Option<Arc<Presence>>,
    encoders: Encoders,
    assembler: PromptAssembler,
    llm: Llm,
    tails: Tails,
}

impl Localizer {
    /// Loads the model in `dir`: reads its manifest, finds its parts and checks that they fit each other.
    ///
    /// # Errors
    /// Names the part, the file and what to do.
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Self, LocalizerError> {
        load::load(dir, options)
    }

    /// What the model directory says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the encoders' classes are called; `None`: they have none.
    pub fn vocabulary(&self) -> Option<&Arc<Vocabulary>> {
        self.encoders.vocabulary()
    }

    /// What finds where in its evidence something heard is there.
    pub fn presence(&self) -> Option<&Arc<Presence>> {
        self.presence.as_ref()
    }

    /// What each of `queries` in free words asks for, as phrases of the vocabulary; nothing where it is about something else, or the model
    /// has no vocabulary.
    ///
    /// # Errors
    /// When the queries cannot be read.
    pub fn meanings(&self, queries: &[&str]) -> Result<Vec<Meaning>, LocalizerError> {
        if let Some(wording) = &self.wording {
            return Ok(wording.meanings(queries)?);
        }
        let exact = |query: &&str| {
            let found = self.vocabulary().and_then(|vocabulary| vocabulary.find(query));
            let phrases = found.map(|phrase| Meant { phrase, similarity: 1.0 }).into_iter().collect();
            Meaning { phrases, subject: None }
        };
        Ok(queries.iter().map(exact).collect())
    }

    /// The language model.
    pub fn llm(&self) -> &Llm {
        &self.llm
    }

    /// Answers all questions of all `windows` in one batch; blocks until it is done.
    ///
    /// One result for each window, in their order. A window's trouble is its own: the others are answered as if it were
    /// not there. An answer is the same, up to rounding, whatever else is in the batch.
    pub fn answer(&self, windows: &[WindowInput]) -> Vec<Result<WindowAnswer, LocalizerError>> {
        self.answer_expecting(windows, &|_| Vec::new())
    }

    /// [`Self::answer`], where the encoders' evidence lets sentences be expected in the answer to what happens: the same answers, sooner
    /// where they are right.
    pub fn answer_expecting(
        &self,
        windows: &[WindowInput],
        expected: &Expect<'_>,
    ) -> Vec<Result<WindowAnswer, LocalizerError>> {
        let start = Instant::now();
        let checked: Vec<_> =
            windows.iter().map(|window| self.assembler.check(window).map(|()| window)).collect();
        let whole: Vec<&WindowInput> = checked.iter().flatten().copied().collect();
        let cells: Vec<Cells<'_>> = whole.iter().map(|window| window.cells()).collect();
        let encoded = self.encoders.encode(&cells);
        let encode = start.elapsed();

        let start = Instant::now();
        let mut troubles = encoded.troubles.into_iter();
        let mut prepare = |window| match troubles.next().flatten() {
            Some(trouble) => Err(trouble.into()),
            None => self.prepare(window, expected),
        };
        let prepared: Vec<_> = checked.into_iter().map(|window| window.and_then(&mut prepare)).collect();
        let mut said = self.say(windows, prepared);
        let timing = Timing {
            encode,
            llm: start.elapsed(),
            frames_encoded: encoded.frames,
            clips_encoded: encoded.clips,
            batch: windows.len(),
        };
        said.iter_mut().flatten().for_each(|answer| answer.timing = timing);
        said
    }

    /// Encodes what is new in what is there of a window, by slot, so that less is left to do when it is whole; blocks until it is done. How many frames
    /// and clips. What cannot be encoded is tried again with its window, which says so.
    pub fn look_ahead(
        &self,
        visual: &[Option<Arc<EncodeOnce<RgbFrame>>>],
        audio: &[Option<Arc<EncodeOnce<AudioClip>>>],
    ) -> (usize, usize) {
        let encoded = self.encoders.encode(&[Cells { visual, audio }]);
        (encoded.frames, encoded.clips)
    }

    /// What the LLM reads for `window`, whose samples are all encoded, or has said already.
    fn prepare(&self, window: &WindowInput, expected: &Expect<'_>) -> Result<Prepared, LocalizerError> {
        let rows = self.encoders.rows(window.cells()).map_err(|(modality, slot)| {
            LocalizerError::Window(format!("{modality} sample {slot} is not encoded"))
        })?;
        let evidence = self.vocabulary().map(|vocabulary| Evidence::of(&rows, vocabulary));
        let columns = self.vocabulary().map_or([0, 0], |known| [known.seen().len(), known.heard().len()]);
        let word = window.last.as_ref().map(|last| last.next(&rows, &window.questions, columns));
        let answers = match word.unwrap_or_else(|| Word::Wanted(Answers::default())) {
            Word::Given(answers) => return Ok(Prepared { answers, evidence, to_read: None }),
            Word::Wanted(answers) => answers,
        };
        let to_read = self.to_read(window, &rows, evidence.as_ref(), expected);
        let to_read = to_read.inspect_err(|_| window.forget(&answers))?;
        Ok(Prepared { answers, evidence, to_read: Some(to_read) })
    }

    fn to_read(
        &self,
        window: &WindowInput,
        rows: &Rows,
        evidence: Option<&Evidence>,
        expected: &Expect<'_>,
    ) -> Result<ToRead, LocalizerError> {
        let questions = window.questions.iter().map(|question| {
            let tail = self.tails.of(self.llm.tokenizer(), &question.text)?;
            Ok((tail.to_vec(), question.max_new_tokens))
        });
        let questions = questions.collect::<Result<Vec<_>, LocalizerError>>()?;
        let expect = |question: &Question| match evidence {
            Some(evidence) if self.manifest.prompt.detect.as_ref() == Some(&question.text) => {
                expected(evidence)
            }
            _ => Vec::new(),
        };
        let expected = window.questions.iter().map(expect).collect();
        Ok(ToRead { prefix: self.assembler.prefix(rows)?, questions, expected })
    }

    /// What is said about every window that got so far; how long it took is not known yet.
    fn say(
        &self,
        windows: &[WindowInput],
        prepared: Vec<Result<Prepared, LocalizerError>>,
    ) -> Vec<Result<WindowAnswer, LocalizerError>> {
        let (mut prefixes, mut questions, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for ToRead { prefix, questions: asked, expected: sentences } in
            prepared.iter().flatten().filter_map(|window| window.to_read.as_ref())
        {
            prefixes.push(prefix.clone());
            questions.push(asked.clone());
            expected.push(sentences.clone());
        }
        let mut generated = self.generate(&prefixes, &questions, &expected).into_iter();
        let say = |(window, prepared): (&WindowInput, Result<Prepared, LocalizerError>)| {
            let Prepared { answers, evidence, to_read } = prepared?;
            let unchanged = to_read.is_none();
            if !unchanged {
                let said = generated.next().expect("one result for every window that is read");
                let said = said.inspect_err(|_| window.forget(&answers))?;
                let said = said.iter().map(|said| prompt::answer(self.llm.tokenizer(), said)).collect();
                let _nobody_else_reads_it = answers.set(said);
            }
            let missing = || LocalizerError::Window("the one before, which it is like, has no answer".into());
            let answers = answers.get().ok_or_else(missing)?.clone();
            Ok(WindowAnswer { answers, evidence, unchanged, timing: Timing::default() })
        };
        windows.iter().zip(prepared).map(say).collect()
    }

    /// What the LLM makes of each prefix and its questions.
    fn generate(
        &self,
        prefixes: &[Tensor],
        questions: &[Vec<(Vec<u32>, usize)>],
        expected: &[Vec<Vec<String>>],
    ) -> Vec<Result<Vec<Generated>, LocalizerError>> {
        match self.llm.generate_expecting(prefixes, questions, expected) {
            Ok(generated) => generated.into_iter().map(Ok).collect(),
            // The batch fails as a whole where one window is too long: each is asked alone then.
            Err(error) if prefixes.len() > 1 => {
                tracing::warn!(%error, windows = prefixes.len(), "a batch failed; asking window by window");
                let alone = |(prefix, questions): (&Tensor, &Vec<_>)| {
                    let one =
                        self.llm.generate(std::slice::from_ref(prefix), std::slice::from_ref(questions))?;
                    Ok(one.into_iter().flatten().collect())
                };
                prefixes.iter().zip(questions).map(alone).collect()
            }
            Err(error) => vec![Err(error.into())],
        }
    }
}

/// How far a window got whose samples are all encoded.
struct Prepared {
    /// Where its answers will be.
    answers: Answers,
    evidence: Option<Evidence>,
    /// `None`: it is as the stream's last one.
    to_read: Option<ToRead>,
}

/// What the LLM is to read of a window.
struct ToRead {
    /// `[length, hidden]`: the prompt's head and the audio-visual sequence.
    prefix: Tensor,
    /// The ids of each question and its limit.
    questions: Vec<(Vec<u32>, usize)>,
    /// Sentences that the answer to each may be made of.
    expected: Vec<Vec<String>>,
}
