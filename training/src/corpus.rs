//! Source clips: a catalogue of trimmed clips with captions, its readers, and clips composed from packaged pictures and sounds.
