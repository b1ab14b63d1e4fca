use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;

fn stamp(pts: i64, wall: i64) -> Stamp {
    Stamp { pts, duration: 40 * MS, wall, ntp: None }
}

/// Plays 40 ms buffers of both tracks over `[from, to)` of the source's time, the wall running along from `wall`.
fn play(timeline: &mut Timeline, from: i64, to: i64, wall: i64) -> Vec<Placed> {
    let mut placed = Vec::new();
    for pts in (from..to).step_by(40 * MS as usize) {
        for track in [Medium::Video, Medium::Audio] {
            placed.push(timeline.place(track, &stamp(pts, wall + pts - from)));
        }
    }
    placed
}

fn holes(placed: &[Placed]) -> Vec<Hole> {
    let hole = |placed: &Placed| match placed {
        Placed::At { hole, .. } => *hole,
        Placed::Late => None,
    };
    placed.iter().filter_map(hole).collect()
}

fn first(placed: &[Placed]) -> StreamTime {
    match placed[0] {
        Placed::At { stream, .. } => stream,
        Placed::Late => panic!("late"),
    }
}

fn hole(from: i64, to: i64, cause: HoleCause) -> Hole {
    Hole { from: StreamTime(from), to: StreamTime(to), cause }
}

#[test]
fn a_live_source_starts_at_zero_and_a_file_keeps_its_times() {
    let mut live = Timeline::new(Rules::LIVE);
    assert_eq!(first(&play(&mut live, 900 * SECOND, 901 * SECOND, 0)), StreamTime::ZERO);
    let mut file = Timeline::new(Rules::FILE);
    assert_eq!(first(&play(&mut file, 900 * SECOND, 901 * SECOND, 0)), StreamTime(900 * SECOND));
}

#[test]
fn samples_from_before_the_first_one_are_late() {
    let mut live = Timeline::new(Rules::LIVE);
    live.place(Medium::Video, &stamp(10 * SECOND, 0));
    assert_eq!(live.place(Medium::Audio, &stamp(9 * SECOND, MS)), Placed::Late);
}

#[test]
fn an_outage_lasts_as_long_as_on_the_wall() {
    let mut live = Timeline::new(Rules::LIVE);
    play(&mut live, 0, 10 * SECOND, 0);
    live.lost();
    // The last buffer arrived at 9.96 s; the source returns at 30 s with fresh time stamps.
    let after = play(&mut live, 0, SECOND, 30 * SECOND);
    assert_eq!(holes(&after), [hole(10 * SECOND, 30_040 * MS, HoleCause::Outage)]);
    assert_eq!(first(&after), StreamTime(30_040 * MS));
    assert!(
        matches!(after[1], Placed::At { stream, restart: true, .. } if stream == StreamTime(30_040 * MS))
    );
}

#[test]
fn an_outage_is_reported_in_pieces_that_touch() {
    let mut live = Timeline::new(Rules::LIVE);
    play(&mut live, 0, SECOND, 0);
    assert_eq!(live.outage_until(5 * SECOND), None, "not lost yet");
    live.lost();
    assert_eq!(live.outage_until(2 * SECOND), Some(hole(SECOND, 2040 * MS, HoleCause::Outage)));
    assert_eq!(live.outage_until(3 * SECOND), Some(hole(2040 * MS, 3040 * MS, HoleCause::Outage)));
    let after = play(&mut live, 500 * SECOND, 501 * SECOND, 4 * SECOND);
    assert_eq!(holes(&after), [hole(3040 * MS, 4040 * MS, HoleCause::Outage)]);
}

#[test]
fn a_live_source_that_is_not_there_at_first_begins_with_an_outage() {
    let mut live = Timeline::new(Rules::LIVE);
    assert!(live.lost(), "the stream begins");
    assert!(!live.lost(), "it has begun");
    assert_eq!(live.outage_until(2 * SECOND), Some(hole(0, 2 * SECOND, HoleCause::Outage)));
    let after = play(&mut live, 500 * SECOND, 501 * SECOND, 5 * SECOND);
    assert_eq!(holes(&after), [hole(2 * SECOND, 5 * SECOND, HoleCause::Outage)]);
    assert_eq!(first(&after), StreamTime(5 * SECOND));
    assert!(!after.contains(&Placed::Late));
}

#[test]
fn the_source_clock_measures_an_outage_if_it_can_be_trusted() {
    let ntp = |pts: i64, wall: i64, ntp: i64| Stamp { ntp: Some(ntp), ..stamp(pts, wall) };
    let mut live = Timeline::new(Rules::LIVE);
    live.place(Medium::Video, &ntp(0, 0, 1000 * SECOND));
    live.lost();
    let placed = live.place(Medium::Video, &ntp(0, 6 * SECOND, 1005 * SECOND));
    assert!(matches!(placed, Placed::At { stream, .. } if stream == StreamTime(5 * SECOND)));
    live.lost();
    let placed = live.place(Medium::Video, &ntp(0, 8 * SECOND, SECOND));
    assert!(
        matches!(placed, Placed::At { stream, .. } if stream == StreamTime(7040 * MS)),
        "a camera that restarted its clock falls back to the wall: {placed:?}"
    );
}

#[test]
fn a_forward_jump_is_no_longer_than_the_wall_clock_allows() {
    let mut live = Timeline::new(Rules::LIVE);
    play(&mut live, 0, 5 * SECOND, 0);
    let after = play(&mut live, 5000 * SECOND, 5001 * SECOND, 5 * SECOND);
    assert_eq!(holes(&after), []);
    assert_eq!(first(&after), StreamTime(5040 * MS));
    let second =
        |placed: &Placed| matches!(placed, Placed::At { stream, .. } if *stream == StreamTime(5040 * MS));
    assert!(second(&after[1]), "audio keeps its distance to video: {:?}", after[1]);
}

#[test]
fn a_jump_that_the_wall_clock_confirms_is_a_pause() {
    let mut live = Timeline::new(Rules::LIVE);
    play(&mut live, 0, 5 * SECOND, 0);
    let after = play(&mut live, 12 * SECOND, 13 * SECOND, 12 * SECOND + 300 * MS);
    assert_eq!(holes(&after), [hole(5 * SECOND, 12 * SECOND, HoleCause::Pause)]);
    assert_eq!(first(&after), StreamTime(12 * SECOND), "time stamps are kept");
}

#[test]
fn stamps_that_go_back_continue_the_stream() {
    for rules in [Rules::LIVE, Rules::FILE] {
        let mut timeline = Timeline::new(rules);
        play(&mut timeline, 0, 20 * SECOND, 0);
        let after = play(&mut timeline, 0, SECOND, 20 * SECOND);
        assert_eq!(holes(&after), []);
        assert_eq!(first(&after), StreamTime(20 * SECOND));
        assert!(!after.contains(&Placed::Late));
        assert_eq!(timeline.end(), Some(StreamTime(21 * SECOND)));
    }
}

#[test]
fn a_sender_that_was_away_and_restarted_its_stamps_leaves_a_hole() {
    let mut live = Timeline::new(Rules::LIVE);
    play(&mut live, 0, 20 * SECOND, 0);
    let after = play(&mut live, 0, SECOND, 24 * SECOND - 40 * MS);
    assert_eq!(holes(&after), [hole(20 * SECOND, 24 * SECOND, HoleCause::Backward)]);
}

#[test]
fn a_track_that_was_silent_while_the_other_went_on_has_not_jumped() {
    let mut live = Timeline::new(Rules::LIVE);
    live.place(Medium::Audio, &stamp(0, 0));
    for pts in (0..60 * SECOND).step_by(40 * MS as usize) {
        live.place(Medium::Video, &stamp(pts, pts));
    }
    let placed = live.place(Medium::Audio, &stamp(60 * SECOND, 60 * SECOND));
    assert_eq!(placed, Placed::At { stream: StreamTime(60 * SECOND), restart: false, hole: None });
}

#[test]
fn reordered_frames_are_late_and_overlapping_sound_is_not() {
    let mut live = Timeline::new(Rules::LIVE);
    play(&mut live, 0, SECOND, 0);
    assert_eq!(live.place(Medium::Video, &stamp(900 * MS, SECOND)), Placed::Late);
    assert_eq!(live.place(Medium::Audio, &stamp(900 * MS, SECOND)), Placed::Late);
    let placed = live.place(Medium::Audio, &stamp(980 * MS, SECOND));
    assert!(matches!(placed, Placed::At { .. }), "its second half is new: {placed:?}");
}

#[test]
fn a_loop_goes_on_where_the_file_ended() {
    let mut file = Timeline::new(Rules::FILE);
    play(&mut file, 0, 10 * SECOND, 0);
    for round in 1..4 {
        file.looped();
        let again = play(&mut file, 0, 10 * SECOND, 0);
        assert_eq!(holes(&again), []);
        assert_eq!(first(&again), StreamTime(round * 10 * SECOND));
        assert!(!again.contains(&Placed::Late));
    }
}

#[test]
fn a_file_keeps_long_silences() {
    let mut file = Timeline::new(Rules::FILE);
    play(&mut file, 0, SECOND, 0);
    let after = play(&mut file, 600 * SECOND, 601 * SECOND, SECOND);
    assert_eq!(first(&after), StreamTime(600 * SECOND));
}

proptest! {
    /// Whatever a source does to its time stamps, each track's stream time rises and no hole is reported twice.
    #[test]
    fn stream_time_never_runs_back(
        live in any::<bool>(),
        steps in prop::collection::vec((any::<bool>(), -20_000i64..20_000, 0i64..8000, 0u8..20), 1..200),
    ) {
        let mut timeline = Timeline::new(if live { Rules::LIVE } else { Rules::FILE });
        let (mut pts, mut wall) = (0i64, 0i64);
        let mut last = [None::<StreamTime>; 2];
        let mut reported = StreamTime::ZERO;
        for (video, step, elapsed, lost) in steps {
            if lost == 0 && live {
                timeline.lost();
            } else if lost == 0 {
                timeline.looped();
            }
            pts = (pts + step * MS).max(0);
            wall += elapsed * MS;
            let track = if video { Medium::Video } else { Medium::Audio };
            if let Placed::At { stream, hole, .. } = timeline.place(track, &stamp(pts, wall)) {
                if video {
                    prop_assert!(last[1].is_none_or(|before| before < stream));
                }
                prop_assert!(stream >= StreamTime::ZERO);
                last[track as usize] = Some(stream.max(last[track as usize].unwrap_or_default()));
                if let Some(hole) = hole {
                    prop_assert!(hole.from >= reported && hole.to > hole.from);
                    reported = hole.to;
                }
            }
        }
    }
}

#[test]
fn a_stream_that_another_has_watched_goes_on_after_what_passed_meanwhile() {
    // Another came to second 40, which was 12 s before this one began.
    let mut live = Timeline::resumed(Rules::LIVE, StreamTime(40 * SECOND), -12 * SECOND);
    assert_eq!(live.outage_until(SECOND), Some(hole(40 * SECOND, 53 * SECOND, HoleCause::Outage)));
    let placed = play(&mut live, 900 * SECOND, 901 * SECOND, 3 * SECOND);
    assert_eq!(first(&placed), StreamTime(55 * SECOND));
    assert_eq!(holes(&placed), [hole(53 * SECOND, 55 * SECOND, HoleCause::Outage)]);
    assert!(!live.lost(), "it does not begin again");
}

#[test]
fn nothing_of_what_another_has_watched_is_watched_again() {
    // Its clock is ahead of ours.
    let mut live = Timeline::resumed(Rules::LIVE, StreamTime(40 * SECOND), 0);
    let placed = play(&mut live, 0, SECOND, 0);
    assert_eq!((first(&placed), holes(&placed)), (StreamTime(40 * SECOND), Vec::new()));
}
