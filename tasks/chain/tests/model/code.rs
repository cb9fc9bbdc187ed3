//! The real `tail` and `append`, as a table from the answers so far to what they want next.
//!
//! The table is filled by running them. So the model explores what runs, not a copy of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use chain::{Appended, ChainPath, Encoder, Raw, Record, Stored, append, tail};

use crate::stepping::{self, Step, advance};

/// A raw file of the model: its footer tells everything, since record `n` is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct File {
    pub start: u8,
    pub next: u8,
    pub gap: bool,
}

/// The number of a line of the table: a function and the answers that it has had so far.
pub type Call = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    Tail,
    Append(File),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    Listing(Vec<File>),
    Data(File),
    Exists(bool),
    Done,
    Unclear,
}

/// The temporary name of each `append`: what tells two apart is a number of the world.
const TEMPORARY: &str = "/raw/_tmp/mine";

/// `tail`, just called.
pub const TAIL: Call = 0;

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    List,
    Read(u8),
    Write,
    Rename,
    LookAtTarget,
    LookAtTemporary,
    Delete,
    /// `tail` ended: the position after the newest file.
    Listed(Option<u8>),
    /// `append` ended.
    Appended(Appended),
    /// It ended with an error: so does the process.
    Failed,
}

/// The table.
pub struct Code {
    raw: Raw,
    chain: ChainPath,
    files: HashMap<File, Bytes>,
    lines: Vec<Line>,
    begun: HashMap<Function, Call>,
    answered: HashMap<(Call, Reply), Call>,
}

struct Line {
    function: Function,
    replies: Vec<Reply>,
    progress: Progress,
}

impl Code {
    pub fn new() -> Code {
        let raw = Raw::new("/raw");
        let mut code = Code {
            chain: raw.chain("LogEvents", 0, 0),
            raw,
            files: HashMap::new(),
            lines: Vec::new(),
            begun: HashMap::new(),
            answered: HashMap::new(),
        };
        assert_eq!(code.begin(Function::Tail), TAIL);
        code
    }

    /// How many different runs of the real code were needed.
    pub fn runs(&self) -> usize {
        self.lines.len()
    }

    /// Calls a function.
    pub fn begin(&mut self, function: Function) -> Call {
        if let Some(call) = self.begun.get(&function) {
            return *call;
        }
        let call = self.add(function, Vec::new());
        self.begun.insert(function, call);
        call
    }

    /// Answers what a call wanted.
    pub fn answer(&mut self, call: Call, reply: Reply) -> Call {
        let key = (call, reply);
        if let Some(known) = self.answered.get(&key) {
            return *known;
        }
        let Line {
            function, replies, ..
        } = &self.lines[call];
        let replies = replies.iter().chain([&key.1]).cloned().collect();
        let next = self.add(*function, replies);
        self.answered.insert(key, next);
        next
    }

    /// What a call has come to.
    pub fn progress(&self, call: Call) -> Progress {
        self.lines[call].progress
    }

    /// The answers that a call has had.
    pub fn replies(&self, call: Call) -> &[Reply] {
        &self.lines[call].replies
    }

    fn add(&mut self, function: Function, replies: Vec<Reply>) -> Call {
        let progress = self.run(function, &replies);
        self.lines.push(Line {
            function,
            replies,
            progress,
        });
        self.lines.len() - 1
    }

    fn run(&mut self, function: Function, replies: &[Reply]) -> Progress {
        let replies: Vec<_> = replies.iter().map(|reply| self.reply(reply)).collect();
        match function {
            Function::Tail => {
                let step = advance(None, &replies, |files| tail(files, &self.raw, &self.chain));
                match step {
                    Step::Wants(request) => self.wanted(&request, None),
                    Step::Finished(Ok(found)) => {
                        Progress::Listed(found.map(|tail| tail.newest.next as u8))
                    }
                    Step::Finished(Err(failure)) => panic!("a sound chain is refused: {failure:#}"),
                }
            }
            Function::Append(file) => {
                let data = self.data(file);
                let step = advance(Some(TEMPORARY), &replies, |files| {
                    append(files, &self.raw, &self.chain, i64::from(file.start), data)
                });
                match step {
                    Step::Wants(request) => self.wanted(&request, Some(file)),
                    Step::Finished(Ok(appended)) => Progress::Appended(appended),
                    Step::Finished(Err(_)) => Progress::Failed,
                }
            }
        }
    }

    /// Takes a request for what it is, and no path for another one.
    fn wanted(&mut self, request: &stepping::Request, appended: Option<File>) -> Progress {
        use stepping::Request;
        let position = |path: &str| self.raw.parse(path).map(|name| name.start as u8);
        let target = appended.map(|file| file.start);
        match request {
            Request::List(directory) if *directory == self.chain.directory => Progress::List,
            Request::Read { path, offset: 0 } => Progress::Read(position(path).expect("a name")),
            Request::Write { path, data } if path == TEMPORARY => {
                assert_eq!(Some(data), appended.map(|file| self.data(file)).as_ref());
                Progress::Write
            }
            Request::Rename {
                source,
                target: name,
            } if source == TEMPORARY && position(name) == target => Progress::Rename,
            Request::Exists(path) if path == TEMPORARY => Progress::LookAtTemporary,
            Request::Exists(path) if position(path) == target => Progress::LookAtTarget,
            Request::Delete(path) if path == TEMPORARY => Progress::Delete,
            other => panic!("not part of the protocol: {other:?}"),
        }
    }

    fn reply(&mut self, reply: &Reply) -> stepping::Reply {
        match reply {
            Reply::Listing(files) => {
                stepping::Reply::Listing(files.iter().map(|file| self.stored(*file)).collect())
            }
            Reply::Data(file) => stepping::Reply::Data(self.data(*file)),
            Reply::Exists(there) => stepping::Reply::Exists(*there),
            Reply::Done => stepping::Reply::Done,
            Reply::Unclear => stepping::Reply::Unclear,
        }
    }

    fn stored(&mut self, file: File) -> Stored {
        Stored {
            path: self.chain.file(i64::from(file.start)),
            in_pack: None,
            bytes: self.data(file).len() as u64,
            is_directory: false,
            modified_millis: 0,
        }
    }

    /// The bytes of a file.
    fn data(&mut self, file: File) -> Bytes {
        match self.files.entry(file) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(encode(&self.chain, file)).clone(),
        }
    }
}

fn encode(chain: &ChainPath, file: File) -> Bytes {
    let mut encoder = Encoder::new().expect("an encoder");
    let (start, next) = (i64::from(file.start), i64::from(file.next));
    for offset in (start..next).filter(|_| !file.gap) {
        let record = Record {
            offset,
            timestamp_millis: offset,
            key: None,
            value: Some(b"payload"),
        };
        encoder.push(&record).expect("room");
    }
    let gap = file.gap.then(|| "retention".to_owned());
    encoder.finish(chain, start, next, gap).expect("a file")
}
