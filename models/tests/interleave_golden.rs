//! The interleaver against the reference's masks and orders: `AVICUNA_GOLDEN`, or the fixtures.

mod golden;

use avicuna_models::interleave::{InterleaveError, Interleaver, Item, Strategy};
use golden::{json, read};
use serde_json::Value;

type Anything = Result<(), Box<dyn std::error::Error>>;

fn number(value: &Value) -> usize {
    value.as_u64().expect("a number") as usize
}

fn split(of: &Value) -> (usize, usize) {
    (number(&of["n_visual"]), number(&of["n_audio"]))
}

fn reference(visual: usize, audio: usize) -> Result<Interleaver, InterleaveError> {
    Interleaver::new(Strategy::Reference, visual, audio)
}

/// As the golden data writes it: `j` for visual token j, `1000 + k` for audio token k.
fn order(interleaver: &Interleaver) -> Vec<i32> {
    let code = |item: &Item| match item {
        Item::Visual(j) => *j as i32,
        Item::Audio(k) => 1000 + *k as i32,
        Item::Text(text) => panic!("the reference has no text between its tokens: {text:?}"),
    };
    interleaver.full().iter().map(code).collect()
}

#[test]
fn the_order_is_the_references_and_where_that_is_blind_we_refuse() -> Anything {
    let bytes = read("avti.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes)?;
    let pairs = json("avti.json");
    let (mut worked, mut refused) = (0, 0);
    for pair in pairs["pairs"].as_array().expect("pairs") {
        let (visual, audio) = split(pair);
        let order_view = tensors.tensor(&format!("order.{visual}_{audio}"))?;
        let expected: Vec<i32> =
            order_view.data().as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
        let mask: Vec<bool> = tensors
            .tensor(&format!("aud_mask.{visual}_{audio}"))?
            .data()
            .iter()
            .map(|byte| *byte != 0)
            .collect();
        match reference(visual, audio) {
            Ok(interleaver) => {
                assert_eq!(pair["ok"], true, "{visual}/{audio}");
                assert_eq!(order(&interleaver), expected, "{visual}/{audio}");
                let audible: Vec<bool> = order(&interleaver).iter().map(|code| *code >= 1000).collect();
                assert_eq!(audible, mask, "{visual}/{audio}");
                worked += 1;
            }
            Err(error) => {
                assert_eq!(pair["all_zero"], true, "{visual}/{audio}: {error}");
                assert!(expected.iter().all(|code| *code == -1), "{visual}/{audio}");
                let positions = number(&pair["n_audio_slots"]);
                assert_eq!(error, InterleaveError::Blind { visual, audio, positions });
                refused += 1;
            }
        }
    }
    assert!(worked > 0 && refused > 0, "{worked} orders compared, {refused} refused");
    Ok(())
}

#[test]
fn every_split_of_the_sweep_works_or_is_refused_as_in_the_reference() -> Anything {
    let sweep = json("avti.json");
    for row in sweep["sweep"].as_array().expect("rows") {
        let row: Vec<usize> = row.as_array().expect("columns").iter().map(number).collect();
        let [visual, audio, step, positions, ok] = row[..] else { panic!("{row:?}") };
        let outcome = reference(visual, audio);
        assert_eq!(outcome.is_ok(), ok == 1, "{visual}/{audio}");
        match outcome {
            Ok(interleaver) => {
                let found = order(&interleaver);
                let second = found.iter().position(|code| *code == 1001);
                assert_eq!(second.unwrap_or(step + 1), step + 1, "{visual}/{audio}");
                assert_eq!(found.iter().filter(|code| **code >= 1000).count(), positions);
            }
            Err(error) => assert_eq!(error, InterleaveError::Blind { visual, audio, positions }),
        }
    }
    Ok(())
}

#[test]
fn ties_round_to_even_as_in_the_reference() {
    assert!(reference(60, 39).is_err(), "1.5 becomes 2: behind the end");
    assert!(reference(75, 29).is_ok(), "2.5 becomes 2");
    let blocks = reference(25, 49).expect("0.5 becomes 0: all audio first");
    assert!(order(&blocks)[..49].iter().all(|code| *code >= 1000));
}

#[test]
fn the_strategies_of_our_own_take_every_split_that_blinds_the_reference() {
    for audio in 0..=100 {
        let even = Interleaver::new(Strategy::Even, 100 - audio, audio);
        assert_eq!(even.expect("any rate").full().len(), 100, "{audio}");
        let stamped = Interleaver::new(Strategy::Timestamped { stamp_every_slots: 5 }, 100 - audio, audio);
        let tokens = |items: &[Item]| items.iter().filter(|item| !matches!(item, Item::Text(_))).count();
        assert_eq!(tokens(stamped.expect("at most 20 stamps").full()), 100, "{audio}");
    }
}

/// The reference caches its mask and batch size at the first call, and feeds zeros or fails when the next call is of
/// another shape. Here the shape belongs to the interleaver, nothing is kept between calls, and a batch is so many
/// calls: each of the recorded sequences of calls gives every token each time.
#[test]
fn what_was_asked_before_changes_nothing() -> Anything {
    let cached = json("avti.json");
    let mut blinded = 0;
    for case in cached["cached_mask"].as_array().expect("cases") {
        for call in case["calls"].as_array().expect("calls") {
            let (visual, audio) = split(call);
            // A split that the reference never works with is refused, whatever came before.
            let Ok(interleaver) = reference(visual, audio) else { continue };
            for _ in 0..number(&call["batch"]) {
                let sequence = interleaver.sequence(&vec![true; visual], &vec![true; audio])?;
                assert_eq!(sequence, interleaver.full(), "{}", case["name"]);
                assert_eq!(sequence.len(), visual + audio, "{}", case["name"]);
            }
            blinded += usize::from(call["all_zero"] == true || !call["error"].is_null());
        }
    }
    assert!(blinded >= 1, "no recorded call shows the reference's fault");
    Ok(())
}

/// The reference projects all-zero features of a missing track, so that each audio row becomes the projector's bias.
#[test]
fn a_missing_track_has_no_rows() -> Anything {
    for strategy in [Strategy::Reference, Strategy::Even] {
        let interleaver = Interleaver::new(strategy, 75, 25)?;
        let deaf = interleaver.sequence(&[true; 75], &[false; 25])?;
        assert_eq!(deaf, (0..75).map(Item::Visual).collect::<Vec<_>>());
        let blind = interleaver.sequence(&[false; 75], &[true; 25])?;
        assert_eq!(blind, (0..25).map(Item::Audio).collect::<Vec<_>>());
    }
    Ok(())
}
