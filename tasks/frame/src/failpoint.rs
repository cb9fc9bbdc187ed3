//! Named points at which a test ends the process: between any two steps that must not be torn apart.
//!
//! In the images they are compiled to nothing. Built with the feature `failpoints`, an executable
//! takes them from the environment, as the crate `fail` writes them:
//! `FAILPOINTS='archive.after_rename=2*off->return'` passes the point twice and ends there the third
//! time, without destructors, as a power cut would. `sleep(1000)`, `pause` and the rest do what
//! `fail` says.

/// Every point of every task. `integration/tests/kill_points.rs` kills at each of them, so a point
/// that stands here is tested, and one that is called must stand here.
pub const FAILPOINTS: [&str; 29] = [
    "produce.before_send",
    "produce.in_flight",
    "produce.after_ack",
    "archive.after_poll",
    "archive.tmp_created",
    "archive.mid_write",
    "archive.before_close",
    "archive.before_rename",
    "archive.after_rename",
    "archive.before_group_commit",
    "archive.after_group_commit",
    "archive.gap_file",
    "stream.assigned",
    "stream.after_poll",
    "stream.before_write",
    "stream.after_write",
    "stream.mid_write",
    "stream.after_counts",
    "stream.before_commit",
    "stream.after_commit",
    "stream.revoked",
    "load.before_claim",
    "load.after_claim",
    "load.mid_copy",
    "load.before_commit",
    "load.after_commit",
    "load.before_quarantine",
    "catalog.before_commit",
    "catalog.after_commit",
];

/// What `--version` says, where the points are in; else the version that the task knows itself.
pub(crate) const VERSION: Option<&str> = if cfg!(feature = "failpoints") {
    Some(concat!(env!("CARGO_PKG_VERSION"), " with failpoints"))
} else {
    None
};

/// A point that a test may set. Nothing happens there otherwise.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failpoint(_name: &'static str) {}

/// A point that a test may set. Nothing happens there otherwise.
#[cfg(feature = "failpoints")]
pub fn failpoint(name: &'static str) {
    if !FAILPOINTS.contains(&name) {
        eprintln!("failpoint {name} is not in the list of frame::FAILPOINTS");
        std::process::abort();
    }
    fail::fail_point!(name, |_| end(name));
}

#[cfg(feature = "failpoints")]
fn end(name: &str) {
    eprintln!("failpoint {name}: the process ends here");
    std::process::abort();
}

/// Nothing to set.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn set_up() -> anyhow::Result<()> {
    Ok(())
}

/// Sets what the environment asks for.
///
/// # Errors
/// Asks for a person when it names a point that there is not: a test that never fires proves nothing.
#[cfg(feature = "failpoints")]
pub(crate) fn set_up() -> anyhow::Result<()> {
    let Ok(wanted) = std::env::var("FAILPOINTS") else {
        return Ok(());
    };
    for setting in wanted.split(';').filter(|setting| !setting.is_empty()) {
        let (name, actions) = setting.split_once('=').unwrap_or((setting, "return"));
        let known = FAILPOINTS.contains(&name);
        if let Err(failure) = if known {
            fail::cfg(name, actions)
        } else {
            Err(format!("the points are {}", FAILPOINTS.join(", ")))
        } {
            return Err(crate::person_needed(format!(
                "FAILPOINTS: {setting}: {failure}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::FAILPOINTS;

    #[test]
    fn each_point_names_its_task_and_stands_there_once() {
        let mut names = FAILPOINTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAILPOINTS.len());
        for name in names {
            let (task, point) = name.split_once('.').expect("a task and a point");
            assert!(!task.is_empty() && !point.is_empty(), "{name}");
        }
    }
}
