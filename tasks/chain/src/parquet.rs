//! Parts of a Parquet file: its footer as it is written, and where its row groups lie. A row group is found by
//! offsets in the footer alone, so that it can be moved to another file.

use std::ops::Range;

use anyhow::Context;
use bytes::{BufMut, BytesMut};
use polars_parquet_format::thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol};
use polars_parquet_format::{FileMetaData, RowGroup};

use crate::read::corrupt;

/// What a Parquet file begins and ends with.
pub const MAGIC: &[u8] = b"PAR1";

/// Length of the footer, then [`MAGIC`].
const END_BYTES: usize = 8;

/// The footer of a file, from its last bytes.
pub fn read_footer(data: &[u8]) -> anyhow::Result<FileMetaData> {
    let (rest, end) = data
        .split_last_chunk::<END_BYTES>()
        .filter(|(_, end)| &end[4..] == MAGIC)
        .ok_or_else(|| corrupt("it does not end as Parquet does"))?;
    let [a, b, c, d, ..] = *end;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let footer = rest
        .len()
        .checked_sub(length)
        .map(|begin| &rest[begin..])
        .ok_or_else(|| corrupt("its footer is longer than the file"))?;
    // so much memory may what it says of itself take
    let limit = 64 * footer.len() + (1 << 20);
    FileMetaData::read_from_in_protocol(&mut TCompactInputProtocol::new(footer, limit))
        .map_err(corrupt)
}

/// Ends a file with its footer.
pub fn write_footer(metadata: &FileMetaData, data: &mut BytesMut) -> anyhow::Result<()> {
    let mut footer = Vec::new();
    metadata
        .write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut footer))
        .context("cannot write a Parquet footer")?;
    let length = u32::try_from(footer.len()).context("a Parquet footer above 4 GiB")?;
    data.put_slice(&footer);
    data.put_u32_le(length);
    data.put_slice(MAGIC);
    Ok(())
}

/// A value of the key-value metadata.
pub fn value(metadata: &FileMetaData, key: &str) -> Option<String> {
    let pairs = metadata.key_value_metadata.as_deref().unwrap_or_default();
    let found = pairs.iter().find(|pair| pair.key == key)?;
    found.value.clone()
}

/// The bytes of the file that are a row group's.
pub fn place(group: &RowGroup) -> anyhow::Result<Range<u64>> {
    let (mut first, mut last) = (u64::MAX, 0);
    for column in &group.columns {
        let pages = column.meta_data.as_ref();
        let pages = pages.ok_or_else(|| corrupt("a column without a place"))?;
        let begin = pages
            .dictionary_page_offset
            .map_or(pages.data_page_offset, |dictionary| {
                dictionary.min(pages.data_page_offset)
            });
        let end = begin.checked_add(pages.total_compressed_size);
        let begin = u64::try_from(begin).map_err(corrupt)?;
        let end = end.and_then(|end| u64::try_from(end).ok());
        let end = end.filter(|end| *end >= begin);
        let end = end.ok_or_else(|| corrupt("a column that ends before it begins"))?;
        (first, last) = (first.min(begin), last.max(end));
    }
    if first >= last {
        return Err(corrupt("a row group without columns"));
    }
    Ok(first..last)
}

/// Moves a row group by so many bytes.
pub fn shift(group: &mut RowGroup, distance: i64) {
    let moved = |offset: &mut Option<i64>| {
        if let Some(offset) = offset {
            *offset = offset.saturating_add(distance);
        }
    };
    moved(&mut group.file_offset);
    // counts within a file
    group.ordinal = None;
    for column in &mut group.columns {
        column.file_offset = column.file_offset.saturating_add(distance);
        moved(&mut column.offset_index_offset);
        moved(&mut column.column_index_offset);
        if let Some(pages) = &mut column.meta_data {
            pages.data_page_offset = pages.data_page_offset.saturating_add(distance);
            moved(&mut pages.index_page_offset);
            moved(&mut pages.dictionary_page_offset);
            moved(&mut pages.bloom_filter_offset);
        }
    }
}
