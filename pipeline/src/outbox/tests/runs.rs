//! What the file remembers of runs and of the subjects that they tell of.

use super::*;

fn begin(outbox: &Outbox) -> (u64, bool) {
    let Begun { interruptions, told } = outbox.begin("cam").blocking_recv().expect("written down");
    (interruptions, told)
}

fn end(outbox: &Outbox, interruptions: u64, last: &[Message]) -> Appended {
    outbox.append_last(last, vec![Whole { recording: "cam".to_owned(), interruptions }]).expect("appends")
}

#[test]
fn a_run_that_did_not_end_was_interrupted() {
    let folder = tempdir();
    let config = config(&folder, 1 << 20, WhenFull::DropOldest);
    let outbox = Outbox::open(&config).expect("opens");
    assert_eq!([begin(&outbox), begin(&outbox)], [(0, false), (1, false)]);
    drop(outbox);
    let outbox = Outbox::open(&config).expect("opens again");
    assert_eq!(begin(&outbox), (2, false));
    end(&outbox, 1, &[]);
    assert_eq!(begin(&outbox), (3, false), "that was the end of another run");
    end(&outbox, 3, &messages(1, 10));
    drop(outbox);
    let outbox = Outbox::open(&config).expect("opens again");
    assert_eq!([begin(&outbox), begin(&outbox)], [(3, true), (3, true)]);
    let other = outbox.begin("door").blocking_recv();
    assert_eq!(other, Ok(Begun { interruptions: 0, told: false }));
}

#[test]
fn a_run_whose_last_word_was_lost_has_not_told_all() {
    let folder = tempdir();
    let config = config(&folder, room(2, 10), WhenFull::DropNew);
    let outbox = Outbox::open(&config).expect("opens");
    assert_eq!(begin(&outbox), (0, false));
    outbox.append(&[told(0, "a", false)]).expect("appends");
    let too_large = Message { payload: vec![b'x'; 1000], ..told(1, "a", true) };
    assert_eq!(end(&outbox, 0, &[too_large]), Appended { stored: 0, dropped: 1 });
    assert_eq!(begin(&outbox), (1, false));
}

#[test]
fn when_the_new_give_way_the_last_word_of_what_is_known_does_not() {
    let folder = tempdir();
    let config = config(&folder, room(3, 10), WhenFull::DropNew);
    let outbox = Outbox::open(&config).expect("opens");
    outbox.append(&[told(0, "a", false), told(1, "b", false), told(2, "b", false)]).expect("appends");
    let late = [
        told(3, "a", false),
        told(4, "a", true),
        told(5, "c", false),
        told(6, "c", true),
        told(7, "a", true),
    ];
    assert_eq!(outbox.append(&late).expect("appends"), Appended { stored: 1, dropped: 4 });
    assert_eq!(waiting(&outbox), ["id-0", "id-1", "id-2", "id-4"]);
    drop(outbox);

    let outbox = Outbox::open(&config).expect("opens again");
    let left: Vec<String> =
        outbox.left_open().expect("readable").into_iter().map(|left| left.ce_id).collect();
    assert_eq!(left, ["id-2"]);
    outbox.append(&[told(8, "b", true)]).expect("appends");
    assert!(outbox.left_open().expect("readable").is_empty());
    assert!(outbox.accounting().balanced());
}

#[test]
fn at_the_end_of_waiting_the_last_word_of_what_is_known_gets_in() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, room(1, 10), WhenFull::Block)).expect("opens");
    outbox.append(&[told(0, "a", false)]).expect("appends");
    outbox.stop_waiting();
    let late = [told(1, "b", false), told(2, "a", true)];
    assert_eq!(outbox.append(&late).expect("appends"), Appended { stored: 1, dropped: 1 });
    assert_eq!(waiting(&outbox), ["id-0", "id-2"]);
}
