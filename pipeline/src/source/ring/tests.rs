use super::*;

const SECOND: i64 = 1_000_000_000;

fn ring(seconds: u64, bytes: usize) -> Ring {
    gst::init().expect("GStreamer starts");
    Ring::new(RingConfig { time: Duration::from_secs(seconds), bytes })
}

fn encoding(name: &str) -> Encoding {
    Encoding { caps: gst::Caps::new_empty_simple(name), orientation: None }
}

fn push(ring: &Ring, track: Medium, generation: u64, pts: i64, bytes: usize, is_key: bool) {
    let mut buffer = gst::Buffer::from_slice(vec![0; bytes]);
    if !is_key {
        buffer.make_mut().set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    ring.push(track, generation, &encoding("video/x-h264"), &buffer, (pts, Some(pts)));
}

fn seconds(ring: &Ring, track: Medium) -> Vec<i64> {
    ring.units(track).iter().map(|unit| unit.pts / SECOND).collect()
}

#[test]
fn units_are_placed_by_what_was_decoded_of_their_connection() {
    let ring = ring(100, 1 << 20);
    for second in 0..4 {
        push(&ring, Medium::Video, 1, second * SECOND, 10, second == 0);
    }
    assert!(seconds(&ring, Medium::Video).is_empty(), "nothing was decoded yet");
    ring.placed(Medium::Video, 1, SECOND, StreamTime(11 * SECOND));
    ring.placed(Medium::Video, 1, 3 * SECOND, StreamTime(20 * SECOND));
    assert_eq!(seconds(&ring, Medium::Video), [10, 11, 12, 20]);
    // Another connection begins at zero again, in the middle of a group of pictures.
    for second in 0..3 {
        push(&ring, Medium::Video, 2, second * SECOND, 10, second == 1);
    }
    ring.placed(Medium::Video, 2, SECOND, StreamTime(31 * SECOND));
    assert_eq!(seconds(&ring, Medium::Video), [10, 11, 12, 20, 31, 32]);
    assert_eq!(ring.reached().0, StreamTime(31 * SECOND));
}

#[test]
fn the_oldest_goes_by_time() {
    let ring = ring(5, 1 << 20);
    for second in 0..20 {
        push(&ring, Medium::Video, 1, second * SECOND, 10, true);
        push(&ring, Medium::Audio, 1, second * SECOND, 10, true);
        ring.placed(Medium::Video, 1, second * SECOND, StreamTime(second * SECOND));
        ring.placed(Medium::Audio, 1, second * SECOND, StreamTime(second * SECOND));
    }
    assert_eq!(seconds(&ring, Medium::Video), [13, 14, 15, 16, 17, 18, 19]);
    assert_eq!(seconds(&ring, Medium::Audio), [13, 14, 15, 16, 17, 18, 19]);
}

#[test]
fn the_oldest_goes_by_bytes_and_what_is_held_is_counted() {
    let ring = ring(1000, 10 * (1000 + OVERHEAD));
    for second in 0..100 {
        let track = if second % 2 == 0 { Medium::Video } else { Medium::Audio };
        push(&ring, track, 1, second * SECOND, 1000, true);
        ring.placed(track, 1, second * SECOND, StreamTime(second * SECOND));
    }
    assert_eq!(seconds(&ring, Medium::Video), [90, 92, 94, 96, 98]);
    assert_eq!(seconds(&ring, Medium::Audio), [91, 93, 95, 97, 99]);
    assert_eq!(ring.bytes(), 10 * (1000 + OVERHEAD));
}

#[test]
fn what_is_never_decoded_goes_when_another_connection_begins_and_marks_do_not_pile_up() {
    let ring = ring(5, 1 << 20);
    push(&ring, Medium::Video, 1, 0, 10, true);
    for generation in 2..50 {
        push(&ring, Medium::Video, generation, 0, 10, true);
        let stream = StreamTime(i64::try_from(generation).expect("small") * 10 * SECOND);
        ring.placed(Medium::Video, generation, 0, stream);
        ring.placed(Medium::Audio, generation, 0, stream);
    }
    assert_eq!(seconds(&ring, Medium::Video), [480, 490]);
    let state = ring.lock();
    assert!(state.tracks[Medium::Video as usize].marks.len() <= 3);
    assert!(state.tracks[Medium::Audio as usize].marks.len() <= 1);
}
