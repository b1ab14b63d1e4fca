//! How sure the encoders are: the numbers that the simulator draws evidence from.

/// Log-odds and their spreads; probabilities; shares. See docs/natural.md for what they were fitted on.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// The audio tagger.
    pub tagger: Encoder,
    /// The detector of things in pictures.
    pub detector: Encoder,
    /// The classifier of pictures.
    pub classifier: Encoder,
    /// Log-odds that a sound loses to noise as loud as [`Self::knee`].
    pub masking: f32,
    /// Decibels of sound over noise around which noise begins to matter.
    pub knee: f32,
    /// Decibels over which it does.
    pub width: f32,
    /// An event is told where its mean evidence in a sense is at least this.
    pub told: f32,
}

/// One encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// Log-odds of a thing that is there, in the middle of all things and events.
    pub there: f32,
    /// Deviation of things: some are hardly ever known, some always.
    pub of_thing: f32,
    /// Deviation of the events of one thing.
    pub of_event: f32,
    /// Deviation within an event.
    pub flicker: f32,
    /// Correlation of one step with the next: 0.5 s, for the detector 1 s.
    pub keep: f32,
    /// Things that one thing is mistaken for while it is there, at most.
    pub mistakes: usize,
    /// Evidence for each: least and most. Twice as much is half as frequent.
    pub mistaken: (f64, f64),
    /// Things that are seen in nothing for a while, at most: in a video with events, and in one without.
    pub spells: (usize, usize),
    /// Natural logarithm of the evidence for what a thing is a kind of, over that for the thing.
    pub parent: f32,
    /// Its deviation from thing to thing.
    pub parent_of_thing: f32,
    /// Natural logarithm of the evidence for what is not there.
    pub floor: f32,
    /// Deviation of that from thing to thing.
    pub floor_of_thing: f32,
    /// What is in most footage, and what stands for many things, has so much more.
    pub floor_of_common: f32,
    /// Deviation in time.
    pub floor_flicker: f32,
}

impl Default for Levels {
    /// Fitted on real footage; docs/natural.md has the figures beside what is drawn with these.
    fn default() -> Self {
        Self {
            // CED-tiny on folds 1 and 2 of ESC-10, clips of 2 s every 0.5 s, clean and in five kinds of noise at 10 and 0 dB: the
            // log-odds of 160 events are -0.4 on average with a deviation of 1.6 (clean), 0.9 to 1.1 within an event, correlated
            // by 0.4 over ten steps, of which short spans hide 0.2. 4.8 other phrases have 0.02 or more on average, 2.3 have
            // 0.05, 1.1 have 0.1, 0.4 have 0.2, at every level of noise. The mean of a column in noise alone is below 1e-5 for
            // half of the phrases, above 2e-4 for a tenth, above 0.02 for a hundredth. Evidence for a parent is 0.02 (water,
            // rain) to 1.1 (an animal, a dog) times that for the thing.
            tagger: Encoder {
                there: -0.3,
                of_thing: 1.0,
                of_event: 1.1,
                flicker: 1.0,
                keep: 0.65,
                mistakes: 7,
                mistaken: (0.02, 0.55),
                spells: (2, 14),
                parent: -0.9,
                parent_of_thing: 1.2,
                floor: -12.5,
                floor_of_thing: 3.0,
                floor_of_common: 3.0,
                floor_flicker: 1.0,
            },
            // SSDLite-MobileNetV2 and EfficientNet-Lite0 on eight free clips (cameras that stand still and that move, a film, a
            // cartoon) and on 90 pictures of tuxpaint-stamps-default moved over four of them. What is there: 0.42 in the middle
            // for the detector, far below that for the classifier, which a small thing before a background hardly moves. What is
            // not: 16 columns of both together have 0.02 or more in ten seconds of footage, 5.2 have 0.05, 1.9 have 0.1, 0.6
            // have 0.2. Half of the detector's columns are below 0.005, half of the classifier's below 3e-4 for each class.
            detector: Encoder {
                there: 0.2,
                of_thing: 0.7,
                of_event: 1.8,
                flicker: 0.7,
                keep: 0.6,
                mistakes: 3,
                mistaken: (0.04, 0.7),
                spells: (4, 6),
                parent: -0.5,
                parent_of_thing: 0.4,
                floor: -5.5,
                floor_of_thing: 1.2,
                floor_of_common: 0.5,
                floor_flicker: 0.6,
            },
            classifier: Encoder {
                there: -0.6,
                of_thing: 1.0,
                of_event: 1.7,
                flicker: 0.9,
                keep: 0.75,
                mistakes: 4,
                mistaken: (0.02, 0.7),
                spells: (8, 12),
                parent: -3.5,
                parent_of_thing: 1.8,
                floor: -8.4,
                floor_of_thing: 1.3,
                floor_of_common: 0.0,
                floor_flicker: 0.7,
            },
            // Steady sounds of the same clips lose 0.5 at 10 dB and 1.7 at 0 dB; beside another clip as loud, 1.2 in the middle.
            masking: 1.0,
            knee: 8.0,
            width: 5.0,
            told: 0.2,
        }
    }
}

impl Levels {
    /// Log-odds that a sound loses when it is `over` decibels over everything else.
    pub(super) fn loss(&self, over: f32) -> f32 {
        self.masking * ((self.knee - over) / self.width).exp().ln_1p()
    }
}
