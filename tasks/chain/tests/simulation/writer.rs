//! A writer: the loop of `archive` around the real `tail`, `Encoder` and `append`.

use bytes::Bytes;
use chain::{Appended, ChainPath, Encoder, Raw, Tail, append, hash_record, tail};

use crate::Mistake;
use crate::kafka::Kafka;
use crate::stepping::{Reply, Request, Step, advance};

pub struct Writer {
    doing: Doing,
    /// It is halted until this turn, and then goes on with what it knew.
    pub asleep_until: u32,
    /// The most records that it takes into a file.
    most: usize,
    mistake: Option<Mistake>,
}

/// First and next offset of Kafka, as a writer was told.
type Held = (i64, i64);

enum Doing {
    /// Asks what Kafka holds, before it lists.
    AskFirst,
    /// In the real `tail`.
    Lists {
        replies: Vec<Reply>,
        held: Option<Held>,
    },
    /// Asks what Kafka holds, with the end of the chain in hand.
    Ask(Option<Tail>),
    /// Has the chain up to `next`. The last record before it is to be compared first.
    Ready {
        next: i64,
        handshake: Option<(i64, u64)>,
    },
    /// In the real `append`.
    Appends(Box<Appending>),
}

struct Appending {
    start: i64,
    next: i64,
    gap: bool,
    data: Bytes,
    temporary: Option<String>,
    replies: Vec<Reply>,
}

/// What a writer comes to by itself.
pub enum Progress {
    /// It needs this operation done.
    Wants(Request),
    /// Something happened that is worth counting.
    Did(Event),
    /// There is no record for it.
    Waits,
    /// It ended with an error, and has been started again.
    Ended(String),
    /// It asks for a person.
    Alarm(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Resumed,
    Batched,
    Won,
    WonGap,
    Lost,
    LostGap,
}

impl Writer {
    pub fn new(most: usize, mistake: Option<Mistake>) -> Writer {
        let mut writer = Writer {
            doing: Doing::AskFirst,
            asleep_until: 0,
            most,
            mistake,
        };
        writer.restart();
        writer
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        self.doing = if self.mistake == Some(Mistake::AsksKafkaFirst) {
            Doing::AskFirst
        } else {
            lists(None)
        };
    }

    /// Up to where it believes the chain to be, when it waits for records.
    pub fn position(&self) -> Option<i64> {
        match self.doing {
            Doing::Ready { next, .. } => Some(next),
            _ => None,
        }
    }

    /// Takes the answer to the operation that it wanted.
    pub fn answer(&mut self, request: &Request, reply: Reply) {
        match &mut self.doing {
            Doing::Lists { replies, .. } => replies.push(reply),
            Doing::Appends(appending) => {
                if let Request::Write { path, .. } = request {
                    appending.temporary = Some(path.clone());
                }
                appending.replies.push(reply);
            }
            _ => unreachable!("only the real code wants file operations"),
        }
    }

    /// Goes on up to its next operation, or by a step of its own.
    pub fn go_on(&mut self, raw: &Raw, chain: &ChainPath, kafka: &Kafka) -> Progress {
        let held = (kafka.oldest, kafka.end);
        match &mut self.doing {
            Doing::AskFirst => {
                self.doing = lists(Some(held));
                Progress::Did(Event::Resumed)
            }
            Doing::Lists {
                replies,
                held: known,
            } => {
                let known = *known;
                match advance(None, replies, |files| tail(files, raw, chain)) {
                    Step::Wants(request) => Progress::Wants(request),
                    Step::Finished(Ok(tail)) => match known {
                        Some(held) => self.resume(chain, tail, held),
                        None => {
                            self.doing = Doing::Ask(tail);
                            Progress::Did(Event::Resumed)
                        }
                    },
                    Step::Finished(Err(failure)) if frame::is_person_needed(&failure) => {
                        Progress::Alarm(format!("{failure:#}"))
                    }
                    Step::Finished(Err(failure)) => self.end(&failure),
                }
            }
            Doing::Ask(tail) => {
                let tail = tail.take();
                self.resume(chain, tail, held)
            }
            Doing::Ready { next, handshake } => {
                let (next, handshake) = (*next, *handshake);
                self.batch(chain, kafka, next, handshake)
            }
            Doing::Appends(appending) => {
                let (start, data) = (appending.start, appending.data.clone());
                let temporary = appending.temporary.as_deref();
                let step = advance(temporary, &appending.replies, |files| {
                    append(files, raw, chain, start, data)
                });
                match step {
                    Step::Wants(request) => Progress::Wants(request),
                    Step::Finished(Ok(appended)) => self.appended(appended),
                    Step::Finished(Err(failure)) => self.end(&failure),
                }
            }
        }
    }

    fn end(&mut self, failure: &anyhow::Error) -> Progress {
        self.restart();
        Progress::Ended(failure.root_cause().to_string())
    }

    /// Holds the end of the chain against what Kafka has.
    fn resume(&mut self, chain: &ChainPath, tail: Option<Tail>, (oldest, end): Held) -> Progress {
        let next = match &tail {
            Some(tail) => tail.newest.next,
            None if self.mistake == Some(Mistake::BeginsAtTheOldest) => oldest,
            None => 0,
        };
        if end < next {
            return Progress::Alarm(format!("Kafka ends at {end}, the chain at {next}"));
        }
        if oldest > next {
            let gap = Some("retention".to_owned());
            let data = Encoder::new().and_then(|empty| empty.finish(chain, next, oldest, gap));
            return self.append(next, oldest, true, data.expect("a file"));
        }
        let newest = tail.and_then(|tail| tail.newest_with_records);
        let known = newest.and_then(|footer| footer.last_offset.zip(footer.last_hash));
        let handshake = known.filter(|(offset, _)| *offset >= oldest);
        self.doing = Doing::Ready { next, handshake };
        Progress::Did(Event::Resumed)
    }

    fn batch(
        &mut self,
        chain: &ChainPath,
        kafka: &Kafka,
        next: i64,
        handshake: Option<(i64, u64)>,
    ) -> Progress {
        let from = handshake.map_or(next, |(offset, _)| offset);
        let Some(mut records) = kafka.read(from) else {
            return self.end(&anyhow::anyhow!("Kafka no longer holds {from}"));
        };
        if let Some((offset, known)) = handshake {
            let found = records.next().map(|record| {
                let hash = hash_record(record.timestamp_millis, record.key, record.value);
                (record.offset, hash)
            });
            if found != Some((offset, known)) {
                return Progress::Alarm(format!("another record at {offset}"));
            }
        }
        let mut encoder = Encoder::new().expect("an encoder");
        let mut end = next;
        for record in records.take(self.most) {
            encoder.push(&record).expect("room");
            end = record.offset + 1;
        }
        if end == next {
            return Progress::Waits;
        }
        let data = encoder.finish(chain, next, end, None).expect("a file");
        self.append(next, end, false, data)
    }

    fn append(&mut self, start: i64, next: i64, gap: bool, data: Bytes) -> Progress {
        self.doing = Doing::Appends(Box::new(Appending {
            start,
            next,
            gap,
            data,
            temporary: None,
            replies: Vec::new(),
        }));
        Progress::Did(Event::Batched)
    }

    fn appended(&mut self, appended: Appended) -> Progress {
        let Doing::Appends(appending) = &self.doing else {
            unreachable!("nothing is appended")
        };
        let (next, gap) = (appending.next, appending.gap);
        let heedless = match self.mistake {
            Some(Mistake::IgnoresLostRaces) => true,
            Some(Mistake::IgnoresLostGaps) => gap,
            _ => false,
        };
        if appended == Appended::Won || heedless {
            self.doing = Doing::Ready {
                next,
                handshake: None,
            };
        } else {
            self.restart();
        }
        Progress::Did(match (appended, gap) {
            (Appended::Won, false) => Event::Won,
            (Appended::Won, true) => Event::WonGap,
            (Appended::Lost, false) => Event::Lost,
            (Appended::Lost, true) => Event::LostGap,
        })
    }
}

fn lists(held: Option<Held>) -> Doing {
    Doing::Lists {
        replies: Vec::new(),
        held,
    }
}
