//! A scene as a media file.

use std::path::Path;

use super::NaturalError;
use super::plan::{Footage, Picture, Scene, What};
use super::recipe::Media;
use super::{FPS, Options, room};
use crate::media::{Encoder, Frame, MediaError, Quality, RATE, Shape};
use crate::packaged::{Backdrop, Dice, HEIGHT, WIDTH};
use crate::render::Retimed;

const SHAPE: Shape = Shape { width: WIDTH, height: HEIGHT, fps: FPS };

/// The loudest sample of a scene; what would be louder is made quieter as a whole.
const PEAK: f32 = 0.9;

/// Writes the scene's video.
pub(super) fn write(scene: &Scene, media: &Media, options: &Options, out: &Path) -> Result<(), NaturalError> {
    let sound = mixed(scene, options);
    let mut reel = Reel { media, scene, options, playing: None };
    let mut encoder = Encoder::create(out, SHAPE, Quality::default())?;
    for (number, samples) in sound.chunks((RATE / FPS) as usize).enumerate() {
        encoder.picture(&reel.at(number as f64 / f64::from(FPS))?)?;
        encoder.sound(samples)?;
    }
    encoder.finish()?;
    Ok(())
}

/// What is heard: every event at the scene's level, the room so many dB below it.
fn mixed(scene: &Scene, options: &Options) -> Vec<f32> {
    let count = (scene.seconds * f64::from(RATE)) as usize;
    let gain = |decibels: f64| 10f64.powf(decibels / 20.0) as f32;
    let mut dice = Dice::new(options.seed, &format!("{}/room", scene.id));
    let mut sound = room::bed(&scene.room.samples, count, &mut dice);
    let below = gain(-options.snr);
    sound.iter_mut().for_each(|sample| *sample *= below);
    for event in &scene.events {
        let start = (event.start * f64::from(RATE)) as usize;
        let heard = event.performance.sound();
        sound[start.min(count)..].iter_mut().zip(heard).for_each(|(sample, heard)| *sample += heard);
    }
    let peak = sound.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    let level = gain(scene.level).min(PEAK / peak.max(1e-9));
    sound.iter_mut().for_each(|sample| *sample *= level);
    sound
}

/// What plays at the moment: a shot's or an event's number, and how often footage has begun again.
type Take = (bool, usize, usize);

/// The pictures of a scene at rising times.
struct Reel<'a> {
    media: &'a Media,
    scene: &'a Scene,
    options: &'a Options,
    playing: Option<(Take, Playing)>,
}

enum Playing {
    Still(Frame),
    Film(Retimed),
}

impl Reel<'_> {
    fn at(&mut self, seconds: f64) -> Result<Frame, NaturalError> {
        let event = self.scene.events.iter().enumerate().find_map(|(number, event)| match event.what {
            What::Film(film) if event.start <= seconds && seconds < event.end() => {
                Some((number, film, event.start))
            }
            _ => None,
        });
        if let Some((number, film, start)) = event {
            let from = self.part_start(film);
            return self.film((true, number, 0), film, from, seconds - start);
        }
        let shot = self.scene.shots.iter().position(|shot| shot.start <= seconds && seconds < shot.end);
        let Some(number) = shot else { return Ok(SHAPE.black()) };
        let shot = &self.scene.shots[number];
        match shot.picture {
            Picture::Black => Ok(SHAPE.black()),
            Picture::Still(of) => {
                let take = (false, number, 0);
                if let Some((playing, Playing::Still(frame))) = &self.playing
                    && *playing == take
                {
                    return Ok(frame.clone());
                }
                let mut dice = Dice::new(self.options.seed, &format!("{}/still/{of}", self.scene.id));
                let frame = SHAPE.convert(&Backdrop::still(&mut dice, self.options.split));
                self.playing = Some((take, Playing::Still(frame.clone())));
                Ok(frame)
            }
            Picture::Film(film, from) => self.film((false, number, 0), film, from, seconds - shot.start),
        }
    }

    fn part_start(&self, film: Footage) -> f64 {
        self.media.recipe().videos[film.video].parts[film.part].start
    }

    /// The picture `since` seconds after footage began at `from` of its file; at its part's end it begins again.
    fn film(&mut self, mut take: Take, film: Footage, from: f64, since: f64) -> Result<Frame, NaturalError> {
        let file = &self.media.recipe().videos[film.video];
        let part = &file.parts[film.part];
        let lasts = part.end - from;
        take.2 = (since / lasts) as usize;
        let open = |playing: &Option<(Take, Playing)>| matches!(playing, Some((playing, Playing::Film(_))) if *playing == take);
        if !open(&self.playing) {
            let pictures = Retimed::open(&self.media.video(&file.file), SHAPE)?;
            self.playing = Some((take, Playing::Film(pictures)));
        }
        let Some((_, Playing::Film(pictures))) = &mut self.playing else { return Ok(SHAPE.black()) };
        let shown = pictures.at(from + since - lasts * take.2 as f64)?;
        shown.ok_or_else(|| {
            let (path, reason) = (self.media.video(&file.file), "it has no pictures".to_owned());
            MediaError::Decode { path, reason }.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::perform::{Performance, Recording};
    use super::super::plan::Event;
    use super::*;
    use crate::Split;
    use crate::packaged::rms;

    #[test]
    fn events_are_so_much_louder_than_the_room() {
        let rate = RATE as usize;
        let recording = |id: &str, samples: Vec<f32>| {
            let spans = std::iter::once(0..samples.len()).collect();
            Arc::new(Recording { id: id.to_owned(), samples, spans })
        };
        let tone = (0..3 * rate).map(|i| (i as f32 * 0.05).sin() * 0.01).collect();
        let hiss = Dice::new(1, "hiss").normals(rate);
        let performance = Performance::once(recording("tone", tone));
        let scene = Scene {
            id: "x".to_owned(),
            seconds: 20.0,
            events: vec![Event { what: What::Sound(0), start: 5.0, performance }],
            shots: Vec::new(),
            room: recording("hiss", hiss),
            level: -20.0,
        };
        for snr in [0.0, 10.0, 30.0] {
            let options = Options { snr, ..Options::new(1, Split::Train) };
            let sound = mixed(&scene, &options);
            let (quiet, loud) = (rms(&sound[10 * rate..]), rms(&sound[5 * rate..8 * rate]));
            // Both together where the event is.
            let found = 20.0 * f64::from((loud.powi(2) - quiet.powi(2)).sqrt() / quiet).log10();
            assert!((found - snr).abs() < 1.0, "{found} dB, not {snr}");
            assert!(sound.iter().all(|sample| sample.abs() <= PEAK + 1e-3));
        }
    }
}
