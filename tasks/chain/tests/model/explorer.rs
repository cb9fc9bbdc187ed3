//! Every world that can come about, each once, breadth first: the first bad one has the shortest
//! history.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::rc::Rc;

use crate::code::Code;
use crate::invariants::check_unchanged;
use crate::protocol::{Bounds, Protocol};
use crate::world::{Step, World};
use crate::writer::Turn;

/// What was seen.
#[derive(Debug)]
pub struct Explored {
    /// Different worlds.
    pub states: usize,
    /// Worlds in which everything is written and every writer waits.
    pub quiet: usize,
    /// Different runs of the real code.
    pub runs: usize,
    /// What went wrong, and how it came to that.
    pub violation: Option<String>,
}

/// How a world came about, and where it goes when nothing more goes wrong.
struct Known {
    from: usize,
    by: Option<Step>,
    heals_to: Option<usize>,
}

/// Explores until something is wrong or nothing is new.
pub fn explore(protocol: &Protocol, bounds: &Bounds) -> Explored {
    let mut code = Code::new();
    let first = Rc::new(World::new(protocol, bounds));
    let mut numbers = HashMap::from([(Rc::clone(&first), 0)]);
    let mut known = vec![Known {
        from: 0,
        by: None,
        heals_to: None,
    }];
    let mut queue = VecDeque::from([(0, first)]);
    let mut quiet = 0;
    let mut violation = None;
    'search: while let Some((number, world)) = queue.pop_front() {
        let mut steps = Vec::new();
        for index in 0..world.writers.len() {
            let mut turn = Turn {
                protocol,
                most: bounds.batches[index],
                code: &mut code,
                index,
            };
            steps.append(&mut turn.steps(&world));
        }
        steps.append(&mut world.events(protocol, bounds));
        let is_quiet = world.is_quiet(bounds);
        quiet += usize::from(is_quiet);
        if !is_quiet && !steps.iter().any(|(step, _)| step.is_plain()) {
            violation = Some(report("I8: nobody can go on", &known, number, None));
            break;
        }
        for (step, mut after) in steps {
            after.tidy();
            let mut checked = check_unchanged(&world.chain, &after.chain);
            let target = if let Some(target) = numbers.get(&after) {
                *target
            } else {
                checked = checked.and_then(|()| after.check(bounds));
                let (new, after) = (known.len(), Rc::new(after));
                numbers.insert(Rc::clone(&after), new);
                queue.push_back((new, after));
                known.push(Known {
                    from: number,
                    by: Some(step),
                    heals_to: None,
                });
                new
            };
            if let Err(complaint) = checked {
                violation = Some(report(&complaint, &known, number, Some(step)));
                break 'search;
            }
            if step.is_plain() && !is_quiet {
                known[number].heals_to.get_or_insert(target);
            }
        }
    }
    if violation.is_none() {
        violation = restless(&known);
    }
    Explored {
        states: known.len(),
        quiet,
        runs: code.runs(),
        violation,
    }
}

/// Whether from some world the writers go on for ever, though nothing more goes wrong.
fn restless(known: &[Known]) -> Option<String> {
    // each world has one way to heal, so a way that comes back to itself never ends
    let mut seen_from = vec![usize::MAX; known.len()];
    for start in 0..known.len() {
        let mut at = start;
        while seen_from[at] == usize::MAX {
            seen_from[at] = start;
            match known[at].heals_to {
                Some(next) => at = next,
                None => break,
            }
        }
        if seen_from[at] == start && known[at].heals_to.is_some() {
            return Some(report("I8: this goes on for ever", known, at, None));
        }
    }
    None
}

fn report(complaint: &str, known: &[Known], last: usize, then: Option<Step>) -> String {
    let mut steps: Vec<Step> = then.into_iter().collect();
    let mut at = last;
    while let Some(step) = known[at].by {
        steps.push(step);
        at = known[at].from;
    }
    let mut text = complaint.to_owned();
    for (number, step) in steps.iter().rev().enumerate() {
        let _ = write!(text, "\n  {:2} {step:?}", number + 1);
    }
    text
}
