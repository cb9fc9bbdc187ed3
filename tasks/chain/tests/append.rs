//! The commit point under lost requests, lost replies and a second writer.

use chain::{
    Appended, ChainPath, Encoder, Files, Memory, Raw, RawFile, Record, RenameFault, append, tail,
};

fn raw() -> Raw {
    Raw::new("/raw")
}

fn chain() -> ChainPath {
    raw().chain("LogEvents", 0, 0)
}

/// A raw file of the records `start..next`, as `writer` saw them.
fn file(start: i64, next: i64, writer: &str) -> bytes::Bytes {
    let mut encoder = Encoder::new().expect("an encoder");
    for offset in start..next {
        let record = Record {
            offset,
            timestamp_millis: offset,
            key: Some(writer.as_bytes()),
            value: None,
        };
        encoder.push(&record).expect("room");
    }
    encoder.finish(&chain(), start, next, None).expect("a file")
}

fn temporary(files: &Memory) -> usize {
    files
        .paths()
        .iter()
        .filter(|path| path.starts_with("/raw/_tmp/"))
        .count()
}

/// Every sequence of up to three faults, at a free and at a taken position: the writer always
/// knows who won, and the chain holds one file there, whole.
#[test]
fn every_short_sequence_of_faults_ends_with_one_known_winner() {
    let kinds = [
        None,
        Some(RenameFault::ReplyLost),
        Some(RenameFault::RequestLost),
    ];
    let mut tried = 0;
    for first in kinds {
        for second in kinds {
            for third in kinds {
                for taken in [false, true] {
                    let files = Memory::default();
                    if taken {
                        let won = append(&files, &raw(), &chain(), 0, file(0, 5, "other"));
                        assert_eq!(won.expect("an answer"), Appended::Won);
                    }
                    files.inject([first, second, third].into_iter().flatten());
                    let answer = append(&files, &raw(), &chain(), 0, file(0, 9, "mine"));
                    let expected = if taken { Appended::Lost } else { Appended::Won };
                    assert_eq!(
                        answer.expect("an answer"),
                        expected,
                        "{first:?} {second:?} {third:?}"
                    );
                    assert_eq!(
                        files.paths(),
                        [chain().file(0)],
                        "one file, nothing left over"
                    );
                    let newest = tail(&files, &raw(), &chain())
                        .expect("a chain")
                        .expect("a file");
                    assert_eq!(newest.newest.next, if taken { 5 } else { 9 });
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 54);
}

/// A rename that never goes through is an error, and the position stays free.
#[test]
fn a_rename_that_never_goes_through_is_an_error() {
    let files = Memory::default();
    files.inject([RenameFault::RequestLost; 20]);
    let failure = append(&files, &raw(), &chain(), 0, file(0, 5, "mine")).expect_err("an error");
    assert!(
        format!("{failure:#}").contains("cannot rename"),
        "{failure:#}"
    );
    assert!(tail(&files, &raw(), &chain()).expect("a chain").is_none());
    assert_eq!(temporary(&files), 1);
}

/// Two writers step by step, in every order of their writes, each with a lost reply or none:
/// position by position one wins, and the chain stays contiguous.
#[test]
fn two_writers_in_every_order_keep_the_chain_contiguous() {
    for schedule in 0..(1u32 << 12) {
        let files = Memory::default();
        let mut next = [0i64, 0];
        for step in 0..6 {
            let bits = schedule >> (2 * step);
            let (writer, reply_lost) = ((bits & 1) as usize, bits & 2 != 0);
            if reply_lost {
                files.inject([RenameFault::ReplyLost]);
            }
            // the two cut their files differently, as two readers of one topic do
            let start = next[writer];
            let end = start + 2 + writer as i64;
            let answer = append(&files, &raw(), &chain(), start, file(start, end, "writer"));
            next[writer] = match answer.expect("an answer") {
                Appended::Won => end,
                Appended::Lost => {
                    let found = tail(&files, &raw(), &chain()).expect("a chain");
                    found.expect("the winner's file").newest.next
                }
            };
        }
        let mut expected = 0;
        for stored in files.list(&chain().directory, false).expect("a listing") {
            let data = files.read_from(&stored.path, 0).expect("a file");
            let footer = RawFile::new(data).expect("a raw file").footer;
            assert_eq!(
                footer.start, expected,
                "a hole or an overlap in schedule {schedule:b}"
            );
            expected = footer.next;
        }
        assert_eq!(temporary(&files), 0, "{schedule:b}");
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_asks_for_a_person() {
    let files = Memory::default();
    files
        .write_new(&chain().file(7), file(0, 9, "mine"))
        .expect("room");
    let failure = tail(&files, &raw(), &chain()).expect_err("an error");
    assert!(frame::is_person_needed(&failure), "{failure:#}");
}
