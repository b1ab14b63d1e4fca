use super::*;
use crate::cluster::{Bounds, By, Clusters, Method};
use crate::{Clip, Split};

mod corpora;
mod talk;
mod videos;

/// `clusters` clusters of `events` clips each; every third clip is heard only, every fifth seen only.
fn clips(clusters: usize, events: usize, labels: bool) -> (Vec<Clip>, Clusters) {
    let clip = |index: usize| Clip {
        id: format!("clip{index:03}"),
        media: format!("clips/clip{index:03}.mp4").into(),
        duration: 10.0,
        caption: format!("A thing of kind {index} goes on."),
        label: labels.then(|| format!("a thing {index}")),
        modality: match index {
            index if index % 3 == 2 => Modality::Audio,
            index if index % 5 == 4 => Modality::Visual,
            _ => Modality::Both,
        },
        split: Split::Train,
        tags: Vec::new(),
    };
    let clips: Vec<Clip> = (0..clusters * events).map(clip).collect();
    let ids: Vec<String> = clips.iter().map(|clip| clip.id.clone()).collect();
    let clusters = Clusters {
        method: Method::Bisect,
        seed: 0,
        embedder: "none".into(),
        by: if labels { By::Label } else { By::Caption },
        sizes: Bounds { min: events, max: events },
        key: "key".into(),
        clusters: ids.chunks(events).map(<[String]>::to_vec).collect(),
    };
    (clips, clusters)
}

/// Everything that the paper does not have, often.
fn everything() -> Scaling {
    Scaling {
        gaps: Some(Gaps { probability: 0.3, seconds: Span::new(1, 6) }),
        overlaps: Some(Overlaps { probability: 0.5, seconds: Span::new(1, 4) }),
        repeats: 0.4,
        reorder: true,
        ..Scaling::paper()
    }
}

#[test]
fn ranges_are_read_as_they_are_written() {
    assert_eq!("5..20".parse(), Ok(Span::new(5, 20)));
    assert_eq!("5..=20".parse(), Ok(Span::new(5, 20)));
    assert_eq!(Span::new(3, 16).to_string().parse(), Ok(Span::new(3, 16)));
    for text in ["5", "5..", "..5", "a..b", "20..5", "-1..5"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}
