//! What holds for any sequence of events.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::window::assembler::LEAD;

/// Any event; times in ms up to about three minutes, in any order.
fn event() -> impl Strategy<Value = SourceEvent> {
    prop_oneof![
        8 => (-3i64..200).prop_map(frame),
        8 => (-500i64..200_000, 0i64..3000).prop_map(|(from, length)| audio(from, from + length)),
        2 => (-500i64..200_000, -10i64..20_000, 0u8..3)
            .prop_map(|(from, length, reason)| gap(from, from + length, &format!("outage: {reason}"))),
        3 => (-500i64..200_000).prop_map(progress),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(audio, video)| connected(audio, video)),
        1 => (0i64..200_000).prop_map(|at| SourceEvent::Clock {
            clock: ClockQuality::Pts,
            av_offset_ms: None,
            anchor: ClockAnchor { stream: ms(at), utc: utc(ms(at)) },
        }),
    ]
}

/// What a source sends: both tracks in order, each with holes, one ahead of the other by `skew` ms.
fn stream() -> impl Strategy<Value = (Vec<SourceEvent>, BTreeSet<i64>, BTreeSet<i64>)> {
    let seconds = prop::collection::vec((prop::bool::weighted(0.9), prop::bool::weighted(0.9)), 1..60);
    (seconds, -3000i64..3000).prop_map(|(seconds, skew)| {
        let mut timed = Vec::new();
        let (mut seen, mut heard) = (BTreeSet::new(), BTreeSet::new());
        for (second, (sight, sound)) in (0i64..).zip(seconds) {
            if sight {
                seen.insert(second);
                timed.push((second * 1000, frame(second)));
            }
            if sound {
                heard.insert(second);
                for part in [0, 300, 650] {
                    let from = second * 1000 + part;
                    let to = second * 1000 + if part == 650 { 1000 } else { part + 300 + part / 6 };
                    timed.push((from + skew, audio(from, to)));
                }
            }
        }
        timed.sort_by_key(|(at, _)| *at);
        (timed.into_iter().map(|(_, event)| event).collect(), seen, heard)
    })
}

/// Windows rise by one and start at their place; returns the number of the next.
fn follows(next: u64, closed: &Closed) -> Result<u64, TestCaseError> {
    prop_assert_eq!(closed.id().index, next);
    let (start, end) = match closed {
        Closed::Window(window) => (window.start, window.end),
        Closed::Blind { start, end, .. } => (*start, *end),
    };
    prop_assert_eq!(start, ms(next as i64 * 2000));
    prop_assert!(end > start && end <= ms((next + closed.windows() - 1) as i64 * 2000 + 4000));
    Ok(next + closed.windows())
}

proptest! {
    #[test]
    fn whatever_comes_windows_follow_each_other_share_their_cells_and_memory_is_bounded(
        events in prop::collection::vec(event(), 1..200), patience in 0u64..3000,
    ) {
        let spec = WindowSpec { patience: Duration::from_millis(patience), ..spec() };
        let mut assembler = Assembler::new(StreamId::from("cam"), spec).expect("valid");
        let reach = spec.length + spec.patience + LEAD + 2 * spec.clip;
        let (mut next, mut frames, mut clips) = (0, BTreeMap::new(), BTreeMap::new());
        for event in events.into_iter().chain([ended()]) {
            let closed = assembler.push(event);
            prop_assert!(closed.len() < 100, "{} at once", closed.len());
            for closed in &closed {
                next = follows(next, closed)?;
                let Closed::Window(window) = closed else { continue };
                prop_assert!(window.visual.filled() + window.audio.filled() > 0);
                for (slot, cell) in (window.id.index * 2..).zip(&window.visual.slots) {
                    let known = frames.entry(slot).or_insert_with(|| cell.clone());
                    prop_assert_eq!(known.as_ref().map(Arc::as_ptr), cell.as_ref().map(Arc::as_ptr));
                }
                for (slot, cell) in (window.id.index * 4..).zip(&window.audio.slots) {
                    let known = clips.entry(slot).or_insert_with(|| cell.clone());
                    prop_assert_eq!(known.as_ref().map(Arc::as_ptr), cell.as_ref().map(Arc::as_ptr));
                }
            }
            let (frames, clips, samples) = assembler.held();
            prop_assert!(frames as u64 <= reach.as_secs() + 1, "{frames} frames");
            prop_assert!(clips <= spec.audio_slots, "{clips} clips");
            // One push may bring 3000 samples.
            prop_assert!(samples as u128 <= reach.as_millis() + 3000, "{samples} samples");
        }
    }

    #[test]
    fn windows_are_the_same_whether_anybody_looks_ahead(
        events in prop::collection::vec(event(), 1..120), (ordered, ..) in stream(), patience in 0u64..3000, is_ordered in any::<bool>(),
    ) {
        let spec = WindowSpec { patience: Duration::from_millis(patience), ..spec() };
        let new = || Assembler::new(StreamId::from("cam"), spec).expect("valid");
        let (mut plain, mut ahead) = (new(), new());
        let events = if is_ordered { [connected(true, true)].into_iter().chain(ordered).collect() } else { events };
        let now = Instant::now();
        let mut looked: Option<Ahead> = None;
        for event in events.into_iter().chain([ended()]) {
            let (one, other) = (plain.push_at(event.clone(), now), ahead.push_at(event, now));
            prop_assert_eq!(outline(&one), outline(&other));
            for (one, other) in one.iter().zip(&other) {
                let (Closed::Window(one), Closed::Window(other)) = (one, other) else { continue };
                prop_assert_eq!((pictures(one), sounds(one)), (pictures(other), sounds(other)));
                prop_assert_eq!((one.last_capture, one.until), (other.last_capture, other.until));
                // What was looked at is what the window has.
                let Some(Ahead { visual, audio }) = looked.take() else { continue };
                let same = |a: *const u8, b: *const u8| a == b;
                for (seen, held) in visual.iter().zip(&other.visual.slots) {
                    let (Some(seen), Some(held)) = (seen, held) else { continue };
                    prop_assert!(same(Arc::as_ptr(seen).cast(), Arc::as_ptr(held).cast()));
                }
                for (seen, held) in audio.iter().zip(&other.audio.slots) {
                    let (Some(seen), Some(held)) = (seen, held) else { continue };
                    prop_assert!(same(Arc::as_ptr(seen).cast(), Arc::as_ptr(held).cast()));
                }
            }
            if let Some(more) = ahead.ahead() {
                prop_assert!(more.visual.len() <= spec.visual_slots && more.audio.len() <= spec.audio_slots);
                looked = Some(more);
            }
        }
        prop_assert_eq!(plain.unused(), ahead.unused());
        prop_assert_eq!(plain.held(), ahead.held());
    }

    #[test]
    fn every_frame_and_sample_is_in_exactly_the_windows_that_cover_it((events, seen, heard) in stream()) {
        let mut assembler = assembler();
        let events = [connected(true, true)].into_iter().chain(events).chain([ended()]);
        let closed = feed(&mut assembler, events);
        prop_assert_eq!(assembler.unused(), Unused::default());
        let mut next = 0;
        for closed in &closed {
            next = follows(next, closed)?;
            let Closed::Window(window) = closed else {
                let first = closed.id().index as i64 * 2;
                let last = first + 2 * (closed.windows() as i64 - 1) + 4;
                prop_assert!(seen.range(first..last).next().is_none() && heard.range(first..last).next().is_none());
                continue;
            };
            let start = window.id.index as i64 * 2;
            let expected: Vec<Option<u8>> =
                (start..start + 4).map(|at| seen.contains(&at).then_some(at as u8)).collect();
            prop_assert_eq!(pictures(window), expected);
            let sound = |number: i64| if heard.contains(&number.div_euclid(1000)) { value(number) } else { 0.0 };
            let expected: Vec<Option<Vec<f32>>> = (start * 2..start * 2 + 8)
                .map(|slot| {
                    let from = slot * 500 - 250;
                    heard.contains(&(slot / 2)).then(|| (from..from + 1000).map(sound).collect())
                })
                .collect();
            prop_assert_eq!(sounds(window), expected);
        }
        let last = seen.last().max(heard.last());
        prop_assert!(last.is_none_or(|last| ms(last * 1000 + 1000) <= ms(next as i64 * 2000 + 2000)));
        prop_assert!(last.is_some() || next == 0);
    }

    #[test]
    fn clips_are_cut_exactly_at_any_rate(
        rate in 200u32..2_000, slots in 1usize..12, clip in 1u64..3_000, chunk in 1usize..700,
    ) {
        let spec = WindowSpec { visual_slots: 0, audio_slots: slots, sample_rate: rate, clip: Duration::from_millis(clip), ..spec() };
        let spec = WindowSpec { length: Duration::from_millis(500 * slots as u64), hop: Duration::from_millis(500), ..spec };
        prop_assume!(spec.clip_samples() > 0);
        let mut assembler = Assembler::new(StreamId::from("cam"), spec).expect("valid");
        let total = rate as usize * 12;
        let nanos = |number: usize| number as i64 * 1_000_000_000 / i64::from(rate);
        let mut closed = Vec::new();
        for from in (0..total).step_by(chunk) {
            let samples = (from..total.min(from + chunk)).map(|number| value(number as i64)).collect();
            let (stream, capture) = (StreamTime(nanos(from)), UtcTime(0));
            closed.extend(assembler.push(SourceEvent::Audio(TimedAudio { stream, capture, samples })));
        }
        prop_assert_eq!(assembler.unused(), Unused::default());
        prop_assert!(closed.len() >= 2, "12 s hold more windows than {}", closed.len());
        for window in windows(&closed) {
            prop_assert_eq!(window.audio.presence, Present);
            for (slot, samples) in (window.id.index as i64..).zip(sounds(window)) {
                // The first sample at or after the clip's left edge, or less than one before it.
                let left = (slot as f64 * 0.5 + 0.25 - clip as f64 / 2000.0) * f64::from(rate);
                let samples = samples.expect("present");
                prop_assert_eq!(samples.len(), spec.clip_samples());
                for (number, sample) in (0i64..).zip(&samples) {
                    let first = left.round() as i64;
                    let there = first + number >= 0;
                    let expected = if there { value(first + number) } else { 0.0 };
                    // Half-way cases may round either way in floats.
                    let near = (left - left.floor() - 0.5).abs() < 1e-6 && (sample - expected).abs() <= 2.0;
                    prop_assert!(near || *sample == expected, "slot {slot} sample {number}: {sample} for {expected}");
                }
            }
        }
    }
}
