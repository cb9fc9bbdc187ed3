//! Kafka to HDFS: each record once, whoever is killed, doubled or thrown out.

use anyhow::ensure;
use integration::{Stage, undisturbed, wait_until};

/// The chain has no hole and holds what Kafka holds, record by record.
fn assert_whole(stage: &Stage) -> anyhow::Result<()> {
    let inspected = stage.task("archive").args(["--inspect"]).succeed()?;
    let expected = stage.kafka.records(&stage.topic)?;
    ensure!(
        inspected["records"] == expected,
        "{inspected} of {expected}"
    );
    let records = stage.chain_records()?;
    let mut places: Vec<(i32, i64)> = records.iter().map(|(p, o, _)| (*p, *o)).collect();
    places.dedup();
    ensure!(places.len() as i64 == expected, "{} places", places.len());
    Ok(())
}

fn send(stage: &Stage, partition: i32, count: usize) -> anyhow::Result<()> {
    let payloads: Vec<String> = (0..count).map(|index| format!("record {index}")).collect();
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|text| Some(text.as_bytes())).collect();
    stage.kafka.send(&stage.topic, partition, &payloads)
}

#[test]
fn two_archives_at_once_write_each_record_once() -> anyhow::Result<()> {
    let stage = Stage::new("race", 3)?;
    stage
        .task("produce")
        .args(["--count", "40000", "--seed", "1"])
        .succeed()?;
    let start = || stage.task("archive").args(["--flush-mib", "1"]).start();
    let (left, right) = (start()?, start()?);
    let (left, right) = (left.finish()?, right.finish()?);
    ensure!(
        left.code == Some(0) && right.code == Some(0),
        "{left:?} {right:?}"
    );
    let (left, right) = (left.summary()?, right.summary()?);
    // the fault fired: they met at one position
    let races = left["lost_races"]
        .as_i64()
        .zip(right["lost_races"].as_i64());
    ensure!(
        races.is_some_and(|(a, b)| a + b > 0),
        "no race: {left} {right}"
    );
    ensure!(
        stage.temporary_files()? == 0,
        "a loser left its file behind"
    );
    assert_whole(&stage)
}

#[test]
fn a_killed_archive_leaves_nothing_to_repair() -> anyhow::Result<()> {
    let stage = Stage::new("killed", 2)?;
    stage
        .task("produce")
        .args(["--count", "60000", "--seed", "2"])
        .succeed()?;
    for round in 1..=3 {
        let mut archive = stage.task("archive").args(["--flush-mib", "1"]).start()?;
        wait_until("a raw file is there", || {
            Ok(stage.raw_files().is_ok_and(|files| files.len() >= round)
                || !archive.is_running()?)
        })?;
        ensure!(archive.is_running()?, "killed too late to prove anything");
        archive.signal("KILL")?;
        ensure!(archive.finish()?.code.is_none());
    }
    ensure!((stage.chain_records()?.len() as i64) < stage.kafka.records(&stage.topic)?);
    stage.task("archive").succeed()?;
    assert_whole(&stage)
}

#[test]
fn a_follower_closes_files_by_age_and_on_sigterm() -> anyhow::Result<()> {
    let stage = Stage::new("follow", 1)?;
    let archive = stage
        .task("archive")
        .args([
            "--follow",
            "--flush-age-seconds",
            "1",
            "--group",
            &stage.topic,
        ])
        .start()?;
    // nothing comes after these: age alone closes the file
    send(&stage, 0, 100)?;
    wait_until("age has closed the file", || {
        Ok(stage.raw_files().is_ok_and(|files| files.len() == 1))
    })?;
    archive.signal("TERM")?;
    let ended = archive.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ensure!(ended.waited.as_secs() < 10, "{:?}", ended.waited);

    let archive = stage
        .task("archive")
        .args([
            "--follow",
            "--flush-age-seconds",
            "3600",
            "--flush-mib",
            "1",
        ])
        .args(["--group", &stage.topic])
        .start()?;
    stage
        .task("produce")
        .args(["--count", "4000", "--seed", "3"])
        .succeed()?;
    wait_until("size has closed a file", || {
        Ok(stage.raw_files().is_ok_and(|files| files.len() >= 2))
    })?;
    archive.signal("TERM")?;
    let ended = archive.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    // what it held when it was told to end is in the chain, and the rest follows
    stage.task("archive").succeed()?;
    assert_whole(&stage)
}

/// The commit before a rebalance may be refused: the group must not look behind until a record comes.
#[test]
fn a_follower_commits_where_the_chain_ends_without_a_new_record() -> anyhow::Result<()> {
    let stage = Stage::new("commits", 1)?;
    send(&stage, 0, 100)?;
    stage.task("archive").succeed()?;
    let group = format!("{}_follower", stage.topic);
    let follower = stage
        .task("archive")
        .args(["--follow", "--group", &group])
        .start()?;
    wait_until("the group knows the end of the chain", || {
        Ok(stage.kafka.committed(&group, &stage.topic, 0)? == Some(100))
    })?;
    follower.signal("TERM")?;
    let ended = follower.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

#[test]
fn followers_share_the_partitions() -> anyhow::Result<()> {
    let stage = Stage::new("share", 4)?;
    let follow = || {
        let task = stage.task("archive");
        task.args([
            "--follow",
            "--flush-age-seconds",
            "1",
            "--group",
            &stage.topic,
        ])
        .start()
    };
    let first = follow()?;
    stage
        .task("produce")
        .args(["--count", "2000", "--seed", "4"])
        .succeed()?;
    wait_until("the first follower has archived", || {
        Ok(stage.raw_files().is_ok_and(|files| !files.is_empty()))
    })?;
    let second = follow()?;
    stage
        .task("produce")
        .args(["--count", "2000", "--seed", "5"])
        .succeed()?;
    let expected = stage.kafka.records(&stage.topic)?;
    wait_until("both have archived everything", || {
        Ok(stage.chain_records()?.len() as i64 == expected)
    })?;
    for follower in [first, second] {
        follower.signal("TERM")?;
        let ended = follower.finish()?;
        ensure!(ended.code == Some(0), "{ended:?}");
    }
    assert_whole(&stage)
}

#[test]
fn a_topic_made_anew_is_noticed_and_starts_an_epoch() -> anyhow::Result<()> {
    let stage = Stage::new("anew", 1)?;
    send(&stage, 0, 10)?;
    stage.task("archive").succeed()?;

    // shorter than the chain
    stage.kafka.delete_topic(&stage.topic)?;
    stage.kafka.create_topic(&stage.topic, 1)?;
    send(&stage, 0, 3)?;
    let error = stage.task("archive").run()?.fails_with(2)?;
    ensure!(error.contains("--new-epoch 1"), "{error}");

    // longer than the chain: only the record at its end tells
    send(&stage, 0, 30)?;
    let error = stage.task("archive").run()?.fails_with(2)?;
    ensure!(error.contains("not the one that was archived"), "{error}");
    ensure!(stage.raw_files()?.len() == 1, "something was written");

    let too_far = stage.task("archive").args(["--new-epoch", "2"]).run()?;
    let error = too_far.fails_with(2)?;
    ensure!(error.contains("the one to begin is 1"), "{error}");
    let begin = || stage.task("archive").args(["--new-epoch", "1"]).succeed();
    let anew = begin()?;
    ensure!(anew["epoch"] == 1, "{anew}");
    ensure!(!undisturbed(&anew) || anew["records"] == 33, "{anew}");
    // said again, as after a kill, it begins no other one
    let again = begin()?;
    ensure!(again["epoch"] == 1 && again["records"] == 0, "{again}");
    ensure!(stage.task("archive").succeed()?["epoch"] == 1);
    stage.task("archive").args(["--inspect"]).succeed()?;
    // both lives of the topic load, and neither hides the other
    stage.task("load").succeed()?;
    ensure!(stage.number("select sum(record_count)::bigint from ops.load_file")? == 43);
    Ok(())
}

#[test]
fn records_lost_to_retention_are_a_gap_that_an_operator_accepts() -> anyhow::Result<()> {
    let stage = Stage::new("gap", 1)?;
    send(&stage, 0, 10)?;
    stage.task("archive").succeed()?;
    send(&stage, 0, 10)?;
    stage.kafka.delete_records(&stage.topic, 0, 15)?;
    let error = stage.task("archive").run()?.fails_with(2)?;
    ensure!(
        error.contains("10 to 14") && error.contains("--accept-gap"),
        "{error}"
    );
    let accepted = stage.task("archive").args(["--accept-gap"]).run()?;
    ensure!(accepted.code == Some(0), "{accepted:?}");
    let inspected = stage.task("archive").args(["--inspect"]).succeed()?;
    ensure!(
        inspected["gap_records"] == 5 && inspected["records"] == 15,
        "{inspected}"
    );
    stage.task("load").succeed()?;
    let gap = stage.texts("select error from ops.load_file where error is not null")?;
    ensure!(
        gap == ["Kafka no longer held the records 10 to 14"],
        "{gap:?}"
    );
    Ok(())
}

#[test]
fn what_kafka_forgot_before_the_first_run_is_a_gap_at_zero() -> anyhow::Result<()> {
    let stage = Stage::new("late_start", 1)?;
    send(&stage, 0, 10)?;
    stage.kafka.delete_records(&stage.topic, 0, 4)?;
    let first = stage.task("archive").run()?;
    ensure!(first.code == Some(0), "{first:?}");
    let inspected = stage.task("archive").args(["--inspect"]).succeed()?;
    ensure!(
        inspected["gap_records"] == 4 && inspected["records"] == 6,
        "{inspected}"
    );
    stage.task("load").succeed()?;
    ensure!(stage.number("select sum(record_count)::bigint from ops.load_file")? == 6);
    Ok(())
}

#[test]
fn an_unreadable_newest_file_stops_the_archive_and_nothing_is_written() -> anyhow::Result<()> {
    let stage = Stage::new("broken", 1)?;
    send(&stage, 0, 10)?;
    stage.task("archive").succeed()?;
    let path = stage.raw_files()?.remove(0);
    let whole = stage.read_file(&path)?;
    stage.replace_file(&path, whole[..whole.len() / 2].to_vec())?;
    send(&stage, 0, 10)?;
    let error = stage.task("archive").run()?.fails_with(2)?;
    ensure!(
        error.contains(&path) && error.contains("restore it"),
        "{error}"
    );
    stage.replace_file(&path, whole)?;
    stage.task("archive").succeed()?;
    assert_whole(&stage)
}

/// Memory is bounded whatever the backlog: `--memory-mib` is the smallest allowed, the partitions
/// are many, and the files still come out whole.
#[test]
fn little_memory_makes_smaller_files() -> anyhow::Result<()> {
    // of one partition, so that it does not matter in which order Kafka sends several: as Parquet
    // its records fill the memory at least once
    let stage = Stage::new("memory", 1)?;
    stage
        .task("produce")
        .args(["--count", "240000", "--seed", "6"])
        .succeed()?;
    let archived = stage
        .task("archive")
        .args(["--memory-mib", "16", "--flush-mib", "1024"])
        .succeed()?;
    ensure!(
        !undisturbed(&archived) || archived["files"].as_i64() > Some(1),
        "memory closed no file: {archived}"
    );
    assert_whole(&stage)
}
