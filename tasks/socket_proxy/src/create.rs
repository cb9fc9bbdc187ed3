//! What a new container may be.
//!
//! The body is read into a type that knows a few fields; any other, known to the engine or not,
//! ends it. The body that the engine gets is written anew, with what every job must be: without
//! capabilities, unable to gain any, on a read-only file system, of bounded memory and processes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::request::{LABEL, Refusal};

/// The largest body: a command line and some variables.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Processes and threads of a container.
const MAX_PROCESSES: u64 = 256;

/// The only place where a job can write; it counts as the job's memory.
const TMPFS: &str = "rw,noexec,nosuid,nodev,mode=1777,size=128m";

/// Who may be run where.
#[derive(Debug, Clone)]
pub struct Policy {
    /// With their tags.
    pub images: Vec<String>,
    pub network: String,
    pub max_memory_bytes: u64,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what must be unset is only checked while it is read"
)]
struct Asked {
    image: String,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<String>>,
    labels: Words,
    host_config: AskedHost,
    // output is kept in the log, whoever looks
    #[serde(default)]
    attach_stdout: Option<bool>,
    #[serde(default)]
    attach_stderr: Option<bool>,
    // what docker-py names, and must say nothing
    #[serde(default)]
    attach_stdin: Unset,
    #[serde(default)]
    open_stdin: Unset,
    #[serde(default)]
    stdin_once: Unset,
    #[serde(default)]
    tty: Unset,
    #[serde(default)]
    network_disabled: Unset,
    #[serde(default)]
    exposed_ports: Unset,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what must be unset is only checked while it is read"
)]
struct AskedHost {
    network_mode: String,
    memory: u64,
    #[serde(default)]
    cpu_shares: Option<u64>,
    #[serde(default)]
    log_config: Option<AskedLog>,
    #[serde(default)]
    mounts: Unset,
    #[serde(default)]
    port_bindings: Unset,
    #[serde(default)]
    ulimits: Unset,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AskedLog {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    config: Words,
}

/// Nothing, in any of the ways in which JSON says it.
#[derive(Default)]
struct Unset;

impl<'de> Deserialize<'de> for Unset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unset, D::Error> {
        let empty = match Value::deserialize(deserializer)? {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Number(_) | Value::Bool(true) => false,
        };
        if empty {
            Ok(Unset)
        } else {
            Err(D::Error::custom("is not for jobs"))
        }
    }
}

/// An object of texts, each key once: of two, readers take the first or the last.
#[derive(Default)]
struct Words(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Words;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
                let mut words = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if words.contains_key(&key) {
                        return Err(A::Error::custom(format!("duplicate field {key:?}")));
                    }
                    words.insert(key, value);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

impl Policy {
    /// Whether an image may be run, and asked for.
    pub fn allow_image(&self, image: &str) -> Result<(), Refusal> {
        if self.images.iter().any(|allowed| allowed == image) {
            return Ok(());
        }
        Err(Refusal::forbidden(format!(
            "{image:?} is no image of a job"
        )))
    }

    /// The labels by which a job of this stack is known.
    pub fn marks(&self) -> [(String, &str); 2] {
        [
            (format!("{LABEL}job"), "1"),
            (format!("{LABEL}network"), self.network.as_str()),
        ]
    }

    /// Reads the body of a request for a new container; gives the one to be sent.
    pub fn check(&self, body: &[u8]) -> Result<Value, Refusal> {
        let asked = read(body)?;
        self.allow_image(&asked.image)?;
        let host = asked.host_config;
        if host.network_mode != self.network {
            return Err(Refusal::forbidden(format!(
                "HostConfig.NetworkMode: jobs run on the network {}",
                self.network
            )));
        }
        // the engine takes no less than 6 MiB, and reads 0 as no limit
        if host.memory < 6 << 20 || host.memory > self.max_memory_bytes {
            return Err(Refusal::forbidden(format!(
                "HostConfig.Memory: from 6 to {} MiB",
                self.max_memory_bytes >> 20
            )));
        }
        let cpu_shares = host.cpu_shares.unwrap_or(0);
        if cpu_shares > 1024 {
            return Err(Refusal::forbidden("HostConfig.CpuShares: at most 1024"));
        }
        self.check_labels(&asked.labels)?;
        let environment = asked.env.unwrap_or_default();
        if let Some(odd) = environment.iter().find(|variable| !is_variable(variable)) {
            // its value may be a secret
            let name = odd.split('=').next().unwrap_or("");
            return Err(Refusal::forbidden(format!(
                "Env: {name:?} is no NAME=VALUE"
            )));
        }
        let log = checked_log(host.log_config)?;
        Ok(json!({
            "Image": asked.image,
            "Cmd": asked.cmd.unwrap_or_default(),
            "Env": environment,
            "Labels": asked.labels.0,
            "HostConfig": {
                "NetworkMode": self.network,
                "Memory": host.memory,
                "MemorySwap": host.memory,
                "CpuShares": cpu_shares,
                "PidsLimit": MAX_PROCESSES,
                "LogConfig": {"Type": "json-file", "Config": log},
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": true,
                "Tmpfs": {"/tmp": TMPFS},
                "IpcMode": "private",
            },
        }))
    }

    fn check_labels(&self, labels: &Words) -> Result<(), Refusal> {
        for (key, value) in self.marks() {
            if labels.0.get(&key).map(String::as_str) != Some(value) {
                return Err(Refusal::forbidden(format!("Labels: {key} must be {value}")));
            }
        }
        match labels.0.keys().find(|key| !key.starts_with(LABEL)) {
            None => Ok(()),
            Some(key) => Err(Refusal::forbidden(format!(
                "Labels: {key:?} does not begin with {LABEL}"
            ))),
        }
    }
}

fn read(body: &[u8]) -> Result<Asked, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let asked = serde_path_to_error::deserialize(&mut reader).map_err(|failure| {
        let place = failure.path().to_string();
        let said = failure.inner().to_string();
        // without the list of what would do, and the column
        let said = said.split(", expected one of").next().unwrap_or("");
        let said = said.split(" at line ").next().unwrap_or("");
        if failure.inner().is_data() {
            Refusal::forbidden(format!("{place}: {said}"))
        } else {
            Refusal::malformed(format!("the body is no JSON: {said}"))
        }
    })?;
    reader
        .end()
        .map_err(|_| Refusal::malformed("the body goes on behind its object"))?;
    Ok(asked)
}

/// `NAME=VALUE`, without what no variable can hold.
fn is_variable(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else {
        return false;
    };
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !value.contains('\0')
}

/// A log is a file of the engine's, of bounded size: other drivers reach other hosts and files.
fn checked_log(asked: Option<AskedLog>) -> Result<BTreeMap<&'static str, String>, Refusal> {
    let mut settings =
        BTreeMap::from([("max-size", "10m".to_owned()), ("max-file", "3".to_owned())]);
    let Some(log) = asked else {
        return Ok(settings);
    };
    if !matches!(log.r#type.as_deref(), None | Some("" | "json-file")) {
        return Err(Refusal::forbidden("HostConfig.LogConfig: json-file alone"));
    }
    for (key, value) in log.config.0 {
        let fits = match key.as_str() {
            "max-size" => value.strip_suffix('m').is_some_and(is_small),
            "max-file" => is_small(&value),
            _ => false,
        };
        let setting = settings
            .get_mut(key.as_str())
            .filter(|_| fits)
            .ok_or_else(|| {
                Refusal::forbidden(format!(
                    "HostConfig.LogConfig: {key:?} may not be {value:?}"
                ))
            })?;
        *setting = value;
    }
    Ok(settings)
}

/// A number from 1 to 99.
fn is_small(text: &str) -> bool {
    matches!(text.parse::<u8>(), Ok(1..=99)) && !text.starts_with('+')
}

#[cfg(test)]
mod tests;
