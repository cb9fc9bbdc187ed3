//! What the audit says of one raw file in one store.

/// Where records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// The raw files themselves.
    Chain,
    /// The topic.
    Kafka,
    /// `raw.log_event` and `raw.reject`.
    Postgres,
    /// `ecomm_log` and `rejected_log`.
    Cassandra,
    /// `ecomm_by_minute`; the unit is a block of offsets, and only a full audit looks.
    Minutes,
    /// `marts.fact_event`.
    Star,
}

impl Store {
    /// Every store, in the order in which records come to them.
    pub const ALL: [Store; 6] = [
        Store::Chain,
        Store::Kafka,
        Store::Postgres,
        Store::Cassandra,
        Store::Minutes,
        Store::Star,
    ];

    /// Those that are compared file by file.
    pub const BY_FILE: [Store; 5] = [
        Store::Chain,
        Store::Kafka,
        Store::Postgres,
        Store::Cassandra,
        Store::Star,
    ];

    /// The name in `ops.audit`.
    pub fn name(self) -> &'static str {
        match self {
            Store::Chain => "chain",
            Store::Kafka => "kafka",
            Store::Postgres => "postgres",
            Store::Cassandra => "cassandra",
            Store::Minutes => "minutes",
            Store::Star => "star",
        }
    }

    /// The store of that name.
    pub fn from_name(name: &str) -> Option<Store> {
        Store::ALL.into_iter().find(|store| store.name() == name)
    }
}

/// How a store compares with the raw file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Record by record the same.
    Ok,
    /// Retention or a time to live has taken all or some of it; the rest is the same.
    Expired,
    /// Records that an operator accepted as lost.
    Gap,
    /// A difference that an operator accepted.
    Accepted,
    /// Not there yet: looked at again next time.
    Pending,
    /// A reject that the parser of this version takes for an event, or for another reject.
    Replay,
    /// The raw file cannot be read, and the ledger says so.
    Quarantined,
    /// Nothing explains the difference.
    Different,
}

impl State {
    /// Every state.
    pub const ALL: [State; 8] = [
        State::Ok,
        State::Expired,
        State::Gap,
        State::Accepted,
        State::Pending,
        State::Replay,
        State::Quarantined,
        State::Different,
    ];

    /// The name in `ops.audit`.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Expired => "expired",
            State::Gap => "gap",
            State::Accepted => "accepted",
            State::Pending => "pending",
            State::Replay => "replay",
            State::Quarantined => "quarantined",
            State::Different => "different",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a later audit need not look again.
    pub fn is_settled(self) -> bool {
        matches!(
            self,
            State::Ok | State::Expired | State::Gap | State::Accepted
        )
    }
}

/// A range of one partition: a raw file, a hole, a block of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// Life of the topic.
    pub epoch: u32,
    /// Kafka partition; -1 is the topic as a whole.
    pub partition: i32,
    /// First offset.
    pub start: i64,
    /// The one after the last.
    pub next: i64,
}

/// What the audit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Of what.
    pub unit: Unit,
    /// Where.
    pub store: Store,
    /// How it compares.
    pub state: State,
    /// Records that the store must account for.
    pub expected: i64,
    /// Records that it does account for.
    pub found: i64,
    /// Of these, rejects.
    pub rejects: i64,
    /// Of these, events that were there already.
    pub duplicates: i64,
    /// Sum of the hashes of what it must hold, whatever the order.
    pub digest_expected: u64,
    /// Sum of the hashes of what it holds.
    pub digest_found: u64,
    /// Which offsets, and why.
    pub detail: Option<String>,
}

impl Verdict {
    /// Nothing expected and nothing found.
    pub fn new(unit: Unit, store: Store, state: State) -> Verdict {
        Verdict {
            unit,
            store,
            state,
            expected: 0,
            found: 0,
            rejects: 0,
            duplicates: 0,
            digest_expected: 0,
            digest_found: 0,
            detail: None,
        }
    }

    /// With a word on why.
    pub fn because(mut self, detail: impl Into<String>) -> Verdict {
        self.detail = Some(detail.into());
        self
    }

    /// What a person may do about a difference.
    pub fn advice(&self) -> String {
        let Unit {
            partition,
            start,
            next,
            ..
        } = self.unit;
        let here = format!("--partition {partition} --from-offset {start} --to-offset {next}");
        match self.store {
            Store::Chain => "put the raw file back as it was".to_owned(),
            Store::Kafka => {
                "find out whether Kafka or the raw file is right, before retention takes Kafka's copy"
                    .to_owned()
            }
            Store::Postgres => format!("load --reload {here}, then dbt"),
            Store::Star => "dbt --full-refresh".to_owned(),
            Store::Cassandra | Store::Minutes => {
                format!("stream --from-chain {here}; delete by hand what is too many")
            }
        }
    }

    /// One line for a person: store, partition and offsets.
    pub fn in_words(&self) -> String {
        let Unit {
            epoch,
            partition,
            start,
            next,
        } = self.unit;
        let mut place = self.store.name().to_owned();
        if partition >= 0 {
            place += &format!(" partition {partition}");
            if epoch > 0 {
                place += &format!(" (epoch {epoch})");
            }
            place += &format!(" offsets {start}..{next}");
        }
        let detail = self.detail.as_deref().unwrap_or("differs");
        format!("{place}: {detail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for store in Store::ALL {
            assert_eq!(Store::from_name(store.name()), Some(store));
        }
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }

    #[test]
    fn a_difference_is_never_settled() {
        assert!(!State::Different.is_settled());
        assert!(!State::Pending.is_settled() && !State::Replay.is_settled());
        assert!(State::Accepted.is_settled());
    }
}
