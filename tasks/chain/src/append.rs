//! The commit point: how a file enters a chain.
//!
//! Write under a name nobody else uses, close, see that the chain still ends at the start position,
//! rename to its name. The rename is the compare-and-swap: HDFS refuses it when the position is taken.
//!
//! A position may also be taken by a pack ([`crate::raw_files`]), and its name be free again. The look at
//! the chain finds that out. A writer that is halted between the look and the rename for so long that
//! the position is taken *and* packed meanwhile ([`crate::compact`]: a week) finds its temporary file swept
//! (after a day), and its rename does nothing.

use bytes::Bytes;
use frame::failpoint;
use uuid::Uuid;

use crate::files::{Files, RenameReply};
use crate::path::{ChainPath, Raw};

/// How often a rename that left everything as it was is tried again.
const RENAME_TRIES: u32 = 5;

/// Who holds the position now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// This file.
    Won,
    /// Another writer's file: drop the batch and list again.
    Lost,
}

/// Appends a raw file at `start`.
///
/// # Errors
/// When HDFS does not answer. Nothing is lost then: whether the file entered the chain or not,
/// the next listing tells where to resume.
pub fn append(
    files: &dyn Files,
    raw: &Raw,
    chain: &ChainPath,
    start: i64,
    data: Bytes,
) -> anyhow::Result<Appended> {
    let ends_there = |_: &str| {
        let listing = files.list(&chain.directory, false)?;
        Ok(!listing.iter().any(|stored| {
            let pack = raw.parse_pack(&stored.path);
            let file = raw.parse(&stored.path);
            pack.is_some_and(|pack| pack.next > start)
                || file.is_some_and(|file| file.start >= start)
        }))
    };
    enter(files, raw, &chain.file(start), data, ends_there)
}

/// Writes a file and renames it to `target`, which must be free, provided that `may_enter`: it is asked
/// in between, with the name that the file has then.
pub(crate) fn enter(
    files: &dyn Files,
    raw: &Raw,
    target: &str,
    data: Bytes,
    may_enter: impl Fn(&str) -> anyhow::Result<bool>,
) -> anyhow::Result<Appended> {
    let temporary = raw.temporary(&Uuid::new_v4());
    // a file that cannot be deleted is swept after a day
    let give_up = || {
        if let Err(failure) = files.delete(&temporary) {
            log::warn!("{temporary} stays behind: {failure:#}");
        }
        Ok(Appended::Lost)
    };
    files.write_new(&temporary, data.clone())?;
    if !may_enter(&temporary)? {
        return give_up();
    }
    failpoint("archive.before_rename");
    let mut last_reply = None;
    for _ in 0..RENAME_TRIES {
        match files.rename_new(&temporary, target)? {
            RenameReply::Done => {
                failpoint("archive.after_rename");
                return Ok(Appended::Won);
            }
            RenameReply::Unclear(reply) => last_reply = Some(reply),
        }
        match (files.exists(target)?, files.exists(&temporary)?) {
            // The rename was done and its reply lost; or the temporary file was swept from under a
            // writer that was halted for a day, and another has taken the position. What is there tells.
            (true, false) => {
                let is_mine = files.read_from(target, 0)? == data;
                return Ok(if is_mine {
                    Appended::Won
                } else {
                    Appended::Lost
                });
            }
            // the position is taken
            (true, true) => return give_up(),
            (false, true) => continue,
            (false, false) => break,
        }
    }
    let cause = last_reply.unwrap_or_else(|| anyhow::anyhow!("no reply"));
    Err(cause.context(format!("cannot rename {temporary} to {target}")))
}
