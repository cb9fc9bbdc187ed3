//! Reading a raw file: its footer, and its records one row group at a time. No more of a file is in memory
//! than is read at once, however large it is.

use std::fmt;
use std::io::Cursor;
use std::ops::Range;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use frame::PersonNeeded;
use hdfs_native::HdfsError;
use polars::prelude::{
    BinaryChunked, DataFrame, Int64Chunked, ParallelStrategy, ParquetReader, SerReader,
};
use polars_parquet_format::{FileMetaData, RowGroup};

use crate::encode::Record;
use crate::files::{Files, Stored};
use crate::footer::Footer;
use crate::parquet::{self, MAGIC, place, read_footer, shift, write_footer};

/// Bytes read from the end of a file to find its footer; a footer grows with the row groups.
const TAIL_BYTES: u64 = 64 << 10;

/// Bytes of row groups read at once, unless a single one is larger.
const PIECE_BYTES: u64 = 2 << 20;

/// Room for the footer of a single row group.
const FOOTER_ROOM: usize = 4 << 10;

/// The file is there and cannot be a raw file: no retry mends it.
#[derive(Debug)]
pub struct Corrupt(String);

impl fmt::Display for Corrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not a readable raw file: {}", self.0)
    }
}

impl std::error::Error for Corrupt {}

pub(crate) fn corrupt(cause: impl fmt::Display) -> anyhow::Error {
    anyhow::Error::new(Corrupt(cause.to_string().replace('\n', " ")))
}

/// Whether the file itself is at fault, or HDFS has lost some of it, so that no retry helps. One that is
/// gone is not: it was packed since it was listed, and the next try finds it there.
pub fn is_unreadable(
    failure: &anyhow::Error,
    files: &dyn Files,
    path: &str,
) -> anyhow::Result<bool> {
    let is_at_fault = failure.is::<Corrupt>()
        || matches!(
            failure.downcast_ref::<HdfsError>(),
            Some(HdfsError::ChecksumError | HdfsError::BlocksNotFound(_))
        );
    Ok(is_at_fault && files.exists(path)?)
}

/// A file that is damaged asks for a person, who is told what it means; an HDFS that does not answer is worth a retry.
pub(crate) fn ask_if_corrupt(failure: anyhow::Error, path: &str, what: &str) -> anyhow::Error {
    if failure.is::<Corrupt>() {
        failure.context(PersonNeeded(format!("{path} is unreadable, {what}")))
    } else {
        failure
    }
}

/// A raw file.
pub struct RawFile<'a> {
    source: Source<'a>,
    /// What the file says of itself.
    pub footer: Footer,
    /// Its columns, for a file of one row group alone.
    columns: FileMetaData,
    groups: Vec<Group>,
}

/// Where the bytes of a file are.
enum Source<'a> {
    Memory(Bytes),
    Stored(&'a dyn Files, &'a Stored),
}

struct Group {
    place: Range<u64>,
    metadata: RowGroup,
}

impl<'a> RawFile<'a> {
    /// A file in memory. [`Corrupt`] when these are not the bytes of a whole raw file.
    pub fn new(data: Bytes) -> anyhow::Result<RawFile<'static>> {
        let metadata = read_footer(&data)?;
        RawFile::of(Source::Memory(data), metadata)
    }

    /// A file of which the footer is read now, and the records as they are asked for. [`Corrupt`] when it does not end
    /// as a raw file does.
    pub fn open(files: &'a dyn Files, stored: &'a Stored) -> anyhow::Result<RawFile<'a>> {
        if stored.bytes <= PIECE_BYTES {
            return RawFile::new(stored.read(files)?);
        }
        let metadata = at_its_end(files, stored, read_footer)?;
        RawFile::of(Source::Stored(files, stored), metadata)
    }

    /// Reads the footer alone, from the end of the file.
    pub fn footer(files: &dyn Files, stored: &Stored) -> anyhow::Result<Footer> {
        at_its_end(files, stored, |tail| footer_of(&read_footer(tail)?))
    }

    fn of(source: Source<'a>, mut metadata: FileMetaData) -> anyhow::Result<RawFile<'a>> {
        let footer = footer_of(&metadata)?;
        let mut records: u64 = 0;
        let groups = std::mem::take(&mut metadata.row_groups).into_iter();
        let groups = groups
            .map(|metadata| {
                let place = place(&metadata)?;
                if place.end > source.bytes() {
                    return Err(corrupt("a row group lies behind the end of the file"));
                }
                records = records.saturating_add_signed(metadata.num_rows);
                Ok(Group { place, metadata })
            })
            .collect::<anyhow::Result<Vec<Group>>>()?;
        if records != footer.records {
            return Err(corrupt(format!(
                "{records} records where the footer promises {}",
                footer.records
            )));
        }
        metadata.key_value_metadata = None;
        Ok(RawFile {
            source,
            footer,
            columns: metadata,
            groups,
        })
    }

    /// Calls `each` with every record in order, holding one row group decoded at a time.
    pub fn for_each(
        &self,
        mut each: impl FnMut(Record<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut previous = self.footer.start - 1;
        let mut groups = self.groups.iter().peekable();
        while let Some(first) = groups.next() {
            let begin = first.place.start;
            let mut end = first.place.end;
            let mut piece = vec![first];
            while let Some(group) = groups
                .next_if(|group| group.place.start >= end && group.place.end - begin <= PIECE_BYTES)
            {
                end = group.place.end;
                piece.push(group);
            }
            let data = self.source.read(begin..end)?;
            for group in piece {
                let within = |place: u64| (place - begin) as usize;
                let place = within(group.place.start)..within(group.place.end);
                let bytes = data
                    .get(place)
                    .context("HDFS sent less than it was asked for")?;
                let frame = self.decode(group, bytes)?;
                for record in records(&frame)? {
                    if record.offset <= previous || record.offset >= self.footer.next {
                        return Err(corrupt(format!(
                            "offset {} does not belong after {previous} and before {}",
                            record.offset, self.footer.next
                        )));
                    }
                    previous = record.offset;
                    each(record)?;
                }
            }
        }
        Ok(())
    }

    /// A row group of these bytes: as a file of its own, because polars would read a file whole.
    fn decode(&self, group: &Group, bytes: &[u8]) -> anyhow::Result<DataFrame> {
        let mut metadata = group.metadata.clone();
        shift(&mut metadata, MAGIC.len() as i64 - group.place.start as i64);
        let mut columns = self.columns.clone();
        columns.num_rows = metadata.num_rows;
        columns.row_groups = vec![metadata];
        let mut alone = BytesMut::with_capacity(bytes.len() + FOOTER_ROOM);
        alone.extend_from_slice(MAGIC);
        alone.extend_from_slice(bytes);
        write_footer(&columns, &mut alone)?;
        ParquetReader::new(Cursor::new(alone.freeze()))
            .read_parallel(ParallelStrategy::None)
            .set_rechunk(false)
            .finish()
            .map_err(corrupt)
    }
}

impl Source<'_> {
    /// How many it has.
    fn bytes(&self) -> u64 {
        match self {
            Source::Memory(data) => data.len() as u64,
            Source::Stored(_, stored) => stored.bytes,
        }
    }

    /// Those in a range, which ends before the file does.
    fn read(&self, range: Range<u64>) -> anyhow::Result<Bytes> {
        match self {
            Source::Memory(data) => Ok(data.slice(range.start as usize..range.end as usize)),
            Source::Stored(files, stored) => stored.read_range(*files, range),
        }
    }
}

/// What `read` finds in the end of a Parquet file, of which it is shown more and more until it succeeds.
pub(crate) fn at_its_end<T>(
    files: &dyn Files,
    stored: &Stored,
    read: impl Fn(&[u8]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut tail_bytes = TAIL_BYTES;
    loop {
        let start = stored.bytes.saturating_sub(tail_bytes);
        match read(&stored.read_from(files, start)?) {
            Ok(found) => return Ok(found),
            // the footer may be longer than the guess: look at more before giving up
            Err(_) if start > 0 => tail_bytes *= 16,
            Err(failure) => return Err(failure.context(stored.path.clone())),
        }
    }
}

fn footer_of(metadata: &FileMetaData) -> anyhow::Result<Footer> {
    Footer::from_pairs(|key| parquet::value(metadata, key))
        .map_err(|failure| corrupt(format!("{failure:#}")))
}

/// The rows of a decoded row group.
fn records(frame: &DataFrame) -> anyhow::Result<impl Iterator<Item = Record<'_>>> {
    fn numbers<'a>(frame: &'a DataFrame, name: &str) -> anyhow::Result<&'a Int64Chunked> {
        frame.column(name).and_then(|c| c.i64()).map_err(corrupt)
    }
    fn binary<'a>(frame: &'a DataFrame, name: &str) -> anyhow::Result<&'a BinaryChunked> {
        frame.column(name).and_then(|c| c.binary()).map_err(corrupt)
    }
    let offsets = numbers(frame, "offset")?;
    let timestamps = numbers(frame, "timestamp")?;
    if offsets.null_count() + timestamps.null_count() > 0 {
        return Err(corrupt("a record without an offset or a time"));
    }
    let keys = binary(frame, "key")?;
    let values = binary(frame, "value")?;
    // array by array, where the iterators of the columns would ask for each value through a pointer
    fn plain(column: &Int64Chunked) -> impl Iterator<Item = i64> {
        column
            .downcast_iter()
            .flat_map(|array| array.values_iter().copied())
    }
    fn bytes(column: &BinaryChunked) -> impl Iterator<Item = Option<&[u8]>> {
        column.downcast_iter().flat_map(|array| array.iter())
    }
    let numbers = plain(offsets).zip(plain(timestamps));
    Ok(numbers.zip(bytes(keys).zip(bytes(values))).map(
        |((offset, timestamp_millis), (key, value))| Record {
            offset,
            timestamp_millis,
            key,
            value,
        },
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rand::rngs::ChaCha8Rng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::encode::Encoder;
    use crate::files::RenameReply;
    use crate::path::{ChainPath, Raw};

    fn chain() -> ChainPath {
        Raw::new("/raw").chain("LogEvents", 1, 2)
    }

    type Owned = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn sample(count: i64, payload_bytes: usize) -> Vec<Owned> {
        (0..count)
            .map(|index| {
                let value = vec![(index % 251) as u8; payload_bytes];
                let key = (index % 3 != 0).then(|| format!("user_{index}").into_bytes());
                let value = (index % 7 != 0).then_some(value);
                (100 + 2 * index, index - 1, key, value)
            })
            .collect()
    }

    fn encode(records: &[Owned], next: i64) -> Bytes {
        let mut encoder = Encoder::new().expect("an encoder");
        for (offset, timestamp_millis, key, value) in records {
            encoder
                .push(&Record {
                    offset: *offset,
                    timestamp_millis: *timestamp_millis,
                    key: key.as_deref(),
                    value: value.as_deref(),
                })
                .expect("room");
        }
        encoder.finish(&chain(), 100, next, None).expect("a file")
    }

    fn decode(file: &RawFile) -> anyhow::Result<Vec<Owned>> {
        let mut records = Vec::new();
        file.for_each(|record| {
            records.push((
                record.offset,
                record.timestamp_millis,
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
            ));
            Ok(())
        })?;
        Ok(records)
    }

    #[test]
    fn records_come_back_as_they_went_in_over_several_row_groups() {
        let records = sample(30_000, 400);
        let file = RawFile::new(encode(&records, 60_100)).expect("a raw file");
        assert!(file.groups.len() > 1);
        assert_eq!(decode(&file).expect("records"), records);
        assert_eq!(file.footer.records, 30_000);
        assert_eq!((file.footer.start, file.footer.next), (100, 60_100));
        assert_eq!(file.footer.last_offset, Some(100 + 2 * 29_999));
    }

    /// Bytes under any path, which notes what is read of them.
    struct Noting {
        data: Bytes,
        read: Mutex<Vec<Range<u64>>>,
    }

    impl Files for Noting {
        fn read_range(&self, _path: &str, range: Range<u64>) -> anyhow::Result<Bytes> {
            self.read.lock().expect("no panic").push(range.clone());
            let end = range.end.min(self.data.len() as u64);
            Ok(self.data.slice(range.start as usize..end as usize))
        }
        fn list(&self, _directory: &str, _recursive: bool) -> anyhow::Result<Vec<Stored>> {
            unimplemented!()
        }
        fn exists(&self, _path: &str) -> anyhow::Result<bool> {
            unimplemented!()
        }
        fn write_new(&self, _path: &str, _data: Bytes) -> anyhow::Result<()> {
            unimplemented!()
        }
        fn rename_new(&self, _source: &str, _target: &str) -> anyhow::Result<RenameReply> {
            unimplemented!()
        }
        fn make_directory(&self, _path: &str) -> anyhow::Result<()> {
            unimplemented!()
        }
        fn delete(&self, _path: &str) -> anyhow::Result<()> {
            unimplemented!()
        }
    }

    /// Payloads that do not compress.
    fn noise(count: i64, payload_bytes: usize) -> Vec<Owned> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut records = sample(count, payload_bytes);
        for payload in records.iter_mut().filter_map(|record| record.3.as_mut()) {
            random.fill_bytes(payload);
        }
        records
    }

    #[test]
    fn a_large_file_is_read_in_pieces_each_byte_once() {
        let records = noise(20_000, 500);
        let data = encode(&records, 40_100);
        let bytes = data.len() as u64;
        assert!(bytes > 4 * PIECE_BYTES);
        // in a pack, behind others and before others
        let begin = 1_000;
        let mut pack = vec![1; begin];
        pack.extend_from_slice(&data);
        pack.extend_from_slice(&data);
        for (in_pack, data) in [(None, data), (Some(begin as u64), pack.into())] {
            let stored = Stored {
                path: "/file".to_owned(),
                in_pack,
                bytes,
                is_directory: false,
                modified_millis: 0,
            };
            let files = Noting {
                data,
                read: Mutex::default(),
            };
            let file = RawFile::open(&files, &stored).expect("a raw file");
            files.read.lock().expect("no panic").clear();
            assert_eq!(decode(&file).expect("records"), records);
            let read = files.read.lock().expect("no panic");
            assert!(
                read.iter().all(|r| r.end - r.start <= PIECE_BYTES),
                "{read:?}"
            );
            let all: u64 = read.iter().map(|range| range.end - range.start).sum();
            let groups = file.groups.iter().map(|group| &group.place);
            assert_eq!(
                all,
                groups.map(|place| place.end - place.start).sum::<u64>()
            );
            assert!(all < bytes && all > bytes - TAIL_BYTES, "{all} of {bytes}");
        }
    }

    #[test]
    fn a_file_that_lost_its_middle_is_corrupt() {
        let whole = encode(&noise(20_000, 500), 40_100);
        let mut data = whole[..whole.len() / 2].to_vec();
        data.extend_from_slice(&whole[whole.len() - 30_000..]);
        let failure = RawFile::new(data.into()).err().expect("corrupt");
        assert!(failure.is::<Corrupt>(), "{failure:#}");
    }

    #[test]
    fn an_empty_file_is_a_raw_file() {
        let file = RawFile::new(encode(&[], 150)).expect("a raw file");
        assert_eq!(decode(&file).expect("records"), vec![]);
        assert_eq!(file.footer.last_hash, None);
    }

    #[test]
    fn a_cut_file_is_corrupt_and_never_panics() {
        let whole = encode(&sample(1_000, 100), 2_100);
        for length in [0, 3, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
            let failure = RawFile::new(whole.slice(..length)).err().expect("corrupt");
            assert!(failure.is::<Corrupt>(), "{length}: {failure:#}");
        }
    }

    #[test]
    fn offsets_outside_the_footer_are_corrupt() {
        let file = RawFile::new(encode(&sample(10, 10), 110)).expect("a raw file");
        assert!(decode(&file).expect_err("corrupt").is::<Corrupt>());
    }
}
