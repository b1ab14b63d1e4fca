//! The questions of [`super::Style::Paper`], in our own words. `{event}` and the like stand for what is asked about.

/// When does it happen, whichever sense tells?
pub(super) const GROUND: [&str; 8] = [
    "At which intervals in the video can we observe {event}, in terms of both visuals and audio?",
    "When does this take place in the video: {event}?",
    "Find every part of the video that shows or lets us hear {event}.",
    "Name the times between which this goes on: {event}.",
    "Where in the video would I have to look for {event}?",
    "From when to when does the following happen: {event}?",
    "I am looking for {event}. At what times is that in the video?",
    "Give the start and the end of each moment that fits these words: {event}.",
];

/// When can it be heard?
pub(super) const HEAR: [&str; 5] = [
    "At what times can this be heard: {event}?",
    "Listen to the video: when does its sound belong to {event}?",
    "Between which times does the audio let us hear {event}?",
    "Going by the sound alone, when is this happening: {event}?",
    "Give the start and the end of each stretch of sound made by this: {event}.",
];

/// When can it be seen?
pub(super) const SEE: [&str; 5] = [
    "At what times can this be seen: {event}?",
    "Look at the pictures only: when do they show {event}?",
    "Between which times is this visible: {event}?",
    "With the sound turned off, when would we notice {event}?",
    "Give the start and the end of each shot that shows this: {event}.",
];

/// What happens in between?
pub(super) const CAPTION: [&str; 6] = [
    "What happens {times}?",
    "Describe what can be seen and heard {times}.",
    "Tell me in one sentence what goes on {times}.",
    "Which event takes place {times}?",
    "Summarise the part of the video {times}.",
    "What is this part of the video about, {times}?",
];

/// What can be heard in between, where there is nothing to see of it?
pub(super) const CAPTION_HEARD: [&str; 3] = [
    "What can be heard {times}?",
    "Describe the sound of the video {times}.",
    "What does the audio tell us {times}?",
];

/// What can be seen in between, where there is nothing to hear of it?
pub(super) const CAPTION_SEEN: [&str; 3] = [
    "What can be seen {times}?",
    "Describe the pictures of the video {times}.",
    "What do the images show {times}?",
];

/// What happens, and when?
pub(super) const DENSE: [&str; 5] = [
    "Go through the video and say what happens when.",
    "List all events of the video with their times.",
    "Divide the video into its events, and describe each with its start and end.",
    "What happens in the video, one thing after the other, and at what times?",
    "Write a table of contents for the video: times and events.",
];

/// Which of two comes first?
pub(super) const FIRST: [&str; 4] = [
    "Which of these comes first: {one}, or {other}?",
    "Does the video begin with this or with that: {one}, or {other}? Name the earlier one.",
    "Put in order: {one}; {other}. Which is the earlier event?",
    "Of these two events, which is over before the other: {one}, or {other}?",
];

/// What follows?
pub(super) const NEXT: [&str; 4] = [
    "What is the next event after this one: {event}?",
    "Once this is over, what comes next: {event}?",
    "Which event follows upon this one: {event}?",
    "What does the video turn to after {event}?",
];

/// What came before?
pub(super) const PREVIOUS: [&str; 3] = [
    "Which event comes right before this one: {event}?",
    "What does the video show or let us hear just before {event}?",
    "What leads up to this event: {event}?",
];

/// Which of two lasts longer?
pub(super) const LONGER: [&str; 4] = [
    "Which of these lasts longer: {one}, or {other}?",
    "Compare two events by their lengths: {one}; {other}. Which is the longer one?",
    "What takes more of the video's time, {one}, or {other}?",
    "Of {one} and {other}, which goes on for a longer time?",
];

/// Which lasts longest?
pub(super) const LONGEST: [&str; 3] = [
    "Which event of the video lasts longest, and when is it?",
    "What takes up the longest stretch of the video? Give its times too.",
    "Name the longest event with its start and end.",
];

/// It does not happen at all.
pub(super) const NEVER: [&str; 4] = [
    "It does not happen.",
    "The event does not occur in this video.",
    "At no time: the video does not contain it.",
    "This is not part of the video.",
];

/// It happens, but cannot be heard.
pub(super) const UNHEARD: [&str; 2] = ["It cannot be heard at any time.", "The audio does not contain it."];

/// It happens, but cannot be seen.
pub(super) const UNSEEN: [&str; 2] = ["It cannot be seen at any time.", "The pictures do not show it."];
