//! The assembled model on tiny random weights: what is encoded when, what the LLM gets to read, whose trouble is whose.

mod tiny;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use avicuna_models::adapter::Adapter;
use avicuna_models::answer::Answer;
use avicuna_models::interleave::{Interleaver, Item, Strategy};
use avicuna_models::localizer::{
    LastWindow, LoadOptions, Localizer, LocalizerError, WindowAnswer, WindowInput,
};
use avicuna_models::prompt::{Template, answer};
use avicuna_models::sample::{Embedding, EncodeOnce, Encoding, RgbFrame};
use avicuna_models::tokenizer::Specials;
use candle_core::{Device, Tensor};
use tiny::{TinyModel, clip, frame, golden, golden_clip, golden_frame, question, window};

type Anything = Result<(), Box<dyn std::error::Error>>;

struct Loaded {
    model: TinyModel,
    localizer: Localizer,
}

fn loaded() -> &'static Loaded {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    LOADED.get_or_init(|| {
        let model = TinyModel::new();
        let localizer = model.load().expect("the tiny model loads");
        Loaded { model, localizer }
    })
}

fn localizer() -> &'static Localizer {
    &loaded().localizer
}

fn ask(windows: &[WindowInput]) -> Vec<Result<WindowAnswer, LocalizerError>> {
    let answers = localizer().answer(windows);
    assert_eq!(answers.len(), windows.len());
    answers
}

fn ask_one(window: WindowInput) -> Result<WindowAnswer, LocalizerError> {
    ask(&[window]).remove(0)
}

fn assert_same(a: &[Answer], b: &[Answer], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        let ids = |answer: &Answer| answer.tokens.iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(ids(a), ids(b), "{what}");
        assert_eq!((&a.text, a.finish), (&b.text, b.finish), "{what}");
        for (a, b) in a.tokens.iter().zip(&b.tokens) {
            assert!((a.logprob - b.logprob).abs() < 1e-3, "{what}: {} {}", a.logprob, b.logprob);
        }
    }
}

#[test]
fn encoders_agree_with_numpy() -> Anything {
    let mut window = window(0);
    let (picture, sound) =
        (Arc::new(EncodeOnce::new(golden_frame())), Arc::new(EncodeOnce::new(golden_clip())));
    window.visual[1] = Some(picture.clone());
    window.audio[2] = Some(sound.clone());
    ask_one(window)?;
    let embeddings = [("vision", picture.embedding()), ("audio", sound.embedding())];
    for (name, embedding) in embeddings {
        let (embedding, expected) = (embedding.ok_or("not encoded")?, golden(name));
        assert_eq!(embedding.len(), expected.len());
        for (x, y) in embedding.iter().zip(&expected) {
            assert!((x - y).abs() < 2e-3, "{name}: {x} {y}");
        }
    }
    Ok(())
}

/// The same answers from the parts put together by hand, as the contract says.
#[test]
fn the_llm_reads_head_sequence_and_question() -> Anything {
    let mut window = window(3);
    window.visual[2] = None;
    window.audio[0] = None;
    let answers = ask_one(window.clone())?.answers;

    let (llm, cpu) = (localizer().llm(), &Device::Cpu);
    let adapters = loaded().model.dir().join("adapters.safetensors");
    let (visual, audio) = (
        Adapter::load(&adapters, "vision", 24, llm.hidden_size(), cpu)?,
        Adapter::load(&adapters, "audio", 16, llm.hidden_size(), cpu)?,
    );
    let row =
        |adapter: &Adapter, embedding: Option<&Embedding>| -> Result<Tensor, Box<dyn std::error::Error>> {
            Ok(adapter.project(&[embedding.ok_or("not encoded")?])?)
        };
    let words = |text: &str| llm.embed(&llm.tokenizer().encode(text, Specials::AsText)?);
    let interleaver = Interleaver::new(Strategy::Timestamped { stamp_every_slots: 2 }, 4, 4)?;
    let sequence = interleaver.sequence(&[true, true, false, true], &[false, true, true, true])?;
    assert_eq!(sequence.len(), 2 + 6, "two stamps and six tokens");
    let mut rows = vec![llm.embed(&Template::VicunaV1.head(llm.tokenizer())?)?];
    for item in sequence {
        rows.push(match item {
            Item::Visual(slot) => row(&visual, window.visual[slot].as_ref().and_then(|s| s.embedding()))?,
            Item::Audio(slot) => row(&audio, window.audio[slot].as_ref().and_then(|s| s.embedding()))?,
            Item::Text(text) => words(&text)?,
        });
    }
    let prefix = Tensor::cat(&rows, 0)?;
    for (question, got) in window.questions.iter().zip(&answers) {
        let tail = Template::VicunaV1.tail(llm.tokenizer(), &question.text)?;
        let generated =
            llm.generate(std::slice::from_ref(&prefix), &[vec![(tail, question.max_new_tokens)]])?;
        let expected = answer(llm.tokenizer(), &generated[0][0]);
        assert!(!expected.tokens.is_empty(), "nothing to compare");
        assert_same(std::slice::from_ref(got), &[expected], &question.text);
    }
    Ok(())
}

#[test]
fn a_sample_is_encoded_once_however_many_windows_hold_it() -> Anything {
    let frames: Vec<_> = (0..6).map(|seed| Some(frame(seed))).collect();
    let clips: Vec<_> = (0..6).map(|seed| Some(clip(seed))).collect();
    let at = |start: usize| WindowInput {
        visual: frames[start..start + 4].to_vec(),
        audio: clips[start..start + 4].to_vec(),
        questions: vec![question("?")],
        last: None,
    };
    let counts = |windows: &[WindowInput]| -> Result<(usize, usize, usize), LocalizerError> {
        let timing = ask(windows).remove(0)?.timing;
        Ok((timing.frames_encoded, timing.clips_encoded, timing.batch))
    };
    assert_eq!(counts(&[at(0), at(1)])?, (5, 5, 2), "three are shared");
    assert_eq!(counts(&[at(2)])?, (1, 1, 1), "the others are known");
    assert_eq!(counts(&[at(0), at(1), at(2)])?, (0, 0, 3));
    assert!(frames.iter().flatten().all(|frame| frame.take_input().is_none()), "pictures are freed");
    // A cached feature needs no picture at all.
    let mut window = at(0);
    let known = frames[0].as_ref().and_then(|frame| frame.embedding()).ok_or("not encoded")?;
    window.visual[0] = Some(Arc::new(EncodeOnce::encoded(known.clone())));
    let (first, again) = (ask_one(at(0))?, ask_one(window)?);
    assert_same(&first.answers, &again.answers, "cached feature");
    Ok(())
}

#[test]
fn a_batch_answers_as_its_windows_alone() -> Anything {
    let mut third = window(9);
    third.questions.truncate(1);
    let windows = [window(0), window(4), third];
    let together = ask(&windows.clone().map(|w| fresh(&w)));
    for (index, (window, batch)) in windows.into_iter().zip(together).enumerate() {
        assert_same(&batch?.answers, &ask_one(window)?.answers, &format!("window {index}"));
    }
    Ok(())
}

#[test]
fn a_window_as_the_streams_last_one_is_not_read_again() -> Anything {
    let last = Some(Arc::new(LastWindow::new(0.0)));
    let of_stream = |seed: usize| WindowInput { last: last.clone(), ..window(seed) };
    let first = ask_one(of_stream(0))?;
    assert!(!first.unchanged, "nothing was known");
    let mut results = ask(&[window(4), of_stream(0), window(9)]);
    let again = results.remove(1)?;
    assert!(again.unchanged && again.answers == first.answers && again.timing.batch == 3);
    for (result, seed) in results.into_iter().zip([4, 9]) {
        assert_same(&result?.answers, &ask_one(window(seed))?.answers, "what is read beside it");
    }
    // However many windows make a batch.
    let together = ask(&[of_stream(20), of_stream(20), of_stream(21)]);
    let unchanged = together
        .into_iter()
        .map(|result| Ok(result?.unchanged))
        .collect::<Result<Vec<_>, LocalizerError>>()?;
    assert_eq!(unchanged, [false, true, false]);
    let other = WindowInput { questions: vec![question("Is there a cat?")], ..of_stream(0) };
    assert!(!ask_one(other)?.unchanged, "that was not asked");
    assert!(!ask_one(of_stream(4))?.unchanged);
    assert!(ask_one(of_stream(4))?.unchanged);
    Ok(())
}

/// The same content in cells that are not encoded yet.
fn fresh(window: &WindowInput) -> WindowInput {
    fn copy<I: Clone>(cells: &[Option<Arc<EncodeOnce<I>>>]) -> Vec<Option<Arc<EncodeOnce<I>>>> {
        let one = |cell: &Arc<EncodeOnce<I>>| {
            let input = cell.take_input().expect("not encoded yet");
            cell.put_back(input.clone());
            Arc::new(EncodeOnce::new(input))
        };
        cells.iter().map(|cell| cell.as_ref().map(one)).collect()
    }
    WindowInput {
        visual: copy(&window.visual),
        audio: copy(&window.audio),
        questions: window.questions.clone(),
        last: None,
    }
}

#[test]
fn pictures_and_sounds_both_count_and_either_may_be_missing() -> Anything {
    let logprobs = |window: WindowInput| -> Result<Vec<f32>, LocalizerError> {
        let answers = ask_one(window)?.answers;
        Ok(answers.iter().flat_map(|a| &a.tokens).map(|t| t.logprob).collect())
    };
    let both = window(1);
    let (mut seen, mut heard, mut other) = (both.clone(), both.clone(), both.clone());
    seen.audio = vec![None; 4];
    heard.visual = vec![None; 4];
    other.audio[3] = Some(clip(40));
    let all = [logprobs(both)?, logprobs(seen)?, logprobs(heard)?, logprobs(other)?];
    for (index, one) in all.iter().enumerate() {
        assert!(!one.is_empty() && one.iter().all(|p| p.is_finite() && *p <= 0.0), "{one:?}");
        assert!(!all[..index].contains(one), "a modality changed nothing: {all:?}");
    }
    Ok(())
}

/// Each of these windows fails, and the good one beside it does not.
#[test]
fn a_windows_trouble_is_its_own() -> Anything {
    let small = RgbFrame { width: 2, height: 2, aspect: 1.0, data: vec![0; 12] };
    let bad_frame = Arc::new(EncodeOnce::new(small));
    let short = Arc::new(EncodeOnce::new(avicuna_models::sample::AudioClip { samples: vec![0.0; 7] }));
    let change = |change: &dyn Fn(&mut WindowInput)| {
        let mut window = window(20);
        change(&mut window);
        window
    };
    let foreign: Embedding = [0.5f32; 5].as_slice().into();
    let seen = window(20);
    ask_one(seen.clone())?;
    let width =
        seen.visual[0].as_ref().and_then(|cell| Some(cell.embedding()?.len())).expect("it was encoded");
    let no_number: Embedding = vec![f32::NAN; width].as_slice().into();
    let cases = [
        (change(&|w| w.visual[2] = Some(bad_frame.clone())), "visual sample 2"),
        (change(&|w| w.audio[1] = Some(short.clone())), "7 samples"),
        (change(&|w| w.visual[0] = Some(Arc::new(EncodeOnce::encoded(foreign.clone())))), "5 wide"),
        (change(&|w| w.visual[0] = Some(Arc::new(EncodeOnce::encoded(no_number.clone())))), "not finite"),
        (change(&|w| (w.visual, w.audio) = (vec![None; 4], vec![None; 4])), "neither"),
        (change(&|w| w.visual.truncate(3)), "3"),
        (change(&|w| w.questions[0].text = "why ".repeat(5000)), "tokens"),
        (change(&|w| w.questions[1].max_new_tokens = 100_000), "100"),
    ];
    let expected = ask_one(window(0))?.answers;
    for (case, message) in &cases {
        let mut results = ask(&[case.clone(), window(0)]);
        assert_same(&results.remove(1)?.answers, &expected, message);
        let error = results.remove(0).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
    // All of them at once, the good one in the middle.
    let mut windows: Vec<_> = cases.iter().map(|(case, _)| case.clone()).collect();
    windows.insert(3, window(0));
    for (index, result) in ask(&windows).into_iter().enumerate() {
        assert_eq!(result.is_ok(), index == 3, "window {index}");
    }
    assert!(bad_frame.take_input().is_some(), "what could not be encoded goes back");
    Ok(())
}

#[test]
fn a_window_without_questions_is_encoded_and_an_empty_batch_is_nothing() -> Anything {
    let mut window = window(5);
    window.questions.clear();
    let answer = ask_one(window)?;
    assert_eq!((answer.answers.len(), answer.timing.frames_encoded), (0, 4));
    assert!(ask(&[]).is_empty());
    Ok(())
}

#[test]
fn a_sample_in_another_threads_hands_is_waited_for_or_taken_over() -> Anything {
    let window = window(7);
    let held: Vec<_> = window.visual.iter().flatten().take(2).cloned().collect();
    let inputs: Vec<_> = held.iter().map(|cell| cell.take_input().expect("mine")).collect();
    let answered = std::thread::scope(|scope| {
        let answering = scope.spawn(|| ask_one(window.clone()));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!answering.is_finished(), "two pictures are not there yet");
        // One comes back encoded, the other as it was.
        held[0].fill(Encoding::whole([0.25f32; 24].as_slice().into()));
        held[1].put_back(inputs[1].clone());
        answering.join().expect("no panic")
    })?;
    assert_eq!(answered.timing.frames_encoded, 3, "all but the one that came encoded");
    assert!(held[1].embedding().is_some());
    Ok(())
}

#[test]
fn threads_may_answer_overlapping_windows_at_the_same_time() -> Anything {
    let frames: Vec<_> = (50..57).map(|seed| Some(frame(seed))).collect();
    let windows: Vec<_> = (0..4)
        .map(|start| WindowInput { visual: frames[start..start + 4].to_vec(), ..window(start) })
        .collect();
    let encoded = std::thread::scope(|scope| {
        let threads: Vec<_> = windows.iter().map(|w| scope.spawn(|| ask_one(w.clone()))).collect();
        let results = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        results.map(|result| result.map(|answer| answer.timing.frames_encoded)).sum::<Result<usize, _>>()
    })?;
    assert_eq!(encoded, 7);
    Ok(())
}

#[test]
fn the_llm_computes_with_the_threads_it_is_given_and_says_the_same() -> Anything {
    let expected = ask_one(window(2))?.answers;
    for threads in [1, 3] {
        let options = LoadOptions { threads: Some(threads), ..LoadOptions::default() };
        let localizer = Localizer::load(loaded().model.dir(), &options)?;
        assert_eq!(localizer.llm().threads(), threads);
        let answers = localizer.answer(&[window(2)]).remove(0)?.answers;
        assert_same(&answers, &expected, &format!("{threads} threads"));
    }
    Ok(())
}

#[test]
fn times_are_kept_readable_where_the_manifest_says_so() -> Anything {
    let model = TinyModel::new();
    model.edit("max_new_tokens = 12", "max_new_tokens = 12\nreadable_times = true");
    let strict = model.load()?;
    assert!(strict.llm().keeps_times_readable() && !localizer().llm().keeps_times_readable());
    // What begins no interval is left alone: a random model's answers.
    for seed in 0..4 {
        let (answers, free) = (strict.answer(&[window(seed)]).remove(0)?, ask_one(window(seed))?);
        if free.answers.iter().all(|answer| !answer.text.to_lowercase().contains("from")) {
            assert_same(&answers.answers, &free.answers, &format!("window {seed}"));
        }
    }
    Ok(())
}
