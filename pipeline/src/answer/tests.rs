use avicuna_models::answer::AnswerToken;
use proptest::prelude::*;

use super::*;

fn phrases() -> Phrases {
    Phrases { nothing: "Nothing happens.".into(), absent: "It does not happen.".into() }
}

/// An answer of one-character tokens, each with probability `probability`.
fn answer(text: &str, finish: Finish, probability: impl Fn(usize) -> f32) -> Answer {
    let token = |(at, sign): (usize, char)| AnswerToken {
        id: 0,
        logprob: probability(at).ln(),
        bytes: at..at + sign.len_utf8(),
    };
    Answer { text: text.into(), tokens: text.char_indices().map(token).collect(), finish }
}

fn ground(label: &str) -> Asked {
    Asked::Ground { label: label.into() }
}

fn read_whole(asked: &Asked, text: &str) -> Reading {
    read(asked, &answer(text, Finish::Stop, |_| 0.5), &phrases())
}

type Said<'a> = (&'a str, u8, u8, Option<Modality>);

fn said(reading: &Reading) -> Vec<Said<'_>> {
    let found = reading.localizations.iter();
    found.map(|found| (found.label.as_str(), found.start.get(), found.end.get(), found.modality)).collect()
}

#[track_caller]
fn detects(text: &str, expected: &[Said<'_>]) {
    let reading = read_whole(&Asked::Detect, text);
    assert_eq!(said(&reading), expected, "{text}");
    assert_eq!((reading.absent, reading.unparsed), (false, Vec::new()), "{text}");
}

#[track_caller]
fn grounds(text: &str, expected: &[(u8, u8, Option<Modality>)]) {
    let reading = read_whole(&ground("a dog barks"), text);
    let expected: Vec<Said<'_>> =
        expected.iter().map(|&(start, end, modality)| ("a dog barks", start, end, modality)).collect();
    assert_eq!(said(&reading), expected, "{text}");
    assert_eq!((reading.absent, reading.unparsed), (false, Vec::new()), "{text}");
}

#[track_caller]
fn left(asked: &Asked, text: &str, unparsed: &[&str]) {
    let reading = read_whole(asked, text);
    assert_eq!(said(&reading), [], "{text}");
    assert_eq!((reading.absent, &reading.unparsed[..]), (false, &owned(unparsed)[..]), "{text}");
}

fn owned(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

#[test]
fn a_dense_answer_names_its_events() {
    let (both, heard, seen) = (Some(Modality::Both), Some(Modality::Audio), Some(Modality::Visual));
    detects("From 12 to 34, a dog barks.", &[("a dog barks", 12, 34, None)]);
    detects(
        "From 20 to 55, a dog, seen and heard. From 60 to 80, a violin, heard.",
        &[("a dog", 20, 55, both), ("a violin", 60, 80, heard)],
    );
    detects(
        "From 00 to 20, and from 30 to 40, rain, heard.",
        &[("rain", 0, 20, heard), ("rain", 30, 40, heard)],
    );
    detects(
        "From 00 to 10, a man, dressed in blue, sings, seen",
        &[("a man, dressed in blue, sings", 0, 10, seen)],
    );
    detects("From 00 to 10, Mr. Smith sings.", &[("Mr. Smith sings", 0, 10, None)]);
    detects("From 00 to 10, a shot heard.", &[("a shot heard", 0, 10, None)]);
}

#[test]
fn case_spaces_dashes_and_line_breaks_do_not_matter() {
    detects("  FROM 12 TO 34 ,  a  dog\tbarks ", &[("a dog barks", 12, 34, None)]);
    detects("from 12-34: a dog", &[("a dog", 12, 34, None)]);
    detects("From 12 – 34, a dog", &[("a dog", 12, 34, None)]);
    detects("From 12—34, a dog", &[("a dog", 12, 34, None)]);
    detects("From 12 to 34,\na dog", &[("a dog", 12, 34, None)]);
    detects("From 12 to 34,\nfrom 40 to 50, a dog", &[("a dog", 12, 34, None), ("a dog", 40, 50, None)]);
    detects(
        "From 12 to 34, a dog\n\nFrom 40 to 50, a cat",
        &[("a dog", 12, 34, None), ("a cat", 40, 50, None)],
    );
    detects(
        "From 12 to 34, a dog.From 40 to 50, a cat!",
        &[("a dog", 12, 34, None), ("a cat", 40, 50, None)],
    );
    detects(
        "From 12 to 34, a man says no. And from 40 to 50, a cat...",
        &[("a man says no", 12, 34, None), ("a cat", 40, 50, None)],
    );
}

#[test]
fn a_grounding_answer_names_times() {
    let (both, heard) = (Some(Modality::Both), Some(Modality::Audio));
    grounds("From 00 to 53, and from 57 to 99.", &[(0, 53, None), (57, 99, None)]);
    grounds("From 00 to 53 and 57 to 99", &[(0, 53, None), (57, 99, None)]);
    grounds("from 00 to 53,from 57 to 99,and from 99-99", &[(0, 53, None), (57, 99, None), (99, 99, None)]);
    grounds("From 20 to 55, seen and heard, and from 57 to 99, Heard.", &[(20, 55, both), (57, 99, heard)]);
    grounds("From 20 to 55, heard and seen. From 57 to 99.", &[(20, 55, both), (57, 99, None)]);
    grounds("From 20 to 55, seen and from 57 to 99", &[(20, 55, Some(Modality::Visual)), (57, 99, None)]);
}

#[test]
fn a_grounding_answer_may_repeat_the_label_but_not_name_another() {
    let text = "From 20 to 55, The dog  barks, heard.";
    assert_eq!(
        said(&read_whole(&ground("a dog barks"), text)),
        [("a dog barks", 20, 55, Some(Modality::Audio))]
    );
    left(&ground("a cat"), text, &[text]);
}

#[test]
fn nothing_is_said_in_the_manifests_words() {
    let nothing = Reading { absent: true, ..Reading::default() };
    assert_eq!(read_whole(&Asked::Detect, "Nothing happens."), nothing);
    assert_eq!(read_whole(&Asked::Detect, " nothing  happens\n"), nothing);
    assert_eq!(read_whole(&ground("a dog"), "It does not happen."), nothing);
    left(&ground("a dog"), "Nothing happens.", &["Nothing happens."]);
    left(&Asked::Detect, "Nothing much happens.", &["Nothing much happens."]);
}

#[test]
fn an_answer_that_says_nothing_and_something_keeps_the_contradiction() {
    let reading = read_whole(&Asked::Detect, "Nothing happens. From 12 to 34, a dog.");
    assert_eq!(said(&reading), [("a dog", 12, 34, None)]);
    assert_eq!((reading.absent, reading.unparsed), (false, owned(&["Nothing happens."])));
}

#[test]
fn what_follows_no_rule_is_kept_and_not_guessed() {
    for text in [
        "A dog barks from 12 to 34.",
        "12 to 34, a dog.",
        "From 100 to 200, a dog.",
        "From 1 to 20, a dog.",
        "From 120 to 34, a dog.",
        "From 12 to 340, a dog.",
        "From 12.5 to 34, a dog.",
        "From 12 to 34.5, a dog.",
        "From 12:10 to 34, a dog.",
        "From 12% to 34%, a dog.",
        "From 12 to 34",
        "From 12 to 34, .",
        "From 12 to 34, seen and heard.",
        "From 12 to 34 a dog.",
        "From 12 to34, a dog.",
        "From 12 34, a dog.",
        "From 12 to 34, a dog, and from 40 to 50.",
        "From 12 to 34, and from 100 to 200, a dog.",
        "From 12 to 34, and from 57",
        "From twelve to 34, a dog.",
        "From １２ to ３４, a dog.",
    ] {
        left(&Asked::Detect, text, &[text]);
    }
    left(&ground("a dog"), "Yes, it does: from 12 to 34.", &["Yes, it does: from 12 to 34."]);
    left(&ground("a dog"), "From 12 to 34, and from 57", &["From 12 to 34, and from 57"]);
    left(&Asked::Detect, "", &[""]);
    left(&Asked::Detect, " \n", &[" \n"]);
}

#[test]
fn an_end_before_its_start_is_kept_and_its_neighbours_stand() {
    left(&Asked::Detect, "From 55 to 20, a dog.", &["From 55 to 20"]);
    let reading = read_whole(&ground("a dog"), "From 20 to 55, heard, and from 99 to 57, seen.");
    assert_eq!(said(&reading), [("a dog", 20, 55, Some(Modality::Audio))]);
    assert_eq!(reading.unparsed, ["from 99 to 57, seen"]);
}

#[test]
fn a_good_sentence_survives_bad_neighbours() {
    let reading = read_whole(&Asked::Detect, "Sure! From 12 to 34, a dog. It is brown.");
    assert_eq!(said(&reading), [("a dog", 12, 34, None)]);
    assert_eq!(reading.localizations[0].text, "From 12 to 34, a dog.");
    assert_eq!(reading.unparsed, ["Sure!", "It is brown."]);
}

#[test]
fn a_cut_answer_ends_at_its_last_whole_sentence() {
    let cut = |text| read(&Asked::Detect, &answer(text, Finish::Length, |_| 0.5), &phrases());
    let reading = cut("From 12 to 34, a dog. From 40 to 50, a vio");
    assert_eq!(said(&reading), [("a dog", 12, 34, None)]);
    assert_eq!(reading.unparsed, ["From 40 to 50, a vio"]);
    assert_eq!(said(&cut("From 12 to 34, a dog.")), [("a dog", 12, 34, None)]);
    let grounded = read(&ground("a dog"), &answer("From 12 to 34", Finish::Length, |_| 0.5), &phrases());
    assert_eq!((grounded.localizations.len(), grounded.unparsed), (0, owned(&["From 12 to 34"])));
}

#[test]
fn the_score_is_the_geometric_mean_over_label_and_times() {
    let text = "From 12 to 34, dog, heard. From 40 to 50, cat.";
    let label = text.find("dog").expect("it is there");
    // One of the label's three letters is worth 1/128; the four digits and the rest of the label are certain.
    let spelled = answer(text, Finish::Stop, |at| if at == label { 1.0 / 128.0 } else { 1.0 });
    let reading = read(&Asked::Detect, &spelled, &phrases());
    assert!((reading.localizations[0].score - 0.5).abs() < 1e-6, "{reading:?}");
    assert_eq!(reading.localizations[1].score, 1.0);
    // What neither label nor times need does not count.
    let doubted = answer(text, Finish::Stop, |at| {
        let needed =
            text[at..].starts_with(|sign: char| sign.is_ascii_digit()) || (label..label + 3).contains(&at);
        if needed { 1.0 } else { 0.01 }
    });
    assert_eq!(read(&Asked::Detect, &doubted, &phrases()).localizations[0].score, 1.0);
}

#[test]
fn the_score_of_what_was_asked_for_is_that_of_the_token_that_decides_that_it_happens() {
    let text = "From 12 to 34, seen, and from 40 to 50, heard. And from 60 to 70.";
    let (comma, and) = (text.find(", and").expect("it is there"), text.find("And").expect("it is there"));
    let probability = |at| match at {
        0 => 0.5,
        at if at == comma => 0.25,
        at if at == and => 0.125,
        _ => 0.75,
    };
    let answered = answer(text, Finish::Stop, probability);
    let reading = read(&ground("a dog"), &answered, &phrases());
    let scores: Vec<f64> =
        reading.localizations.iter().map(|found| (found.score * 1e6).round() / 1e6).collect();
    assert_eq!(scores, [0.5, 0.25, 0.125], "{reading:?}");
    assert!(reading.localizations.iter().all(|found| found.queried));
    let told = read(&Asked::Detect, &answer("From 12 to 34, a dog.", Finish::Stop, |_| 1.0), &phrases());
    assert!(!told.localizations[0].queried);
}

#[test]
fn a_score_without_evidence_is_zero() {
    let text = "From 12 to 34, a dog.";
    let silent = Answer { text: text.into(), tokens: Vec::new(), finish: Finish::Stop };
    assert_eq!(read(&Asked::Detect, &silent, &phrases()).localizations[0].score, 0.0);
    let broken = answer(text, Finish::Stop, |_| f32::NAN);
    assert_eq!(read(&Asked::Detect, &broken, &phrases()).localizations[0].score, 0.0);
}

#[test]
fn a_token_without_bytes_counts_with_the_character_it_begins() {
    let text = "From 12 to 34, é.";
    let at = text.find('é').expect("it is there");
    let mut spelled = answer(text, Finish::Stop, |_| 1.0);
    let first = AnswerToken { id: 0, logprob: (1.0f32 / 64.0).ln(), bytes: at..at };
    spelled.tokens.insert(15, first);
    // Four digits, the half character and the character: (1/64)^(1/6).
    assert!((read(&Asked::Detect, &spelled, &phrases()).localizations[0].score - 0.5).abs() < 1e-6);
}

#[test]
fn labels_are_the_same_event_whatever_case_spaces_and_article() {
    for label in ["a dog barks", " A  Dog barks.", "the dog barks", "dog barks", "Dog\nBarks!"] {
        assert_eq!(label_key(label), "dog barks", "{label}");
    }
    assert_eq!(label_key("a"), "a");
    assert_ne!(label_key("a dog"), label_key("a dog barks"));
}

#[test]
fn what_is_kept_of_a_hopeless_answer_is_bounded() {
    let reading = read_whole(&Asked::Detect, &"ü".repeat(MAX_UNPARSED));
    let kept: usize = reading.unparsed.iter().map(String::len).sum();
    assert!(kept <= MAX_UNPARSED && reading.unparsed[0].ends_with('…'), "{kept}");
}

/// Text that is nearly an answer.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => Just("From ".to_owned()),
        4 => (0u8..100).prop_map(|time| format!("{time:02}")),
        1 => (0u32..1000).prop_map(|time| time.to_string()),
        3 => Just(" to ".to_owned()),
        2 => Just(", ".to_owned()),
        2 => Just(". ".to_owned()),
        1 => Just(" and ".to_owned()),
        1 => Just("seen and heard".to_owned()),
        1 => Just("Nothing happens.".to_owned()),
        2 => Just("a dog".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

/// The grammar, spoken.
fn sentence() -> impl Strategy<Value = (String, (String, u8, u8, Option<Modality>))> {
    let label =
        prop::sample::select(vec!["a dog barks", "rain", "a man, in blue, sings", "Émile's 9 to 5 band"]);
    let suffix = prop::sample::select(vec![
        ("", None),
        (", seen", Some(Modality::Visual)),
        (", heard", Some(Modality::Audio)),
        (", seen and heard", Some(Modality::Both)),
    ]);
    (0u8..100, 0u8..100, label, suffix).prop_map(|(one, other, label, (suffix, modality))| {
        let (start, end) = (one.min(other), one.max(other));
        (format!("From {start:02} to {end:02}, {label}{suffix}."), (label.to_owned(), start, end, modality))
    })
}

fn letters(text: &str) -> String {
    text.chars().filter(|sign| sign.is_alphanumeric()).collect()
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic_and_covered(
        text in prop_oneof![nearly(), any::<String>()],
        grounds in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let asked = if grounds { ground("a dog") } else { Asked::Detect };
        let finish = if cut { Finish::Length } else { Finish::Stop };
        let reading = read(&asked, &answer(&text, finish, |_| 0.5), &phrases());
        for found in &reading.localizations {
            prop_assert!(found.start <= found.end && (0.0..=1.0).contains(&found.score) && !found.label.is_empty());
        }
        prop_assert!(!reading.absent || reading.localizations.is_empty());
        // Every sentence is somewhere: in the text of a localization, among the unparsed, or it is the phrase.
        for piece in sentence::split(&text) {
            let words = &text[piece.range];
            let parsed = reading.localizations.iter().any(|found| found.text == words);
            let kept = reading.unparsed.iter().any(|part| part == words || words.contains(part.as_str()));
            prop_assert!(parsed || kept || reading.absent, "{words:?} is lost");
        }
        // And the sentences are the whole text.
        let pieces: String = sentence::split(&text).into_iter().map(|piece| letters(&text[piece.range])).collect();
        prop_assert_eq!(pieces, letters(&text));
    }

    #[test]
    fn what_the_grammar_says_is_read_back(sentences in proptest::collection::vec(sentence(), 1..6), gap in "[ \n]{0,2}") {
        let text = sentences.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(&gap);
        let reading = read_whole(&Asked::Detect, &text);
        let found: Vec<_> = reading.localizations.iter()
            .map(|found| (found.label.clone(), found.start.get(), found.end.get(), found.modality)).collect();
        prop_assert_eq!(found, sentences.into_iter().map(|(_, expected)| expected).collect::<Vec<_>>());
        prop_assert_eq!(reading.unparsed, Vec::<String>::new());
    }
}

#[test]
fn a_question_that_names_nothing_asks_what_happens() {
    for question in [
        "What happens, and when?",
        "what is going on in this video",
        "Describe what you see and hear.",
        "List everything",
    ] {
        assert!(asks_what_happens(question), "{question}");
    }
    for question in
        ["when does the dog bark?", "is anyone at the desk?", "What is the man doing?", "a siren", "is there"]
    {
        assert!(!asks_what_happens(question), "{question}");
    }
}
