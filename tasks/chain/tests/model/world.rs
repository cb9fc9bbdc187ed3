//! All that there is at one moment: files, Kafka, two writers, and what may still go wrong.

use std::collections::BTreeMap;

use crate::code::{File, Progress, Reply};
use crate::invariants::{self, Link};
use crate::protocol::{Bounds, Naming, Protocol};
use crate::writer::Writer;

/// A name in the chain's directory: the start, and what else the naming puts into it.
pub type Name = (u8, u8);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub chain: BTreeMap<Name, File>,
    /// Temporary files that still matter, by a number that stands for the name.
    pub temporaries: BTreeMap<u8, File>,
    /// Renames that nobody waits for any more, and that may still be carried out.
    pub late: Vec<(u8, Name)>,
    pub writers: [Writer; 2],
    /// The offset that Kafka gives next.
    pub log_end: u8,
    /// The oldest offset that Kafka holds.
    pub oldest: u8,
    /// The group's offset.
    pub committed: u8,
    /// Only a naming by days asks.
    pub day: u8,
    crashes_left: u8,
    faults_left: u8,
    retentions_left: u8,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A writer goes on: with a file operation, a question to Kafka, or its own business.
    Goes(usize, Action),
    /// A writer is killed and started again.
    Crashes(usize),
    /// A record comes.
    Grows,
    /// Retention takes the oldest record.
    Forgets,
    /// A rename is carried out that nobody waits for any more.
    Lands(u8, Name),
    /// A temporary file is swept.
    Sweeps(u8),
    /// The day changes.
    Midnight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    File(Progress, Fate),
    AsksKafka,
    FetchesCommitted,
    Takes(u8),
    Commits(u8),
}

/// What becomes of a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    ReplyLost,
    RequestLost,
    RequestLate,
}

impl Step {
    /// Whether it happens without anything going wrong.
    pub fn is_plain(self) -> bool {
        match self {
            Step::Goes(_, Action::File(_, fate)) => fate == Fate::Answered,
            Step::Goes(..) | Step::Grows => true,
            _ => false,
        }
    }
}

impl World {
    pub fn new(protocol: &Protocol, bounds: &Bounds) -> World {
        World {
            chain: BTreeMap::new(),
            temporaries: BTreeMap::new(),
            late: Vec::new(),
            writers: [Writer::start(protocol), Writer::start(protocol)],
            log_end: 1,
            oldest: 0,
            committed: 0,
            day: 0,
            crashes_left: bounds.crashes,
            faults_left: bounds.faults,
            retentions_left: bounds.retentions,
        }
    }

    /// What else than a writer's going on may happen, and what the world is then.
    pub fn events(&self, protocol: &Protocol, bounds: &Bounds) -> Vec<(Step, World)> {
        let mut events = Vec::new();
        let mut add = |step, change: &dyn Fn(&mut World)| {
            let mut after = self.clone();
            change(&mut after);
            events.push((step, after));
        };
        if self.log_end < bounds.records {
            add(Step::Grows, &|world| world.log_end += 1);
        }
        if self.retentions_left > 0 && self.oldest < self.log_end {
            add(Step::Forgets, &|world| {
                world.retentions_left -= 1;
                world.oldest += 1;
            });
        }
        if protocol.naming == Naming::DayAndStart && self.day == 0 {
            add(Step::Midnight, &|world| world.day = 1);
        }
        for (temporary, name) in &self.late {
            add(Step::Lands(*temporary, *name), &|world| {
                world.late.retain(|late| late != &(*temporary, *name));
                world.rename(*temporary, *name);
            });
        }
        if protocol.sweep && self.faults_left > 0 {
            for temporary in self.temporaries.keys() {
                add(Step::Sweeps(*temporary), &|world| {
                    world.faults_left -= 1;
                    world.temporaries.remove(temporary);
                });
            }
        }
        if self.crashes_left > 0 {
            for writer in 0..self.writers.len() {
                if self.writers[writer].doing != Writer::start(protocol).doing {
                    add(Step::Crashes(writer), &|world| {
                        world.crashes_left -= 1;
                        world.writers[writer] = Writer::start(protocol);
                    });
                }
            }
        }
        events
    }

    /// The fates that make a difference to a file operation.
    pub fn fates(&self, wanted: Progress, writer: &Writer) -> &'static [Fate] {
        let possible = self.temporaries.contains_key(&writer.temporary)
            && writer
                .target()
                .is_some_and(|name| !self.chain.contains_key(&name));
        if wanted == Progress::Rename && possible && self.faults_left > 0 {
            return &[
                Fate::Answered,
                Fate::ReplyLost,
                Fate::RequestLost,
                Fate::RequestLate,
            ];
        }
        // a refusal tells no more than no reply does
        &[Fate::Answered]
    }

    /// Carries out a file operation of a writer.
    pub fn carry_out(&mut self, wanted: Progress, fate: Fate, index: usize) -> Reply {
        let writer = &self.writers[index];
        let (temporary, target) = (writer.temporary, writer.target());
        match wanted {
            Progress::List => Reply::Listing(self.chain.values().copied().collect()),
            Progress::Read(start) => Reply::Data(self.chain[&target.unwrap_or((start, 0))]),
            Progress::Write => {
                let file = writer.file().expect("a file to write");
                let free = self.free_number();
                self.temporaries.insert(free, file);
                self.writers[index].temporary = free;
                Reply::Done
            }
            Progress::LookAtTemporary => Reply::Exists(self.temporaries.contains_key(&temporary)),
            Progress::LookAtTarget => {
                Reply::Exists(target.is_some_and(|name| self.chain.contains_key(&name)))
            }
            Progress::Delete => {
                self.temporaries.remove(&temporary);
                Reply::Done
            }
            Progress::Rename => {
                let name = target.expect("a target");
                self.faults_left -= u8::from(fate != Fate::Answered);
                match fate {
                    Fate::Answered if self.rename(temporary, name) => return Reply::Done,
                    Fate::ReplyLost => drop(self.rename(temporary, name)),
                    Fate::RequestLate => self.late.push((temporary, name)),
                    Fate::Answered | Fate::RequestLost => {}
                }
                Reply::Unclear
            }
            Progress::Listed(_) | Progress::Appended(_) | Progress::Failed => {
                unreachable!("no file operation")
            }
        }
    }

    /// What HDFS does: nothing, when the target is taken or the source is not there.
    fn rename(&mut self, temporary: u8, name: Name) -> bool {
        if self.chain.contains_key(&name) {
            return false;
        }
        let Some(file) = self.temporaries.remove(&temporary) else {
            return false;
        };
        self.chain.insert(name, file);
        true
    }

    /// A number that nothing refers to: as good as a name that was never used.
    fn free_number(&self) -> u8 {
        let taken = |number: &u8| {
            self.temporaries.contains_key(number)
                || self
                    .writers
                    .iter()
                    .any(|writer| writer.temporary == *number)
                || self.late.iter().any(|(temporary, _)| temporary == number)
        };
        (1..).find(|number| !taken(number)).expect("a number")
    }

    /// Leaves out what can have no effect any more, so that equal worlds are equal.
    pub fn tidy(&mut self) {
        let World {
            chain,
            temporaries,
            late,
            writers,
            ..
        } = self;
        late.retain(|(temporary, name)| {
            temporaries.contains_key(temporary) && !chain.contains_key(name)
        });
        late.sort_unstable();
        temporaries.retain(|number, _| {
            writers.iter().any(|writer| writer.temporary == *number)
                || late.iter().any(|(temporary, _)| temporary == number)
        });
    }

    /// Whether nothing more is to come, and every writer believes to have it all.
    pub fn is_quiet(&self, bounds: &Bounds) -> bool {
        let waits = |writer: &Writer| writer.position().is_some_and(|next| next >= self.log_end);
        self.log_end == bounds.records && self.writers.iter().all(waits)
    }

    /// Whether all is well.
    pub fn check(&self, bounds: &Bounds) -> Result<(), String> {
        let record = |offset: u8| (i64::from(offset), ());
        let log: Vec<(i64, ())> = (0..self.log_end).map(record).collect();
        let links: Vec<Link<()>> = self
            .chain
            .values()
            .map(|file| Link {
                start: i64::from(file.start),
                next: i64::from(file.next),
                gap: file.gap,
                records: (file.start..file.next)
                    .filter(|_| !file.gap)
                    .map(record)
                    .collect(),
            })
            .collect();
        invariants::check(&links, &log, i64::from(self.oldest))?;
        if self.writers.iter().any(Writer::is_alarmed) {
            return Err("a false alarm: the topic is said to be made anew".to_owned());
        }
        if self.is_quiet(bounds) {
            let positions = self.writers.iter().filter_map(Writer::position);
            let positions: Vec<i64> = positions.map(i64::from).collect();
            invariants::check_complete(&links, i64::from(self.log_end), &positions)?;
        }
        Ok(())
    }
}
