//! The commit point: how a file enters a chain.
//!
//! Write under a name nobody else uses, close, rename to the name of the start position. The
//! rename is the compare-and-swap: HDFS refuses it when the position is taken.

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
    let temporary = raw.temporary(&Uuid::new_v4());
    let target = chain.file(start);
    files.write_new(&temporary, data.clone())?;
    failpoint("archive.before_rename");
    let mut last_reply = None;
    for _ in 0..RENAME_TRIES {
        match files.rename_new(&temporary, &target)? {
            RenameReply::Done => {
                failpoint("archive.after_rename");
                return Ok(Appended::Won);
            }
            RenameReply::Unclear(reply) => last_reply = Some(reply),
        }
        match (files.exists(&target)?, files.exists(&temporary)?) {
            // The rename was done and its reply lost; or the temporary file was swept from under a
            // writer that was halted for a day, and another has taken the position. What is there tells.
            (true, false) => {
                let is_mine = files.read_from(&target, 0)? == data;
                return Ok(if is_mine {
                    Appended::Won
                } else {
                    Appended::Lost
                });
            }
            (true, true) => {
                // the position is taken; a file that cannot be deleted is swept after a day
                if let Err(failure) = files.delete(&temporary) {
                    log::warn!("{temporary} stays behind: {failure:#}");
                }
                return Ok(Appended::Lost);
            }
            (false, true) => continue,
            (false, false) => break,
        }
    }
    let cause = last_reply.unwrap_or_else(|| anyhow::anyhow!("no reply"));
    Err(cause.context(format!("cannot rename {temporary} to {target}")))
}
