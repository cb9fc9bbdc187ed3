//! Names on HDFS.

/// The directory that holds every chain and the files not yet in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    root: String,
}

impl Raw {
    /// `root` is an absolute path, such as `/raw`.
    pub fn new(root: &str) -> Raw {
        Raw {
            root: root.trim_end_matches('/').to_owned(),
        }
    }

    /// Where a file is written before it enters a chain. Never read by anybody else.
    pub fn temporary(&self, id: &uuid::Uuid) -> String {
        format!("{}/_tmp/{id}", self.root)
    }

    /// The directory of such files.
    pub fn temporary_directory(&self) -> String {
        format!("{}/_tmp", self.root)
    }

    /// The directory of all epochs of a topic.
    pub fn topic_directory(&self, topic: &str) -> String {
        format!("{}/{topic}", self.root)
    }

    /// The chain of one partition.
    pub fn chain(&self, topic: &str, epoch: u32, partition: i32) -> ChainPath {
        ChainPath {
            directory: format!("{}/{topic}/{epoch}/{partition:05}", self.root),
            topic: topic.to_owned(),
            epoch,
            partition,
        }
    }

    /// The raw file that a path names, if it names one.
    pub fn parse(&self, path: &str) -> Option<RawFileName> {
        let relative = path.strip_prefix(&self.root)?.strip_prefix('/')?;
        let mut parts = relative.rsplitn(4, '/');
        let start = parts.next()?.strip_suffix(".parquet")?;
        let partition = parts.next()?;
        let epoch = parts.next()?;
        let topic = parts.next()?;
        if start.len() != 20 || topic.is_empty() || topic.contains('/') {
            return None;
        }
        Some(RawFileName {
            topic: topic.to_owned(),
            epoch: epoch.parse().ok()?,
            partition: partition.parse().ok()?,
            start: start.parse().ok()?,
        })
    }
}

/// One chain and its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainPath {
    /// The Kafka topic.
    pub topic: String,
    /// Counts the lives of the topic: one more each time it was made anew.
    pub epoch: u32,
    /// The Kafka partition.
    pub partition: i32,
    /// Where its files are.
    pub directory: String,
}

impl ChainPath {
    /// The path of the file that starts at a position.
    pub fn file(&self, start: i64) -> String {
        format!("{}/{start:020}.parquet", self.directory)
    }
}

/// What the path of a raw file tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawFileName {
    /// The Kafka topic.
    pub topic: String,
    /// Its epoch.
    pub epoch: u32,
    /// The Kafka partition.
    pub partition: i32,
    /// The first position that the file covers.
    pub start: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_parses_back_to_what_it_was_made_of() {
        let raw = Raw::new("/raw/");
        let path = raw.chain("LogEvents", 3, 7).file(1_234);
        assert_eq!(path, "/raw/LogEvents/3/00007/00000000000000001234.parquet");
        let name = raw.parse(&path).expect("a raw file");
        assert_eq!((name.epoch, name.partition, name.start), (3, 7, 1_234));
        assert_eq!(name.topic, "LogEvents");
    }

    #[test]
    fn other_files_are_no_raw_files() {
        let raw = Raw::new("/raw");
        for path in [
            "/raw/_tmp/0b0c",
            "/raw/LogEvents/0/00000/12.parquet",
            "/raw/LogEvents/0/00000/00000000000000001234.json",
            "/raw/LogEvents/00000000000000001234.parquet",
            "/other/LogEvents/0/00000/00000000000000001234.parquet",
        ] {
            assert_eq!(raw.parse(path), None, "{path}");
        }
    }
}
