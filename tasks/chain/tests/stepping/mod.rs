//! Real code, one file operation at a time, without a thread.
//!
//! The code of the chain is a function of the answers that its file system gives. So to halt it
//! before its next operation, it is run again from its start with the answers so far; when they
//! are used up, every operation fails, and the first of those is the one it wants next. Whoever
//! calls then decides what becomes of that operation, and of everybody else's, before the answer.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chain::{Files, RenameReply, Stored};

/// Where every temporary file is.
const TEMPORARY: &str = "/raw/_tmp/";

/// An operation that the code wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    List(String),
    Exists(String),
    Read { path: String, offset: u64 },
    Write { path: String, data: Bytes },
    Rename { source: String, target: String },
    Delete(String),
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Listing(Vec<Stored>),
    Exists(bool),
    Data(Bytes),
    /// Written, renamed or deleted.
    Done,
    /// A rename that was refused, or that nothing was heard of.
    Unclear,
    /// The file system gave up.
    Failed,
}

/// How far the code came.
#[derive(Debug)]
pub enum Step<Outcome> {
    Wants(Request),
    Finished(anyhow::Result<Outcome>),
}

/// Runs `code` from its start up to the operation after the last answer.
///
/// The code makes up another temporary name each time it runs. `temporary` is the one to stay
/// with; none before the first is known.
pub fn advance<Outcome>(
    temporary: Option<&str>,
    replies: &[Reply],
    code: impl FnOnce(&dyn Files) -> anyhow::Result<Outcome>,
) -> Step<Outcome> {
    let replay = Replay {
        temporary,
        replies,
        progress: Mutex::default(),
    };
    let outcome = code(&replay);
    let progress = replay
        .progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match progress.wanted {
        Some(request) => Step::Wants(request),
        None => {
            assert_eq!(
                progress.used,
                replies.len(),
                "answers that nobody asked for"
            );
            Step::Finished(outcome)
        }
    }
}

#[derive(Default)]
struct Progress {
    used: usize,
    wanted: Option<Request>,
    /// The temporary name that the code made up in this run.
    made_up: Option<String>,
}

struct Replay<'a> {
    temporary: Option<&'a str>,
    replies: &'a [Reply],
    progress: Mutex<Progress>,
}

impl Replay<'_> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, path: &str) -> String {
        if !path.starts_with(TEMPORARY) {
            return path.to_owned();
        }
        let mut progress = self.progress();
        let made_up = progress.made_up.get_or_insert_with(|| path.to_owned());
        assert_eq!(made_up, path, "one file has one temporary name");
        self.temporary.unwrap_or(path).to_owned()
    }

    fn answer(&self, request: Request) -> anyhow::Result<Reply> {
        let mut progress = self.progress();
        let Some(reply) = self.replies.get(progress.used) else {
            progress.wanted.get_or_insert(request);
            anyhow::bail!("halted");
        };
        progress.used += 1;
        anyhow::ensure!(*reply != Reply::Failed, "the file system gave up");
        Ok(reply.clone())
    }
}

fn unfit<T>(reply: &Reply) -> T {
    panic!("{reply:?} answers another question: the code does not do the same thing twice")
}

impl Files for Replay<'_> {
    fn list(&self, directory: &str, recursive: bool) -> anyhow::Result<Vec<Stored>> {
        assert!(!recursive, "a chain is one directory");
        match self.answer(Request::List(directory.to_owned()))? {
            Reply::Listing(stored) => Ok(stored),
            other => unfit(&other),
        }
    }

    fn exists(&self, path: &str) -> anyhow::Result<bool> {
        match self.answer(Request::Exists(self.name(path)))? {
            Reply::Exists(there) => Ok(there),
            other => unfit(&other),
        }
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> anyhow::Result<Bytes> {
        assert_eq!(range.end, u64::MAX, "the newest files are never packed");
        let (path, offset) = (self.name(path), range.start);
        match self.answer(Request::Read { path, offset })? {
            Reply::Data(data) => Ok(data),
            other => unfit(&other),
        }
    }

    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()> {
        let path = self.name(path);
        match self.answer(Request::Write { path, data })? {
            Reply::Done => Ok(()),
            other => unfit(&other),
        }
    }

    fn rename_new(&self, source: &str, target: &str) -> anyhow::Result<RenameReply> {
        let (source, target) = (self.name(source), self.name(target));
        match self.answer(Request::Rename { source, target })? {
            Reply::Done => Ok(RenameReply::Done),
            Reply::Unclear => Ok(RenameReply::Unclear(anyhow::anyhow!("no clear reply"))),
            other => unfit(&other),
        }
    }

    fn make_directory(&self, path: &str) -> anyhow::Result<()> {
        // HDFS makes them with the first file in them: nothing depends on it
        anyhow::bail!("{path}: neither tail nor append makes a directory")
    }

    fn delete(&self, path: &str) -> anyhow::Result<()> {
        match self.answer(Request::Delete(self.name(path)))? {
            Reply::Done => Ok(()),
            other => unfit(&other),
        }
    }
}
