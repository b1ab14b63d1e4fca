//! Which of several tracks is heard and seen.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;

use super::choice::TrackChoice;
use super::config::SourceConfig;
use crate::stream::Medium;

/// A track that could be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Offer {
    /// What it is, for the log.
    shown: String,
    is_default: bool,
    language: Option<String>,
    /// The container says that it is not meant to be shown by itself.
    is_off: bool,
    /// One picture, as covers are.
    is_still: bool,
}

/// How long is waited for the languages of tracks, where one is asked for.
const TAGS: Duration = Duration::from_millis(500);

/// The ids of the streams of one kind, and the number of the one that is taken.
type Decided = (Vec<String>, usize);

/// Chooses for each kind of track that is wanted, and says once what was left out.
pub(super) struct Chooser {
    stream: String,
    /// Audio and video; `None`: not wanted.
    choices: [Option<TrackChoice>; 2],
    decided: Mutex<[Option<Decided>; 2]>,
}

impl Chooser {
    pub fn new(config: &SourceConfig) -> Self {
        let audio = (config.sample_rate > 0).then(|| config.audio_track.clone());
        let video = config.grid.is_some().then(|| config.video_track.clone());
        Self { stream: config.stream_id.clone(), choices: [audio, video], decided: Mutex::default() }
    }

    /// Is this one of the streams to be decoded? At most one of each kind is.
    pub fn takes(&self, collection: &gst::StreamCollection, stream: &gst::Stream) -> bool {
        let kind = stream.stream_type();
        let track = if kind.contains(gst::StreamType::AUDIO) {
            Medium::Audio
        } else if kind.contains(gst::StreamType::VIDEO) {
            Medium::Video
        } else {
            return false;
        };
        let Some(choice) = &self.choices[track as usize] else { return false };
        let streams: Vec<gst::Stream> =
            collection.iter().filter(|other| other.stream_type() == kind).collect();
        let ids: Vec<String> = streams.iter().map(id).collect();
        // Asked for each stream, it must not be answered differently when tags have come in between.
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let decided = &mut decided[track as usize];
        if decided.as_ref().is_none_or(|(known, _)| *known != ids) {
            let Some(taken) = self.decide(track, choice, &streams) else { return false };
            *decided = Some((ids, taken));
        }
        decided.as_ref().is_some_and(|(ids, taken)| ids[*taken] == id(stream))
    }

    /// How many tracks are taken.
    pub fn chosen(&self) -> usize {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().count()
    }

    fn decide(&self, track: Medium, choice: &TrackChoice, streams: &[gst::Stream]) -> Option<usize> {
        let began = Instant::now();
        loop {
            let offers: Vec<Offer> = streams.iter().map(offer).collect();
            let (taken, as_asked) = choose(choice, &offers)?;
            // What language a track has, another thread may be about to say.
            let may_come = matches!(choice, TrackChoice::Language(_)) && began.elapsed() < TAGS;
            if as_asked || !may_come {
                self.say(track, choice, &offers, taken, as_asked);
                return Some(taken);
            }
            std::thread::sleep(TAGS / 50);
        }
    }

    fn say(&self, track: Medium, choice: &TrackChoice, offers: &[Offer], taken: usize, as_asked: bool) {
        if offers.len() < 2 && as_asked {
            return;
        }
        let shown = |at: usize| format!("{at} ({})", offers[at].shown);
        let others: Vec<String> = (0..offers.len()).filter(|at| *at != taken).map(shown).collect();
        let (stream, left_out, taken) = (&self.stream, others.join(", "), shown(taken));
        let kind = track.name();
        if as_asked {
            tracing::info!(stream, kind, taken, left_out, "a track was chosen");
        } else {
            tracing::warn!(stream, kind, asked = %choice, taken, left_out, "there is no such track; another was chosen");
        }
    }
}

/// The number of the track that is taken, and whether it is what was asked for; `None` where there is none.
fn choose(choice: &TrackChoice, offers: &[Offer]) -> Option<(usize, bool)> {
    let asked = match choice {
        TrackChoice::Default => None,
        TrackChoice::Index(index) => Some(offers.get(*index).map(|_| *index)),
        TrackChoice::Language(language) => {
            let spoken = |offer: &Offer| {
                offer.language.as_deref().is_some_and(|spoken| spoken.eq_ignore_ascii_case(language))
            };
            Some(offers.iter().position(spoken))
        }
    };
    if let Some(Some(taken)) = asked {
        return Some((taken, true));
    }
    let best = |offer: &Offer| (offer.is_still, offer.is_off, !offer.is_default);
    let (taken, _) = offers.iter().enumerate().min_by_key(|(_, offer)| best(offer))?;
    Some((taken, asked.is_none()))
}

fn id(stream: &gst::Stream) -> String {
    stream.stream_id().map(|id| id.to_string()).unwrap_or_default()
}

fn offer(stream: &gst::Stream) -> Offer {
    let (caps, tags) = (stream.caps(), stream.tags());
    let structure = caps.as_ref().and_then(|caps| caps.structure(0));
    let codec = structure.map_or("unknown", |structure| structure.name().as_str()).to_owned();
    // A film of JPEG pictures has a rate of them.
    let moves = |structure: &gst::StructureRef| {
        structure.get::<gst::Fraction>("framerate").is_ok_and(|rate| rate.numer() > 0)
    };
    let is_still = codec.starts_with("image/") && !structure.is_some_and(moves);
    let tag = |tags: &gst::TagList| tags.get::<gst::tags::LanguageCode>().map(|code| code.get().to_owned());
    let language = tags.as_ref().and_then(tag);
    let title =
        tags.as_ref().and_then(|tags| tags.get::<gst::tags::Title>().map(|title| title.get().to_owned()));
    let shown = [Some(codec), language.clone(), title].into_iter().flatten().collect::<Vec<_>>().join(", ");
    Offer {
        shown,
        is_default: stream.stream_flags().contains(gst::StreamFlags::SELECT),
        is_off: stream.stream_flags().contains(gst::StreamFlags::UNSELECT),
        language,
        is_still,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_before_the_default_and_stills_come_last() {
        let plain = Offer::default();
        let german = Offer { language: Some("de".to_owned()), ..Offer::default() };
        let default = Offer { is_default: true, ..Offer::default() };
        let cover = Offer { is_still: true, is_default: true, ..Offer::default() };
        let offers = [cover.clone(), plain.clone(), german, default];
        assert_eq!(choose(&TrackChoice::Default, &offers), Some((3, true)));
        assert_eq!(choose(&TrackChoice::Default, &offers[..2]), Some((1, true)));
        assert_eq!(choose(&TrackChoice::Default, &[plain.clone(), plain]), Some((0, true)));
        assert_eq!(choose(&TrackChoice::Index(1), &offers), Some((1, true)));
        assert_eq!(choose(&TrackChoice::Language("DE".to_owned()), &offers), Some((2, true)));
        assert_eq!(choose(&TrackChoice::Index(9), &offers), Some((3, false)));
        assert_eq!(choose(&TrackChoice::Language("fr".to_owned()), &offers), Some((3, false)));
        assert_eq!(choose(&TrackChoice::Default, &[]), None);
    }
}
