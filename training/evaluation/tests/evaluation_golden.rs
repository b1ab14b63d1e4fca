//! The metrics against figures of the reference programs: `AVICUNA_GOLDEN`, or the fixtures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use avicuna_evaluation::captions::{self, Caption, tools::Tools};
use avicuna_evaluation::detection::{self, Detection, mean_average_precision};
use avicuna_evaluation::grounding::single;
use avicuna_evaluation::segment::Segment;
use avicuna_evaluation::truth::{Annotations, Naming};
use avicuna_models::manifest::cache_dir;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn golden(name: &str) -> Value {
    let folder = std::env::var_os("AVICUNA_GOLDEN").map(PathBuf::from);
    let fixtures = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let path = folder.unwrap_or_else(fixtures).join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("JSON")
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("of the expected form")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

/// Fails unless all numbers agree.
fn agree(what: &str, found: &[f64], expected: &Value, tolerance: f64) {
    let expected: Vec<f64> = read(expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what}[{at}]: {found} instead of {expected}");
    }
}

fn detections(case: &Value) -> Vec<Detection> {
    let rows: Vec<(String, f64, f64, i64, f64)> = read(&case["predictions"]);
    let row = |(video, start, end, label, score): (String, f64, f64, i64, f64)| Detection {
        video,
        label: label.to_string(),
        segment: Segment::new(start, end),
        score,
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn average_precision_is_the_references() {
    let golden = golden("eval_map.json");
    let mut compared = 0;
    for case in list(&golden["cases"]) {
        let name = case["name"].as_str().expect("a name");
        let annotations: Annotations = read(&case["ground_truth"]);
        let truth = annotations.occurrences(case["split"].as_str(), Naming::Number).expect("numbers");
        let found = detections(case);
        let measured = mean_average_precision(&truth, &found);
        assert_eq!(measured.truths as u64, case["n_gt_after_dedup"].as_u64().expect("a number"), "{name}");
        // The reference adds detections of unknown labels to another class where label numbers have gaps.
        agree(name, &measured.map, &case["mAP_without_absent_label_predictions"], golden_tolerance(name));
        if name == "tied_scores" {
            continue;
        }
        let known: BTreeMap<String, usize> = read(&case["label_to_class_index"]);
        assert_eq!(measured.classes.len(), known.len(), "{name}");
        if case["mAP"] != case["mAP_without_absent_label_predictions"] {
            continue;
        }
        agree(name, &measured.recall, &case["mean_recall"], 1e-9);
        let average = case["average_mAP"].as_f64().expect("a number");
        assert!((measured.average - average).abs() < 1e-9, "{name}: {} {average}", measured.average);
        for class in &measured.classes {
            agree(name, &class.recall, &case["recall_by_class"][&class.label], 1e-9);
            for (threshold, ap) in class.ap.iter().enumerate() {
                let expected = case["ap_threshold_by_class"][threshold][known[&class.label]].as_f64();
                let expected = expected.expect("a number");
                assert!((ap - expected).abs() < 1e-9, "{name}, {}: {ap} {expected}", class.label);
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "no class was compared");
}

/// Equal scores have no defined order in the reference, so that case only comes near.
fn golden_tolerance(case: &str) -> f64 {
    if case == "tied_scores" { 0.1 } else { 1e-9 }
}

#[test]
fn overlaps_and_areas_are_the_references() {
    let golden = golden("eval_map.json");
    let target: Segment = read(&golden["segment_iou"]["target"]);
    let candidates: Vec<Segment> = read(&golden["segment_iou"]["candidates"]);
    let ious: Vec<f64> = candidates.iter().map(|candidate| candidate.iou(target)).collect();
    agree("tIoU", &ious, &golden["segment_iou"]["tiou"], 1e-12);
    for case in list(&golden["interpolated_ap"]) {
        let (precision, recall): (Vec<f64>, Vec<f64>) = (read(&case["precision"]), read(&case["recall"]));
        let area = detection::average_precision(&precision, &recall);
        let expected = case["ap"].as_f64().expect("a number");
        assert!((area - expected).abs() < 1e-9, "{area} {case}");
    }
}

#[test]
fn grounding_with_one_segment_is_the_references() {
    let golden = golden("eval_grounding.json");
    for row in list(&golden["iou"]) {
        let (answer, truth): (String, [f64; 2]) = (read(&row[0]), read(&row[1]));
        // Where the reference divides by zero, nothing is shared.
        let expected = row[2].as_f64().unwrap_or_default();
        assert_eq!(single::iou(&answer, truth), expected, "{row}");
    }
    for set in list(&golden["sets"]) {
        let logs: Vec<single::Logged> = read(&set["logs"]);
        let measured = single::measure(logs.iter().map(|log| (log.answer.as_str(), log.gt)));
        let figures = [
            ("mIoU", measured.miou),
            ("R1@0.3", measured.low),
            ("R1@0.5", measured.middle),
            ("R1@0.7", measured.high),
        ];
        for (name, figure) in figures {
            let expected = set["metrics"][name].as_f64().expect("a number");
            assert!((figure - expected).abs() < 1e-9, "{name}: {figure} instead of {expected}");
        }
    }
}

#[test]
fn captions_that_say_the_same_are_merged_as_the_reference_does() {
    let captions = |value: &Value| -> Vec<Caption> {
        let caption = |item: &Value| {
            let [start, end]: [i32; 2] = read(&item["timestamp"]);
            Caption { sentence: read(&item["sentence"]), start, end }
        };
        list(value).iter().map(caption).collect()
    };
    for case in list(&golden("eval_grounding.json")["merge_similar_sentences"]) {
        assert_eq!(captions::merge_similar(captions(&case["in"])), captions(&case["out"]));
    }
}

#[test]
fn dense_captions_score_as_with_the_same_programs_in_python() {
    let golden = golden("eval_captioning.json");
    let cache = cache_dir().expect("a cache");
    // `make test` fetches them before the tests run.
    assert!(
        cache.join("models/captions/meteor-1.5.jar").is_file(),
        "METEOR is not in {}; run `avicuna eval captions --fetch`",
        cache.display()
    );
    let tools = Tools::fetch(&cache, &mut |_, _| {}).expect("they are there");
    let logs: Vec<captions::Logged> = read(&golden["logs"]);
    let measured = captions::measure(&logs, &read(&golden["ground_truth"]), &tools).expect("it is measured");
    let figures = [("soda_c", measured.soda_c), ("METEOR", measured.meteor), ("CIDEr", measured.cider)];
    for (name, figure) in figures {
        let expected = golden["metrics_percent"][name].as_f64().expect("a number");
        assert!((figure - expected).abs() < 0.01, "{name}: {figure} instead of {expected}");
    }
}
