//! One seed: writers, Kafka and HDFS, the weather they meet, and the good weather after it.

use std::collections::BTreeMap;

use chain::{ChainPath, Raw};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::Mistake;
use crate::invariants::{check, check_complete};
use crate::kafka::Kafka;
use crate::stepping::{Reply, Request};
use crate::storage::{Fate, Storage};
use crate::weather::Weather;
use crate::writer::{Event, Progress, Writer};

/// How many turns good weather may take to get everything done.
const PATIENCE: u32 = 5_000;

/// What happened, and how often.
pub type Tally = BTreeMap<String, u64>;

/// Runs one seed.
pub struct World {
    raw: Raw,
    chain: ChainPath,
    rng: ChaCha8Rng,
    kafka: Kafka,
    storage: Storage,
    writers: Vec<Writer>,
    turn: u32,
    pub tally: Tally,
    /// What happened, in order, when somebody wants to read it.
    pub history: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, mistake: Option<Mistake>) -> World {
        let raw = Raw::new("/raw");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let writers = (0..rng.random_range(2..=3))
            .map(|_| Writer::new(rng.random_range(1..=6), mistake))
            .collect();
        World {
            chain: raw.chain("LogEvents", 0, 0),
            raw,
            kafka: Kafka::new(),
            storage: Storage::new(mistake == Some(Mistake::RenameOverwrites)),
            writers,
            turn: 0,
            tally: Tally::new(),
            history: None,
            rng,
        }
    }

    /// Bad weather, then good weather, then a second run that must change nothing.
    pub fn run(&mut self) -> Result<(), String> {
        let weather = Weather::new(&mut self.rng);
        for _ in 0..self.rng.random_range(40..160) {
            self.take_turn(&weather)?;
        }
        self.heal()?;
        let files = self.storage.links();
        for writer in &mut self.writers {
            writer.restart();
        }
        self.heal()?;
        if self.storage.links() != files {
            return Err("I5: running again changed the chain".to_owned());
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), String> {
        self.note("weather", || "turns good".to_owned());
        for writer in &mut self.writers {
            writer.asleep_until = 0;
        }
        let weather = Weather::good();
        let limit = self.turn + PATIENCE;
        let end = self.kafka.end;
        while self
            .writers
            .iter()
            .any(|writer| writer.position() < Some(end))
        {
            if self.turn == limit {
                return Err(format!(
                    "I8: not done after {PATIENCE} turns of good weather"
                ));
            }
            self.take_turn(&weather)?;
        }
        let positions: Vec<i64> = self.writers.iter().filter_map(Writer::position).collect();
        check_complete(&self.storage.links(), end, &positions)
    }

    /// Counts what happened, and writes it down if somebody wants to read it.
    fn note(&mut self, what: &str, text: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            history.push(format!("{:4} {what} {}", self.turn, text()));
        }
        match self.tally.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.tally.insert(what.to_owned(), 1)),
        }
    }

    fn happens(&mut self, rate: f64) -> bool {
        self.rng.random_bool(rate)
    }

    fn take_turn(&mut self, weather: &Weather) -> Result<(), String> {
        self.turn += 1;
        if self.happens(weather.grow) {
            self.kafka.grow(&mut self.rng);
            let end = self.kafka.end;
            self.note("kafka grows", || format!("to {end}"));
        }
        if self.happens(weather.forget) {
            self.kafka.forget(&mut self.rng);
            let oldest = self.kafka.oldest;
            self.note("kafka forgets", || format!("up to {oldest}"));
        }
        if self.happens(weather.land) && self.storage.land().map_err(|e| format!("{e:#}"))? {
            self.note("a late rename lands", String::new);
            self.check()?;
        }
        let index = self.rng.random_range(0..self.writers.len());
        if self.writers[index].asleep_until > self.turn {
            return Ok(());
        }
        if self.happens(weather.sleep) {
            let turns = self.rng.random_range(1..60);
            self.writers[index].asleep_until = self.turn + turns;
            self.note("a writer is halted", || {
                format!("{index} for {turns} turns")
            });
            return Ok(());
        }
        if self.happens(weather.die) {
            self.writers[index].restart();
            self.note("a writer dies", || format!("{index}"));
            return Ok(());
        }
        let writer = &mut self.writers[index];
        match writer.go_on(&self.raw, &self.chain, &self.kafka) {
            Progress::Wants(request) => self.operate(weather, index, &request),
            Progress::Did(event) => {
                let position = self.writers[index].position();
                self.note(name(event), || format!("{index}, now at {position:?}"));
                Ok(())
            }
            Progress::Waits => Ok(()),
            Progress::Ended(why) => {
                self.note("a writer ends and is started again", || {
                    format!("{index}: {why}")
                });
                Ok(())
            }
            Progress::Alarm(why) => Err(format!("writer {index} asks for a person: {why}")),
        }
    }

    fn operate(
        &mut self,
        weather: &Weather,
        index: usize,
        request: &Request,
    ) -> Result<(), String> {
        let fate = weather.fate(&mut self.rng, request);
        // a writer may be halted for a day before it looks
        if matches!(request, Request::Exists(path) if path.starts_with("/raw/_tmp/"))
            && self.rng.random_bool(weather.sweep)
        {
            self.note("a living writer's file is swept", String::new);
            self.storage.sweep().map_err(|e| format!("{e:#}"))?;
        }
        let reply = self.storage.carry_out(request, fate);
        let reply = reply.map_err(|failure| format!("{failure:#}"))?;
        let what = match fate {
            Fate::Answered => "operation",
            Fate::Refused => "operation refused",
            Fate::ReplyLost => "reply lost",
            Fate::RequestLost => "request lost",
            Fate::RequestLate => "request late",
            Fate::CutShort => "a writer dies in a write",
        };
        self.note(what, || {
            format!("{index}: {}: {}", shown(request), shown_reply(&reply))
        });
        if fate == Fate::CutShort {
            self.writers[index].restart();
        } else {
            self.writers[index].answer(request, reply);
        }
        match request {
            Request::Rename { .. } | Request::Delete(_) => self.check(),
            _ => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), String> {
        if self.storage.look(&self.chain)? {
            check(&self.storage.links(), self.kafka.log(), self.kafka.oldest)?;
        }
        Ok(())
    }
}

fn name(event: Event) -> &'static str {
    match event {
        Event::Resumed => "resumes",
        Event::Batched => "has a file to append",
        Event::Won => "won",
        Event::WonGap => "won a gap",
        Event::Lost => "lost a race",
        Event::LostGap => "lost the race for a gap",
    }
}

/// An operation, without names that differ from run to run.
fn shown(request: &Request) -> String {
    let short = |path: &str| match path.rsplit_once('/') {
        Some(("/raw/_tmp", _)) => "its temporary file".to_owned(),
        Some((_, name)) => name.trim_start_matches('0').to_owned(),
        None => path.to_owned(),
    };
    match request {
        Request::List(_) => "list".to_owned(),
        Request::Exists(path) => format!("look for {}", short(path)),
        Request::Read { path, .. } => format!("read {}", short(path)),
        Request::Write { data, .. } => format!("write {} bytes", data.len()),
        Request::Rename { target, .. } => format!("rename to {}", short(target)),
        Request::Delete(path) => format!("delete {}", short(path)),
    }
}

fn shown_reply(reply: &Reply) -> String {
    match reply {
        Reply::Listing(stored) => format!("{} files", stored.len()),
        Reply::Exists(there) => format!("{there}"),
        Reply::Data(data) => format!("{} bytes", data.len()),
        Reply::Done => "done".to_owned(),
        Reply::Unclear => "unclear".to_owned(),
        Reply::Failed => "failed".to_owned(),
    }
}
