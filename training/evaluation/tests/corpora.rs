//! What `avicuna-corpus` writes about a corpus is what is measured against here: the two crates describe the files each for itself.

use std::collections::BTreeMap;
use std::path::Path;

use avicuna_corpus::pu_valor::annotations::{Annotation, Annotations, VERSION, Video};
use avicuna_corpus::pu_valor::queries::{self, Evidence, Query};
use avicuna_corpus::{Modality, Split};
use avicuna_evaluation::truth::{Corpus, Kind, QueryModality};
use serde::Serialize;

fn write(path: &Path, value: &impl Serialize) {
    std::fs::write(path, serde_json::to_vec(value).expect("it is JSON")).expect("written");
}

#[test]
fn a_written_corpus_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let spans = [([1.0, 3.0], Modality::Audio), ([4.0, 9.5], Modality::Both)];
    let annotation =
        |(segment, modality)| Annotation { segment, label: "a dog".to_owned(), label_id: 0, modality };
    let video = Video { duration: 20.0, subset: Split::Test, annotations: spans.map(annotation).to_vec() };
    let database = BTreeMap::from([("v0".to_owned(), video)]);
    write(&folder.path().join("annotations.json"), &Annotations { version: VERSION.to_owned(), database });
    let query = |id: &str, label: &str, segments: Vec<[f64; 2]>, kind, modality| Query {
        id: id.to_owned(),
        video: "v0".to_owned(),
        label: label.to_owned(),
        question: format!("When does {label} happen?"),
        segments,
        kind,
        modality,
    };
    let asked = [
        query("v0/q00", "a dog", spans.map(|(span, _)| span).to_vec(), queries::Kind::Multi, Evidence::Mixed),
        query("v0/q01", "a cat", Vec::new(), queries::Kind::Absent, Evidence::Both),
        query("v0/q02", "rain", vec![[0.0, 2.0]], queries::Kind::Single, Evidence::Audio),
        query("v0/q03", "a car", vec![[0.0, 2.0]], queries::Kind::Single, Evidence::Visual),
    ];
    write(&folder.path().join("queries.json"), &asked);
    std::fs::create_dir(folder.path().join("videos")).expect("a folder");
    std::fs::write(folder.path().join("videos/v0.mp4"), []).expect("written");

    let corpus = Corpus::read(folder.path(), None).expect("a corpus");
    let read: Vec<_> = corpus.of("v0").map(|query| (query.kind, query.modality)).collect();
    let expected = [
        (Kind::Multi, QueryModality::Mixed),
        (Kind::Absent, QueryModality::Both),
        (Kind::Single, QueryModality::Audio),
        (Kind::Single, QueryModality::Visual),
    ];
    assert_eq!(read, expected);
    for (query, written) in corpus.of("v0").zip(&asked) {
        let segments: Vec<_> = query.segments.iter().map(|segment| [segment.start, segment.end]).collect();
        assert_eq!((&query.label, &segments), (&written.label, &written.segments));
    }
    let happened: Vec<_> =
        corpus.videos["v0"].annotations.iter().map(|annotation| annotation.modality).collect();
    assert_eq!(happened, spans.map(|(_, sense)| Some(sense)));
    assert!(corpus.occurrences().is_ok_and(|occurrences| occurrences.len() == 2));
}
