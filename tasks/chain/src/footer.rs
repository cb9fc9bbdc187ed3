//! What a raw file says of itself, in the key-value metadata of its Parquet footer.

use anyhow::Context;
use xxhash_rust::xxh3::Xxh3;

/// The footer of a raw file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// The Kafka topic.
    pub topic: String,
    /// Its epoch.
    pub epoch: u32,
    /// The Kafka partition.
    pub partition: i32,
    /// The first position covered.
    pub start: i64,
    /// The position after the last one covered: where the next file starts.
    pub next: i64,
    /// Records held. Fewer than `next - start` where Kafka itself has holes, or after a gap.
    pub records: u64,
    /// Offset of the last record, if the file has one.
    pub last_offset: Option<i64>,
    /// [`hash_record`] of that record: tells whether Kafka still holds the same topic.
    pub last_hash: Option<u64>,
    /// Why records are missing, when an operator accepted that they are.
    pub gap: Option<String>,
}

const PREFIX: &str = "chain.";

impl Footer {
    /// As key-value pairs.
    pub(crate) fn to_pairs(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            ("topic", self.topic.clone()),
            ("epoch", self.epoch.to_string()),
            ("partition", self.partition.to_string()),
            ("start", self.start.to_string()),
            ("next", self.next.to_string()),
            ("records", self.records.to_string()),
        ];
        if let Some(offset) = self.last_offset {
            pairs.push(("last_offset", offset.to_string()));
        }
        if let Some(hash) = self.last_hash {
            pairs.push(("last_hash", format!("{hash:016x}")));
        }
        if let Some(gap) = &self.gap {
            pairs.push(("gap", gap.clone()));
        }
        pairs
            .into_iter()
            .map(|(key, value)| (format!("{PREFIX}{key}"), value))
            .collect()
    }

    /// From key-value pairs; `find` looks one up.
    pub(crate) fn from_pairs(find: impl Fn(&str) -> Option<String>) -> anyhow::Result<Footer> {
        let optional = |key: &str| find(&format!("{PREFIX}{key}"));
        let required =
            |key: &str| optional(key).with_context(|| format!("no {PREFIX}{key} in the footer"));
        let footer = Footer {
            topic: required("topic")?,
            epoch: required("epoch")?.parse().context("epoch")?,
            partition: required("partition")?.parse().context("partition")?,
            start: required("start")?.parse().context("start")?,
            next: required("next")?.parse().context("next")?,
            records: required("records")?.parse().context("records")?,
            last_offset: optional("last_offset")
                .map(|text| text.parse().context("last_offset"))
                .transpose()?,
            last_hash: optional("last_hash")
                .map(|text| u64::from_str_radix(&text, 16).context("last_hash"))
                .transpose()?,
            gap: optional("gap"),
        };
        anyhow::ensure!(
            footer.start <= footer.next,
            "the footer ends at {} before it starts at {}",
            footer.next,
            footer.start
        );
        Ok(footer)
    }
}

/// The hash of a record as Kafka delivers it: its time, key and value.
pub fn hash_record(timestamp_millis: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&timestamp_millis.to_le_bytes());
    for part in [key, value] {
        // the length keeps a key apart from a value; -1 keeps nothing apart from empty
        let length = part.map_or(-1, |bytes| bytes.len() as i64);
        hash.update(&length.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_survives_its_pairs() {
        let footer = Footer {
            topic: "LogEvents".to_owned(),
            epoch: 2,
            partition: 3,
            start: 10,
            next: 20,
            records: 9,
            last_offset: Some(19),
            last_hash: Some(u64::MAX),
            gap: None,
        };
        let pairs = footer.to_pairs();
        let find = |key: &str| {
            let found = pairs.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(Footer::from_pairs(find).expect("a footer"), footer);
        assert!(Footer::from_pairs(|_| None).is_err());
    }

    #[test]
    fn nothing_and_empty_hash_apart() {
        assert_ne!(
            hash_record(1, None, Some(b"")),
            hash_record(1, Some(b""), None)
        );
        assert_ne!(hash_record(1, None, None), hash_record(2, None, None));
    }
}
