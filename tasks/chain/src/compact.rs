//! Compaction: old small files of a chain become one pack.
//!
//! 1. Temporary files that are older than a day are swept: a writer that was halted for that long gets
//!    nothing into a chain any more.
//! 2. Files that lie in a pack are deleted.
//! 3. Neighbours that are old and small enough, none of them among the newest of their chain, are read
//!    and checked, and written as a pack, which is read back and then renamed to its name.
//! 4. The chain is listed again, and files that lie in a pack are deleted.
//!
//! A file goes only while a pack that is listed covers it, and packs stay. So in any interleaving of any
//! number of these, of writers and of readers, killed or halted anywhere, each file can be read at the
//! position that it has; one that is killed leaves a pack beside its files, or a temporary file, and the next
//! one does the rest.

use std::time::Duration;

use bytes::Bytes;
use log::{info, warn};
use serde::Serialize;

use crate::append::{Appended, enter};
use crate::files::{Files, Stored};
use crate::pack::Packer;
use crate::path::{ChainPath, PackName, Raw, RawFileName};
use crate::read::{Corrupt, RawFile};

/// No writer holds a temporary file this long.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The newest files of a chain stay as they are: they tell where it ends.
const NEWEST_STAY: usize = 8;

/// Fewer are not worth it.
const LEAST_FILES: usize = 2;

/// More would make a footer that takes long to read.
const MOST_FILES: usize = 4_096;

/// Bytes that are compared at once when a pack is read back.
const COMPARED_BYTES: u64 = 4 << 20;

/// Which files are packed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The time now, in milliseconds since 1970.
    pub now_millis: u64,
    /// Files that were written so long ago. More than the day after which temporary files are swept.
    pub older_than: Duration,
    /// Files below this size in bytes.
    pub small_bytes: u64,
    /// Size of a pack in bytes, which is held in memory.
    pub pack_bytes: u64,
    /// Files that a pack has at least, unless it has its size with fewer: what is left over waits.
    pub least_files: usize,
}

/// What was done, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// New packs.
    pub packs_written: u64,
    /// Files in them.
    pub files_packed: u64,
    /// Bytes of these files.
    pub bytes_packed: u64,
    /// Files deleted, since they lie in a pack.
    pub files_deleted: u64,
    /// Files that cannot be read and stay as they are.
    pub files_unreadable: u64,
}

/// Deletes temporary files that a killed run left.
pub fn sweep(files: &dyn Files, raw: &Raw, now_millis: u64) -> anyhow::Result<()> {
    let limit = now_millis.saturating_sub(ABANDONED_AFTER.as_millis() as u64);
    for stored in files.list(&raw.temporary_directory(), false)? {
        if stored.modified_millis < limit {
            info!(
                "{} was abandoned by a run that was killed: deleting it",
                stored.path
            );
            files.delete(&stored.path)?;
        }
    }
    Ok(())
}

/// Packs old small files of every chain of a topic, until done or `stop` says so. With `dry_run` it
/// changes nothing and says what it would do.
///
/// # Errors
/// When HDFS does not answer. The next run goes on.
pub fn compact(
    files: &dyn Files,
    raw: &Raw,
    topic: &str,
    rules: &Rules,
    dry_run: bool,
    stop: impl Fn() -> bool,
) -> anyhow::Result<Compacted> {
    let mut done = Compacted::default();
    if !dry_run {
        sweep(files, raw, rules.now_millis)?;
    }
    let listed = Listed::of(files, raw, topic)?;
    done.files_deleted += listed.delete_packed(files, dry_run)?;
    for group in listed.groups(rules) {
        if stop() {
            return Ok(done);
        }
        pack(files, raw, &group, dry_run, &mut done)?;
    }
    if done.packs_written > 0 && !dry_run {
        let listed = Listed::of(files, raw, topic)?;
        done.files_deleted += listed.delete_packed(files, dry_run)?;
    }
    Ok(done)
}

/// What a topic's directory holds.
struct Listed {
    packs: Vec<PackName>,
    /// Files of their own, oldest first within each chain.
    files: Vec<(RawFileName, Stored)>,
    raw: Raw,
}

impl Listed {
    fn of(files: &dyn Files, raw: &Raw, topic: &str) -> anyhow::Result<Listed> {
        let listing = files.list(&raw.topic_directory(topic), true)?;
        let packs = listing
            .iter()
            .filter_map(|stored| raw.parse_pack(&stored.path))
            .collect();
        let mut files: Vec<_> = listing
            .into_iter()
            .filter_map(|stored| Some((raw.parse(&stored.path)?, stored)))
            .collect();
        files.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(Listed {
            packs,
            files,
            raw: raw.clone(),
        })
    }

    fn is_packed(&self, name: &RawFileName) -> bool {
        self.packs.iter().any(|pack| pack.covers(name))
    }

    /// Deletes files that lie in a pack; how many.
    fn delete_packed(&self, files: &dyn Files, dry_run: bool) -> anyhow::Result<u64> {
        let mut deleted = 0;
        for (name, stored) in &self.files {
            if self.is_packed(name) {
                if !dry_run {
                    files.delete(&stored.path)?;
                }
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Neighbours that make a pack.
    fn groups(&self, rules: &Rules) -> Vec<Group> {
        let limit = rules
            .now_millis
            .saturating_sub(rules.older_than.as_millis() as u64);
        let mut groups = Vec::new();
        let own: Vec<_> = self
            .files
            .iter()
            .filter(|(name, _)| !self.is_packed(name))
            .collect();
        let chains = own.chunk_by(|left, right| {
            (left.0.epoch, left.0.partition) == (right.0.epoch, right.0.partition)
        });
        for chain in chains {
            let Some((first, _)) = chain.first() else {
                continue;
            };
            let path = self.raw.chain(&first.topic, first.epoch, first.partition);
            let mut group = Group::of(&path);
            let packable = chain.len().saturating_sub(NEWEST_STAY);
            for (index, (name, stored)) in chain.iter().take(packable).enumerate() {
                let follows = index > 0 && !self.is_parted(&chain[index - 1].0, name);
                let fits = group.bytes + stored.bytes <= rules.pack_bytes
                    && group.files.len() < MOST_FILES;
                if !follows || !fits {
                    group.is_full = follows;
                    groups.push(std::mem::replace(&mut group, Group::of(&path)));
                }
                if stored.modified_millis >= limit {
                    // the rest is younger still
                    break;
                }
                if stored.bytes < rules.small_bytes {
                    group.push(name.start, stored);
                } else {
                    groups.push(std::mem::replace(&mut group, Group::of(&path)));
                }
            }
            groups.push(group);
        }
        groups.retain(|group| {
            let least = if group.is_full {
                LEAST_FILES
            } else {
                rules.least_files
            };
            group.files.len() >= least
        });
        groups
    }

    /// Whether a pack lies between two files.
    fn is_parted(&self, before: &RawFileName, after: &RawFileName) -> bool {
        self.packs.iter().any(|pack| {
            (pack.chain.epoch, pack.chain.partition) == (after.epoch, after.partition)
                && (before.start..after.start).contains(&pack.start)
        })
    }
}

/// Files that make a pack, each with its start.
struct Group {
    chain: ChainPath,
    files: Vec<(i64, Stored)>,
    bytes: u64,
    /// The next one would not fit in.
    is_full: bool,
}

impl Group {
    fn of(chain: &ChainPath) -> Group {
        Group {
            chain: chain.clone(),
            files: Vec::new(),
            bytes: 0,
            is_full: false,
        }
    }

    fn push(&mut self, start: i64, stored: &Stored) {
        self.bytes += stored.bytes;
        self.files.push((start, stored.clone()));
    }
}

/// Packs the files of a group. One that cannot be read ends a pack, and so does a hole.
fn pack(
    files: &dyn Files,
    raw: &Raw,
    group: &Group,
    dry_run: bool,
    done: &mut Compacted,
) -> anyhow::Result<()> {
    if dry_run {
        done.packs_written += 1;
        done.files_packed += group.files.len() as u64;
        done.bytes_packed += group.bytes;
        return Ok(());
    }
    let mut building = Building::of(group);
    for (start, stored) in &group.files {
        let data = stored.read(files)?;
        let file = match RawFile::new(data.clone()).and_then(|file| whole(file, *start)) {
            Ok(file) => file,
            Err(failure) if failure.is::<Corrupt>() => {
                warn!("{} is left as it is: {failure:#}", stored.path);
                done.files_unreadable += 1;
                std::mem::replace(&mut building, Building::of(group))
                    .end(files, raw, group, done)?;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if building.next.is_some_and(|next| next != *start) {
            std::mem::replace(&mut building, Building::of(group)).end(files, raw, group, done)?;
        }
        building.next = Some(file.footer.next);
        building
            .packer
            .push(*start, stored.modified_millis, &data)?;
    }
    building.end(files, raw, group, done)
}

/// A file of which every record can be read, and that is where it says.
fn whole(file: RawFile<'_>, start: i64) -> anyhow::Result<RawFile<'_>> {
    if file.footer.start != start {
        return Err(crate::read::corrupt(format!(
            "its footer says that it starts at {}",
            file.footer.start
        )));
    }
    file.for_each(|_| Ok(()))?;
    Ok(file)
}

/// A pack in the making.
struct Building {
    packer: Packer,
    next: Option<i64>,
}

impl Building {
    fn of(group: &Group) -> Building {
        Building {
            packer: Packer::with_room_for(group.bytes as usize),
            next: None,
        }
    }

    /// Writes it, unless it is too little.
    fn end(
        self,
        files: &dyn Files,
        raw: &Raw,
        group: &Group,
        done: &mut Compacted,
    ) -> anyhow::Result<()> {
        let (count, bytes) = (self.packer.files(), self.packer.bytes());
        let (Some(start), Some(next)) = (self.packer.start(), self.next) else {
            return Ok(());
        };
        if count < LEAST_FILES {
            return Ok(());
        }
        let target = group.chain.pack(start, next, count);
        let data = self.packer.finish()?;
        let read_back = |temporary: &str| is_there(files, temporary, &data).map(|()| true);
        // lost: another run has made the same pack
        if enter(files, raw, &target, data.clone(), read_back)? == Appended::Won {
            info!("{target}: {count} files in {} KiB", data.len() >> 10);
            done.packs_written += 1;
            done.files_packed += count as u64;
            done.bytes_packed += bytes;
        }
        Ok(())
    }
}

/// Fails if a file does not hold `data`.
fn is_there(files: &dyn Files, path: &str, data: &Bytes) -> anyhow::Result<()> {
    let mut at = 0;
    loop {
        let end = (at + COMPARED_BYTES).min(data.len() as u64);
        // one byte more, at the end: a longer file is another one
        let read_to = if end == data.len() as u64 {
            end + 1
        } else {
            end
        };
        let read = files.read_range(path, at..read_to)?;
        anyhow::ensure!(
            read == data.slice(at as usize..end as usize),
            "{path} does not hold what was written to it"
        );
        if end == data.len() as u64 {
            return Ok(());
        }
        at = end;
    }
}
