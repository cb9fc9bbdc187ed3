//! What the tests on real servers share.
//!
//! A [`Stage`] is a pipeline of its own on the servers of the stack: a topic, a directory on HDFS,
//! a database and, if asked for, a keyspace, with names nobody else has, so that tests run side by side and beside a live
//! pipeline. Tests run the real executables and look at what the servers hold.

mod aftermath;
mod airflow;
mod browser;
mod cassandra;
pub mod chaos;
mod disk;
mod kafka;
mod page;
mod proxy;
mod server;
mod stage;
mod task;

pub use aftermath::Aftermath;
pub use airflow::Airflow;
pub use browser::{Shown, open_in_a_browser};
pub use cassandra::Cassandra;
pub use disk::{Disk, OwnServer};
pub use kafka::{Kafka, KafkaRecord, Sent};
pub use page::Page;
pub use proxy::{Fault, Moment, Proxy};
pub use server::{Killed, Paused, Server, docker};
pub use stage::{ArchivedRecord, IMAGES, Stage, image, network, password, setting};
pub use task::{Cost, Finished, Running, Task, undisturbed, wait_until, wait_within};
