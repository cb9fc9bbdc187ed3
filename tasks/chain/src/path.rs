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
        let (chain, name) = self.parse_chain(path)?;
        Some(RawFileName {
            topic: chain.topic,
            epoch: chain.epoch,
            partition: chain.partition,
            start: position(name)?,
        })
    }

    /// The pack that a path names, if it names one.
    pub fn parse_pack(&self, path: &str) -> Option<PackName> {
        let (chain, name) = self.parse_chain(path)?;
        let mut parts = name.splitn(3, '-');
        Some(PackName {
            start: position(parts.next()?)?,
            next: position(parts.next()?)?,
            files: parts.next()?.parse().ok()?,
            chain,
        })
    }

    /// The chain that a path is in, and its last part without the suffix.
    fn parse_chain<'a>(&self, path: &'a str) -> Option<(ChainPath, &'a str)> {
        let relative = path.strip_prefix(&self.root)?.strip_prefix('/')?;
        let mut parts = relative.rsplitn(4, '/');
        let name = parts.next()?.strip_suffix(".parquet")?;
        let partition = parts.next()?.parse().ok()?;
        let epoch = parts.next()?.parse().ok()?;
        let topic = parts.next()?;
        if topic.is_empty() || topic.contains('/') {
            return None;
        }
        Some((self.chain(topic, epoch, partition), name))
    }
}

/// A position as it stands in a name: so many digits that names sort as numbers do.
fn position(digits: &str) -> Option<i64> {
    if digits.len() != 20 {
        return None;
    }
    digits.parse().ok()
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

    /// The path of the pack of so many files that cover the positions `start..next`.
    pub fn pack(&self, start: i64, next: i64, files: usize) -> String {
        format!("{}/{start:020}-{next:020}-{files}.parquet", self.directory)
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

/// What the path of a pack tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackName {
    /// The chain that its files are of.
    pub chain: ChainPath,
    /// The first position that it covers.
    pub start: i64,
    /// The position after the last one.
    pub next: i64,
    /// How many files lie in it.
    pub files: usize,
}

impl PackName {
    /// Whether it covers the place of a raw file.
    pub fn covers(&self, name: &RawFileName) -> bool {
        (self.chain.epoch, self.chain.partition) == (name.epoch, name.partition)
            && (self.start..self.next).contains(&name.start)
    }
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
        assert_eq!(raw.parse_pack(&path), None);
    }

    #[test]
    fn a_pack_is_told_from_a_raw_file() {
        let raw = Raw::new("/raw");
        let path = raw.chain("LogEvents", 3, 7).pack(1_234, 5_678, 12);
        assert_eq!(
            path,
            "/raw/LogEvents/3/00007/00000000000000001234-00000000000000005678-12.parquet"
        );
        assert_eq!(raw.parse(&path), None);
        let pack = raw.parse_pack(&path).expect("a pack");
        assert_eq!((pack.start, pack.next, pack.files), (1_234, 5_678, 12));
        let name = |start| RawFileName {
            topic: "LogEvents".to_owned(),
            epoch: 3,
            partition: 7,
            start,
        };
        assert!(pack.covers(&name(1_234)) && pack.covers(&name(5_677)));
        assert!(!pack.covers(&name(5_678)) && !pack.covers(&name(1_233)));
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
