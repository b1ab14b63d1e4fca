//! The index (`moov`) of an MP4 file (ISO/IEC 14496-12). Pure.

use std::ops::Range;

use super::runs;
use super::tree::{Field, Part, boxes, find, header};

/// Time in front of all tracks that is taken for a recorder's clock, not for the film, in seconds.
const LEAD: f64 = 1.0;
/// Tracks shorter than this part of the film are left out by the demuxer.
const SHORTEST: f64 = 0.2;

/// Is `data` an index, no more and no less?
pub(super) fn is_whole(data: &[u8]) -> bool {
    header(data).is_some_and(|(size, name)| name == *b"moov" && size == data.len() as u64)
}

/// Takes the empty time that stands in front of all tracks off the film, and makes tracks that are too short for the demuxer as long as the film:
/// where their samples end is written elsewhere; lets PCM be read ([`runs`]). An index that goes on in fragments, or cannot be read, stays as it is.
pub(super) fn mend(moov: &mut [u8]) -> bool {
    mended(moov).is_some_and(|mended| mended)
}

fn mended(moov: &mut [u8]) -> Option<bool> {
    let whole = 0..moov.len();
    let moov_box = boxes(moov, whole).next()?.1;
    let parts: Vec<_> = boxes(moov, moov_box).collect();
    if parts.iter().any(|(name, _)| name == b"mvex") {
        return Some(false);
    }
    let film = Length::read(moov, &part(&parts, b"mvhd")?)?;
    let tracks: Vec<Trak> = parts
        .iter()
        .filter(|(name, _)| name == b"trak")
        .filter_map(|(_, trak)| Trak::read(moov, trak.clone()))
        .collect();
    let led = lead(moov, &film, &tracks);
    let raised = lengthen(moov, &film, &tracks);
    let media = |(name, trak): &Part| {
        (name == b"trak").then(|| find(moov, trak.clone(), &[b"mdia", b"minf"])).flatten()
    };
    // Nothing moves but within each of them.
    let media: Vec<Range<usize>> = parts.iter().filter_map(media).collect();
    let read = media.into_iter().filter(|minf| runs::mend(moov, minf.clone())).count() > 0;
    Some(led || raised || read)
}

fn lead(moov: &mut [u8], film: &Length, tracks: &[Trak]) -> bool {
    let leads = tracks.iter().map(|track| track.lead.as_ref().map_or(0, |lead| lead.get(moov)));
    let Some(least) = leads.min().filter(|least| *least as f64 >= LEAD * film.scale) else { return false };
    for lead in tracks.iter().filter_map(|track| track.lead.as_ref()) {
        lead.set(moov, lead.get(moov) - least);
    }
    film.field.set(moov, film.field.get(moov).saturating_sub(least));
    true
}

fn lengthen(moov: &mut [u8], film: &Length, tracks: &[Trak]) -> bool {
    let seconds = film.seconds(moov);
    let mut any = false;
    // A single picture is a cover, and it is right to leave it out.
    for track in tracks.iter().filter(|track| !track.is_still) {
        let own = track.length.seconds(moov);
        // A little more, as the demuxer rounds.
        if own > 0.0 && own < (SHORTEST + 0.01) * seconds {
            track.length.field.set(moov, (seconds * track.length.scale) as u64);
            any = true;
        }
    }
    any
}

/// A track of sound or pictures.
struct Trak {
    length: Length,
    /// How long its edit list leaves it empty at first, in the film's time scale.
    lead: Option<Field>,
    /// It is one picture.
    is_still: bool,
}

impl Trak {
    /// `None` of tracks of another kind.
    fn read(moov: &[u8], trak: Range<usize>) -> Option<Self> {
        let mdia = find(moov, trak.clone(), &[b"mdia"])?;
        let handler = find(moov, mdia.clone(), &[b"hdlr"])?;
        let kind = moov.get(handler.start + 8..handler.start + 12)?;
        if ![&b"vide"[..], b"soun"].contains(&kind) {
            return None;
        }
        let length = Length::read(moov, &find(moov, mdia.clone(), &[b"mdhd"])?)?;
        let sizes = find(moov, mdia, &[b"minf", b"stbl", b"stsz"]);
        let samples = sizes.and_then(|at| Field { at: at.start + 8, wide: false }.read(moov));
        let edits = find(moov, trak, &[b"edts", b"elst"]);
        let is_still = kind == b"vide" && samples.is_some_and(|samples| samples <= 1);
        Some(Self { length, lead: edits.and_then(|at| first_is_empty(moov, at.start)), is_still })
    }
}

/// How long the first edit of a list lasts, if nothing is shown in it and another follows.
fn first_is_empty(moov: &[u8], list: usize) -> Option<Field> {
    let wide = *moov.get(list)? == 1;
    let count = Field { at: list + 4, wide: false }.read(moov)?;
    let duration = Field { at: list + 8, wide };
    let time = Field { at: list + 8 + duration.size(), wide }.read(moov)?;
    let nothing = if wide { u64::MAX } else { u64::from(u32::MAX) };
    (count > 1 && time == nothing && duration.read(moov).is_some()).then_some(duration)
}

/// The duration in a header of a film or a track, whose beginnings are alike.
struct Length {
    field: Field,
    /// Units in a second.
    scale: f64,
}

impl Length {
    fn read(moov: &[u8], header: &Range<usize>) -> Option<Self> {
        let wide = *moov.get(header.start)? == 1;
        let scale = header.start + if wide { 20 } else { 12 };
        let field = Field { at: scale + 4, wide };
        field.read(moov)?;
        let scale = Field { at: scale, wide: false }.read(moov).filter(|scale| *scale > 0)?;
        Some(Self { field, scale: scale as f64 })
    }

    fn seconds(&self, moov: &[u8]) -> f64 {
        let units = self.field.get(moov);
        // All ones: not known.
        if units == self.field.largest() { 0.0 } else { units as f64 / self.scale }
    }
}

fn part(parts: &[Part], name: &[u8; 4]) -> Option<Range<usize>> {
    parts.iter().find(|(known, _)| known == name).map(|(_, held)| held.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxed(name: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
        let held = parts.concat();
        [&(held.len() as u32 + 8).to_be_bytes()[..], name, &held].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A film with tracks of `(kind, seconds, samples, empty seconds before)`, 1000 units a second.
    fn film(seconds: u32, tracks: &[(&[u8; 4], u32, u32, u32)]) -> Vec<u8> {
        let mut parts = vec![boxed(b"mvhd", &[words(&[0, 0, 0, 1000, seconds * 1000])])];
        for (kind, length, samples, empty) in tracks {
            let handler = boxed(b"hdlr", &[words(&[0, 0]), kind.to_vec(), words(&[0])]);
            let sizes = boxed(b"minf", &[boxed(b"stbl", &[boxed(b"stsz", &[words(&[0, 0, *samples])])])]);
            let header = boxed(b"mdhd", &[words(&[0, 0, 0, 1000, length * 1000])]);
            let edits = [0, 2, empty * 1000, u32::MAX, 1 << 16, 1000, 0, 1 << 16];
            let edits = boxed(b"edts", &[boxed(b"elst", &[words(&edits)])]);
            parts.push(boxed(b"trak", &[edits, boxed(b"mdia", &[header, handler, sizes])]));
        }
        boxed(b"moov", &parts)
    }

    #[test]
    fn tracks_that_are_short_become_as_long_as_the_film() {
        let (whole, short) = ((b"vide", 60, 1500, 0), (b"soun", 10, 470, 0));
        let mut moov = film(60, &[whole, short]);
        assert!(is_whole(&moov) && mend(&mut moov));
        assert_eq!(moov, film(60, &[whole, (b"soun", 60, 470, 0)]));
        for track in [(b"soun", 13, 600, 0), (b"vide", 10, 1, 0), (b"text", 10, 10, 0)] {
            let mut moov = film(60, &[whole, track]);
            assert!(!mend(&mut moov), "{track:?}");
            assert_eq!(moov, film(60, &[whole, track]));
        }
    }

    #[test]
    fn time_that_is_empty_in_all_tracks_is_no_part_of_the_film() {
        let mut moov = film(60, &[(b"vide", 10, 250, 50), (b"soun", 9, 430, 51)]);
        assert!(mend(&mut moov));
        assert_eq!(moov, film(10, &[(b"vide", 10, 250, 0), (b"soun", 9, 430, 1)]));
        let late_sound = film(60, &[(b"vide", 60, 1500, 0), (b"soun", 40, 1800, 20)]);
        let mut same = late_sound.clone();
        assert!(!mend(&mut same));
        assert_eq!(same, late_sound);
    }

    #[test]
    fn fragments_are_left_alone() {
        let mut moov = film(60, &[(b"soun", 10, 470, 0)]);
        moov.extend(boxed(b"mvex", &[]));
        let size = (moov.len() as u32).to_be_bytes();
        moov[..4].copy_from_slice(&size);
        assert!(!mend(&mut moov));
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(at in 0usize..400, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut moov = film(60, &[(b"vide", 10, 250, 50), (b"soun", 9, 430, 51)]);
            let at = at.min(moov.len());
            let end = (at + bytes.len()).min(moov.len());
            moov[at..end].copy_from_slice(&bytes[..end - at]);
            mend(&mut moov);
            mend(&mut moov[..at]);
        }
    }
}
