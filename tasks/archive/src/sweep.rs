//! Files that a killed run left before they entered a chain.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chain::{Files, Raw};
use log::info;

/// No writer holds a temporary file this long.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Deletes abandoned temporary files.
pub fn sweep(files: &dyn Files, raw: &Raw) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let limit = now.saturating_sub(ABANDONED_AFTER).as_millis() as u64;
    for stored in files.list(&raw.temporary_directory(), false)? {
        if stored.modified_millis < limit {
            info!(
                "{} was abandoned by a run that was killed: deleting it",
                stored.path
            );
            files.delete(&stored.path)?;
        }
    }
    Ok(())
}
