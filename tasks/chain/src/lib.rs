//! The raw chain: what Kafka held, on HDFS, each record once.
//!
//! A chain is the sequence of raw files of one partition of one topic in one epoch:
//!
//! ```text
//! <root>/<topic>/<epoch>/<partition:05>/<start:020>.parquet
//! ```
//!
//! A file covers the positions `start..next`: its name is `start`, its footer holds `next`. The
//! next file is named by that `next`, so the newest file alone says where to resume. A file
//! enters the chain by a rename without overwrite, which HDFS refuses when the name is taken: of
//! two writers at one position one wins, and neither needs a lock ([`append`]).
//!
//! Old small files are packed into larger ones ([`compact`]), each as it is: whoever lists the chain
//! ([`raw_files`]) finds the same files, before, meanwhile and after.
//!
//! Not promised: that Kafka still holds what comes next. The task that reads Kafka checks it.

mod append;
mod compact;
mod encode;
mod files;
mod footer;
mod hdfs;
mod memory;
mod pack;
mod parquet;
mod path;
mod read;
mod resume;
mod selection;

pub use append::{Appended, append};
pub use compact::{Compacted, Rules, compact, sweep};
pub use encode::{Encoder, Record};
pub use files::{Files, RenameReply, Stored};
pub use footer::{Footer, hash_record};
pub use hdfs::{Hdfs, HdfsOptions};
pub use memory::{Memory, RenameFault};
pub use pack::raw_files;
pub use path::{ChainPath, PackName, Raw, RawFileName};
pub use read::{Corrupt, RawFile, is_unreadable};
pub use resume::{Tail, newest_epoch, tail};
pub use selection::{ListedFile, Moment, Selection, list_topic};
