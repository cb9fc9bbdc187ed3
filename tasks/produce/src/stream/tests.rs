//! The promises of the stream, on records kept in memory.

use std::collections::{HashMap, HashSet};

use clap::Parser;
use event::{Details, Event};

use super::*;
use crate::damage::Damage;

/// Keeps what it is given.
#[derive(Default)]
struct Memory(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Sink for Memory {
    fn send(&mut self, key: &[u8], payload: Option<&[u8]>) -> anyhow::Result<()> {
        self.0.push((key.to_vec(), payload.map(<[u8]>::to_vec)));
        Ok(())
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            acked: self.0.len() as u64,
            ..Delivery::default()
        }
    }

    fn finish(&mut self, _stop: &Stop) -> anyhow::Result<Delivery> {
        Ok(self.delivery())
    }
}

/// Plays with these options; the records and the totals.
fn play(line: &str) -> anyhow::Result<(Memory, Totals, Noise)> {
    let options = Options::parse_from(["produce"].into_iter().chain(line.split_whitespace()));
    let config = Config::load(options.config.as_deref())?;
    let pools = Pools::new(&config)?;
    let mut memory = Memory::default();
    let mut stream = Stream::new(&options, &config, &pools, plan(&options)?)?;
    stream.pour(&mut memory, &Stop::default())?;
    Ok((memory, stream.totals, stream.noise))
}

fn parsed(payload: &Option<Vec<u8>>) -> Result<Event<'_>, event::Reject> {
    event::parse(payload.as_deref(), now() * 1000)
}

#[test]
fn every_event_keeps_the_contract_and_is_in_the_totals() {
    for line in [
        "--seed 1 --start 2026-01-01 --count 20000",
        "--seed 2 --start 2026-03-01 --count 20000 --late-ratio 0.2",
        "--seed 3 --history-days 40 --count 20000",
        "--seed 4 --count 5000",
        "--seed 5 --history-days 0.01 --count 3000 --late-ratio 1",
    ] {
        let (memory, totals, _) = play(line).expect(line);
        let (mut purchased, mut completed, mut attempted) = (0, 0, 0);
        let mut quantity = 0;
        let mut ids = HashSet::new();
        for (key, payload) in &memory.0 {
            let event = parsed(payload).expect(line);
            assert_eq!(key, event.user_id.as_bytes());
            assert_eq!(&*event.level, event.event_type.level());
            assert!(ids.insert(event.event_id.expect("an id").to_string()));
            assert!(event.time / 1000 <= now());
            let cents = |amount: f64| (amount * 100.0).round() as u64;
            if let Some(items) = event.details.items() {
                assert_eq!(items[0].product_id, event.product_id);
                quantity += items.iter().map(|item| item.quantity as u64).sum::<u64>();
            }
            match event.details {
                Details::Purchase { amount, .. } => purchased += cents(amount),
                Details::OrderComplete { amount, .. } => completed += cents(amount),
                Details::OrderFailed {
                    attempted_amount, ..
                } => attempted += cents(attempted_amount),
                _ => {}
            }
        }
        assert_eq!(totals.events(), memory.0.len() as u64);
        let told = totals.amount_cents();
        assert_eq!(told["purchase"], purchased);
        assert_eq!(told["order_complete"], completed);
        assert_eq!(told["order_failed"], attempted);
        let quantities: u64 = totals.quantity().values().filter_map(Value::as_u64).sum();
        assert_eq!(quantities, quantity);
    }
}

#[test]
fn an_order_is_one_basket_that_completes_last_if_at_all() {
    let (memory, totals, _) =
        play("--seed 7 --start 2026-01-01 --count 50000 --late-ratio 0.1").expect("a stream");
    let mut amounts = HashMap::new();
    let mut completed = HashMap::new();
    for (_, payload) in &memory.0 {
        let event = parsed(payload).expect("an event");
        let (order, amount, done) = match &event.details {
            Details::OrderComplete {
                order_id, amount, ..
            } => (order_id, amount, true),
            Details::OrderFailed {
                order_id,
                attempted_amount,
                ..
            } => (order_id, attempted_amount, false),
            _ => continue,
        };
        let first = *amounts.entry(order.to_string()).or_insert(*amount);
        assert_eq!(first, *amount);
        if done {
            let before = completed.insert(order.to_string(), event.time);
            assert_eq!(before, None);
        } else {
            assert!(!completed.contains_key(&**order));
        }
    }
    let orders = totals.orders();
    assert_eq!(orders.distinct, amounts.len() as u64);
    assert_eq!(orders.completed, completed.len() as u64);
    assert!(orders.failed_only > 0);
}

#[test]
fn a_session_belongs_to_one_user_and_one_place() {
    let (memory, _, _) = play("--seed 8 --start 2026-01-01 --count 30000").expect("a stream");
    let mut sessions = HashMap::new();
    for (_, payload) in &memory.0 {
        let event = parsed(payload).expect("an event");
        let who = format!("{:?}{:?}{:?}", event.user_id, event.geo, event.device_type);
        let first = sessions
            .entry(event.session_id.to_string())
            .or_insert_with(|| who.clone());
        assert_eq!(*first, who);
        if let Details::Purchase {
            shipping_address, ..
        } = &event.details
        {
            assert!(shipping_address.contains(&*event.geo.city));
            assert!(shipping_address.ends_with(&*event.geo.country));
        }
    }
    assert!(sessions.len() > 4000);
}

#[test]
fn shares_are_those_of_the_contract() {
    let (_, totals, _) = play("--seed 9 --start 2026-01-01 --count 200000").expect("a stream");
    for (name, share) in [
        ("purchase", 0.25),
        ("search", 0.25),
        ("order_complete", 0.2),
        ("order_failed", 0.2),
        ("error", 0.1),
    ] {
        let count = totals.by_type()[name].as_f64().expect("a count");
        assert!((count / 200_000.0 - share).abs() < 0.005, "{name} {count}");
    }
}

#[test]
fn the_same_run_is_the_same_bytes_however_fast() {
    let line = "--seed 11 --start 2026-01-01 --count 400 --duplicate-ratio 0.1 \
                --malformed-ratio 0.1 --late-ratio 0.1";
    let (first, _, _) = play(line).expect("a stream");
    let (slow, _, _) = play(&format!("{line} --rate 2000")).expect("a stream");
    assert!(first.0 == slow.0);
    let (other, _, _) = play(&line.replace("--seed 11", "--seed 12")).expect("a stream");
    assert!(first.0 != other.0);
}

#[test]
fn noise_comes_on_top_of_the_same_events() {
    let line = "--seed 13 --start 2026-01-01 --count 20000";
    let (clean, clean_totals, _) = play(line).expect("a stream");
    let (noisy, totals, noise) = play(&format!(
        "{line} --duplicate-ratio 0.05 --malformed-ratio 0.05"
    ))
    .expect("a stream");
    let mut seen = HashSet::new();
    let (mut distinct, mut duplicates, mut rejects) = (Vec::new(), 0, 0);
    for record in noisy.0 {
        if parsed(&record.1).is_err() {
            rejects += 1;
        } else if seen.insert(record.1.clone()) {
            distinct.push(record);
        } else {
            duplicates += 1;
        }
    }
    assert!(distinct == clean.0);
    assert_eq!(totals.amount_cents(), clean_totals.amount_cents());
    assert_eq!((noise.duplicates, noise.malformed), (duplicates, rejects));
    assert!((900..1100).contains(&duplicates) && (900..1100).contains(&rejects));
}

#[test]
fn every_damage_to_every_type_is_a_reject() {
    let (memory, _, _) = play("--seed 14 --start 2026-01-01 --count 300").expect("a stream");
    let mut rng = plan(&Options::parse_from(["produce", "--seed", "1"]))
        .expect("a run")
        .rng(2);
    let mut reasons = HashSet::new();
    for (_, payload) in &memory.0 {
        let good = payload.as_deref().expect("a payload");
        for damage in Damage::ALL {
            let broken = damage.of(good, &mut rng);
            let verdict = parsed(&broken);
            let reject = verdict.expect_err(&format!("{damage:?} of {payload:?}"));
            reasons.insert(reject.reason);
        }
    }
    assert!(reasons.len() >= 12, "{reasons:?}");
}

#[test]
fn late_events_are_older_and_counted() {
    let line = "--seed 15 --start 2026-01-01 --count 20000";
    let (memory, totals, _) = play(&format!("{line} --late-ratio 0.1")).expect("a stream");
    let mut newest = 0;
    let mut older = 0;
    for (_, payload) in &memory.0 {
        let event = parsed(payload).expect("an event");
        newest = event.time.max(newest);
        older += u64::from(event.time < newest);
    }
    assert_eq!(totals.late(), older);
    assert!((1600..2400).contains(&older), "{older}");
}

#[test]
fn a_history_fills_its_days_and_no_more() {
    for count in [1, 10, 1000, 30_000] {
        let line = format!("--seed 16 --start 2026-01-01 --history-days 10 --count {count}");
        let (memory, totals, _) = play(&line).expect("a stream");
        assert_eq!(memory.0.len(), count);
        let (first, last) = totals.span();
        assert!(first.expect("a time").as_str() >= "2026-01-01T00:00:00.000Z");
        assert!(last.expect("a time").as_str() <= "2026-01-11T00:00:00.000Z");
    }
    let (_, totals, _) =
        play("--seed 16 --start 2026-01-01 --history-days 10 --count 30000").expect("a stream");
    assert!(totals.span().1.expect("a time").as_str() > "2026-01-10T20:00");
}

#[test]
fn a_future_that_breaks_the_contract_is_refused() {
    let tomorrow = iso(now() + 2 * 86_400_000);
    let failure = play(&format!("--start {tomorrow} --count 10"))
        .err()
        .expect("an error");
    assert!(format!("{failure:#}").contains("--start"));
}

#[test]
fn other_shares_and_pools_are_kept_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("people.json");
    let row = r#"{"user_id":"an\"na","country":"XX","city":"Ci\\ty"}"#;
    std::fs::write(&users, format!("[{row}]")).expect("a file");
    let config = folder.path().join("shop.toml");
    std::fs::write(
        &config,
        format!(
            "[share]\nerror = 0\npurchase = 80\n[users]\nfile = {users:?}\n[products]\ncount = 3\n"
        ),
    )
    .expect("a file");
    let line = format!(
        "--seed 1 --start 2026-01-01 --count 5000 --config {}",
        config.display()
    );
    let (memory, totals, _) = play(&line).expect("a stream");
    assert_eq!(totals.by_type()["error"], 0);
    for (key, payload) in &memory.0 {
        let event = parsed(payload).expect("an event");
        assert_eq!(key, b"an\"na");
        assert_eq!(&*event.geo.city, "Ci\\ty");
        assert!(["prod_00001", "prod_00002", "prod_00003"].contains(&&*event.product_id));
    }
}
