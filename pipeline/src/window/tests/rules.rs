//! Each rule of `docs/windows.md`, by example.

use super::*;

#[test]
fn ids_say_stream_and_index() {
    let id = WindowId { stream: StreamId::from("yard"), index: 7 };
    assert_eq!(id.to_string(), "yard/7");
}

#[test]
fn a_window_closes_when_both_tracks_are_past_its_end_and_its_clips_are_whole() {
    let mut assembler = assembler();
    assert!(feed(&mut assembler, [connected(true, true)]).is_empty());
    assert!(feed(&mut assembler, both(0..4)).is_empty(), "the last clip reaches 250 ms past the end");
    assert!(feed(&mut assembler, [audio(4000, 4249)]).is_empty());
    let now = Instant::now();
    let closed = assembler.push_at(audio(4249, 4250), now);
    let [window] = windows(&closed)[..] else { panic!("{closed:?}") };
    assert_eq!((window.id.index, window.start, window.end, window.until), (0, ms(0), ms(4000), ms(4000)));
    assert_eq!((window.closed, window.last_capture), (now, utc(ms(4249))));
    assert_eq!((window.visual.presence, &window.visual.reason), (Present, &None));
    assert_eq!((window.audio.presence, &window.audio.reason), (Present, &None));
    assert_eq!(pictures(window), [0, 1, 2, 3].map(Some));
    let expected: Vec<_> = (0..8).map(|slot| Some(clip(slot, 0, 4250))).collect();
    assert_eq!(sounds(window), expected);
}

#[test]
fn overlapping_windows_share_their_cells() {
    let mut assembler = assembler();
    let closed = feed(&mut assembler, both(0..7));
    let [first, second] = windows(&closed)[..] else { panic!("{closed:?}") };
    for (earlier, later) in first.visual.slots[2..].iter().zip(&second.visual.slots) {
        assert!(Arc::ptr_eq(earlier.as_ref().expect("filled"), later.as_ref().expect("filled")));
    }
    for (earlier, later) in first.audio.slots[4..].iter().zip(&second.audio.slots) {
        assert!(Arc::ptr_eq(earlier.as_ref().expect("filled"), later.as_ref().expect("filled")));
    }
}

#[test]
fn a_frame_shown_at_several_grid_points_is_one_cell() {
    let mut assembler = assembler();
    let again = |at| match frame(0) {
        SourceEvent::Frame(first) => SourceEvent::Frame(TimedFrame { at: GridIndex(at), ..first }),
        other => other,
    };
    let closed = feed(&mut assembler, [connected(false, true), frame(0), again(1), frame(2), frame(3)]);
    let slots = &window(&closed[0]).visual.slots;
    let cell = |slot: usize| slots[slot].as_ref().expect("filled");
    assert!(Arc::ptr_eq(cell(0), cell(1)) && !Arc::ptr_eq(cell(1), cell(2)));
}

#[test]
fn a_source_with_one_track_does_not_wait_for_the_other() {
    let mut silent = assembler();
    let closed = feed(&mut silent, std::iter::once(connected(false, true)).chain((0..4).map(frame)));
    let window_of_silent = window(&closed[0]);
    assert_eq!(window_of_silent.visual.presence, Present);
    assert_eq!(window_of_silent.audio.presence, Missing);
    assert_eq!(window_of_silent.audio.reason.as_deref(), Some("the source has no audio"));
    let mut blind = assembler();
    let closed = feed(&mut blind, [connected(true, false), audio(0, 4250)]);
    assert_eq!(window(&closed[0]).visual.reason.as_deref(), Some("the source has no video"));
    assert_eq!(window(&closed[0]).visual.slots.len(), 4);
}

#[test]
fn a_window_says_where_it_held_something() {
    let mut assembler = assembler();
    let (sight, sound) = ([frame(0), frame(3)], audio(0, 1_600));
    let closed =
        feed(&mut assembler, [connected(true, true), sound].into_iter().chain(sight).chain([ended()]));
    let window = window(&closed[0]);
    assert_eq!(pictures(window), [Some(0), None, None, Some(3)]);
    assert_eq!(sounds(window).iter().filter(|clip| clip.is_some()).count(), 3);
    assert_eq!(window.held(), [ms(0)..ms(1500), ms(3000)..ms(4000)]);
}

#[test]
fn a_model_of_one_modality_takes_only_that() {
    let spec = WindowSpec { audio_slots: 0, ..spec() };
    let mut deaf = Assembler::new(StreamId::from("cam"), spec).expect("valid");
    let closed = feed(&mut deaf, both(0..4));
    let window = window(&closed[0]);
    assert_eq!((window.audio.slots.len(), window.audio.presence), (0, Missing));
    assert_eq!(window.audio.reason.as_deref(), Some("the model does not use audio"));
    assert_eq!(deaf.held().2, 0);
}

#[test]
fn audio_that_starts_late_and_stops_is_waited_for_until_progress_says_so() {
    let mut assembler = assembler();
    assert!(feed(&mut assembler, std::iter::once(connected(true, true)).chain((0..6).map(frame))).is_empty());
    assert!(feed(&mut assembler, [progress(4249)]).is_empty());
    let closed = feed(&mut assembler, [progress(4250)]);
    assert_eq!(window(&closed[0]).audio.reason.as_deref(), Some("audio has not started yet"));
    let closed = feed(&mut assembler, [audio(5000, 5800), frame(6), frame(7), progress(6250)]);
    let late = window(&closed[0]);
    assert_eq!((late.audio.presence, late.audio.filled()), (Partial, 2));
    assert_eq!(late.audio.reason.as_deref(), Some("audio has not started yet"));
    let closed = feed(&mut assembler, [progress(8250)]);
    assert_eq!(window(&closed[0]).audio.reason.as_deref(), Some("audio stopped"));
}

#[test]
fn patience_waits_longer_than_progress() {
    let spec = WindowSpec { patience: Duration::from_secs(1), ..spec() };
    let mut assembler = Assembler::new(StreamId::from("cam"), spec).expect("valid");
    assert!(feed(&mut assembler, both(0..3)).is_empty());
    assert!(feed(&mut assembler, [progress(5249)]).is_empty());
    assert!(feed(&mut assembler, [frame(3)]).is_empty(), "late, but in time for the patient");
    let closed = feed(&mut assembler, [progress(5250)]);
    assert_eq!(window(&closed[0]).visual.presence, Present);
    assert_eq!(window(&closed[0]).audio.presence, Partial);
}

#[test]
fn a_slot_needs_half_of_its_own_time() {
    let mut assembler = assembler();
    let closed = feed(
        &mut assembler,
        [connected(true, false), audio(0, 750), audio(1250, 1749), audio(2000, 4000), progress(4250)],
    );
    let window = window(&closed[0]);
    let filled: Vec<bool> = window.audio.slots.iter().map(Option::is_some).collect();
    assert_eq!(filled, [true, true, true, false, true, true, true, true]);
    assert_eq!((window.audio.presence, window.audio.reason.as_deref()), (Partial, Some("audio has holes")));
    // Half a slot and more, with the hole as silence.
    let heard = sounds(window)[1].clone().expect("filled");
    assert_eq!(heard[..500], (250..750).map(value).collect::<Vec<_>>());
    assert_eq!(heard[500..], vec![0.0; 500]);
}

#[test]
fn what_comes_after_closing_is_counted_and_dropped() {
    let mut assembler = assembler();
    feed(&mut assembler, [connected(true, true), frame(0), audio(0, 1000), progress(4250)]);
    assert_eq!(assembler.unused(), Unused::default());
    feed(&mut assembler, [frame(2), audio(3000, 4000), frame(4), frame(4), audio(3900, 4100)]);
    let expected = Unused { late_frames: 1, late_samples: 750, repeated_frames: 1, repeated_samples: 100 };
    assert_eq!(assembler.unused(), expected);
    let closed = feed(&mut assembler, [frame(5), progress(6250)]);
    assert_eq!(pictures(window(&closed[0])), [None, None, Some(4), Some(5)]);
}

#[test]
fn frames_before_the_stream_began_are_late() {
    let mut assembler = assembler();
    feed(&mut assembler, [frame(-1)]);
    assert_eq!(assembler.unused().late_frames, 1);
}

#[test]
fn a_gap_explains_what_is_missing() {
    let mut assembler = assembler();
    let events = both(0..3).into_iter().chain([gap(3000, 9000, "outage: the camera left"), progress(9000)]);
    let closed = feed(&mut assembler, events);
    assert_eq!(outline(&closed), ["0", "1", "2 x1 outage: the camera left"]);
    assert_eq!(window(&closed[0]).visual.reason.as_deref(), Some("outage: the camera left"));
    assert_eq!(window(&closed[1]).audio.reason.as_deref(), Some("outage: the camera left"));
    assert_eq!(pictures(window(&closed[1])), [Some(2), None, None, None]);
    // Back again: the window that straddles the return.
    let closed = feed(&mut assembler, both(9..11));
    assert_eq!(outline(&closed), ["3"]);
    assert_eq!(pictures(window(&closed[0])), [None, None, None, Some(9)]);
}

#[test]
fn samples_from_before_a_gap_may_still_follow_it() {
    let mut assembler = assembler();
    let before = [audio(0, 4000), gap(4000, 6000, "jump: the source's time stamps jumped forward")];
    let closed = feed(&mut assembler, before.into_iter().chain((0..4).map(frame)).chain(both(6..7)));
    assert_eq!(window(&closed[0]).visual.presence, Present);
    assert_eq!(window(&closed[0]).audio.presence, Present);
}

#[test]
fn a_long_outage_is_one_entry() {
    let mut assembler = assembler();
    let day = 24 * 3600 * 1000;
    let events = [gap(3000, day, "outage: dead"), progress(day)];
    let closed = feed(&mut assembler, both(0..3).into_iter().chain(events));
    assert_eq!(outline(&closed), ["0", "1", "2 x43196 outage: dead"]);
    let Closed::Blind { start, end, .. } = &closed[2] else { panic!("blind") };
    assert_eq!((*start, *end), (ms(4000), ms(day - 2000)));
    let closed = feed(&mut assembler, [progress(day + 2000)]);
    assert_eq!(outline(&closed), ["43198 x1 outage: dead"]);
    let closed = feed(&mut assembler, [progress(day + 4250)]);
    assert_eq!(outline(&closed), ["43199 x1 outage: dead", "43200 x1 the source delivered nothing"]);
}

#[test]
fn two_outages_are_two_entries() {
    let mut assembler = assembler();
    let events = [gap(0, 20_000, "outage: one"), gap(20_000, 40_000, "outage: two"), progress(40_250)];
    assert_eq!(outline(&feed(&mut assembler, events)), ["0 x10 outage: one", "10 x9 outage: two"]);
}

#[test]
fn the_whole_of_time_passes_at_once() {
    let mut assembler = assembler();
    let mut events = both(0..1);
    events.push(SourceEvent::Progress(StreamTime(i64::MAX)));
    let closed = feed(&mut assembler, events);
    assert_eq!(closed.len(), 2);
    assert!(closed[1].windows() > 4_000_000_000);
    assert!(feed(&mut assembler, [frame(5), ended()]).len() <= 1, "what is left of the last window");
}

#[test]
fn a_track_that_trails_too_far_is_given_up_on() {
    let mut assembler = assembler();
    let events = std::iter::once(connected(true, true)).chain((0..24).map(frame));
    assert!(feed(&mut assembler, events).is_empty());
    let closed = feed(&mut assembler, [frame(24)]);
    assert_eq!(outline(&closed), ["0"], "25 s are past the 24.25 s it may take");
    assert_eq!(window(&closed[0]).audio.reason.as_deref(), Some("audio has not started yet"));
}

#[test]
fn the_end_shows_what_is_new_and_pads_with_silence() {
    let mut assembler = assembler();
    let closed = feed(&mut assembler, both(0..5).into_iter().chain([audio(5000, 5300), ended()]));
    assert_eq!(outline(&closed), ["0", "1"]);
    let last = window(&closed[1]);
    assert_eq!((last.end, last.until), (ms(6000), ms(5300)));
    assert_eq!(pictures(last), [Some(2), Some(3), Some(4), None]);
    assert_eq!((last.visual.presence, last.visual.reason.as_deref()), (Partial, Some("the stream ended")));
    assert_eq!(last.audio.filled(), 7);
    assert_eq!(sounds(last)[6], Some(clip(10, 0, 5300)));
    assert_eq!(last.last_capture, utc(ms(5299)));
    assert!(feed(&mut assembler, both(6..20)).is_empty(), "nothing follows the end");
}

#[test]
fn an_end_without_anything_new_makes_no_window() {
    let mut assembler = assembler();
    assert!(feed(&mut assembler, [ended()]).is_empty());
    let mut assembler = super::assembler();
    let closed = feed(&mut assembler, both(0..4).into_iter().chain([ended()]));
    assert_eq!(outline(&closed), ["0"]);
    let mut assembler = super::assembler();
    let closed = feed(&mut assembler, both(0..4).into_iter().chain([audio(4000, 4249), ended()]));
    assert_eq!(outline(&closed), ["0"], "less than half a slot is nothing");
}

#[test]
fn a_dead_end_is_blind() {
    let mut assembler = assembler();
    let events = [gap(4000, 7000, "outage: dead"), progress(7000), ended()];
    let closed = feed(&mut assembler, both(0..4).into_iter().chain(events));
    assert_eq!(outline(&closed), ["0", "1", "2 x1 outage: dead"]);
    let Closed::Blind { end, .. } = &closed[2] else { panic!("blind") };
    assert_eq!(*end, ms(7000));
}

#[test]
fn a_window_goes_by_the_newest_clock_at_or_before_its_start() {
    let clock = |at: i64, utc: i64, clock| SourceEvent::Clock {
        clock,
        av_offset_ms: Some(utc as f64),
        anchor: ClockAnchor { stream: ms(at), utc: UtcTime(utc) },
    };
    let mut assembler = assembler();
    let mut events = vec![clock(10, 1, ClockQuality::Pts), clock(2000, 2, ClockQuality::Ntp)];
    events.extend(both(0..4));
    events.push(clock(3000, 3, ClockQuality::Arrival));
    events.extend(both(4..9));
    let closed = feed(&mut assembler, events);
    let seen: Vec<_> = windows(&closed).iter().map(|w| (w.anchor.utc.0, w.clock, w.av_offset_ms)).collect();
    let expected = [
        (1, ClockQuality::Pts, Some(1.0)),
        (2, ClockQuality::Ntp, Some(2.0)),
        (3, ClockQuality::Arrival, Some(3.0)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn without_a_clock_the_first_sample_is_the_anchor() {
    let mut assembler = assembler();
    let closed = feed(&mut assembler, both(0..5));
    let window = window(&closed[0]);
    assert_eq!((window.anchor.utc, window.clock), (utc(ms(0)), ClockQuality::Arrival));
}

#[test]
fn what_is_there_of_a_window_can_be_looked_at_before_it_is_whole() {
    let mut assembler = assembler();
    feed(&mut assembler, [connected(true, true), frame(0), audio(0, 1000)]);
    assert!(assembler.ahead().is_none(), "not worth a call yet");
    feed(&mut assembler, [frame(1), audio(1000, 2000)]);
    let Ahead { visual, audio: heard } = assembler.ahead().expect("two seconds of sound");
    assert_eq!(visual.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true]);
    // The first clip begins before the stream, and the last that is there has not ended.
    assert_eq!(heard.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    assert!(assembler.ahead().is_none(), "nothing has come since");
    for cell in visual.iter().flatten() {
        drop(cell.take_input());
        cell.fill(Encoding::whole(Arc::from([0.0_f32].as_slice())));
    }
    // The rest, and the window has what was encoded.
    let closed = feed(&mut assembler, both(2..5));
    let window = window(&closed[0]);
    let is_encoded = |slot: &Option<Arc<EncodeOnce<RgbFrame>>>| {
        slot.as_ref().is_some_and(|cell| cell.encoding().is_some())
    };
    let encoded: Vec<bool> = window.visual.slots.iter().map(is_encoded).collect();
    assert_eq!(encoded, [true, true, false, false]);
    assert_eq!(window.audio.filled(), 8);
}
