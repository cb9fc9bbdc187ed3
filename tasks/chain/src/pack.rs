//! Packs: raw files of a chain, one after another in a single file, byte for byte as they were.
//!
//! ```text
//! <root>/<topic>/<epoch>/<partition:05>/<start:020>-<next:020>-<files>.parquet
//! ```
//!
//! A pack is a Parquet file as well: Parquet finds its row groups by offsets in the footer, so the
//! files are laid end to end and a footer of all their row groups follows. Its metadata says where each
//! file lies, so that whoever reads the chain finds every file under the position that it always had.
//!
//! A pack covers its positions for good: a file of its own that starts there is not looked at any more.

use std::collections::BTreeMap;

use anyhow::Context;
use bytes::{BufMut, Bytes, BytesMut};
use polars_parquet_format::{FileMetaData, KeyValue, RowGroup};

use crate::files::{Files, Stored};
use crate::parquet::{self, read_footer, shift, write_footer};
use crate::path::{PackName, Raw, RawFileName};
use crate::read::{ask_if_corrupt, at_its_end, corrupt};

/// Key of the metadata: a line `start begin bytes modified_millis` for each file.
const FILES_KEY: &str = "chain.pack";

/// Room for the footer of most packs: one that outgrows it is copied once more.
const FOOTER_ROOM: usize = 1 << 20;

/// A file in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    start: i64,
    begin: u64,
    bytes: u64,
    modified_millis: u64,
}

/// Raw files of a topic, oldest first within each chain, those in packs among them. Packs that
/// `is_known` are not opened, and their files are left out.
///
/// # Errors
/// When HDFS does not answer, and when a pack cannot be read: then nobody knows what lies in it.
pub fn raw_files(
    files: &dyn Files,
    raw: &Raw,
    topic: &str,
    is_known: impl Fn(&PackName) -> bool,
) -> anyhow::Result<Vec<(RawFileName, Stored)>> {
    let listing = files.list(&raw.topic_directory(topic), true)?;
    let mut packs = Vec::new();
    let mut found = BTreeMap::new();
    for stored in &listing {
        let Some(pack) = raw.parse_pack(&stored.path) else {
            continue;
        };
        if !is_known(&pack) {
            for part in parts(files, stored)? {
                found.insert(part.name(&pack), part.stored(stored));
            }
        }
        packs.push(pack);
    }
    for stored in listing {
        if let Some(name) = raw.parse(&stored.path)
            && !packs.iter().any(|pack| pack.covers(&name))
        {
            found.insert(name, stored);
        }
    }
    Ok(found.into_iter().collect())
}

fn parts(files: &dyn Files, pack: &Stored) -> anyhow::Result<Vec<Part>> {
    let read = at_its_end(files, pack, |tail| {
        let lines = parquet::value(&read_footer(tail)?, FILES_KEY);
        lines.ok_or_else(|| corrupt(format!("no {FILES_KEY} in its footer")))
    });
    let what = "and nobody knows which raw files lie in it: restore it";
    let lines = read.map_err(|failure| ask_if_corrupt(failure, &pack.path, what))?;
    lines
        .lines()
        .map(|line| Part::from_line(line).context(format!("{}: {line:?}", pack.path)))
        .collect()
}

impl Part {
    fn to_line(&self) -> String {
        let Part {
            start,
            begin,
            bytes,
            modified_millis,
        } = self;
        format!("{start} {begin} {bytes} {modified_millis}\n")
    }

    fn from_line(line: &str) -> anyhow::Result<Part> {
        let mut words = line.split(' ');
        let mut word = || words.next().context("a word is missing");
        Ok(Part {
            start: word()?.parse()?,
            begin: word()?.parse()?,
            bytes: word()?.parse()?,
            modified_millis: word()?.parse()?,
        })
    }

    fn name(&self, pack: &PackName) -> RawFileName {
        RawFileName {
            topic: pack.chain.topic.clone(),
            epoch: pack.chain.epoch,
            partition: pack.chain.partition,
            start: self.start,
        }
    }

    fn stored(&self, pack: &Stored) -> Stored {
        Stored {
            path: pack.path.clone(),
            in_pack: Some(self.begin),
            bytes: self.bytes,
            is_directory: false,
            modified_millis: self.modified_millis,
        }
    }
}

/// Puts a pack together, file by file.
#[derive(Default)]
pub(crate) struct Packer {
    data: BytesMut,
    parts: Vec<Part>,
    row_groups: Vec<RowGroup>,
    metadata: Option<FileMetaData>,
}

impl Packer {
    /// For files of so many bytes together.
    pub(crate) fn with_room_for(bytes: usize) -> Packer {
        Packer {
            data: BytesMut::with_capacity(bytes + FOOTER_ROOM),
            ..Packer::default()
        }
    }

    /// Adds the next file of the chain, `data` being its content.
    pub(crate) fn push(
        &mut self,
        start: i64,
        modified_millis: u64,
        data: &[u8],
    ) -> anyhow::Result<()> {
        let mut metadata = read_footer(data)?;
        let begin = self.data.len() as i64;
        for mut group in std::mem::take(&mut metadata.row_groups) {
            shift(&mut group, begin);
            self.row_groups.push(group);
        }
        match &mut self.metadata {
            None => self.metadata = Some(metadata),
            Some(first) => {
                anyhow::ensure!(
                    first.schema == metadata.schema,
                    "the file at {start} has other columns than those before it"
                );
                first.num_rows += metadata.num_rows;
            }
        }
        self.parts.push(Part {
            start,
            begin: begin as u64,
            bytes: data.len() as u64,
            modified_millis,
        });
        self.data.put_slice(data);
        Ok(())
    }

    /// Where its first file starts.
    pub(crate) fn start(&self) -> Option<i64> {
        self.parts.first().map(|part| part.start)
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// How many files lie in it.
    pub(crate) fn files(&self) -> usize {
        self.parts.len()
    }

    /// The content of the pack.
    pub(crate) fn finish(mut self) -> anyhow::Result<Bytes> {
        let mut metadata = self.metadata.context("a pack of nothing")?;
        metadata.row_groups = self.row_groups;
        metadata.key_value_metadata = Some(vec![KeyValue {
            key: FILES_KEY.to_owned(),
            value: Some(self.parts.iter().map(Part::to_line).collect()),
        }]);
        write_footer(&metadata, &mut self.data)?;
        Ok(self.data.freeze())
    }
}
