//! Reading a raw file: its footer, and its records one row group at a time.

use std::fmt;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use bytes::Bytes;
use frame::PersonNeeded;
use polars::io::mmap::MmapBytesReader;
use polars::prelude::{
    BinaryChunked, DataFrame, Int64Chunked, ParallelStrategy, ParquetReader, SerReader,
};

use crate::encode::Record;
use crate::files::{Files, Stored};
use crate::footer::Footer;

/// Bytes read from the end of a file to find its footer; a footer grows with the row groups.
const TAIL_BYTES: u64 = 64 << 10;

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

/// A file that is damaged asks for a person, who is told what it means; an HDFS that does not answer is worth a retry.
pub(crate) fn ask_if_corrupt(failure: anyhow::Error, path: &str, what: &str) -> anyhow::Error {
    if failure.is::<Corrupt>() {
        failure.context(PersonNeeded(format!("{path} is unreadable, {what}")))
    } else {
        failure
    }
}

/// A raw file in memory, compressed as it is on HDFS.
pub struct RawFile {
    data: Bytes,
    /// What the file says of itself.
    pub footer: Footer,
    group_rows: Vec<usize>,
}

impl RawFile {
    /// Takes the bytes of a file. [`Corrupt`] when they are not a whole raw file.
    pub fn new(data: Bytes) -> anyhow::Result<RawFile> {
        let (footer, group_rows) = open(Cursor::new(data.clone()))?;
        let rows: usize = group_rows.iter().sum();
        if rows as u64 != footer.records {
            return Err(corrupt(format!(
                "{rows} records where the footer promises {}",
                footer.records
            )));
        }
        Ok(RawFile {
            data,
            footer,
            group_rows,
        })
    }

    /// Reads the footer alone, from the end of the file.
    pub fn footer(files: &dyn Files, stored: &Stored) -> anyhow::Result<Footer> {
        at_its_end(files, stored, |tail| open(tail).map(|(footer, _)| footer))
    }

    /// Calls `each` with every record in order, holding one row group decoded at a time.
    pub fn for_each(
        &self,
        mut each: impl FnMut(Record<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut first_row = 0;
        let mut previous = self.footer.start - 1;
        for rows in &self.group_rows {
            let frame = ParquetReader::new(Cursor::new(self.data.clone()))
                .with_slice(Some((first_row, *rows)))
                .read_parallel(ParallelStrategy::None)
                .set_rechunk(false)
                .finish()
                .map_err(corrupt)?;
            first_row += rows;
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
        Ok(())
    }
}

/// What `read` finds in the end of a Parquet file, of which it is shown more and more until it succeeds.
pub(crate) fn at_its_end<T>(
    files: &dyn Files,
    stored: &Stored,
    read: impl Fn(TailReader) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut tail_bytes = TAIL_BYTES;
    loop {
        let start = stored.bytes.saturating_sub(tail_bytes);
        let tail = TailReader {
            start,
            data: stored.read_from(files, start)?,
            at: 0,
        };
        match read(tail) {
            Ok(found) => return Ok(found),
            // the footer may be longer than the guess: look at more before giving up
            Err(_) if start > 0 => tail_bytes *= 16,
            Err(failure) => return Err(failure.context(stored.path.clone())),
        }
    }
}

/// A value of the key-value metadata of a Parquet file.
pub(crate) fn metadata_value<R: MmapBytesReader>(source: R, key: &str) -> anyhow::Result<String> {
    let mut reader = ParquetReader::new(source);
    let metadata = reader.get_metadata().map_err(corrupt)?;
    let pairs = metadata.key_value_metadata().as_deref().unwrap_or_default();
    let found = pairs.iter().find(|pair| pair.key == key);
    found
        .and_then(|pair| pair.value.clone())
        .ok_or_else(|| corrupt(format!("no {key} in its footer")))
}

fn open<R: MmapBytesReader>(source: R) -> anyhow::Result<(Footer, Vec<usize>)> {
    let mut reader = ParquetReader::new(source);
    let metadata = reader.get_metadata().map_err(corrupt)?;
    let pairs = metadata.key_value_metadata().as_deref().unwrap_or_default();
    let footer = Footer::from_pairs(|key| {
        let found = pairs.iter().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.clone())
    })
    .map_err(|failure| corrupt(format!("{failure:#}")))?;
    let group_rows = metadata
        .row_groups
        .iter()
        .map(|group| group.num_rows())
        .collect();
    Ok((footer, group_rows))
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

/// The end of a file, posing as the whole: enough for a footer.
pub(crate) struct TailReader {
    start: u64,
    data: Bytes,
    at: u64,
}

impl Read for TailReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(offset) = self.at.checked_sub(self.start) else {
            return Err(io::Error::other("before the part that was read"));
        };
        let mut rest = self.data.get(offset as usize..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for TailReader {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let end = self.start + self.data.len() as u64;
        let at = match target {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(distance) => end.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.at.checked_add_signed(distance),
        };
        self.at = at.ok_or_else(|| io::Error::other("before the start of the file"))?;
        Ok(self.at)
    }
}

impl MmapBytesReader for TailReader {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encoder;
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
        assert!(file.group_rows.len() > 1);
        assert_eq!(decode(&file).expect("records"), records);
        assert_eq!(file.footer.records, 30_000);
        assert_eq!((file.footer.start, file.footer.next), (100, 60_100));
        assert_eq!(file.footer.last_offset, Some(100 + 2 * 29_999));
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
