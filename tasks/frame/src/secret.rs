//! Secrets: from the environment or a file, never from the command line, where `ps` would show them.

use anyhow::Context;

use crate::person_needed;

/// The secret of the environment variable `name`, or of the file that `name`_FILE names.
pub fn secret(name: &str) -> anyhow::Result<String> {
    optional_secret(name)?.ok_or_else(|| {
        person_needed(format!(
            "no password: set {name}, or {name}_FILE to a file that holds it"
        ))
    })
}

/// The same, where there need not be one.
pub fn optional_secret(name: &str) -> anyhow::Result<Option<String>> {
    let file_variable = format!("{name}_FILE");
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(path) = set(&file_variable) {
        let text = std::fs::read_to_string(&path).with_context(|| {
            crate::PersonNeeded(format!(
                "cannot read {path}: make it readable or mend {file_variable}"
            ))
        })?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(set(name))
}
