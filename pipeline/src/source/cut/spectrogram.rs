//! The spectrogram of a clip's sound: log-mel, a column for each hop, low frequencies at the bottom, as an indexed PNG.

use std::path::Path;

use avicuna_models::preprocess::mel::{LogMel, MelScale, MelSpec};
use gstreamer as gst;

use super::decode::decode;
use super::mux::element;
use super::span::Strand;

/// Samples per second that are looked at: up to 8 kHz.
const RATE: u32 = 16_000;
/// Rows.
const MELS: usize = 128;
/// The most columns.
const COLUMNS: usize = 1200;
/// The least samples from column to column.
const HOP: usize = 160;
/// From the loudest down to black, in decibels.
const RANGE: f32 = 80.0;

/// Draws the sound of a clip.
pub(super) fn draw(strand: &Strand, path: &Path) -> Result<(), String> {
    let samples = samples(strand)?;
    let hop = samples.len().div_ceil(COLUMNS).max(HOP);
    let spec = MelSpec {
        sample_rate: RATE,
        fft: 1024,
        hop,
        mels: MELS,
        low: 50.0,
        high: f64::from(RATE) / 2.0,
        scale: MelScale::Htk,
        int16: false,
    };
    let mel = LogMel::new(spec).map_err(|error| error.to_string())?;
    let columns = mel.frames(samples.len());
    super::write(path, &png(&shades(&mel.run(&samples), columns), columns)?)
}

/// The sound, mono, from the strand's beginning on; silence where there is none.
fn samples(strand: &Strand) -> Result<Vec<f32>, String> {
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("channels", 1i32)
        .field("rate", RATE as i32)
        .build();
    let (base, length) = (strand.start(), strand.end() - strand.start());
    let place = |nanos: i64| (i128::from(nanos) * i128::from(RATE) / 1_000_000_000) as usize;
    let mut samples = vec![0.0; place(length.max(0))];
    let converters = [element("audioconvert")?, element("audioresample")?];
    decode(strand, base, &converters, &caps, |sample| {
        let Some(buffer) = sample.buffer() else { return };
        let at = buffer.pts().map_or(0, |pts| place(pts.nseconds() as i64));
        let Ok(bytes) = buffer.map_readable() else { return };
        let (chunks, _) = bytes.as_chunks::<4>();
        let free = samples.get_mut(at..).unwrap_or_default();
        for (sample, bytes) in free.iter_mut().zip(chunks) {
            *sample = f32::from_le_bytes(*bytes);
        }
    })?;
    if samples.is_empty() { Err("the sound could not be decoded".to_owned()) } else { Ok(samples) }
}

/// `[MELS, columns]` of shades from decibels, `[columns, MELS]`; the loudest is white.
fn shades(decibels: &[f32], columns: usize) -> Vec<u8> {
    let loudest = decibels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut shades = Vec::with_capacity(decibels.len());
    for row in (0..MELS).rev() {
        for column in 0..columns {
            let below = loudest - decibels[column * MELS + row];
            shades.push((255.0 * (1.0 - below / RANGE).clamp(0.0, 1.0)) as u8);
        }
    }
    shades
}

/// From black by way of violet and orange to white.
fn palette() -> Vec<u8> {
    const STOPS: [[f32; 3]; 5] = [
        [0.0, 0.0, 8.0],
        [75.0, 20.0, 110.0],
        [205.0, 60.0, 75.0],
        [252.0, 165.0, 40.0],
        [255.0, 255.0, 235.0],
    ];
    let shade = |index: usize| {
        let at = index as f32 / 255.0 * (STOPS.len() - 1) as f32;
        let first = (at as usize).min(STOPS.len() - 2);
        let part = at - first as f32;
        [0, 1, 2].map(|colour| {
            let (from, to) = (STOPS[first][colour], STOPS[first + 1][colour]);
            (from + (to - from) * part).round() as u8
        })
    };
    (0..256).flat_map(shade).collect()
}

fn png(shades: &[u8], columns: usize) -> Result<Vec<u8>, String> {
    let width = u32::try_from(columns).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, MELS as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette());
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(shades).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_is_white_and_low_frequencies_are_at_the_bottom() {
        let mut decibels = vec![-200.0; 2 * MELS];
        decibels[0] = -10.0;
        let shades = shades(&decibels, 2);
        assert_eq!(shades[(MELS - 1) * 2..], [255, 0]);
        assert_eq!(shades.iter().filter(|shade| **shade > 0).count(), 1);
        let palette = palette();
        assert_eq!((&palette[..3], &palette[765..]), (&[0, 0, 8][..], &[255, 255, 235][..]));
        assert!(png(&shades, 2).expect("a picture").starts_with(b"\x89PNG"));
    }
}
