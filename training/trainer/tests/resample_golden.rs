//! The reference's resampling rules, and what ours do instead: `AVICUNA_GOLDEN`, or the fixtures.

#[path = "../../../models/tests/golden/mod.rs"]
mod golden;

use avicuna_models::interleave::{Interleaver, Item, Strategy};
use avicuna_trainer::resample::{Rule, Split, SubVideo, audio, frames, linspace, pseudo, time_text, visual};
use serde_json::Value;

fn cases(section: &str) -> Vec<Value> {
    let cases = golden::json("resample.json")[section].as_array().expect("a list of cases").clone();
    assert!(!cases.is_empty(), "{section} has no cases");
    cases
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count")) as usize
}

fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Indices, with -1 for none.
fn rows(value: &Value) -> Vec<Option<usize>> {
    let row = |value: &Value| usize::try_from(value.as_i64().expect("an index")).ok();
    value.as_array().expect("indices").iter().map(row).collect()
}

fn ascending(rows: &[Option<usize>], from: usize) -> bool {
    let rows: Vec<usize> = rows.iter().flatten().copied().collect();
    rows.is_sorted() && rows.iter().all(|row| *row < from)
}

#[test]
fn a_share_is_cut_by_the_reference_and_rounded_by_ours() {
    for case in cases("n_feats_from_ratio") {
        let (rate, expected) = (real(&case[0]), number(&case[1]));
        let tokens = expected + number(&case[2]);
        let released = Split::new(tokens, rate, Rule::Reference);
        assert_eq!((released.audio, released.visual), (expected, number(&case[2])), "{rate}");
        let mended = Split::new(tokens, rate, Rule::Mended);
        assert_eq!(
            (mended.audio as f64, mended.visual + mended.audio),
            ((tokens as f64 * rate).round(), tokens),
            "{rate}"
        );
    }
    assert_eq!(Split::new(100, 0.29, Rule::Reference).audio, 28);
    assert_eq!(Split::new(100, 0.29, Rule::Mended).audio, 29);
    assert_eq!(Split::new(100, f64::NAN, Rule::Mended), Split { visual: 100, audio: 0 });
}

#[test]
fn visual_rows_are_the_references_and_ours_have_no_empty_tail() {
    for case in cases("visual") {
        let (tokens, len) = (number(&case["n_out"]), number(&case["len_in"]));
        assert_eq!(visual(len, tokens, Rule::Reference), rows(&case["src_index"]), "{len} -> {tokens}");
        let mended = visual(len, tokens, Rule::Mended);
        assert_eq!(mended.len(), tokens);
        assert!(mended.iter().all(Option::is_some) && ascending(&mended, len), "{len} -> {tokens}");
    }
}

#[test]
fn audio_rows_are_the_references_and_ours_reach_the_end_of_the_file() {
    for case in cases("audio") {
        let (tokens, len) = (number(&case["n_out"]), number(&case["len_in"]));
        assert_eq!(audio(len, tokens, Rule::Reference), rows(&case["src_index"]), "{len} -> {tokens}");
        let mended = audio(len, tokens, Rule::Mended);
        assert!(mended.len() == tokens && ascending(&mended, len), "{len} -> {tokens}");
        let last = mended.last().copied().flatten().expect("a row for each token");
        assert!(
            last + 1 + len.div_ceil(2 * tokens) >= len,
            "the last of {tokens} tokens takes row {last} of {len}"
        );
    }
    let deaf_after = audio(100, 25, Rule::Reference).last().copied().flatten();
    assert_eq!(deaf_after, Some(24), "the reference drops what comes after row 24: 106 s at a stride of 4 s");
}

#[test]
fn linspace_rounds_as_torch_in_single_precision() {
    for case in cases("linspace") {
        let (len, n) = (number(&case[0]), number(&case[1]));
        let expected: Vec<usize> = rows(&case[2]).into_iter().flatten().collect();
        assert_eq!(linspace(len, n), expected, "{n} of {len}");
    }
    assert!(linspace(0, 5).is_empty());
}

#[test]
fn a_sub_videos_length_is_cut_to_whole_seconds_by_the_reference() {
    for case in cases("scale_to_len") {
        let sub = SubVideo { scale: real(&case[0]), visual: None, audio: None };
        assert_eq!(sub.whole_seconds(), number(&case[1]), "{}", sub.scale);
    }
}

#[test]
fn joined_videos_are_the_references_and_ours_keep_sound_and_picture_together() {
    for case in cases("pseudo") {
        let scales = case["scales"].as_array().expect("scales");
        let lens = case["subs"].as_array().expect("sub-videos");
        let len = |value: &Value| value.as_u64().map(|len| len as usize);
        let subs: Vec<SubVideo> = scales
            .iter()
            .zip(lens)
            .map(|(scale, sub)| SubVideo {
                scale: real(scale),
                visual: len(&sub["visual_len"]),
                audio: len(&sub["audio_len"]),
            })
            .collect();
        let tokens = rows(&case["visual_src_index"]).len() + rows(&case["audio_src_index"]).len();
        let split = Split::new(tokens, real(&case["ratio"]), Rule::Reference);
        let (seen, heard) = pseudo(&subs, split, Rule::Reference);
        for (found, name) in [(seen, "visual"), (heard, "audio")] {
            let index: Vec<_> = found.iter().map(|row| row.map(|(_, row)| row)).collect();
            let sub: Vec<_> = found.iter().map(|row| row.map(|(sub, _)| sub)).collect();
            assert_eq!(index, rows(&case[format!("{name}_src_index")]), "{name} {scales:?}");
            assert_eq!(sub, rows(&case[format!("{name}_src_sub")]), "{name} {scales:?}");
        }
        keeps_together(&subs, split);
    }
}

/// A token of a file that is there has a row, and it is of the sub-video that plays at the token's time.
fn keeps_together(subs: &[SubVideo], split: Split) {
    let total: f64 = subs.iter().map(|sub| sub.scale).sum();
    let (seen, heard) = pseudo(subs, split, Rule::Mended);
    for (rows, has) in
        [(seen, &(|sub: &SubVideo| sub.visual) as &dyn Fn(&SubVideo) -> _), (heard, &|sub| sub.audio)]
    {
        let tokens = rows.len();
        for (token, row) in rows.into_iter().enumerate() {
            let time = (token as f64 + 0.5) / tokens as f64 * total;
            let mut end = 0.0;
            let playing = subs.iter().position(|sub| {
                end += sub.scale;
                time < end
            });
            let playing = playing.expect("the middle of a share lies within the video");
            assert_eq!(
                row.map(|(sub, _)| sub),
                has(&subs[playing]).map(|_| playing),
                "token {token} of {tokens}"
            );
        }
    }
}

#[test]
fn frames_are_the_references_and_ours_lie_within_the_span() {
    for case in cases("frames") {
        let (total, fps, tokens) = (number(&case["total"]), real(&case["fps"]), number(&case["n"]));
        let span = case["split"].as_array().map(|span| (real(&span[0]), real(&span[1])));
        let released = frames(total, fps, span, tokens, Rule::Reference);
        assert_eq!(released, rows(&case["index"]), "{total} frames, {span:?}");
        let mended = frames(total, fps, span, tokens, Rule::Mended);
        assert!(mended.len() == tokens && ascending(&mended, total));
        assert!(tokens < 2 || (mended.first() >= released.first() && mended.last() <= released.last()));
    }
    assert_eq!(frames(0, 25.0, None, 2, Rule::Reference), [None, None]);
    assert_eq!(frames(9, 25.0, Some((8.0, 2.0)), 1, Rule::Reference), [Some(8)]);
}

#[test]
fn times_read_as_in_the_reference_but_ours_never_before_00() {
    for case in cases("time") {
        let (duration, seconds) = (real(&case[0]), real(&case[1]));
        let text = case[2].as_str().expect("a text");
        assert_eq!(time_text(seconds, duration, Rule::Reference), text, "{seconds} of {duration}");
        let mended = if seconds < 0.0 { "00" } else { text };
        assert_eq!(time_text(seconds, duration, Rule::Mended), mended, "{seconds} of {duration}");
    }
}

/// The reference hears only samples whose `source` is on a list of names. Ours hears what there is: no name is asked.
#[test]
fn audio_that_is_there_is_heard_whatever_its_source_is_called() {
    let mut silenced = 0;
    for case in cases("dispatch") {
        // Only samples with picture and sound have an order.
        let [seen, heard] = ["image", "audio"].map(|sense| case["shapes"][sense][0].as_u64());
        let (Some(seen), Some(heard)) = (seen, heard) else { continue };
        let (seen, heard) = (seen as usize, heard as usize);
        silenced += usize::from(case["audio_is_zero"] == true);
        let interleaver =
            Interleaver::new(Strategy::Reference, seen, heard).expect("the trained split works");
        let present = |rows: Vec<Option<usize>>| rows.iter().map(Option::is_some).collect::<Vec<_>>();
        let sound = present(audio(3, heard, Rule::Mended));
        let sequence = interleaver.sequence(&vec![true; seen], &sound).expect("the model's slots");
        assert_eq!(sequence.iter().filter(|item| matches!(item, Item::Audio(_))).count(), heard);
    }
    assert!(silenced > 0, "no recorded sample shows the reference's fault");
}

/// The reference returns another random sample where a file is missing or empty. Ours says that there is no row.
#[test]
fn a_file_without_rows_gives_no_rows() {
    for case in cases("failures") {
        let returned = case["returned_prompts"].as_array().expect("prompts");
        assert!(!returned.is_empty(), "{}: the reference took another sample", case["name"]);
    }
    for rule in [Rule::Reference, Rule::Mended] {
        assert_eq!(visual(0, 75, rule), vec![None; 75]);
        assert_eq!(audio(0, 25, rule), vec![None; 25]);
        assert!(visual(3, 0, rule).is_empty() && audio(3, 0, rule).is_empty());
    }
}
