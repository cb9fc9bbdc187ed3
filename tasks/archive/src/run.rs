//! The loop: poll, batch, write, rename, commit.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use chain::{Appended, Hdfs, Raw, Record, newest_epoch, sweep};
use frame::{Outcome, Progress, Stop, failpoint};
use log::{info, warn};
use metrics::{counter, gauge};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde::Serialize;

use crate::assignment::{Assignment, ChainConsumer, Change, consumer};
use crate::batch::{Batch, Committed};
use crate::options::Options;

/// How long a poll waits: the tick of ages, ends and signals.
const TICK: Duration = Duration::from_millis(100);

/// How often, and after how many bytes at the latest, a busy loop looks whether a file is to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_AFTER_BYTES: usize = 256 << 10;

/// How often the group's offsets are committed again.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// The summary line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    epoch: u32,
    partitions: usize,
    records: u64,
    files: u64,
    file_bytes: u64,
    payload_bytes: u64,
    lost_races: u64,
    caught_up: bool,
}

/// Archives until caught up, or until told to end.
pub fn run(options: &Options, hdfs: Hdfs, stop: &Stop) -> anyhow::Result<Outcome> {
    let hdfs = Arc::new(hdfs);
    let raw = Raw::new(&options.hdfs.raw_root);
    let topic = &options.kafka.kafka_topic;
    let newest = newest_epoch(&*hdfs, &raw, topic)?;
    let epoch = options.new_epoch.unwrap_or(newest);
    if epoch == newest + 1 {
        info!("epoch {epoch} of {topic} begins");
    } else if epoch != newest {
        return Err(frame::person_needed(format!(
            "--new-epoch {epoch}: the newest epoch of {topic} is {newest}, so the one to begin is {}",
            newest + 1
        )));
    }
    frame::reads(options.kafka.dataset());
    frame::writes(options.hdfs.dataset(topic), "/records");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    sweep(&*hdfs, &raw, now.as_millis() as u64)?;
    let assignment = Assignment::new(options, Arc::clone(&hdfs), raw.clone(), epoch);
    let consumer = consumer(&options.kafka, options, assignment)?;
    let partitions = options.kafka.partitions(consumer.client())?;
    let (ended, endings) = channel();
    let mut archive = Archive {
        options,
        hdfs: &hdfs,
        raw: &raw,
        consumer: &consumer,
        batches: BTreeMap::new(),
        ending: BTreeMap::new(),
        positions: BTreeMap::new(),
        said: Instant::now(),
        looked: Instant::now(),
        taken_bytes: 0,
        ended,
        endings,
        ends: BTreeMap::new(),
        open_ends: BTreeSet::new(),
        progress: Progress::new(None, "records"),
        summary: Summary {
            topic: topic.clone(),
            epoch,
            partitions: partitions.len(),
            ..Summary::default()
        },
    };
    if options.follow {
        consumer.subscribe(&[topic])?;
    } else {
        archive.take_all(&partitions)?;
    }
    loop {
        while !stop.is_set() && !archive.caught_up() {
            archive.step()?;
        }
        let rest: Vec<i32> = archive.batches.keys().copied().collect();
        archive.commit(&rest)?;
        // a race that was lost at the very end opens its partition again
        if stop.is_set() || archive.caught_up() {
            break;
        }
    }
    archive.summary.caught_up = archive.caught_up();
    Outcome::done(&archive.summary)
}

struct Archive<'a> {
    options: &'a Options,
    hdfs: &'a Arc<Hdfs>,
    raw: &'a Raw,
    consumer: &'a ChainConsumer,
    /// What each partition is filling.
    batches: BTreeMap<i32, Batch>,
    /// Memory of the file that each partition is ending, in a thread: closing one takes half a
    /// second, in which the next one fills. One at a time, because each begins where the last ends.
    ending: BTreeMap<i32, usize>,
    /// Where the chain of each partition ends, as far as this run has written it.
    positions: BTreeMap<i32, i64>,
    /// When these were last committed for the group.
    said: Instant,
    /// When the loop last looked whether a file is to end, and bytes taken in since.
    looked: Instant,
    taken_bytes: usize,
    ended: Sender<Ended>,
    endings: Receiver<Ended>,
    /// Where each partition ended when the run started; none under --follow.
    ends: BTreeMap<i32, i64>,
    /// Partitions that have not come to that end yet.
    open_ends: BTreeSet<i32>,
    progress: Progress,
    summary: Summary,
}

/// A file of this partition came to its end.
type Ended = (i32, anyhow::Result<Committed>);

impl Archive<'_> {
    /// Takes every partition, up to where it ends now.
    fn take_all(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        let assignment = self.consumer.context();
        let mut resumes = Vec::new();
        let mut lag = 0;
        for partition in partitions {
            let (resume, held) = assignment.resume(self.consumer, *partition)?;
            lag += (held.next - resume.next).max(0) as u64;
            self.ends.insert(*partition, held.next);
            // a chain that is level with Kafka still shakes hands
            if resume.consume_from() < held.next {
                self.open_ends.insert(*partition);
            }
            resumes.push(resume);
        }
        info!("{} partitions, {lag} records behind", partitions.len());
        self.progress = Progress::new(Some(lag), "records");
        self.consumer.assign(&assignment.start_offsets(&resumes)?)?;
        for resume in resumes {
            self.batches
                .insert(resume.chain.partition, Batch::resume(resume)?);
        }
        Ok(())
    }

    fn caught_up(&self) -> bool {
        !self.options.follow && self.open_ends.is_empty()
    }

    /// One record, or one tick without.
    fn step(&mut self) -> anyhow::Result<()> {
        let mut busy = false;
        match self.consumer.poll(TICK) {
            Some(Ok(message)) => {
                self.take(&message)?;
                self.taken_bytes += message.payload_len() + message.key_len();
                busy = true;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                // no more for now, so everything up to the end as it was has been taken in
                self.open_ends.remove(&partition);
            }
            Some(Err(failure)) => self.weigh(failure)?,
            None => {}
        }
        for change in self.consumer.context().take_changes() {
            self.apply(change)?;
        }
        // every record would pay for locks and clocks
        if busy && self.taken_bytes < LOOK_AFTER_BYTES && self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        (self.looked, self.taken_bytes) = (Instant::now(), 0);
        self.take_ended()?;
        if self.said.elapsed() >= SAY_AGAIN {
            self.commit_positions()?;
        }
        self.commit_due()
    }

    /// An error of Kafka. A follower waits for brokers that are away, as librdkafka does; a run
    /// that is to end, ends.
    fn weigh(&self, failure: KafkaError) -> anyhow::Result<()> {
        let away = matches!(
            failure.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::Resolve
            )
        );
        if away && self.options.follow {
            self.consumer.context().complain(&failure.to_string());
            return Ok(());
        }
        let servers = &self.options.kafka.kafka_bootstrap_servers;
        Err(broker::explain(failure, servers))
            .with_context(|| format!("cannot read from Kafka: {}", self.options.kafka.no_answer()))
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        failpoint("archive.after_poll");
        let partition = message.partition();
        let end = self.ends.get(&partition).copied().unwrap_or(i64::MAX);
        // a partition that was taken away may still have had records in the queue
        let Some(batch) = self.batches.get_mut(&partition) else {
            return Ok(());
        };
        if message.offset() < end {
            batch.push(&Record {
                offset: message.offset(),
                timestamp_millis: message.timestamp().to_millis().unwrap_or(-1),
                key: message.key(),
                value: message.payload(),
            })?;
        }
        if message.offset() + 1 >= end && self.open_ends.remove(&partition) {
            // what comes after the end is for the next run
            let mut list = TopicPartitionList::new();
            list.add_partition(message.topic(), partition);
            self.consumer.pause(&list)?;
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Assigned(resumes) => {
                for resume in resumes {
                    let partition = resume.chain.partition;
                    info!("partition {partition}: from {}", resume.next);
                    // what the group knows may be older: the last commit before this rebalance was refused, or
                    // the chain was written by others. Without a new record nothing else would tell it.
                    self.positions.insert(partition, resume.next);
                    self.batches.insert(partition, Batch::resume(resume)?);
                }
                Ok(())
            }
            Change::Revoked(partitions) => {
                info!("partitions {partitions:?} go to another follower");
                // the new owner may be faster; then the chain refuses these files
                self.wait_for(&partitions)?;
                self.end_files(&partitions)?;
                for partition in &partitions {
                    self.batches.remove(partition);
                }
                self.wait_for(&partitions)?;
                self.positions
                    .retain(|partition, _| !partitions.contains(partition));
                Ok(())
            }
            Change::Failed(failure) => Err(failure),
        }
    }

    /// Ends files that are full or old enough, and the fullest when memory runs out.
    fn commit_due(&mut self) -> anyhow::Result<()> {
        let flush_bytes = self.options.flush_bytes();
        let flush_age = self.options.flush_age();
        let filling: usize = self.batches.values().map(Batch::held_bytes).sum();
        let held = filling + self.ending.values().sum::<usize>();
        let short = held > self.options.batch_bytes();
        let full = |batch: &Batch| batch.payload_bytes() >= flush_bytes || batch.age() >= flush_age;
        // what may end now: one file of a partition at a time
        let ready = || {
            let held = self.batches.iter();
            held.filter(|(partition, batch)| {
                !batch.is_empty() && !self.ending.contains_key(partition)
            })
        };
        let any_full = ready().any(|(_, batch)| full(batch));
        // one that is full while the file before it is still ending may grow, but not for ever
        let overfull = self.batches.iter().any(|(partition, batch)| {
            self.ending.contains_key(partition) && batch.payload_bytes() >= 2 * flush_bytes
        });
        if !any_full && !short && !overfull {
            return Ok(());
        }
        // those that are half full go along with a full one: fewer moments in which a kill repeats work
        let fullest = ready()
            .max_by_key(|(_, batch)| batch.held_bytes())
            .map(|(partition, _)| *partition);
        let due: Vec<i32> = ready()
            .filter(|(partition, batch)| {
                full(batch)
                    || (any_full && batch.payload_bytes() >= flush_bytes / 2)
                    || (short && Some(**partition) == fullest)
            })
            .map(|(partition, _)| *partition)
            .collect();
        let waits = overfull || (short && due.is_empty());
        self.end_files(&due)?;
        if waits {
            // nothing more is taken in before one of them has made room
            self.wait_for_one()?;
        }
        Ok(())
    }

    /// Ends the files of these partitions, and waits until each is in its chain or lost its race.
    fn commit(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        self.wait_for(partitions)?;
        self.end_files(partitions)?;
        self.wait_for(partitions)
    }

    /// Waits until no file of these partitions is ending.
    fn wait_for(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        while partitions
            .iter()
            .any(|partition| self.ending.contains_key(partition))
        {
            self.wait_for_one()?;
        }
        Ok(())
    }

    /// Begins to end the files of these partitions, side by side, and begins the next of each.
    fn end_files(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        for partition in partitions {
            let Some(batch) = self.batches.remove(partition) else {
                continue;
            };
            if batch.is_empty() {
                self.batches.insert(*partition, batch);
                continue;
            }
            self.batches.insert(*partition, batch.following()?);
            self.ending.insert(*partition, batch.held_bytes());
            let (hdfs, raw) = (Arc::clone(self.hdfs), self.raw.clone());
            let (partition, ended) = (*partition, self.ended.clone());
            std::thread::Builder::new()
                .name(format!("file-{partition}"))
                .spawn(move || {
                    let work = AssertUnwindSafe(|| batch.commit(&*hdfs, &raw));
                    let result = catch_unwind(work)
                        .unwrap_or_else(|_| Err(anyhow::anyhow!("a writer panicked")));
                    // the loop has ended with an error of its own: the next run finds what became of it
                    let _ = ended.send((partition, result));
                })
                .context("cannot start a thread")?;
        }
        Ok(())
    }

    /// Waits until one more file has ended, if one is ending.
    fn wait_for_one(&mut self) -> anyhow::Result<()> {
        if self.ending.is_empty() {
            return Ok(());
        }
        let first = self.endings.recv().context("no file is ending")?;
        self.account_for(first)?;
        self.take_ended()
    }

    /// Takes note of the files that have ended.
    fn take_ended(&mut self) -> anyhow::Result<()> {
        while let Ok(ended) = self.endings.try_recv() {
            self.account_for(ended)?;
        }
        Ok(())
    }

    fn account_for(&mut self, (partition, result): Ended) -> anyhow::Result<()> {
        self.ending.remove(&partition);
        let mut failure = None;
        match result {
            Ok(committed) => self.account(&committed)?,
            Err(error) => failure = Some(error),
        }
        // every file that got through is accounted for before a failure ends the run
        if failure.is_some() {
            while !self.ending.is_empty() {
                let (partition, result) = self.endings.recv().context("no file is ending")?;
                self.ending.remove(&partition);
                if let Ok(committed) = result {
                    self.account(&committed)?;
                }
            }
        }
        self.commit_positions()?;
        failure.map_or(Ok(()), Err)
    }

    /// Commits the group's offsets, for lag monitoring alone: nobody resumes from them. One that is
    /// overtaken by a rebalance is refused, and nobody tells: so they are committed again.
    fn commit_positions(&mut self) -> anyhow::Result<()> {
        self.said = Instant::now();
        if self.positions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in &self.positions {
            let topic = &self.options.kafka.kafka_topic;
            list.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
        }
        failpoint("archive.before_group_commit");
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            warn!("the group's offsets are not up to date: {error}");
        }
        failpoint("archive.after_group_commit");
        Ok(())
    }

    fn account(&mut self, committed: &Committed) -> anyhow::Result<()> {
        let partition = committed.chain.partition;
        if committed.appended == Appended::Lost {
            self.summary.lost_races += 1;
            warn!(
                "partition {partition}: another writer was faster at {}",
                committed.start
            );
            // of a partition that went to another follower nothing more is to be read
            return if self.batches.contains_key(&partition) {
                self.resume_again(partition)
            } else {
                Ok(())
            };
        }
        counter!("pipeline_records_total").increment(committed.records);
        counter!("pipeline_files_total").increment(1);
        self.show_lag(partition, committed.next);
        self.summary.records += committed.records;
        self.summary.files += 1;
        self.summary.file_bytes += committed.file_bytes;
        self.summary.payload_bytes += committed.payload_bytes;
        self.progress.batch(
            committed.records,
            format_args!(
                "partition {partition}: {} records {}..{} in {} KiB",
                committed.records,
                committed.start,
                committed.next,
                committed.file_bytes >> 10
            ),
        );
        self.positions.insert(partition, committed.next);
        Ok(())
    }

    /// How far the chain is behind the end of the partition.
    fn show_lag(&self, partition: i32, next: i64) {
        let topic = &self.options.kafka.kafka_topic;
        let end = self.ends.get(&partition).copied().or_else(|| {
            // a question to the broker for each file: one every few seconds
            let held = self.consumer.fetch_watermarks(topic, partition, TICK);
            held.ok().map(|(_, next)| next)
        });
        if let Some(end) = end {
            let label = partition.to_string();
            gauge!("pipeline_lag_records", "partition" => label).set((end - next).max(0) as f64);
        }
    }

    /// Another writer holds the position: on from the end of the chain as it is now.
    fn resume_again(&mut self, partition: i32) -> anyhow::Result<()> {
        let assignment = self.consumer.context();
        let (resume, _) = assignment.resume(self.consumer, partition)?;
        let end = self.ends.get(&partition).copied();
        if end.is_some_and(|end| resume.next >= end) {
            self.open_ends.remove(&partition);
        } else {
            if end.is_some() {
                self.open_ends.insert(partition);
            }
            let offsets = assignment.start_offsets([&resume])?;
            self.consumer
                .seek_partitions(offsets.clone(), self.options.kafka.timeout())?;
            self.consumer.resume(&offsets)?;
        }
        self.batches.insert(partition, Batch::resume(resume)?);
        Ok(())
    }
}
