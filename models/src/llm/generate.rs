//! The generation loop: every prefix once, then all questions of all windows step by step in one batch.

use candle_core::{Device, Tensor};

use super::decoder::{Decoder, Output, Segment};
use super::error::LlmError;
use super::prefill::{fitting, prefill};
use super::sampling::{Sampler, Sampling};
use super::times::Times;
use crate::answer::Finish;
use crate::tokenizer::Tokenizer;

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

/// How tokens are chosen.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub sampling: &'a Sampling,
    /// With it, answers keep to readable times, see [`Times`].
    pub times: Option<&'a Tokenizer>,
}

/// One question on its way.
struct Running<Cache> {
    window: usize,
    question: usize,
    cache: Cache,
    limit: usize,
    sampler: Sampler,
    times: Times,
    next: u32,
    generated: Generated,
}

/// See [`super::Llm::generate`].
pub(super) fn generate<D: Decoder>(
    decoder: &D,
    prefixes: &[Tensor],
    questions: &[Vec<(Vec<u32>, usize)>],
    rules: Rules<'_>,
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
            let sampler = Sampler::new(rules.sampling, question as u64);
            let (limit, times) = (*limit, Times::new());
            running.push(Running { window, question, cache, limit, sampler, times, next: 0, generated });
            texts.push(ids.as_slice());
        }
    }

    let mut start = 0;
    while start < running.len() {
        let end = start + fitting(&texts[start..]);
        let ids = texts[start..end].concat();
        step(decoder, &mut running[start..end], &texts[start..end], &ids, rules.times)?;
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
        step(decoder, &mut running, &texts, &ids, rules.times)?;
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
    times: Option<&Tokenizer>,
) -> Result<(), LlmError> {
    let eos = &decoder.config().eos;
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
        let state = run.times;
        let allowed = |id: u32| match times {
            None => true,
            Some(_) if eos.contains(&id) => state.may_end(),
            // A special token adds no text, and ends what it stands in.
            Some(tokenizer) => match tokenizer.token_bytes(id) {
                [] => state.may_end(),
                bytes => state.after(bytes).is_some(),
            },
        };
        let (id, logprob) = run.sampler.sample(logits, allowed);
        // Minus infinity is a token that never comes.
        if logprob.is_nan() || !logits.iter().all(|logit| *logit < f32::INFINITY) {
            return Err(LlmError::NotFinite);
        }
        run.next = id;
        if let Some(tokenizer) = times {
            run.times = state.after(tokenizer.token_bytes(id)).unwrap_or(state);
        }
        if !is_done(run, eos) {
            run.generated.logprobs.push(logprob);
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::Config;
    use super::*;

    /// Wants to say one thing, token by token, whatever it reads.
    struct Parrot {
        config: Config,
        wish: Vec<u32>,
        /// How much it wants it.
        strength: f32,
    }

    impl Decoder for Parrot {
        /// Tokens that were said.
        type Cache = usize;

        fn config(&self) -> &Config {
            &self.config
        }

        fn weight_bytes(&self) -> usize {
            0
        }

        fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
            Ok(Tensor::zeros((ids.len(), self.config.hidden), candle_core::DType::F32, &Device::Cpu)?)
        }

        fn cache(&self, _: Option<&Arc<usize>>) -> usize {
            0
        }

        fn forward(
            &self,
            _: &Tensor,
            segments: &mut [Segment<'_, usize>],
            _: Output,
        ) -> Result<Option<Tensor>, LlmError> {
            let vocab = self.config.vocab;
            let mut logits = vec![0f32; segments.len() * vocab];
            for (segment, logits) in segments.iter_mut().zip(logits.chunks_exact_mut(vocab)) {
                // Among the others, a lower id is a little likelier.
                logits.iter_mut().enumerate().for_each(|(id, logit)| *logit = -(id as f32) * 0.01);
                let wish = self.wish.get(*segment.cache).map_or(0, |id| *id as usize);
                logits[wish] = self.strength;
                *segment.cache += 1;
            }
            Ok(Some(Tensor::from_vec(logits, (segments.len(), vocab), &Device::Cpu)?))
        }
    }

    /// Bytes and a few words; `<|im_end|>` is special.
    fn tokenizer() -> Tokenizer {
        let words = [
            "<|im_end|>",
            "0",
            "1",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            "9",
            "From",
            "Ġ",
            "Ġto",
            "Ġthe",
            ".",
            "t",
            "o",
        ];
        let vocab: Vec<String> =
            words.iter().enumerate().map(|(id, word)| format!("\"{word}\":{id}")).collect();
        let json = format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{{"id":0,"content":"<|im_end|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],"normalizer":null,"pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}},"post_processor":null,"decoder":null,"model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{{{}}},"merges":[]}}}}"#,
            vocab.join(",")
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, json).expect("written");
        Tokenizer::from_json(&path).expect("it is right")
    }

    /// What comes out where `wish` is wanted, with and without the rule.
    fn said(wish: &[&str]) -> (String, String) {
        let tokenizer = tokenizer();
        let id = |word: &&str| tokenizer.token_id(word).unwrap_or_else(|| panic!("no token {word}"));
        let parrot = Parrot { wish: wish.iter().map(id).collect(), ..parrot(&tokenizer) };
        let run = |times| tokenizer.decode(&answer(&parrot, times).expect("answers").ids);
        (run(Some(&tokenizer)), run(None))
    }

    /// One that wants to end.
    fn parrot(tokenizer: &Tokenizer) -> Parrot {
        let config = Config {
            hidden: 2,
            intermediate: 2,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: 2,
            vocab: tokenizer.vocab_size(),
            context: 100,
            rope_theta: 1e4,
            norm_eps: 1e-5,
            tied: true,
            eos: vec![0],
        };
        Parrot { config, wish: Vec::new(), strength: 9.0 }
    }

    fn answer(parrot: &Parrot, times: Option<&Tokenizer>) -> Result<Generated, LlmError> {
        let empty = Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).expect("nothing");
        let rules = Rules { sampling: &Sampling::Greedy, times };
        let mut answers = generate(parrot, std::slice::from_ref(&empty), &[vec![(vec![1], 15)]], rules)?;
        Ok(answers.remove(0).remove(0))
    }

    #[test]
    fn what_is_no_number_is_no_answer() {
        let tokenizer = tokenizer();
        let wish: Vec<u32> = vec![1, 2, 3, 0];
        for strength in [f32::NAN, f32::INFINITY] {
            let broken = Parrot { wish: wish.clone(), strength, ..parrot(&tokenizer) };
            for times in [None, Some(&tokenizer)] {
                let said = answer(&broken, times);
                assert!(matches!(said, Err(LlmError::NotFinite)), "{strength}: {said:?}");
            }
        }
        // A token that can never come is none the less a good answer's neighbour.
        let barred = Parrot { wish: vec![5; 20], strength: f32::NEG_INFINITY, ..parrot(&tokenizer) };
        assert_eq!(answer(&barred, None).expect("answers").finish, Finish::Stop);
    }

    #[test]
    fn an_interval_that_is_begun_is_brought_to_a_readable_end() {
        let cases: [(&[&str], &str); 6] = [
            // It may say what can be read, and end.
            (&["From", "Ġ", "2", "0", "Ġto", "Ġ", "5", "5", "."], "From 20 to 55."),
            // A word where a time must come: before the space nothing is promised, and it may end.
            (&["From", "Ġthe", "7", "0", "Ġto", "Ġ", "9", "1", "."], "From"),
            // The end would lie before the start: the likeliest digits stand in.
            (&["From", "Ġ", "5", "5", "Ġto", "Ġ", "2", "0", "."], "From 55 to 55."),
            // Three digits.
            (&["From", "Ġ", "2", "0", "0", "Ġ", "9", "9", "9", "."], "From 20 to 90"),
            // It would end inside.
            (&["From", "Ġ", "2", "<|im_end|>", "Ġto", "Ġ", "3", "0"], "From 20 to 30"),
            // No interval.
            (&["7", "Ġ", "From", "Ġthe", "."], "7 From the."),
        ];
        for (wish, expected) in cases {
            let (strict, free) = said(wish);
            assert_eq!(strict, expected, "{free}");
        }
    }
}
