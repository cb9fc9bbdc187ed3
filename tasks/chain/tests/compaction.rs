//! Compaction, halted and killed between any two of its operations, beside readers and writers that are
//! halted too: whoever lists the chain finds every file at its position, byte for byte.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chain::{
    Appended, ChainPath, Compacted, Encoder, Files, Memory, Raw, RawFile, Record, RenameReply,
    Rules, Stored, append, compact, raw_files, tail,
};

const DAY: u64 = 24 * 3_600 * 1_000;

/// Records of a file.
const RECORDS: i64 = 10;

fn raw() -> Raw {
    Raw::new("/raw")
}

fn chain() -> ChainPath {
    raw().chain("LogEvents", 0, 3)
}

fn file(start: i64, next: i64, writer: &str) -> Bytes {
    let mut encoder = Encoder::new().expect("an encoder");
    for offset in start..next {
        let value = format!("{writer} {offset}");
        let record = Record {
            offset,
            timestamp_millis: offset,
            key: (offset % 3 != 0).then_some(writer.as_bytes()),
            value: (offset % 7 != 0).then_some(value.as_bytes()),
        };
        encoder.push(&record).expect("room");
    }
    encoder.finish(&chain(), start, next, None).expect("a file")
}

/// A chain of so many files, one a day.
fn grown(count: i64) -> Memory {
    let files = Memory::default();
    grow(&files, 0..count);
    files
}

fn grow(files: &Memory, numbers: Range<i64>) {
    for number in numbers {
        files.set_time(number as u64 * DAY);
        let start = number * RECORDS;
        let won = append(
            files,
            &raw(),
            &chain(),
            start,
            file(start, start + RECORDS, "first"),
        );
        assert_eq!(won.expect("an answer"), Appended::Won);
    }
}

/// After the last of so many files.
fn rules(count: i64) -> Rules {
    Rules {
        now_millis: count as u64 * DAY,
        older_than: Duration::from_secs(7 * 24 * 3_600),
        small_bytes: 1 << 20,
        pack_bytes: 64 << 20,
        least_files: 4,
    }
}

fn run(files: &dyn Files, rules: &Rules) -> anyhow::Result<Compacted> {
    compact(files, &raw(), "LogEvents", rules, false, || false)
}

/// What a reader finds: each position, when it was written, and the bytes there.
fn content(files: &dyn Files) -> Vec<(i64, u64, Bytes)> {
    let found = raw_files(files, &raw(), "LogEvents", |_| false).expect("a listing");
    let read = found.into_iter().map(|(name, stored)| {
        assert_eq!((name.epoch, name.partition), (0, 3));
        let data = stored.read(files).expect("a file");
        assert_eq!(data.len() as u64, stored.bytes);
        let footer = RawFile::footer(files, &stored).expect("a footer");
        assert_eq!(footer.start, name.start);
        (name.start, stored.modified_millis, data)
    });
    read.collect()
}

fn count(files: &Memory, holds: impl Fn(&str) -> bool) -> usize {
    files.paths().iter().filter(|path| holds(path)).count()
}

fn packs(files: &Memory) -> usize {
    count(files, |path| raw().parse_pack(path).is_some())
}

fn own(files: &Memory) -> usize {
    count(files, |path| raw().parse(path).is_some())
}

/// Does something before one of the operations, and fails from there on if it is to be killed.
struct Halted<'a, Action> {
    files: &'a Memory,
    /// Counts down to the operation.
    left: AtomicUsize,
    action: Action,
    is_killed: bool,
}

impl<'a, Action: Fn()> Halted<'a, Action> {
    fn at(operation: usize, files: &'a Memory, is_killed: bool, action: Action) -> Self {
        Halted {
            files,
            left: AtomicUsize::new(operation + 1),
            action,
            is_killed,
        }
    }

    /// Whether the operation came.
    fn came(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn passes(&self) -> anyhow::Result<&Memory> {
        match self.left.load(Ordering::Relaxed) {
            0 => anyhow::ensure!(!self.is_killed, "killed"),
            left => {
                self.left.store(left - 1, Ordering::Relaxed);
                if left == 1 {
                    (self.action)();
                    anyhow::ensure!(!self.is_killed, "killed");
                }
            }
        }
        Ok(self.files)
    }
}

impl<Action: Fn() + Sync> Files for Halted<'_, Action> {
    fn list(&self, directory: &str, recursive: bool) -> anyhow::Result<Vec<Stored>> {
        self.passes()?.list(directory, recursive)
    }
    fn exists(&self, path: &str) -> anyhow::Result<bool> {
        self.passes()?.exists(path)
    }
    fn read_range(&self, path: &str, range: Range<u64>) -> anyhow::Result<Bytes> {
        self.passes()?.read_range(path, range)
    }
    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()> {
        self.passes()?.write_new(path, data)
    }
    fn rename_new(&self, source: &str, target: &str) -> anyhow::Result<RenameReply> {
        self.passes()?.rename_new(source, target)
    }
    fn make_directory(&self, path: &str) -> anyhow::Result<()> {
        self.passes()?.make_directory(path)
    }
    fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.passes()?.delete(path)
    }
}

#[test]
fn old_small_files_become_a_pack_and_stay_where_they_were() {
    let files = grown(20);
    let before = content(&files);
    let dry = compact(&files, &raw(), "LogEvents", &rules(20), true, || false).expect("an answer");
    assert_eq!(
        (dry.packs_written, dry.files_packed, packs(&files)),
        (1, 12, 0)
    );
    let done = run(&files, &rules(20)).expect("done");
    // the newest 8 stay
    assert_eq!(
        (done.packs_written, done.files_packed, done.files_deleted),
        (1, 12, 12)
    );
    assert_eq!((packs(&files), own(&files)), (1, 8));
    assert_eq!(content(&files), before);
    // the chain goes on where it ended
    let end = tail(&files, &raw(), &chain())
        .expect("a tail")
        .expect("files");
    assert_eq!(end.newest.next, 200);
    // and nothing more is to do
    let again = run(&files, &rules(20)).expect("done");
    assert_eq!(again, Compacted::default());
    // until there is enough of it
    grow(&files, 20..24);
    assert_eq!(run(&files, &rules(24)).expect("done").files_packed, 4);
    assert_eq!((packs(&files), own(&files)), (2, 8));
    assert_eq!(content(&files)[..20], before[..]);
}

#[test]
fn a_known_pack_is_not_opened() {
    let files = grown(20);
    run(&files, &rules(20)).expect("done");
    let found = raw_files(&files, &raw(), "LogEvents", |pack| {
        (pack.start, pack.next, pack.files) == (0, 120, 12)
    });
    assert_eq!(found.expect("a listing").len(), 8);
}

#[test]
fn what_is_young_large_or_unreadable_is_left_alone() {
    let young = grown(20);
    let older = Duration::from_secs(18 * 24 * 3_600);
    let picky = Rules {
        older_than: older,
        ..rules(20)
    };
    assert_eq!(run(&young, &picky).expect("done"), Compacted::default());

    let large = grown(20);
    let picky = Rules {
        small_bytes: 100,
        ..rules(20)
    };
    assert_eq!(run(&large, &picky).expect("done"), Compacted::default());

    // two packs around the one that is cut off
    let broken = grown(20);
    let path = chain().file(60);
    let data = broken.read_from(&path, 0).expect("a file");
    broken.set_time(6 * DAY);
    broken
        .write_new(&path, data.slice(..data.len() / 2))
        .expect("written");
    let done = run(&broken, &rules(20)).expect("done");
    assert_eq!(
        (done.packs_written, done.files_packed, done.files_unreadable),
        (2, 11, 1)
    );
    assert!(broken.exists(&path).expect("an answer"));

    // a pack is full: the next one begins
    let full = grown(20);
    let picky = Rules {
        pack_bytes: 5 * file(0, RECORDS, "first").len() as u64,
        ..rules(20)
    };
    let before = content(&full);
    assert!(run(&full, &picky).expect("done").packs_written >= 2);
    assert_eq!(content(&full), before);
}

#[test]
fn killed_anywhere_it_hides_nothing_and_the_next_run_does_the_rest() {
    let mut kills = 0;
    loop {
        let files = grown(20);
        let before = content(&files);
        let halted = Halted::at(kills, &files, true, || assert_eq!(content(&files), before));
        let ended = run(&halted, &rules(20));
        assert_eq!(content(&files), before, "killed before operation {kills}");
        if !halted.came() {
            assert!(ended.is_ok());
            break;
        }
        assert!(ended.is_err());
        run(&files, &rules(20)).expect("the rest");
        assert_eq!(content(&files), before);
        assert_eq!(
            (packs(&files), own(&files)),
            (1, 8),
            "killed before {kills}"
        );
        kills += 1;
    }
    assert!(kills >= 30, "only {kills} operations");
}

#[test]
fn a_second_run_at_any_moment_does_no_harm() {
    for operation in 0..60 {
        let files = grown(20);
        let before = content(&files);
        // packs of other sizes
        let other = Rules {
            pack_bytes: 9 << 10,
            ..rules(20)
        };
        let halted = Halted::at(operation, &files, false, || {
            run(&files, &other).expect("the second run");
            assert_eq!(content(&files), before);
        });
        // a file that the other one deleted ends this one, which is worth a retry
        let ended = run(&halted, &rules(20));
        assert_eq!(
            content(&files),
            before,
            "before operation {operation}: {ended:?}"
        );
        run(&files, &rules(20)).expect("a retry");
        assert_eq!(content(&files), before);
        // fewer than a pack has may be left over between two packs
        assert!(own(&files) < 8 + 4, "before operation {operation}");
    }
}

/// A writer is halted for weeks, before each of its operations, while another goes on and what it wrote is
/// packed: its batch never enters the chain a second time.
#[test]
fn a_writer_that_was_halted_for_weeks_comes_too_late() {
    let mut refused = 0;
    for operation in 0.. {
        let files = grown(5);
        let start = 5 * RECORDS;
        let halted = Halted::at(operation, &files, false, || {
            grow(&files, 5..40);
            run(&files, &rules(40)).expect("packed");
            assert!(!files.exists(&chain().file(start)).expect("an answer"));
        });
        files.set_time(5 * DAY);
        let data = file(start, start + 2 * RECORDS, "second");
        let ended = append(&halted, &raw(), &chain(), start, data);
        if !halted.came() {
            assert_eq!(ended.expect("an answer"), Appended::Won);
            break;
        }
        assert!(
            !matches!(ended, Ok(Appended::Won)),
            "before operation {operation}"
        );
        refused += 1;
        let positions: Vec<i64> = content(&files).iter().map(|found| found.0).collect();
        assert_eq!(
            positions,
            (0..40).map(|number| number * RECORDS).collect::<Vec<_>>()
        );
        assert!(!files.exists(&chain().file(start)).expect("an answer"));
    }
    assert!(refused >= 3, "only {refused} operations");
}

#[test]
fn a_chain_without_its_newest_files_is_not_begun_again() {
    let files = grown(20);
    run(&files, &rules(20)).expect("done");
    for number in 12..20 {
        files
            .delete(&chain().file(number * RECORDS))
            .expect("deleted");
    }
    let failure = tail(&files, &raw(), &chain()).expect_err("an error");
    assert!(frame::is_person_needed(&failure), "{failure:#}");
}

#[test]
fn a_pack_that_is_cut_off_asks_for_a_person() {
    let files = grown(20);
    run(&files, &rules(20)).expect("done");
    let path = chain().pack(0, 120, 12);
    let data = files.read_from(&path, 0).expect("a pack");
    for length in [0, 8, data.len() / 2, data.len() - 1] {
        files
            .write_new(&path, data.slice(..length))
            .expect("written");
        let failure = raw_files(&files, &raw(), "LogEvents", |_| false).expect_err("an error");
        assert!(frame::is_person_needed(&failure), "{length}: {failure:#}");
    }
}

#[test]
fn a_pack_is_a_parquet_file_of_all_its_records() {
    use polars::prelude::{ParquetReader, SerReader};
    let files = grown(20);
    run(&files, &rules(20)).expect("done");
    let data = files
        .read_from(&chain().pack(0, 120, 12), 0)
        .expect("a pack");
    let frame = ParquetReader::new(std::io::Cursor::new(data))
        .finish()
        .expect("a table");
    assert_eq!(frame.height(), 120);
    let offsets = frame
        .column("offset")
        .and_then(|column| column.i64().cloned());
    let offsets: Vec<_> = offsets.expect("offsets").iter().flatten().collect();
    assert_eq!(offsets, (0..120).collect::<Vec<_>>());
}
