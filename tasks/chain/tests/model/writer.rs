//! A writer: what `archive` does around `tail` and `append`.

use chain::Appended;

use crate::code::{Call, Code, File, Function, Progress, Reply, TAIL};
use crate::protocol::{Begin, Naming, Protocol, ResumeFrom, Vanished};
use crate::world::{Action, Fate, Name, Step, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Writer {
    pub doing: Doing,
    /// Its temporary file; 0 before it is written.
    pub temporary: u8,
    /// What the name holds beside the start.
    extra: u8,
}

/// First and next offset of Kafka, as a writer was told.
pub type Held = (u8, u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doing {
    /// Asks what Kafka holds: after the listing, which found this, or before it.
    AskKafka { listed: Option<Option<u8>> },
    /// In the real `tail`. Knows what Kafka holds if it has asked already.
    Lists { call: Call, held: Option<Held> },
    /// In the real `append`.
    Appends { call: Call, file: File },
    /// Has the chain up to here, and waits for records.
    Ready { next: u8 },
    /// About to fetch the group's offset.
    Fetch,
    /// About to commit the group's offset, before it appends a file or after.
    Commit { next: u8, then: Option<File> },
    /// Ended, and asks for a person.
    Alarm,
}

impl Writer {
    /// Knows nothing.
    pub fn start(protocol: &Protocol) -> Writer {
        let doing = match protocol.resume {
            ResumeFrom::Chain if protocol.kafka_first => Doing::AskKafka { listed: None },
            ResumeFrom::Chain => Doing::Lists {
                call: TAIL,
                held: None,
            },
            ResumeFrom::CommitAfter | ResumeFrom::CommitBefore => Doing::Fetch,
        };
        Writer {
            doing,
            temporary: 0,
            extra: 0,
        }
    }

    /// The file that it is appending.
    pub fn file(&self) -> Option<File> {
        match self.doing {
            Doing::Appends { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The name that it is to have.
    pub fn target(&self) -> Option<Name> {
        self.file().map(|file| (file.start, self.extra))
    }

    /// Up to where it believes the chain to be, when it waits for records.
    pub fn position(&self) -> Option<u8> {
        match self.doing {
            Doing::Ready { next } => Some(next),
            _ => None,
        }
    }

    /// Whether it asks for a person.
    pub fn is_alarmed(&self) -> bool {
        self.doing == Doing::Alarm
    }

    fn becomes(&mut self, doing: Doing) {
        *self = Writer {
            doing,
            temporary: 0,
            extra: 0,
        };
    }
}

/// One writer of a world, going on.
pub struct Turn<'a> {
    pub protocol: &'a Protocol,
    pub most: u8,
    pub code: &'a mut Code,
    pub index: usize,
}

impl Turn<'_> {
    /// What the writer may do next, and what the world is then. First what is most likely.
    pub fn steps(&mut self, world: &World) -> Vec<(Step, World)> {
        let index = self.index;
        let step = |action| Step::Goes(index, action);
        let mut steps = Vec::new();
        match world.writers[index].doing {
            Doing::Lists { call, .. } | Doing::Appends { call, .. } => {
                let wanted = self.code.progress(call);
                for fate in world.fates(wanted, &world.writers[index]) {
                    let mut after = world.clone();
                    self.operate(&mut after, wanted, *fate);
                    steps.push((step(Action::File(wanted, *fate)), after));
                }
            }
            Doing::AskKafka { listed } => {
                let mut after = world.clone();
                let held = (world.oldest, world.log_end);
                match listed {
                    Some(listed) => self.resume(&mut after, listed, held),
                    None => after.writers[index].becomes(Doing::Lists {
                        call: TAIL,
                        held: Some(held),
                    }),
                }
                steps.push((step(Action::AsksKafka), after));
            }
            Doing::Fetch => {
                let mut after = world.clone();
                let next = world.committed;
                after.writers[index].becomes(Doing::Ready { next });
                steps.push((step(Action::FetchesCommitted), after));
            }
            Doing::Commit { next, then } => {
                let mut after = world.clone();
                after.committed = next;
                match then {
                    Some(file) => self.append(&mut after, file),
                    None => after.writers[index].becomes(Doing::Ready { next }),
                }
                steps.push((step(Action::Commits(next)), after));
            }
            Doing::Ready { next } => {
                let there = world.log_end.saturating_sub(next).min(self.most);
                for count in (1..=there).rev() {
                    let mut after = world.clone();
                    self.take(&mut after, next, count);
                    steps.push((step(Action::Takes(count)), after));
                }
            }
            Doing::Alarm => {}
        }
        steps
    }

    fn operate(&mut self, world: &mut World, wanted: Progress, fate: Fate) {
        let other_names = self.protocol.naming != Naming::Start;
        let looks = wanted == Progress::List && other_names;
        if looks && matches!(world.writers[self.index].doing, Doing::Lists { .. }) {
            // other names need another reading of the listing: whatever comes last
            let newest = world.chain.values().map(|file| file.next).max();
            return self.listed(world, newest);
        }
        let reply = match looks {
            // and `append` finds nothing at its position
            true => Reply::Listing(Vec::new()),
            false => world.carry_out(wanted, fate, self.index),
        };
        let (Doing::Lists { call, .. } | Doing::Appends { call, .. }) =
            &mut world.writers[self.index].doing
        else {
            unreachable!("only the real code wants file operations")
        };
        *call = self.code.answer(*call, reply);
        match self.code.progress(*call) {
            Progress::Listed(next) => self.listed(world, next),
            Progress::Appended(appended) => self.appended(world, appended),
            Progress::Failed => world.writers[self.index] = Writer::start(self.protocol),
            _ => {}
        }
    }

    fn listed(&mut self, world: &mut World, listed: Option<u8>) {
        let writer = &mut world.writers[self.index];
        let listed = match writer.doing {
            Doing::Lists {
                held: Some(held), ..
            } => return self.resume(world, listed, held),
            _ => Some(listed),
        };
        writer.becomes(Doing::AskKafka { listed });
    }

    /// Holds the end of the chain against what Kafka has.
    fn resume(&mut self, world: &mut World, listed: Option<u8>, (oldest, end): Held) {
        let next = match (listed, self.protocol.begin) {
            (Some(next), _) => next,
            (None, Begin::Zero) => 0,
            (None, Begin::Oldest) => oldest,
        };
        if end < next {
            world.writers[self.index].becomes(Doing::Alarm);
        } else if oldest > next {
            let gap = File {
                start: next,
                next: oldest,
                gap: true,
            };
            self.append(world, gap);
        } else {
            world.writers[self.index].becomes(Doing::Ready { next });
        }
    }

    fn take(&mut self, world: &mut World, next: u8, count: u8) {
        if next < world.oldest {
            // Kafka refuses: the process ends with an error and is started again
            world.writers[self.index] = Writer::start(self.protocol);
            return;
        }
        let file = File {
            start: next,
            next: next + count,
            gap: false,
        };
        if self.protocol.resume == ResumeFrom::CommitBefore {
            world.writers[self.index].becomes(Doing::Commit {
                next: file.next,
                then: Some(file),
            });
        } else {
            self.append(world, file);
        }
    }

    fn append(&mut self, world: &mut World, file: File) {
        let call = self.code.begin(Function::Append(file));
        let writer = &mut world.writers[self.index];
        writer.becomes(Doing::Appends { call, file });
        writer.extra = match self.protocol.naming {
            Naming::Start => 0,
            Naming::StartAndEnd => file.next,
            Naming::Random => 1 + 2 * world.chain.len() as u8 + self.index as u8,
            Naming::DayAndStart => world.day,
        };
    }

    fn appended(&mut self, world: &mut World, appended: Appended) {
        let writer = &world.writers[self.index];
        let Doing::Appends { call, file } = writer.doing else {
            unreachable!("nothing is appended")
        };
        let replies = self.code.replies(call);
        let vanished = matches!(
            replies,
            [
                ..,
                Reply::Exists(true),
                Reply::Exists(false),
                Reply::Data(_)
            ]
        );
        let trusted = vanished && self.protocol.vanished == Vanished::Trust;
        let won = appended == Appended::Won || trusted;
        let next = file.next;
        let then = None;
        let writer = &mut world.writers[self.index];
        if won && self.protocol.resume == ResumeFrom::CommitAfter {
            writer.becomes(Doing::Commit { next, then });
        } else if won || (file.gap && self.protocol.ignore_lost_gap) {
            writer.becomes(Doing::Ready { next });
        } else {
            *writer = Writer::start(self.protocol);
        }
    }
}
