//! Leaves pictures out before they are decoded that nobody will look at: no other picture refers to them, and no grid point lies in their
//! time. Of a film with B-pictures that is half of all; of most cameras' streams none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::intake::Intake;
use super::nal::{Codec, Reader};
use crate::stream::Medium;
use crate::timeline::{Grid, StreamTime};

/// Pictures by which is known how far they lie apart.
const KNOWN: usize = 16;

/// Time stamps may be so much off.
const JITTER: Duration = Duration::from_millis(5);

/// Watches a decoder of pictures that says which ones others refer to; other elements are left alone.
pub(super) fn watch(element: &gst::Element, grid: Option<Grid>, intake: &Arc<Intake>) {
    let (Some(factory), Some(grid)) = (element.factory(), grid) else { return };
    // A bin announces what is in it by itself.
    if !factory.has_type(gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO)
        || element.is::<gst::Bin>()
    {
        return;
    }
    let Some(pad) = element.static_pad("sink") else { return };
    let intake = Arc::clone(intake);
    let state = Mutex::new(State { segment: None, reader: None, sieve: Sieve::new(grid) });
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |_, info| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unseen = match &info.data {
            Some(gst::PadProbeData::Event(event)) => {
                state.event(event);
                false
            }
            Some(gst::PadProbeData::Buffer(buffer)) => state.is_unseen(buffer, &intake),
            _ => false,
        };
        if !is_unseen {
            return gst::PadProbeReturn::Ok;
        }
        // One that was taken is `Handled`: GStreamer would release a `Drop`ped one once more.
        info.data = None;
        gst::PadProbeReturn::Handled
    });
}

struct State {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    reader: Option<Reader>,
    sieve: Sieve,
}

impl State {
    fn event(&mut self, event: &gst::Event) {
        match event.view() {
            gst::EventView::Caps(caps) => {
                self.reader = reader(caps.caps());
                self.sieve.forget();
            }
            gst::EventView::Segment(segment) => {
                self.segment = segment.segment().downcast_ref().cloned();
                self.sieve.forget();
            }
            _ => {}
        }
    }

    fn is_unseen(&mut self, buffer: &gst::BufferRef, intake: &Intake) -> bool {
        let (Some(reader), Some(segment)) = (&mut self.reader, &self.segment) else { return false };
        let Some(running) = buffer.pts().and_then(|pts| segment.to_running_time(pts)) else { return false };
        let Some(stream) = intake.foresee(Medium::Video, running.nseconds() as i64) else { return false };
        // Every unit is read: a reader learns from them.
        let is_disposable = buffer.map_readable().is_ok_and(|unit| reader.is_disposable(&unit));
        !self.sieve.keeps(stream) && is_disposable
    }
}

/// Reads units of this format.
fn reader(caps: &gst::CapsRef) -> Option<Reader> {
    let format = caps.structure(0)?;
    let codec = match format.name().as_str() {
        "video/x-h264" => Codec::Avc,
        "video/x-h265" => Codec::Hevc,
        _ => return None,
    };
    if format.get::<&str>("alignment").ok()? != "au" {
        return None;
    }
    let length = match format.get::<&str>("stream-format").ok()? {
        "byte-stream" => None,
        _ => {
            let data = format.get::<gst::Buffer>("codec_data").ok()?;
            let data = data.map_readable().ok()?;
            // ISO/IEC 14496-15, 5.3.3.1.2 and 8.3.3.1.2: `lengthSizeMinusOne`.
            Some(usize::from(data.get(if codec == Codec::Avc { 4 } else { 21 })? & 3) + 1)
        }
    };
    Some(Reader::new(codec, length))
}

/// Knows in whose time a grid point lies.
struct Sieve {
    grid: Grid,
    /// When the last pictures are shown; they come in the order in which they are decoded.
    shown: VecDeque<StreamTime>,
}

impl Sieve {
    fn new(grid: Grid) -> Self {
        Self { grid, shown: VecDeque::with_capacity(KNOWN + 1) }
    }

    fn forget(&mut self) {
        self.shown.clear();
    }

    /// May a picture that is shown from `from` on stand for a grid point? Until it is known how far pictures lie apart, any may.
    fn keeps(&mut self, from: StreamTime) -> bool {
        self.shown.push_back(from);
        if self.shown.len() <= KNOWN {
            return true;
        }
        self.shown.pop_front();
        let point = self.grid.at(self.grid.ceil(from.minus(JITTER)));
        // The next one may come late.
        point <= from.plus(2 * self.apart() + JITTER)
    }

    /// How far the last pictures lie apart, in the middle.
    fn apart(&self) -> Duration {
        let mut shown: Vec<StreamTime> = self.shown.iter().copied().collect();
        shown.sort_unstable();
        let mut apart: Vec<Duration> = shown.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        apart.sort_unstable();
        apart.get(apart.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::config::SourceConfig;
    use super::super::intake::Arrived;
    use super::super::pick::Picker;
    use super::*;

    fn at(ms: i64) -> StreamTime {
        StreamTime(ms * 1_000_000)
    }

    fn grid() -> Grid {
        Grid::new(Duration::from_millis(500)).expect("positive")
    }

    /// The pictures that stand for grid points, of those that are decoded.
    fn picked(decoded: &[i64]) -> Vec<(i64, i64)> {
        let mut picker = Picker::new(grid());
        let mut picked: Vec<_> =
            decoded.iter().filter_map(|ms| picker.push(*ms, at(*ms), None, false, at(0))).collect();
        picked.extend(picker.finish());
        picked.iter().flat_map(|one| (one.first.0..=one.last.0).map(|index| (index, one.frame))).collect()
    }

    #[test]
    fn of_thirty_pictures_a_second_four_in_five_of_those_that_may_be_left_out_are() {
        let mut sieve = Sieve::new(grid());
        let kept = (0..300).filter(|frame| sieve.keeps(at(frame * 1000 / 30))).count();
        assert!((300 / 7..=300 / 5 + KNOWN).contains(&kept), "{kept}");
        let mut slow = Sieve::new(grid());
        assert!((0..50).all(|frame| slow.keeps(at(frame * 250))), "four a second are all near a grid point");
    }

    /// When the pictures are shown, in ms, that a decoder makes of ten seconds of a film at 25 pictures a second.
    fn decoded(film: &str, decoder: &str) -> Vec<u64> {
        gst::init().expect("GStreamer is there");
        let graph = format!(
            "videotestsrc pattern=ball num-buffers=250 ! video/x-raw,width=160,height=120,framerate=25/1 ! {film} ! {decoder} name=decoder \
             ! fakesink sync=false name=sink"
        );
        let graph = gst::parse::launch(&graph).expect("its elements are there").downcast::<gst::Pipeline>();
        let graph = graph.expect("it is a pipeline");
        let intake = Arc::new(Intake::new(&SourceConfig::new("a", "test://"), Duration::from_secs(1), None));
        let decoder = graph.by_name("decoder").expect("it has one");
        watch(&decoder, Some(grid()), &intake);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (pad, into) = (decoder.static_pad("src").expect("it has one"), Arc::clone(&shown));
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let segment = pad.sticky_event::<gst::event::Segment>(0).expect("it came before");
            let segment = segment.segment().downcast_ref::<gst::ClockTime>().expect("of time").clone();
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                && let Some(pts) = buffer.pts().and_then(|pts| segment.to_running_time(pts))
            {
                let arrived = Arrived { pts: Some(pts.nseconds() as i64), ahead: 0, duration: 0, ntp: None };
                intake.place(Medium::Video, &arrived);
                into.lock().expect("no panic").push(pts.mseconds());
            }
            gst::PadProbeReturn::Ok
        });
        graph.set_state(gst::State::Playing).expect("it starts");
        let over = graph.bus().expect("it has one").timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert_eq!(over.expect("it ends").type_(), gst::MessageType::Eos);
        graph.set_state(gst::State::Null).expect("it stops");
        let shown = shown.lock().expect("no panic");
        shown.iter().map(|ms| ms - shown[0]).collect()
    }

    #[test]
    fn decoders_get_what_others_refer_to_and_what_is_looked_at() {
        let avc = "x264enc bframes=3 b-adapt=false key-int-max=50 speed-preset=ultrafast";
        let films = [
            (
                format!("{avc} ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au"),
                "avdec_h264",
            ),
            (format!("{avc} ! h264parse ! video/x-h264,stream-format=avc,alignment=au"), "avdec_h264"),
            (
                "x265enc option-string=bframes=3:b-adapt=0:log-level=none key-int-max=50 ! h265parse"
                    .to_owned(),
                "avdec_h265",
            ),
        ];
        for (film, decoder) in films {
            let shown = decoded(&film, decoder);
            assert!((60..200).contains(&shown.len()), "{film}: {} of 250 are decoded", shown.len());
            assert!(shown.is_sorted(), "{film}");
            let missing: Vec<u64> = (0..20)
                .map(|point| point * 500 / 40 * 40)
                .filter(|at| !shown.iter().any(|ms| ms.abs_diff(*at) < 2))
                .collect();
            assert!(missing.is_empty(), "{film}: {missing:?} of {shown:?}");
        }
        let without = decoded("x264enc tune=zerolatency speed-preset=ultrafast ! h264parse", "avdec_h264");
        assert_eq!(without.len(), 250, "all are referred to");
    }

    proptest! {
        /// Groups of a reference and `between` pictures that nobody refers to, decoded in the order that such a film has.
        #[test]
        fn grid_points_get_the_pictures_that_they_get_of_all(
            between in 0i64..4,
            period in 15i64..70,
            start in 0i64..1000,
            jitter in prop::collection::vec(0i64..3, 200),
        ) {
            let shown: Vec<i64> = (0i64..).zip(&jitter).map(|(frame, jitter)| start + frame * period + jitter).collect();
            let mut sieve = Sieve::new(grid());
            let mut decoded = Vec::new();
            for group in shown.chunks(between as usize + 1) {
                let Some((reference, disposable)) = group.split_last() else { continue };
                sieve.keeps(at(*reference));
                decoded.push(*reference);
                decoded.extend(disposable.iter().filter(|ms| sieve.keeps(at(**ms))));
            }
            decoded.sort_unstable();
            let last = decoded.last().map_or(0, |ms| ms / 500);
            let of = |all: &[i64]| picked(all).into_iter().filter(|(index, _)| *index < last).collect::<Vec<_>>();
            prop_assert_eq!(of(&decoded), of(&shown));
        }
    }
}
