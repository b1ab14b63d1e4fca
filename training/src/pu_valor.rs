//! Pseudo-untrimmed videos: random temporal scaling and permutation of clustered clips, with dialogues about their events.
