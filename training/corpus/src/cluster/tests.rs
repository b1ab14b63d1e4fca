use std::path::Path;

use proptest::prelude::*;
use rand::RngExt;

use super::quality::{measure, nearest};
use super::*;
use crate::seeded;

/// Rows around `topics` random directions, in turn.
fn synthetic(rows: usize, dim: usize, topics: usize, seed: u64) -> Embeddings {
    let mut rng = seeded::rng(seed, "rows");
    let mut vector =
        |scale: f32| -> Vec<f32> { (0..dim).map(|_| scale * rng.random_range(-1.0..1.0)).collect() };
    let centres: Vec<Vec<f32>> = (0..topics).map(|_| vector(1.0)).collect();
    let row = |index: usize| {
        let noise = vector(0.5);
        centres[index % topics].iter().zip(noise).map(|(centre, noise)| centre + noise).collect::<Vec<_>>()
    };
    let values = (0..rows).flat_map(row).collect();
    Embeddings::new(values, dim).expect("rows with a direction")
}

const METHODS: [Method; 3] = [Method::Bisect, Method::Greedy, Method::Random];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_row_is_in_one_cluster_of_a_size_within_the_bounds(
        rows in 1usize..300,
        min in 1usize..20,
        more in 0usize..20,
        seed: u64,
    ) {
        let bounds = Bounds { min, max: min + more };
        let embeddings = synthetic(rows, 8, 5, seed);
        let possible = (1..=rows).any(|count| (count * min..=count * bounds.max).contains(&rows));
        for method in METHODS {
            match partition(&embeddings, method, bounds, seed) {
                Ok(clusters) => {
                    prop_assert!(possible);
                    prop_assert!(clusters.iter().all(|c| (min..=bounds.max).contains(&c.len())));
                    let mut all: Vec<u32> = clusters.concat();
                    all.sort_unstable();
                    prop_assert_eq!(all, (0..rows as u32).collect::<Vec<_>>());
                }
                Err(error) => prop_assert!(!possible, "{error}"),
            }
        }
    }

    #[test]
    fn similarities_are_those_of_all_pairs(rows in 2usize..40, seed: u64) {
        let embeddings = synthetic(rows, 6, 3, seed);
        let clusters = partition(&embeddings, Method::Random, Bounds { min: 1, max: 5 }, seed)?;
        let home = |row: u32| clusters.iter().position(|rows| rows.contains(&row));
        let (mut within, mut between) = (Vec::new(), Vec::new());
        for one in 0..rows as u32 {
            for other in (0..rows as u32).filter(|other| *other != one) {
                let product: f32 = embeddings.row(one).iter().zip(embeddings.row(other)).map(|(a, b)| a * b).sum();
                if home(one) == home(other) { &mut within } else { &mut between }.push(f64::from(product));
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let quality = measure(&embeddings, &clusters);
        prop_assert!((quality.within - mean(&within)).abs() < 1e-5);
        prop_assert!((quality.between - mean(&between)).abs() < 1e-5);
    }
}

#[test]
fn clusters_depend_on_the_seed_and_on_no_number_of_threads() -> Result<(), Box<dyn std::error::Error>> {
    // Large enough for sampling, for sums in chunks and for cuts side by side.
    let embeddings = synthetic(20_000, 16, 300, 1);
    let bounds = Bounds { min: 40, max: 90 };
    for method in METHODS {
        let run = |threads, seed| -> Result<_, Box<dyn std::error::Error>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            Ok(pool.install(|| partition(&embeddings, method, bounds, seed))?)
        };
        let one = run(1, 7)?;
        assert!(one == run(3, 7)?, "{method:?} depends on threads");
        assert!(one != run(3, 8)?, "{method:?} does not depend on the seed");
    }
    Ok(())
}

#[test]
fn clustering_finds_topics() -> Result<(), ClusterError> {
    let embeddings = synthetic(400, 32, 10, 3);
    let bounds = Bounds { min: 30, max: 50 };
    let quality = |method| Ok(measure(&embeddings, &partition(&embeddings, method, bounds, 0)?));
    let random = quality(Method::Random)?;
    for method in [Method::Bisect, Method::Greedy] {
        let found = quality(method)?;
        assert!(found.within > 0.7 && found.between < 0.1, "{method:?}: {found:?}");
        assert!(found.at_home > 0.95, "{method:?}: {found:?}");
        assert!(random.within < 0.2 && random.at_home < 0.6, "{random:?}");
    }
    Ok(())
}

#[test]
fn a_range_that_cannot_be_met_says_what_could() {
    let embeddings = synthetic(20, 4, 2, 0);
    let error = |min, max| {
        let outcome = partition(&embeddings, Method::Bisect, Bounds { min, max }, 0);
        outcome.expect_err("an impossible range").to_string()
    };
    assert!(error(7, 7).contains("20 different captions or labels cannot be put into clusters of 7 to 7"));
    assert!(error(7, 7).contains("2 of at least 7 would have up to 10"), "{}", error(7, 7));
    assert!(error(30, 40).contains("30 to 40"));
    assert!(error(5, 3).contains("rises"));
    assert!(error(0, 3).contains("at least 1"));
}

#[test]
fn rows_without_a_direction_are_refused() {
    let error = Embeddings::new(vec![1.0, 0.0, 0.0, 0.0], 2).expect_err("the second row is zero");
    assert!(error.to_string().contains("number 1"), "{error}");
    assert!(Embeddings::new(vec![f32::NAN, 0.0], 2).is_err());
}

#[test]
fn opposite_and_equal_rows_can_be_clustered() -> Result<(), ClusterError> {
    let equal = Embeddings::new([1.0, 2.0].repeat(50), 2)?;
    let mut opposite = [1.0, 2.0].repeat(25);
    opposite.extend([-1.0, -2.0].repeat(25));
    let opposite = Embeddings::new(opposite, 2)?;
    for embeddings in [equal, opposite] {
        for method in METHODS {
            let clusters = partition(&embeddings, method, Bounds { min: 4, max: 6 }, 0)?;
            assert!(clusters.iter().all(|rows| (4..=6).contains(&rows.len())));
        }
    }
    Ok(())
}

#[test]
fn texts_that_share_words_are_alike() -> Result<(), ClusterError> {
    let texts =
        ["a dog barks", "a dog barks loudly", "rain falls on a roof", "rain drips from the roof", "!"];
    let embeddings = words::embed(&texts)?;
    assert_eq!(nearest(&embeddings, 0, 1)[0].1, 1);
    assert_eq!(nearest(&embeddings, 2, 1)[0].1, 3);
    Ok(())
}

fn clip(id: &str, label: Option<&str>, caption: &str) -> Clip {
    Clip {
        id: id.into(),
        media: Default::default(),
        duration: 10.0,
        caption: caption.into(),
        label: label.map(str::to_owned),
        modality: crate::Modality::Both,
        split: crate::Split::Train,
        tags: Vec::new(),
    }
}

#[test]
fn events_are_labels_or_captions_with_all_their_clips() -> Result<(), ClusterError> {
    let clips = [clip("1", None, "x"), clip("2", None, "y"), clip("3", None, "x")];
    let events = Events::of(&clips)?;
    assert_eq!((events.by, &events.texts, &events.clips[0]), (By::Caption, &vec!["x", "y"], &vec!["1", "3"]));
    let labelled = [clip("1", Some("a"), "x"), clip("2", Some("b"), "x"), clip("3", Some("a"), "y")];
    let events = Events::of(&labelled)?;
    assert_eq!((events.by, &events.texts, &events.clips[0]), (By::Label, &vec!["a", "b"], &vec!["1", "3"]));
    let mixed = [clip("1", Some("a"), "x"), clip("2", None, "y")];
    let error = Events::of(&mixed).expect_err("one has no label");
    assert!(error.to_string().contains("`2` has no label"), "{error}");
    Ok(())
}

#[test]
fn clusters_are_read_as_they_were_written() -> Result<(), Box<dyn std::error::Error>> {
    let clips: Vec<Clip> =
        (0..20).map(|at| clip(&at.to_string(), None, &format!("word{at} thing"))).collect();
    let events = Events::of(&clips)?;
    let embeddings = words::embed(&events.texts)?;
    let bounds = Bounds { min: 4, max: 6 };
    let parts = partition(&embeddings, Method::Bisect, bounds, 0)?;
    let clusters = events.named(&parts, words::NAME, Method::Bisect, bounds, 0);
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("clusters.json");
    clusters.write(&path)?;
    assert_eq!(Clusters::read(&path)?, clusters);
    assert_eq!(clusters.clusters.iter().map(Vec::len).sum::<usize>(), 20);

    let quality = measure(&embeddings, &parts);
    let compared = [Compared { method: Method::Bisect, quality: &quality }];
    let report = text(&events, &embeddings, &parts, &compared);
    assert!(report.contains("bisect") && report.contains("word0 thing"), "{report}");
    let svg = dir.path().join("clusters.svg");
    plot(&svg, &compared)?;
    let drawn = std::fs::read_to_string(&svg)?;
    assert!(drawn.starts_with("<svg") && drawn.contains("Events of a cluster"));
    std::fs::write(&path, "{\"method\": \"bisect\"}")?;
    assert!(Clusters::read(&path).is_err_and(|e| e.to_string().contains("missing field `seed`")));
    Ok(())
}

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    first_values: Vec<Vec<f32>>,
    cosines: Vec<Vec<f32>>,
}

fn golden() -> Result<Golden, Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/minilm.json");
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

#[test]
fn captions_are_embedded_as_by_transformers() -> Result<(), Box<dyn std::error::Error>> {
    let golden = golden()?;
    let encoder = minilm::CaptionEncoder::open(&avicuna_models::manifest::cache_dir()?)?;
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let embeddings = encoder.embed(&texts, &mut |_| {})?;
    for (row, (values, cosines)) in golden.first_values.iter().zip(&golden.cosines).enumerate() {
        let own = embeddings.row(row as u32);
        for (found, expected) in own.iter().zip(values) {
            assert!((found - expected).abs() < 2e-5, "row {row}: {found} is not {expected}");
        }
        for (other, expected) in cosines.iter().enumerate() {
            let found: f32 = own.iter().zip(embeddings.row(other as u32)).map(|(a, b)| a * b).sum();
            assert!((found - expected).abs() < 1e-4, "{row}, {other}: {found} is not {expected}");
        }
    }
    Ok(())
}

#[test]
fn embeddings_on_disk_are_not_made_again() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let cache = avicuna_models::manifest::cache_dir()?;
    let texts = ["a dog barks", "rain falls"];
    let first = embed_cached(dir.path(), &texts, &|| minilm::CaptionEncoder::open(&cache), &mut |_| {})?;
    let none = || Err(ClusterError::Encoder { reason: "it is not needed".into() });
    assert_eq!(embed_cached(dir.path(), &texts, &none, &mut |_| {})?, first);
    let other = ["a dog barks", "snow falls"];
    assert!(embed_cached(dir.path(), &other, &none, &mut |_| {}).is_err());
    Ok(())
}

#[test]
fn an_encoder_that_is_not_there_says_how_to_get_it() -> Result<(), Box<dyn std::error::Error>> {
    let cache = tempfile::tempdir()?;
    let error = minilm::CaptionEncoder::open(cache.path()).err().ok_or("there is no encoder")?;
    assert!(error.to_string().contains("avicuna dataset pull"), "{error}");
    Ok(())
}
