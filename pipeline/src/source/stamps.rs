//! Time stamps of sound that demuxers of GStreamer 1.22 get wrong: mono ADPCM in WAV and AVI is given half of its time. There the samples
//! themselves say how long it lasts.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Watches a decoder of ADPCM; other elements are left alone.
pub(super) fn mend(element: &gst::Element) {
    let Some(name) = element.factory().map(|factory| factory.name()) else { return };
    if (name == "adpcmdec" || name.starts_with("avdec_adpcm_"))
        && let Some(pad) = element.static_pad("sink")
    {
        watch(&pad, adpcm);
    }
}

fn adpcm(caps: &gst::CapsRef) -> Option<Counter> {
    let block = Block::of(caps)?;
    let frames = move |bytes: u64| bytes / block.bytes * block.frames;
    Some(Counter::new(block.rate, frames))
}

fn watch(pad: &gst::Pad, counter: fn(&gst::CapsRef) -> Option<Counter>) {
    let counting = Mutex::new(Counting::default());
    let mask =
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |pad, info| {
        let mut counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Caps(_) => *counting = Counting::default(),
                gst::EventView::Segment(_) => counting.restart(),
                _ => {}
            },
            Some(gst::PadProbeData::Buffer(buffer)) => {
                if let Some(counter) = counting.by(pad, counter) {
                    counter.mend(buffer);
                }
            }
            Some(gst::PadProbeData::BufferList(list)) => {
                if let Some(counter) = counting.by(pad, counter) {
                    list.make_mut().foreach_mut(|mut buffer, _| {
                        counter.mend(&mut buffer);
                        ControlFlow::Continue(Some(buffer))
                    });
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// What a pad's caps ask for, once they were looked at: they may have come before anybody watched.
#[derive(Default)]
struct Counting {
    counter: Option<Counter>,
    looked: bool,
}

impl Counting {
    fn by(&mut self, pad: &gst::Pad, make: fn(&gst::CapsRef) -> Option<Counter>) -> Option<&mut Counter> {
        if !self.looked {
            self.counter = pad.current_caps().and_then(|caps| make(&caps));
            self.looked = true;
        }
        self.counter.as_mut()
    }

    fn restart(&mut self) {
        if let Some(counter) = &mut self.counter {
            counter.run = None;
        }
    }
}

/// A block of ADPCM.
#[derive(Clone, Copy)]
struct Block {
    bytes: u64,
    /// Samples of each channel in it.
    frames: u64,
    rate: u64,
}

impl Block {
    /// IMA and Microsoft ADPCM as in WAV; `None` for others.
    fn of(caps: &gst::CapsRef) -> Option<Self> {
        let caps = caps.structure(0)?;
        let number = |name: &str| u64::try_from(caps.get::<i32>(name).ok()?).ok();
        let (bytes, rate) = (number("block_align")?, number("rate")?);
        let channels = number("channels").filter(|channels| *channels > 0)?;
        // The head of a block has the first samples of each channel as they are, and then come two in a byte.
        let (head, whole) = match caps.get::<&str>("layout").ok()? {
            "dvi" => (4, 1),
            "microsoft" => (7, 2),
            _ => return None,
        };
        let coded = bytes.checked_sub(head * channels).filter(|_| rate > 0)?;
        Some(Self { bytes, frames: coded * 2 / channels + whole, rate })
    }
}

struct Counter {
    rate: u64,
    frames: Box<dyn Fn(u64) -> u64 + Send>,
    run: Option<Run>,
}

/// Buffers that follow on each other.
struct Run {
    start: gst::ClockTime,
    frames: u64,
}

impl Counter {
    fn new(rate: u64, frames: impl Fn(u64) -> u64 + Send + 'static) -> Self {
        Self { rate: rate.max(1), frames: Box::new(frames), run: None }
    }

    fn mend(&mut self, buffer: &mut gst::Buffer) {
        let Some(stamp) = buffer.pts() else { return };
        let at = self.place(stamp, buffer.size() as u64);
        if at != stamp {
            let buffer = buffer.make_mut();
            buffer.set_pts(at);
            buffer.unset_flags(gst::BufferFlags::DISCONT);
        }
    }

    /// When the buffer of `bytes` that says `stamp` begins.
    fn place(&mut self, stamp: gst::ClockTime, bytes: u64) -> gst::ClockTime {
        let frames = (self.frames)(bytes);
        // A stamp that lies before the end of the samples that came is not believed.
        let goes_on = |run: &Run| stamp < run.end(self.rate) && run.frames > 0;
        let run = self.run.take().filter(goes_on).unwrap_or(Run { start: stamp, frames: 0 });
        let run = self.run.insert(run);
        let at = run.end(self.rate);
        run.frames += frames;
        at
    }
}

impl Run {
    fn end(&self, rate: u64) -> gst::ClockTime {
        let nanos = u128::from(self.frames) * 1_000_000_000 / u128::from(rate);
        self.start + gst::ClockTime::from_nseconds(nanos as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(stamps: &[u64]) -> Vec<u64> {
        // A frame is a byte and lasts a millisecond.
        let mut counter = Counter::new(1000, |bytes| bytes);
        let at = |stamp: &u64| counter.place(gst::ClockTime::from_mseconds(*stamp), 10).mseconds();
        stamps.iter().map(at).collect()
    }

    #[test]
    fn sound_that_is_given_half_of_its_time_gets_the_rest() {
        assert_eq!(placed(&[0, 5, 10, 15, 90, 100]), [0, 10, 20, 30, 90, 100]);
    }

    #[test]
    fn blocks_hold_what_their_formats_say() {
        gst::init().expect("GStreamer starts");
        let frames = |layout: &str, channels: i32| {
            let caps = gst::Caps::builder("audio/x-adpcm")
                .field("layout", layout)
                .field("block_align", 1024i32)
                .field("rate", 48_000i32)
                .field("channels", channels)
                .build();
            Block::of(&caps).map(|block| block.frames)
        };
        assert_eq!((frames("dvi", 1), frames("dvi", 2)), (Some(2041), Some(1017)));
        assert_eq!((frames("microsoft", 1), frames("microsoft", 2)), (Some(2036), Some(1012)));
        assert_eq!(frames("yamaha", 1), None);
    }
}
