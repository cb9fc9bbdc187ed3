//! A raw file in the making: records in, Parquet out, both in memory.
//!
//! Records are held as they came until a row group is full; a full one is compressed in a thread of
//! its own while the next fills, so that the memory held is two row groups and the compressed bytes
//! of those before them.

use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, bail};
use bytes::Bytes;
use polars_arrow::array::{ArrayRef, MutableArray, MutableBinaryArray, MutablePrimitiveArray};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_arrow::record_batch::RecordBatchT;
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, KeyValue, StatisticsOptions, Version, WriteOptions,
    ZstdLevel, row_group_iter,
};

use crate::footer::{Footer, hash_record};
use crate::path::ChainPath;

/// Payload and key bytes of one row group: what the reader of a file must hold at least.
const ROW_GROUP_BYTES: usize = 2 << 20;

/// Compressing is most of what archiving costs. Events come to 54 bytes at this level for 1.1 µs, to 52 at
/// zstd's default for 1.5.
const ZSTD_LEVEL: i32 = 1;

/// Memory of a record beside its key and payload: offset, time, and two views of 16 bytes.
const RECORD_OVERHEAD_BYTES: usize = 48;

/// One Kafka record, bytes as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its Kafka time in milliseconds; -1 when it has none.
    pub timestamp_millis: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Builds one raw file.
pub struct Encoder {
    writer: Writer,
    sink: Sink,
    group: RowGroup,
    records: u64,
    payload_bytes: usize,
    last: Option<Last>,
}

/// The last record so far. The footer has its hash, which is taken once, when the file is finished.
#[derive(Default)]
struct Last {
    offset: i64,
    timestamp_millis: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Last {
    fn set(&mut self, record: &Record<'_>) {
        self.offset = record.offset;
        self.timestamp_millis = record.timestamp_millis;
        overwrite(&mut self.key, record.key);
        overwrite(&mut self.value, record.value);
    }

    fn hash(&self) -> u64 {
        hash_record(
            self.timestamp_millis,
            self.key.as_deref(),
            self.value.as_deref(),
        )
    }
}

/// In the memory that is there already.
fn overwrite(held: &mut Option<Vec<u8>>, bytes: Option<&[u8]>) {
    match (held.as_mut(), bytes) {
        (Some(held), Some(bytes)) => {
            held.clear();
            held.extend_from_slice(bytes);
        }
        (_, bytes) => *held = bytes.map(<[u8]>::to_vec),
    }
}

impl Encoder {
    /// An empty raw file.
    pub fn new() -> anyhow::Result<Encoder> {
        let sink = Sink::default();
        let options = WriteOptions {
            compression: CompressionOptions::Zstd(Some(ZstdLevel::try_new(ZSTD_LEVEL)?)),
            // the least and greatest payload of a page help nobody and may be 1 MB each
            statistics: StatisticsOptions::empty(),
            version: Version::V1,
            data_page_size: None,
        };
        let writer = FileWriter::try_new(sink.clone(), schema(), options)
            .context("cannot begin a raw file")?;
        Ok(Encoder {
            writer: Writer::Idle(Box::new(writer)),
            sink,
            group: RowGroup::new(),
            records: 0,
            payload_bytes: 0,
            last: None,
        })
    }

    /// Adds a record. The caller sees to it that offsets only grow.
    pub fn push(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        self.group.push(record);
        self.records += 1;
        self.payload_bytes += record.key.map_or(0, <[u8]>::len);
        self.payload_bytes += record.value.map_or(0, <[u8]>::len);
        self.last.get_or_insert_default().set(record);
        if self.group.bytes >= ROW_GROUP_BYTES {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Records held.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of keys and payloads taken in: what `--flush-mib` counts.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Memory held, in bytes: what `--memory-mib` counts.
    pub fn held_bytes(&self) -> usize {
        self.group.bytes + self.writer.held_bytes() + self.sink.len()
    }

    /// The finished file of `chain`, covering the positions `start..next`.
    pub fn finish(
        mut self,
        chain: &ChainPath,
        start: i64,
        next: i64,
        gap: Option<String>,
    ) -> anyhow::Result<Bytes> {
        self.end_row_group()?;
        let mut writer = self.writer.idle()?;
        let footer = Footer {
            topic: chain.topic.clone(),
            epoch: chain.epoch,
            partition: chain.partition,
            start,
            next,
            records: self.records,
            last_offset: self.last.as_ref().map(|last| last.offset),
            last_hash: self.last.as_ref().map(Last::hash),
            gap,
        };
        let pairs = footer.to_pairs();
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| KeyValue::new(key, value));
        writer
            .end(Some(pairs.collect()))
            .context("cannot end a raw file")?;
        Ok(Bytes::from(self.sink.take()))
    }

    fn end_row_group(&mut self) -> anyhow::Result<()> {
        let group = std::mem::replace(&mut self.group, RowGroup::new());
        if group.bytes == 0 {
            return Ok(());
        }
        let writer = std::mem::replace(&mut self.writer, Writer::Failed).idle()?;
        let bytes = group.bytes;
        let thread = std::thread::Builder::new()
            .name("row-group".to_owned())
            .spawn(move || group.write(writer))
            .context("cannot start a thread")?;
        self.writer = Writer::Busy { thread, bytes };
        Ok(())
    }
}

/// The Parquet writer, which goes to the thread of a row group and comes back when it is written.
enum Writer {
    Idle(Box<FileWriter<Sink>>),
    Busy {
        thread: JoinHandle<anyhow::Result<Box<FileWriter<Sink>>>>,
        /// Memory of the row group.
        bytes: usize,
    },
    /// A row group could not be written, which the caller was told.
    Failed,
}

impl Writer {
    /// Waits until it has nothing to do.
    fn idle(self) -> anyhow::Result<Box<FileWriter<Sink>>> {
        match self {
            Writer::Idle(writer) => Ok(writer),
            Writer::Busy { thread, .. } => {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            }
            Writer::Failed => bail!("this raw file could not be encoded"),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Writer::Busy { thread, bytes } if !thread.is_finished() => *bytes,
            _ => 0,
        }
    }
}

/// The columns of a raw file, in the order of [`RowGroup`]'s, and how each is written. Of payloads none is like another, so
/// there is no use in looking for a dictionary, which costs more than all but the compressing.
const COLUMNS: [(&str, ArrowDataType, Encoding); 4] = [
    ("offset", ArrowDataType::Int64, Encoding::DeltaBinaryPacked),
    (
        "timestamp",
        ArrowDataType::Int64,
        Encoding::DeltaBinaryPacked,
    ),
    ("key", ArrowDataType::LargeBinary, Encoding::Plain),
    ("value", ArrowDataType::LargeBinary, Encoding::Plain),
];

fn schema() -> ArrowSchema {
    COLUMNS
        .into_iter()
        .map(|(name, data_type, _)| (name.into(), Field::new(name.into(), data_type, true)))
        .collect()
}

/// Of each column those of its parts, which is itself alone.
fn encodings() -> Vec<Vec<Encoding>> {
    COLUMNS
        .into_iter()
        .map(|(_, _, encoding)| vec![encoding])
        .collect()
}

/// The columns of the row group being filled.
struct RowGroup {
    offset: MutablePrimitiveArray<i64>,
    timestamp: MutablePrimitiveArray<i64>,
    key: MutableBinaryArray<i64>,
    value: MutableBinaryArray<i64>,
    bytes: usize,
}

impl RowGroup {
    fn new() -> RowGroup {
        RowGroup {
            offset: MutablePrimitiveArray::new(),
            timestamp: MutablePrimitiveArray::new(),
            key: MutableBinaryArray::new(),
            value: MutableBinaryArray::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, record: &Record<'_>) {
        self.offset.push_value(record.offset);
        self.timestamp.push_value(record.timestamp_millis);
        self.key.push(record.key);
        self.value.push(record.value);
        self.bytes += RECORD_OVERHEAD_BYTES
            + record.key.map_or(0, <[u8]>::len)
            + record.value.map_or(0, <[u8]>::len);
    }

    /// Compresses it, as the next row group of the file.
    fn write(mut self, mut writer: Box<FileWriter<Sink>>) -> anyhow::Result<Box<FileWriter<Sink>>> {
        let rows = self.offset.len();
        let columns: Vec<ArrayRef> = vec![
            self.offset.as_box(),
            self.timestamp.as_box(),
            self.key.as_box(),
            self.value.as_box(),
        ];
        let batch = RecordBatchT::try_new(rows, writer.schema().clone().into(), columns)?;
        let fields = writer.parquet_schema().fields().to_vec();
        let group = row_group_iter(batch, encodings().into(), fields, writer.options());
        writer
            .write(rows as u64, group)
            .context("cannot encode a row group")?;
        Ok(writer)
    }
}

/// The compressed file so far: the Parquet writer keeps one handle, the encoder the other.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
