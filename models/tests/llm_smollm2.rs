//! The decoder on the real SmolLM2-135M-Instruct GGUF.

use std::path::PathBuf;
use std::sync::OnceLock;

use avicuna_models::answer::Finish;
use avicuna_models::llm::{Llm, LlmError, Precision, Sampling};
use avicuna_models::prompt::{Template, answer};
use avicuna_models::tokenizer::Specials;
use candle_core::{Device, Tensor};

fn gguf() -> PathBuf {
    let cache = avicuna_models::manifest::cache_dir().expect("a cache");
    let name = "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    let places = [cache.join("models").join(name), cache.join(name)];
    let found = places.iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run `avicuna models pull`")).clone()
}

fn llm() -> &'static Llm {
    static LLM: OnceLock<Llm> = OnceLock::new();
    LLM.get_or_init(|| Llm::load(&gguf(), None, &Device::Cpu).expect("the GGUF loads"))
}

/// The embeddings of a window's prefix in ChatML: head, then `content` in place of the audio-visual tokens.
fn prefix(llm: &Llm, content: &str) -> Tensor {
    let mut ids = Template::ChatMl.head(llm.tokenizer()).expect("head");
    ids.extend(llm.tokenizer().encode(content, Specials::AsText).expect("content"));
    llm.embed(&ids).expect("embeddings")
}

fn question(llm: &Llm, text: &str, limit: usize) -> (Vec<u32>, usize) {
    (Template::ChatMl.tail(llm.tokenizer(), text).expect("tail"), limit)
}

#[test]
fn the_capital_of_france_is_paris() -> Result<(), LlmError> {
    let llm = llm();
    let asked = [vec![question(llm, "What is the capital of France?", 40)]];
    let generated = llm.generate(&[prefix(llm, "Answer this.")], &asked)?;
    let answer = answer(llm.tokenizer(), &generated[0][0]);
    assert!(answer.text.contains("Paris"), "{answer:?}");
    assert_eq!(answer.finish, Finish::Stop);
    let joined: String = answer.tokens.iter().map(|t| &answer.text[t.bytes.clone()]).collect();
    assert_eq!(joined, answer.text);
    assert!(answer.tokens.iter().all(|t| t.logprob <= 0.0 && t.logprob > -10.0));

    let plain = llm.tokenizer().encode("The capital of France is", Specials::AsText)?;
    let empty = llm.embed(&[0])?.narrow(0, 0, 0)?;
    let generated = llm.generate(&[empty], &[vec![(plain, 5)]])?;
    let text = llm.tokenizer().decode(&generated[0][0].ids);
    assert!(text.contains("Paris"), "{text}");
    Ok(())
}

#[test]
fn what_is_expected_changes_no_answer() -> Result<(), LlmError> {
    let llm = llm();
    let asked =
        [vec![question(llm, "What is the capital of France?", 40), question(llm, "Count to ten.", 30)]];
    let prefixes = [prefix(llm, "Answer this.")];
    let alone = llm.generate(&prefixes, &asked)?;
    let said = |question: usize| llm.tokenizer().decode(&alone[0][question].ids);
    let halved = |text: String| format!("{} and so on.", &text[..text.len() / 2]);
    // What it says, what it begins to say, and what it says to the other question.
    for expected in [
        vec![vec![said(0)], vec![said(1)]],
        vec![vec![halved(said(0))], vec![halved(said(1))]],
        vec![vec![said(1)], vec![said(0)]],
    ] {
        let sooner = llm.generate_expecting(&prefixes, &asked, std::slice::from_ref(&expected))?;
        assert_eq!(sooner, alone, "to the last bit, with {expected:?}");
    }
    Ok(())
}

#[test]
fn sharing_and_batching_change_no_answer() -> Result<(), LlmError> {
    let llm = llm();
    let contents =
        ["A dog barks, then a bell rings.", "It is raining in Rome, and 34 people wait at the old station."];
    let texts = ["What makes a sound?", "Where is it?", "Name one city and say why you like it."];
    let prefixes: Vec<Tensor> = contents.iter().map(|c| prefix(llm, c)).collect();
    let limits = [12, 7, 20];
    let asked: Vec<Vec<_>> = contents
        .iter()
        .map(|_| texts.iter().zip(limits).map(|(t, n)| question(llm, t, n)).collect())
        .collect();
    let together = llm.generate(&prefixes, &asked)?;
    for (window, content) in contents.iter().enumerate() {
        for (index, (text, limit)) in texts.iter().zip(limits).enumerate() {
            // Alone, with prefix and question in one piece: no shared cache is involved.
            let (tail, _) = question(llm, text, limit);
            let mut ids = Template::ChatMl.head(llm.tokenizer())?;
            ids.extend(llm.tokenizer().encode(content, Specials::AsText)?);
            ids.extend(tail);
            let none = prefixes[0].narrow(0, 0, 0)?;
            let alone = &llm.generate(&[none], &[vec![(ids, limit)]])?[0][0];
            let shared = &together[window][index];
            assert_eq!(shared.ids, alone.ids, "window {window}, question {index}");
            assert_eq!(shared.finish, alone.finish);
            for (a, b) in shared.logprobs.iter().zip(&alone.logprobs) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
    Ok(())
}

/// The blocks cost what their rounding costs, and no more: far less than the 4-bit weights already did.
#[test]
fn blocks_answer_like_f32() -> Result<(), LlmError> {
    let llm = llm();
    let exact = Llm::load_as(&gguf(), None, &Device::Cpu, Precision::Exact)?;
    assert!(llm.weight_bytes() < exact.weight_bytes() / 2);
    let text = "The dog barks at the crowd from 12 to 34, and then a bell rings in the old station of Rome. \
        People look up, because nobody has heard it for years; the train to Paris leaves without them.";
    let ids = llm.tokenizer().encode(text, Specials::AsText)?;
    let probabilities = |llm: &Llm| -> Result<Vec<Vec<f32>>, LlmError> {
        let logits = llm.logits(&llm.embed(&ids)?)?;
        Ok(candle_nn::ops::softmax_last_dim(&logits)?.to_vec2()?)
    };
    let (blocks, exact) = (probabilities(llm)?, probabilities(&exact)?);
    let mut divergence = 0.0;
    for (p, q) in exact.iter().zip(&blocks) {
        divergence += p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum::<f32>();
    }
    divergence /= exact.len() as f32;
    assert!(divergence < 0.01, "mean KL divergence {divergence} nats");
    assert!(divergence > 0.0, "the two decoders are the same");
    Ok(())
}

#[test]
fn text_and_ids_follow_the_models_own_tokenizer() -> Result<(), LlmError> {
    let tokenizer = llm().tokenizer();
    // Every digit is a token of its own, so that "34" costs the same as any other time.
    let digits = tokenizer.encode("34", Specials::AsText)?;
    assert_eq!(digits.len(), 2);
    assert_eq!(tokenizer.encode("<|im_start|>user\n", Specials::Parse)?[0], 1);
    let spelled = tokenizer.encode("<|im_end|>", Specials::AsText)?;
    assert!(spelled.len() > 1 && !spelled.contains(&2), "{spelled:?}");
    let text = "Qu’est-ce que c'est — café 你好 😀?\n\n  From 03 to 17.";
    let ids = tokenizer.encode(text, Specials::AsText)?;
    assert_eq!(tokenizer.decode(&ids), text);
    Ok(())
}

#[test]
fn wrong_input_is_an_error_that_says_so() {
    let llm = llm();
    let start = prefix(llm, "");
    let fails = |questions: Vec<(Vec<u32>, usize)>| {
        llm.generate(std::slice::from_ref(&start), &[questions]).map(|_| ()).map_err(|e| e.to_string())
    };
    assert!(fails(vec![(vec![], 3)]).is_err_and(|e| e.contains("no token")));
    assert!(fails(vec![(vec![60_000], 3)]).is_err_and(|e| e.contains("60000")));
    assert!(fails(vec![(vec![5], 9000)]).is_err_and(|e| e.contains("context")));
    assert_eq!(fails(vec![]), Ok(()));
}

/// Whatever it is told to say, an interval in it can be read; what begins none is left alone.
#[test]
fn an_interval_that_is_begun_can_be_read() -> Result<(), LlmError> {
    let (free, strict) = (llm(), Llm::load(&gguf(), None, &Device::Cpu)?.with_readable_times());
    let texts = ["Repeat exactly: From 200 to 3.", "Repeat exactly: From the start.", "What is a violin?"];
    let start = prefix(free, "Repeat what I say, word by word.");
    let asked = [texts.map(|text| question(free, text, 16)).to_vec()];
    let said = |llm: &Llm, sampling| -> Result<Vec<String>, LlmError> {
        let generated = llm.generate_with(std::slice::from_ref(&start), &asked, &sampling)?;
        Ok(generated[0].iter().map(|generated| answer(llm.tokenizer(), generated).text).collect())
    };
    for sampling in [Sampling::Greedy, Sampling::Temperature { temperature: 1.2, seed: 3 }] {
        for (strict, free) in said(&strict, sampling)?.iter().zip(said(free, sampling)?) {
            let bytes = strict.as_bytes();
            if bytes.starts_with(b"From ") && bytes.len() > 12 {
                let digits = [5, 6, 11, 12].map(|at| bytes[at].is_ascii_digit());
                assert_eq!(digits, [true; 4], "{strict}");
                assert!(bytes[5..7] <= bytes[11..13], "{strict}");
            } else if !free.contains("From ") && !free.contains(", and from") {
                assert_eq!(*strict, free, "it begins no interval");
            }
        }
    }
    Ok(())
}
