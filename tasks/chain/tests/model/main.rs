//! Two writers on one chain that know nothing of each other, in every order of their steps, with
//! crashes, and with lost and late requests and replies: every state is looked at.
//!
//! The writers run the real `tail` and `append`. What is around them, in `archive`, is modelled.
//! The same search finds what is wrong with protocols that look as good: so it can find something.
//!
//! Left out: an HDFS that forgets what it acknowledged, and a NameNode that serves an old listing.

mod code;
mod explorer;
#[path = "../invariants/mod.rs"]
mod invariants;
mod protocol;
#[path = "../stepping/mod.rs"]
mod stepping;
mod world;
mod writer;

use std::time::Instant;

use explorer::{Explored, explore};
use protocol::{Begin, Bounds, Naming, Protocol, ResumeFrom, SAFE, Vanished};

fn timed(name: &str, protocol: &Protocol, bounds: &Bounds) -> Explored {
    let begun = Instant::now();
    let explored = explore(protocol, bounds);
    println!(
        "{name}: {} states, {} quiet ones, {} runs of the real code, {:.1} s",
        explored.states,
        explored.quiet,
        explored.runs,
        begun.elapsed().as_secs_f64()
    );
    explored
}

/// Explores a protocol that must be safe.
fn safe(name: &str, protocol: &Protocol, bounds: &Bounds, at_least: usize) {
    let explored = timed(name, protocol, bounds);
    if let Some(violation) = explored.violation {
        panic!("{name}: {violation}");
    }
    assert!(explored.states >= at_least, "{explored:?}");
    assert!(explored.quiet > 0, "{explored:?}");
}

/// Explores a protocol that must not be.
fn unsafe_with(name: &str, protocol: &Protocol, bounds: &Bounds, complaint: &str) {
    let explored = timed(name, protocol, bounds);
    let violation = explored.violation.unwrap_or_default();
    println!("{violation}");
    assert!(violation.contains(complaint), "{name}: {violation}");
    assert!(violation.lines().count() > 1, "{name}: no history");
}

/// Enough for every mistake that was tried.
const SMALL: Bounds = Bounds {
    records: 4,
    batches: [2, 3],
    crashes: 1,
    faults: 1,
    retentions: 0,
};

/// With retention on its way through the log.
const RETENTION: Bounds = Bounds {
    retentions: 2,
    ..SMALL
};

#[test]
fn two_writers_are_safe_whatever_becomes_of_their_renames() {
    let longer = Bounds {
        records: 5,
        ..SMALL
    };
    safe("a longer log", &SAFE, &longer, 300_000);
    let faults = Bounds { faults: 2, ..SMALL };
    safe("two faults", &SAFE, &faults, 400_000);
}

#[test]
fn two_writers_are_safe_with_two_crashes_and_while_retention_passes_them() {
    let crashes = Bounds {
        records: 3,
        crashes: 2,
        faults: 2,
        ..SMALL
    };
    safe("two crashes and two faults", &SAFE, &crashes, 200_000);
    let retention = Bounds {
        records: 3,
        ..RETENTION
    };
    safe("retention", &SAFE, &retention, 250_000);
}

#[test]
fn names_made_at_random_and_a_group_offset_are_not_safe() {
    let protocol = Protocol {
        naming: Naming::Random,
        resume: ResumeFrom::CommitAfter,
        ..SAFE
    };
    unsafe_with("random names", &protocol, &SMALL, "I2: overlap");
}

#[test]
fn names_with_start_and_end_are_not_safe() {
    let protocol = Protocol {
        naming: Naming::StartAndEnd,
        ..SAFE
    };
    unsafe_with("start and end", &protocol, &SMALL, "I2: overlap");
}

#[test]
fn directories_by_day_are_not_safe() {
    let protocol = Protocol {
        naming: Naming::DayAndStart,
        ..SAFE
    };
    unsafe_with("days", &protocol, &SMALL, "I2: overlap");
}

#[test]
fn an_offset_committed_before_the_rename_is_not_safe() {
    let protocol = Protocol {
        resume: ResumeFrom::CommitBefore,
        ..SAFE
    };
    unsafe_with("commit before", &protocol, &SMALL, "I2: hole");
}

#[test]
fn a_chain_that_begins_at_the_oldest_record_is_not_safe() {
    let protocol = Protocol {
        begin: Begin::Oldest,
        ..SAFE
    };
    unsafe_with("oldest", &protocol, &RETENTION, "I2:");
}

#[test]
fn going_on_behind_a_gap_that_another_writer_won_is_not_safe() {
    let protocol = Protocol {
        ignore_lost_gap: true,
        ..SAFE
    };
    unsafe_with("lost gap", &protocol, &RETENTION, "I2:");
}

#[test]
fn asking_kafka_before_listing_the_chain_raises_false_alarms() {
    let protocol = Protocol {
        kafka_first: true,
        ..SAFE
    };
    unsafe_with("kafka first", &protocol, &SMALL, "false alarm");
}

#[test]
fn a_file_that_vanished_is_not_proof_of_its_rename() {
    let protocol = Protocol {
        vanished: Vanished::Trust,
        ..SAFE
    };
    unsafe_with("vanished", &protocol, &SMALL, "I2:");
}
