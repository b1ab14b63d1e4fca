//! The generation loop: every prefix once, then all questions of all windows step by step in one batch.

use candle_core::{Device, Tensor};

use super::decoder::{Decoder, Output, Segment};
use super::draft::continuation;
use super::error::LlmError;
use super::prefill::{fitting, prefill};
use super::sampling::{Sampler, Sampling};
use super::times::Times;
use crate::answer::Finish;
use crate::tokenizer::{Specials, Tokenizer};

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
    pub tokenizer: &'a Tokenizer,
    /// Answers keep to readable times, see [`Times`].
    pub readable_times: bool,
    /// Sentences that answers may be made of, by window and question: read ahead, and counted where they are said. Where there is nothing
    /// for a question, no sentence of its answer is expected.
    pub expected: &'a [Vec<Vec<String>>],
}

impl Rules<'_> {
    fn expected(&self, window: usize, question: usize) -> &[String] {
        self.expected.get(window).and_then(|window| window.get(question)).map_or(&[], Vec::as_slice)
    }
}

/// Rows of a step that guesses may fill: on a CPU, four take a third longer than one, eight more than twice as long.
const STEP_ROWS: usize = 4;

/// One question on its way.
struct Running<Cache> {
    window: usize,
    question: usize,
    cache: Cache,
    limit: usize,
    sampler: Sampler,
    times: Times,
    next: u32,
    /// What may come after `next`: read with it.
    draft: Vec<u32>,
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
            let draft = Vec::new();
            running.push(Running {
                window,
                question,
                cache,
                limit,
                sampler,
                times,
                next: 0,
                draft,
                generated,
            });
            texts.push(ids.as_slice());
        }
    }

    let mut start = 0;
    while start < running.len() {
        let end = start + fitting(&texts[start..]);
        let ids = texts[start..end].concat();
        step(decoder, &mut running[start..end], &texts[start..end], &ids, rules)?;
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
        let (room, vocab) = (STEP_ROWS / running.len(), decoder.config().vocab as u32);
        let texts: Vec<Vec<u32>> = running.iter_mut().map(|run| run.read_next(room, vocab, rules)).collect();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        step(decoder, &mut running, &texts, &texts.concat(), rules)?;
    }
    Ok(answers.into_iter().map(|window| window.into_iter().flatten().collect()).collect())
}

/// Whether the sampled token ends the answer, or no token is allowed at all.
fn is_done<Cache>(run: &Running<Cache>, eos: &[u32]) -> bool {
    run.limit == 0 || eos.contains(&run.next)
}

impl<Cache> Running<Cache> {
    /// The token that comes next, with the guess at what follows that makes them `room` rows at most. After all that is guessed
    /// there is room for one more token of the answer.
    fn read_next(&mut self, room: usize, vocab: u32, rules: Rules<'_>) -> Vec<u32> {
        let room = room.min(self.limit - self.generated.ids.len()).saturating_sub(1);
        let guess = if room == 0 { Vec::new() } else { self.guess(rules) };
        self.draft = guess.into_iter().take(room).take_while(|id| *id < vocab).collect();
        std::iter::once(self.next).chain(self.draft.iter().copied()).collect()
    }

    /// The tokens that may come after those that are said.
    fn guess(&self, rules: Rules<'_>) -> Vec<u32> {
        let spelled: Vec<u8> =
            self.generated.ids.iter().flat_map(|id| rules.tokenizer.token_bytes(*id)).copied().collect();
        let Ok(said) = std::str::from_utf8(&spelled) else { return Vec::new() };
        let said = said.strip_prefix(' ').unwrap_or(said);
        let more = continuation(said, rules.expected(self.window, self.question));
        if more.is_empty() {
            return Vec::new();
        }
        // Of words that are cut, the tokens are others than those of the rest alone; what cannot be written in tokens is not guessed.
        let whole = rules.tokenizer.encode(&format!("{said}{more}"), Specials::AsText).unwrap_or_default();
        match whole.strip_prefix(self.generated.ids.as_slice()) {
            Some(rest) => rest.to_vec(),
            None => rules.tokenizer.encode_continued(&more, Specials::AsText).unwrap_or_default(),
        }
    }

    /// Takes the next token after each of the rows of `logits` whose guess was right; says how many guesses were not.
    fn take(
        &mut self,
        logits: &[f32],
        vocab: usize,
        eos: &[u32],
        rules: Rules<'_>,
    ) -> Result<usize, LlmError> {
        let draft = std::mem::take(&mut self.draft);
        for (row, logits) in logits.chunks_exact(vocab).enumerate() {
            self.choose(logits, eos, rules)?;
            if is_done(self, eos) || draft.get(row) != Some(&self.next) {
                return Ok(draft.len() - row);
            }
            self.generated.ids.push(self.next);
        }
        Ok(0)
    }

    /// Takes the next token by `logits [vocab]`.
    fn choose(&mut self, logits: &[f32], eos: &[u32], rules: Rules<'_>) -> Result<(), LlmError> {
        let (state, tokenizer) = (self.times, rules.tokenizer);
        let allowed = |id: u32| {
            if !rules.readable_times {
                return true;
            }
            if eos.contains(&id) {
                return state.may_end();
            }
            // A special token adds no text, and ends what it stands in.
            match tokenizer.token_bytes(id) {
                [] => state.may_end(),
                bytes => state.after(bytes).is_some(),
            }
        };
        let (id, logprob) = self.sampler.sample(logits, allowed);
        // Minus infinity is a token that never comes.
        if logprob.is_nan() || !logits.iter().all(|logit| *logit < f32::INFINITY) {
            return Err(LlmError::NotFinite);
        }
        self.next = id;
        if rules.readable_times {
            self.times = state.after(tokenizer.token_bytes(id)).unwrap_or(state);
        }
        if !is_done(self, eos) {
            self.generated.logprobs.push(logprob);
        }
        Ok(())
    }
}

/// Reads `ids`, the texts one after the other, and samples what comes after each, and after each guess that was right.
fn step<D: Decoder>(
    decoder: &D,
    running: &mut [Running<D::Cache>],
    texts: &[&[u32]],
    ids: &[u32],
    rules: Rules<'_>,
) -> Result<(), LlmError> {
    let rows = decoder.embed(ids)?;
    let wanted: Vec<usize> = running.iter().map(|run| 1 + run.draft.len()).collect();
    let mut segments: Vec<_> = running
        .iter_mut()
        .zip(texts)
        .map(|(run, text)| Segment { cache: &mut run.cache, rows: text.len() })
        .collect();
    let logits = decoder.forward(&rows, &mut segments, Output::Ends(&wanted))?;
    let Some(logits) = logits else { return Ok(()) };
    let vocab = logits.dims2()?.1;
    let logits = logits.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let mut rest = logits.as_slice();
    for (run, rows) in running.iter_mut().zip(wanted) {
        let (own, others) = rest.split_at(rows * vocab);
        rest = others;
        let wrong = run.take(own, vocab, &decoder.config().eos, rules)?;
        if wrong > 0 {
            decoder.forget(&mut run.cache, wrong);
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::config::Config;
    use super::*;

    /// Wants to say one thing, token by token, whatever it reads.
    struct Parrot {
        config: Config,
        wish: Vec<u32>,
        /// How much it wants it.
        strength: f32,
        passes: AtomicUsize,
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

        fn forget(&self, cache: &mut usize, rows: usize) {
            *cache -= rows;
        }

        fn forward(
            &self,
            _: &Tensor,
            segments: &mut [Segment<'_, usize>],
            output: Output<'_>,
        ) -> Result<Option<Tensor>, LlmError> {
            let vocab = self.config.vocab;
            let mut logits = Vec::new();
            for segment in segments.iter_mut() {
                for read in *segment.cache..*segment.cache + segment.rows {
                    // Among the others, a lower id is a little likelier.
                    let mut row: Vec<f32> = (0..vocab).map(|id| -(id as f32) * 0.01).collect();
                    row[self.wish.get(read).map_or(0, |id| *id as usize)] = self.strength;
                    logits.push(row);
                }
                *segment.cache += segment.rows;
            }
            let wanted = output.rows(segments.iter().map(|segment| segment.rows));
            let logits: Vec<f32> = wanted.iter().flat_map(|row| logits[*row as usize].clone()).collect();
            self.passes.fetch_add(1, Ordering::Relaxed);
            Ok(Some(Tensor::from_vec(logits, (wanted.len(), vocab), &Device::Cpu)?))
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
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{{"id":0,"content":"<|im_end|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],"normalizer":null,"pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}},"post_processor":null,"decoder":null,"model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":true,"vocab":{{{}}},"merges":[]}}}}"#,
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
        let run = |times| tokenizer.decode(&answer(&parrot, &tokenizer, times, &[]).expect("answers").ids);
        (run(true), run(false))
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
        Parrot { config, wish: Vec::new(), strength: 9.0, passes: AtomicUsize::new(0) }
    }

    fn answer(
        parrot: &Parrot,
        tokenizer: &Tokenizer,
        readable_times: bool,
        expected: &[&str],
    ) -> Result<Generated, LlmError> {
        let empty = Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).expect("nothing");
        let expected = [vec![expected.iter().map(|text| (*text).to_owned()).collect()]];
        let rules = Rules { sampling: &Sampling::Greedy, tokenizer, readable_times, expected: &expected };
        let mut answers = generate(parrot, std::slice::from_ref(&empty), &[vec![(vec![1], 15)]], rules)?;
        Ok(answers.remove(0).remove(0))
    }

    #[test]
    fn what_is_no_number_is_no_answer() {
        let tokenizer = tokenizer();
        let wish: Vec<u32> = vec![1, 2, 3, 0];
        for strength in [f32::NAN, f32::INFINITY] {
            let broken = Parrot { wish: wish.clone(), strength, ..parrot(&tokenizer) };
            for times in [false, true] {
                let said = answer(&broken, &tokenizer, times, &[]);
                assert!(matches!(said, Err(LlmError::NotFinite)), "{strength}: {said:?}");
            }
        }
        // A token that can never come is none the less a good answer's neighbour.
        let barred = Parrot { wish: vec![5; 20], strength: f32::NEG_INFINITY, ..parrot(&tokenizer) };
        assert_eq!(answer(&barred, &tokenizer, false, &[]).expect("answers").finish, Finish::Stop);
    }

    #[test]
    fn what_is_expected_saves_passes_and_changes_nothing() {
        let tokenizer = tokenizer();
        let id = |word: &str| tokenizer.token_id(word).unwrap_or_else(|| panic!("no token {word}"));
        let says = ["From", "Ġ", "2", "0", "Ġto", "Ġ", "5", "5", "Ġthe", "."].map(id);
        let right = "From 20 to 55 the.";
        let cases: [(&[&str], bool, usize); 5] = [
            // Nothing is expected, and the form guesses `Ġto Ġ`.
            (&[], true, 8),
            // Three tokens at a time, after the first.
            (&[right], true, 4),
            // Other times: four digits are wrong.
            (&["From 31 to 72 the."], true, 6),
            // Something else.
            (&["7 7 7."], false, 8),
            // A sentence after the last one that is said.
            (&[right, "From 56 to 99 the."], false, 4),
        ];
        for (expected, readable, most) in cases {
            let parrot = Parrot { wish: says.to_vec(), ..parrot(&tokenizer) };
            let alone = answer(
                &Parrot { wish: says.to_vec(), ..self::parrot(&tokenizer) },
                &tokenizer,
                readable,
                &[],
            );
            let said = answer(&parrot, &tokenizer, readable, expected).expect("answers");
            assert_eq!(said, alone.expect("answers"), "{expected:?}");
            assert_eq!(tokenizer.decode(&said.ids), right);
            let passes = parrot.passes.into_inner();
            assert!(passes <= most, "{passes} passes with {expected:?}");
        }
    }

    #[test]
    fn a_guess_does_not_reach_over_the_limit() {
        let tokenizer = tokenizer();
        let says = ["From", "Ġ", "2", "0", "Ġto", "Ġ", "5", "5", "Ġthe", "."];
        let says: Vec<u32> = says.iter().filter_map(|word| tokenizer.token_id(word)).collect();
        let empty = Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).expect("nothing");
        let expected = [vec![vec!["From 20 to 55 the.".to_owned()]]];
        for limit in 0..=says.len() + 1 {
            let parrot = Parrot { wish: says.clone(), ..parrot(&tokenizer) };
            let rules = Rules {
                sampling: &Sampling::Greedy,
                tokenizer: &tokenizer,
                readable_times: false,
                expected: &expected,
            };
            let said = generate(&parrot, std::slice::from_ref(&empty), &[vec![(vec![1], limit)]], rules);
            let said = said.expect("answers").remove(0).remove(0);
            assert_eq!(said.ids, says[..limit.min(says.len())], "{limit}");
            assert_eq!(said.logprobs.len(), said.ids.len());
            let whole = limit > says.len();
            assert_eq!(said.finish, if whole { Finish::Stop } else { Finish::Length }, "{limit}");
        }
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
