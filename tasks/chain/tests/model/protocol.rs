//! The protocol, and what it could have been instead.

/// What decides whether two writers can share a chain.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// What the name of a file holds.
    pub naming: Naming,
    /// How a writer learns where to go on.
    pub resume: ResumeFrom,
    /// What Kafka holds is asked for before the chain is listed, not after.
    pub kafka_first: bool,
    /// Where the first file of a chain starts when retention has taken records before it.
    pub begin: Begin,
    /// A writer that lost the race for a gap goes on behind it, without listing again.
    pub ignore_lost_gap: bool,
    /// After an unclear rename the position is taken and the temporary file gone.
    pub vanished: Vanished,
    /// Temporary files may be swept while their writer lives.
    pub sweep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The start position.
    Start,
    /// The start and the end.
    StartAndEnd,
    /// A new name each time.
    Random,
    /// The start, in a directory of the day.
    DayAndStart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeFrom {
    /// The newest file of the chain.
    Chain,
    /// The group's offset, committed after the rename.
    CommitAfter,
    /// The group's offset, committed when the records were read.
    CommitBefore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At 0, with a gap: all writers agree on the first name.
    Zero,
    /// At the oldest record that Kafka holds just then.
    Oldest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vanished {
    /// It must have been renamed: won.
    Trust,
    /// Won if the file at the position is the one that was written. What `append` does.
    Compare,
}

/// What `archive` must do.
pub const SAFE: Protocol = Protocol {
    naming: Naming::Start,
    resume: ResumeFrom::Chain,
    kafka_first: false,
    begin: Begin::Zero,
    ignore_lost_gap: false,
    vanished: Vanished::Compare,
    sweep: true,
};

/// How much of it is explored.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records that Kafka comes to hold.
    pub records: u8,
    /// The most records that each writer takes into a file.
    pub batches: [u8; 2],
    /// Crashes, of both writers together.
    pub crashes: u8,
    /// Renames whose request or reply is lost or late, and swept files.
    pub faults: u8,
    /// How often retention takes the oldest record.
    pub retentions: u8,
}
