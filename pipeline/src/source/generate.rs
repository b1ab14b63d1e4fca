//! `test://`: generated pictures and sounds, for demos and tests.
//! `test://?pattern=ball&wave=ticks&duration=30&width=640&height=360&fps=25&rate=48000&freq=440&audio=true&video=true`

use std::str::FromStr;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use super::branch::{Branches, element};
use super::config::SourceConfig;
use super::failure::{Failure, Kind};
use super::uri::Address;

/// What a `test://` address asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wishes {
    pattern: String,
    wave: String,
    /// Seconds; `None` never ends.
    pub duration: Option<f64>,
    width: i32,
    height: i32,
    fps: i32,
    rate: i32,
    freq: f64,
    audio: bool,
    video: bool,
}

const KEYS: &str = "pattern, wave, duration, width, height, fps, rate, freq, audio, video";

impl Wishes {
    /// Reads the query of a `test://` address.
    pub fn parse(address: &Address) -> Result<Self, Failure> {
        let mut wishes = Self {
            pattern: "ball".to_owned(),
            wave: "ticks".to_owned(),
            duration: None,
            width: 640,
            height: 360,
            fps: 25,
            rate: 48_000,
            freq: 440.0,
            audio: true,
            video: true,
        };
        let query = address.uri.split_once('?').map_or("", |(_, query)| query);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "pattern" => value.clone_into(&mut wishes.pattern),
                "wave" => value.clone_into(&mut wishes.wave),
                "duration" => wishes.duration = Some(number(key, value, 0.0..=1e9)?),
                "width" => wishes.width = number(key, value, 16..=8192)?,
                "height" => wishes.height = number(key, value, 16..=8192)?,
                "fps" => wishes.fps = number(key, value, 1..=240)?,
                "rate" => wishes.rate = number(key, value, 8000..=192_000)?,
                "freq" => wishes.freq = number(key, value, 0.0..=20_000.0)?,
                "audio" => wishes.audio = number(key, value, false..=true)?,
                "video" => wishes.video = number(key, value, false..=true)?,
                _ => return Err(bad(format!("test:// knows no \"{key}\"; it knows {KEYS}"))),
            }
        }
        if !wishes.audio && !wishes.video {
            return Err(bad("test:// without audio and video has nothing to deliver".to_owned()));
        }
        Ok(wishes)
    }
}

fn bad(message: String) -> Failure {
    Failure::new(Kind::BadUri, message)
}

fn number<T: FromStr + PartialOrd + std::fmt::Debug>(
    key: &str,
    value: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, Failure> {
    let read = value.parse().ok().filter(|number| range.contains(number));
    read.ok_or_else(|| {
        bad(format!("test://: {key}={value} is not in {:?}..={:?}", range.start(), range.end()))
    })
}

/// Builds sources and branches; returns which of audio and video there are.
pub(super) fn build(
    address: &Address,
    config: &SourceConfig,
    pipeline: &gst::Pipeline,
    branches: &Branches,
) -> Result<(bool, bool), Failure> {
    let wishes = Wishes::parse(address)?;
    let (audio, video) = (wishes.audio && config.sample_rate > 0, wishes.video && config.grid.is_some());
    if video {
        let source = element("videotestsrc")?;
        choose(&source, "pattern", &wishes.pattern)?;
        limit(&source, wishes.duration, f64::from(wishes.fps));
        let caps = gst::Caps::builder("video/x-raw")
            .field("width", wishes.width)
            .field("height", wishes.height)
            .field("framerate", gst::Fraction::new(wishes.fps, 1))
            .build();
        attach(pipeline, &source, &caps, config.live, branches.video()?)?;
    }
    if audio {
        let source = element("audiotestsrc")?;
        choose(&source, "wave", &wishes.wave)?;
        source.set_property("freq", wishes.freq);
        let chunks_per_second = 50;
        source.set_property("samplesperbuffer", wishes.rate / chunks_per_second);
        limit(&source, wishes.duration, f64::from(chunks_per_second));
        let caps =
            gst::Caps::builder("audio/x-raw").field("rate", wishes.rate).field("channels", 1i32).build();
        attach(pipeline, &source, &caps, config.live, branches.audio()?)?;
    }
    if !audio && !video {
        return Err(bad(format!("{}: nothing of it is wanted by this stream", address.shown())));
    }
    Ok((audio, video))
}

fn attach(
    pipeline: &gst::Pipeline,
    source: &gst::Element,
    caps: &gst::Caps,
    live: bool,
    branch: gst::Element,
) -> Result<(), Failure> {
    source.set_property("is-live", live);
    let internal = |error: glib::BoolError| Failure::new(Kind::Internal, error.to_string());
    pipeline.add(source).map_err(internal)?;
    source.link_filtered(&branch, caps).map_err(internal)
}

/// Sets an enumeration by its nick, for `set_property_from_str` panics on unknown ones.
fn choose(source: &gst::Element, property: &str, nick: &str) -> Result<(), Failure> {
    let class = source.find_property(property).and_then(|spec| glib::EnumClass::with_type(spec.value_type()));
    let class = class.ok_or_else(|| Failure::new(Kind::Internal, format!("no property {property}")))?;
    let Some(value) = class.to_value_by_nick(nick) else {
        let known: Vec<&str> = class.values().iter().map(glib::EnumValue::nick).collect();
        return Err(bad(format!("test://: {property}={nick} is not known; use one of {}", known.join(", "))));
    };
    source.set_property_from_value(property, &value);
    Ok(())
}

fn limit(source: &gst::Element, duration: Option<f64>, per_second: f64) {
    if let Some(seconds) = duration {
        let buffers = (seconds * per_second).round().clamp(1.0, f64::from(i32::MAX));
        source.set_property("num-buffers", buffers as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(text: &str) -> Result<Wishes, String> {
        let address = Address::parse(text).map_err(|failure| failure.to_string())?;
        Wishes::parse(&address).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_query_is_read_and_checked() {
        let read = wishes("test://?pattern=snow&duration=2.5&audio=false").expect("known keys");
        assert_eq!(
            (read.pattern.as_str(), read.duration, read.audio, read.fps),
            ("snow", Some(2.5), false, 25)
        );
        assert!(wishes("test://?colour=red").expect_err("unknown").contains("knows no \"colour\""));
        assert!(wishes("test://?fps=0").expect_err("range").contains("fps=0 is not in 1..=240"));
        assert!(wishes("test://?audio=false&video=false").is_err());
    }
}
