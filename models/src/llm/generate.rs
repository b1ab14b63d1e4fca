//! The generation loop: every prefix once, then all questions of all windows step by step in one batch.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::decoder::{Decoder, Output, Segment};
use super::error::LlmError;
use super::sampling::{Sampler, Sampling};
use crate::answer::Finish;

/// Rows of one prefill pass: enough to keep the matrix products busy, few enough to keep their results in cache.
const PREFILL_ROWS: usize = 1024;

/// What the LLM generated for one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The tokens, without the stop token.
    pub ids: Vec<u32>,
    /// Natural logarithm of each token's probability.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// One question on its way.
struct Running<Cache> {
    window: usize,
    question: usize,
    cache: Cache,
    limit: usize,
    sampler: Sampler,
    next: u32,
    generated: Generated,
}

/// See [`super::Llm::generate`].
pub(super) fn generate<D: Decoder>(
    decoder: &D,
    prefixes: &[Tensor],
    questions: &[Vec<(Vec<u32>, usize)>],
    sampling: &Sampling,
) -> Result<Vec<Vec<Generated>>, LlmError> {
    check(decoder, prefixes, questions)?;
    let shared = prefill(decoder, prefixes, questions)?;
    let mut answers: Vec<Vec<Option<Generated>>> = questions.iter().map(|q| vec![None; q.len()]).collect();

    let mut running = Vec::new();
    let mut texts = Vec::new();
    for (window, questions) in questions.iter().enumerate() {
        for (question, (ids, limit)) in questions.iter().enumerate() {
            let generated = Generated { ids: Vec::new(), logprobs: Vec::new(), finish: Finish::Length };
            let cache = decoder.cache(shared[window].as_ref());
            // Each question draws its own numbers, so that an answer does not depend on its neighbours in the batch.
            let sampler = Sampler::new(sampling, question as u64);
            running.push(Running { window, question, cache, limit: *limit, sampler, next: 0, generated });
            texts.push(ids.as_slice());
        }
    }

    let mut start = 0;
    while start < running.len() {
        let end = start + fitting(&texts[start..]);
        let ids = texts[start..end].concat();
        step(decoder, &mut running[start..end], &texts[start..end], &ids)?;
        start = end;
    }
    loop {
        let (done, rest): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|r| is_done(r, &decoder.config().eos));
        running = rest;
        for mut run in done {
            if run.generated.ids.len() < run.limit {
                run.generated.finish = Finish::Stop;
            }
            answers[run.window][run.question] = Some(run.generated);
        }
        if running.is_empty() {
            break;
        }
        for run in &mut running {
            let next = run.next;
            run.generated.ids.push(next);
        }
        // The last token of a full answer need not be read.
        let (full, rest): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|r| r.generated.ids.len() >= r.limit);
        running = rest;
        for run in full {
            answers[run.window][run.question] = Some(run.generated);
        }
        if running.is_empty() {
            break;
        }
        let ids: Vec<u32> = running.iter().map(|run| run.next).collect();
        let texts: Vec<&[u32]> = ids.chunks(1).collect();
        step(decoder, &mut running, &texts, &ids)?;
    }
    Ok(answers.into_iter().map(|window| window.into_iter().flatten().collect()).collect())
}

/// Whether the sampled token ends the answer, or no token is allowed at all.
fn is_done<Cache>(run: &Running<Cache>, eos: &[u32]) -> bool {
    run.limit == 0 || eos.contains(&run.next)
}

/// Reads `ids`, the texts one after the other, and samples what comes after each.
fn step<D: Decoder>(
    decoder: &D,
    running: &mut [Running<D::Cache>],
    texts: &[&[u32]],
    ids: &[u32],
) -> Result<(), LlmError> {
    let rows = decoder.embed(ids)?;
    let mut segments: Vec<_> = running
        .iter_mut()
        .zip(texts)
        .map(|(run, text)| Segment { cache: &mut run.cache, rows: text.len() })
        .collect();
    let logits = decoder.forward(&rows, &mut segments, Output::Last)?;
    let Some(logits) = logits else { return Ok(()) };
    let logits = logits.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let vocab = logits.len() / running.len();
    for (run, logits) in running.iter_mut().zip(logits.chunks_exact(vocab)) {
        let (id, logprob) = run.sampler.sample(logits);
        run.next = id;
        if !is_done(run, &decoder.config().eos) {
            run.generated.logprobs.push(logprob);
        }
    }
    Ok(())
}

/// The keys and values of every prefix; `None` for an empty one or one that nobody asks about.
fn prefill<D: Decoder>(
    decoder: &D,
    prefixes: &[Tensor],
    questions: &[Vec<(Vec<u32>, usize)>],
) -> Result<Vec<Option<Arc<D::Cache>>>, LlmError> {
    let mut caches: Vec<Option<D::Cache>> = Vec::with_capacity(prefixes.len());
    let mut wanted = Vec::new();
    for (window, (prefix, questions)) in prefixes.iter().zip(questions).enumerate() {
        let used = prefix.dims()[0] > 0 && !questions.is_empty();
        caches.push(used.then(|| decoder.cache(None)));
        if used {
            wanted.push((window, prefix));
        }
    }
    let mut open: Vec<(&mut D::Cache, &Tensor)> =
        caches.iter_mut().flatten().zip(wanted.iter().map(|(_, prefix)| *prefix)).collect();
    let mut rest = open.as_mut_slice();
    while !rest.is_empty() {
        let lengths: Vec<usize> = rest.iter().map(|(_, prefix)| prefix.dims()[0]).collect();
        let count = fitting_lengths(&lengths);
        let (now, later) = rest.split_at_mut(count);
        let rows: Vec<&Tensor> = now.iter().map(|(_, prefix)| *prefix).collect();
        let rows = Tensor::cat(&rows, 0)?;
        let mut segments: Vec<_> = now
            .iter_mut()
            .zip(&lengths)
            .map(|((cache, _), &rows)| Segment { cache: &mut **cache, rows })
            .collect();
        decoder.forward(&rows, &mut segments, Output::Nothing)?;
        rest = later;
    }
    Ok(caches.into_iter().map(|cache| cache.map(Arc::new)).collect())
}

fn fitting(texts: &[&[u32]]) -> usize {
    fitting_lengths(&texts.iter().map(|text| text.len()).collect::<Vec<_>>())
}

/// How many of the leading sequences go into one pass: at least one, at most `PREFILL_ROWS` rows.
fn fitting_lengths(lengths: &[usize]) -> usize {
    let mut rows = 0;
    let fit = lengths.iter().take_while(|&&length| {
        rows += length;
        rows <= PREFILL_ROWS
    });
    fit.count().max(1)
}

fn check<D: Decoder>(
    decoder: &D,
    prefixes: &[Tensor],
    questions: &[Vec<(Vec<u32>, usize)>],
) -> Result<(), LlmError> {
    let config = decoder.config();
    if prefixes.len() != questions.len() {
        let message = format!("{} windows, but questions for {}", prefixes.len(), questions.len());
        return Err(LlmError::Input(message));
    }
    for (window, (prefix, questions)) in prefixes.iter().zip(questions).enumerate() {
        let [length, width] = prefix.dims() else {
            return Err(LlmError::Input(format!("window {window}: the prefix is no matrix")));
        };
        if *width != config.hidden {
            let message =
                format!("window {window}: embeddings are {width} wide, the model {}", config.hidden);
            return Err(LlmError::Input(message));
        }
        for (ids, limit) in questions {
            if ids.is_empty() {
                return Err(LlmError::Input(format!("window {window}: a question has no token")));
            }
            if let Some(id) = ids.iter().find(|&&id| id as usize >= config.vocab) {
                return Err(LlmError::Input(format!("window {window}: {id} is no token id")));
            }
            let needed = length + ids.len() + limit;
            if needed > config.context {
                return Err(LlmError::ContextLength { window, needed, context: config.context });
            }
        }
    }
    Ok(())
}
