//! A pipeline of a test's own.

use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use chain::{Hdfs, HdfsOptions, Raw};
use frame::Stop;
use hdfs_native::sync::{Client as HdfsClient, ClientBuilder};
use postgres::{Client, NoTls};

use crate::cassandra::Cassandra;
use crate::kafka::Kafka;
use crate::task::Task;

/// A setting of the stack: from the environment, else what the compose file says.
pub fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A password of the stack, which nothing but its .env knows.
///
/// # Panics
/// Where it is not set: every test that needs it would fail in a stranger way.
pub fn password(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: `make test` takes it from .env"))
}

/// The Docker network of the stack.
pub fn network() -> String {
    setting("COMPOSE_PROJECT_NAME", "ecomm")
}

/// The project's own images.
pub const IMAGES: [&str; 9] = [
    "produce",
    "stream",
    "archive",
    "catalog",
    "load",
    "audit",
    "maintain",
    "socket_proxy",
    "dbt",
];

/// The image of a task.
pub fn image(task: &str) -> String {
    format!("ecomm-pipeline/{task}:{}", setting("PIPELINE_TAG", "dev"))
}

/// A record of the chain: partition, offset, payload.
pub type ArchivedRecord = (i32, i64, Option<Vec<u8>>);

/// A topic, a directory on HDFS and a database of one test. Gone when dropped.
pub struct Stage {
    /// The topic.
    pub topic: String,
    /// The directory on HDFS.
    pub raw_root: String,
    /// The database.
    pub database: String,
    /// The brokers.
    pub kafka: Kafka,
    hdfs: HdfsClient,
}

impl Stage {
    /// Everything empty; the topic has so many partitions.
    pub fn new(name: &str, partitions: i32) -> anyhow::Result<Stage> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let unique = format!("test_{name}_{}", &id[..8]);
        let stage = Stage {
            topic: unique.clone(),
            raw_root: format!("/{unique}"),
            database: unique,
            kafka: Kafka::connect(&setting("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"))?,
            hdfs: ClientBuilder::new()
                .with_url(setting("HDFS_URL", "hdfs://namenode:8020"))
                .with_user("pipeline")
                .build()?,
        };
        stage.kafka.create_topic(&stage.topic, partitions)?;
        stage.create_database()?;
        Ok(stage)
    }

    /// One of the executables, told to use this stage.
    pub fn task(&self, name: &str) -> Task {
        // each logs in to PostgreSQL as a role of its own
        let password = match name {
            "audit" => password("AUDITOR_PASSWORD"),
            "maintain" => password("MAINTAINER_PASSWORD"),
            _ => password("LOADER_PASSWORD"),
        };
        Task::new(name)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.kafka.bootstrap_servers)
            .env("KAFKA_TOPIC", &self.topic)
            .env("HDFS_URL", &setting("HDFS_URL", "hdfs://namenode:8020"))
            .env("RAW_ROOT", &self.raw_root)
            .env("POSTGRES_URL", &self.postgres_url("loader"))
            .env("POSTGRES_PASSWORD", &password)
            .env("CASSANDRA_CONTACT_POINTS", &Cassandra::contact_points())
            .env("CASSANDRA_KEYSPACE", &self.database)
            .env("STREAM_GROUP", &self.topic)
    }

    /// The keyspace that `stream` of this stage writes, made anew.
    pub fn cassandra(&self) -> anyhow::Result<Cassandra> {
        Cassandra::create(&self.database)
    }

    /// Records that `stream` has said are written: asked of Kafka, because Cassandra is busy.
    pub fn committed(&self) -> anyhow::Result<i64> {
        let partitions = self.kafka.offsets(&self.topic)?.len() as i32;
        let committed = (0..partitions).map(|partition| {
            let found = self.kafka.committed(&self.topic, &self.topic, partition)?;
            Ok(found.unwrap_or(0))
        });
        committed.sum()
    }

    /// The task dbt, in its image: it has no executable of its own.
    pub fn dbt(&self) -> Task {
        self.dbt_image(&[])
    }

    /// The same, in a container of that name: to be killed.
    pub fn dbt_in(&self, container: &str) -> Task {
        self.dbt_image(&["--name", container])
    }

    /// The pages of dbt, served on port 8081 by a container of that name until it is removed.
    pub fn dbt_docs_in(&self, container: &str) -> Task {
        self.dbt_image(&["--name", container, "--entrypoint", "/dbt/docs.sh"])
    }

    /// Any dbt command.
    pub fn dbt_command(&self, words: &[&str]) -> Task {
        let elsewhere = [
            "--env",
            "DBT_TARGET_PATH=/tmp/target",
            "--env",
            "DBT_LOG_PATH=/tmp/logs",
        ];
        let options: Vec<&str> = elsewhere
            .into_iter()
            .chain(["--entrypoint", "dbt"])
            .collect();
        self.dbt_image(&options).args(words.iter().copied())
    }

    fn dbt_image(&self, options: &[&str]) -> Task {
        Task::new("docker")
            .args(["run", "--rm", "--network", &network()])
            .args(["--env", "TRANSFORMER_PASSWORD"])
            .args(["--env", &format!("POSTGRES_DB={}", self.database)])
            .args(options.iter().copied())
            .args([image("dbt").as_str()])
            .env("TRANSFORMER_PASSWORD", &password("TRANSFORMER_PASSWORD"))
    }

    fn postgres_url(&self, user: &str) -> String {
        let place = setting("POSTGRES_PLACE", "postgres:5432");
        format!("postgresql://{user}@{place}/{}", self.database)
    }

    /// A session of the superuser in another database of the stack's server.
    pub fn sql_in(&self, database: &str) -> anyhow::Result<Client> {
        Stage::admin(database)
    }

    fn admin(database: &str) -> anyhow::Result<Client> {
        let mut config: postgres::Config =
            format!("postgresql://airflow@postgres:5432/{database}").parse()?;
        config.password(password("POSTGRES_PASSWORD"));
        config
            .connect(NoTls)
            .context("is the stack up? (make test starts it)")
    }

    /// A session of the superuser in the stage's database.
    pub fn sql(&self) -> anyhow::Result<Client> {
        Stage::admin(&self.database)
    }

    /// The one number that a query gives.
    pub fn number(&self, query: &str) -> anyhow::Result<i64> {
        Ok(self
            .sql()?
            .query_one(query, &[])
            .context(query.to_owned())?
            .get(0))
    }

    /// The first column of every row, in the order of the query.
    pub fn texts(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.sql()?.query(query, &[]).context(query.to_owned())?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// A digest of every row of a table, whatever their order.
    pub fn digest(&self, table: &str) -> anyhow::Result<String> {
        let query = format!(
            "select count(*) || ':' || coalesce(sum(hashtextextended(row_of::text, 0)), 0)
             from {table} as row_of"
        );
        Ok(self.sql()?.query_one(&query, &[]).context(query)?.get(0))
    }

    fn create_database(&self) -> anyhow::Result<()> {
        self.sql_in("airflow")?
            .batch_execute(&format!("create database {}", self.database))?;
        self.set_up(&self.database)
    }

    /// Runs postgres_setup.sql in a database of the stack's server, once more if need be.
    pub fn set_up(&self, database: &str) -> anyhow::Result<()> {
        let mut admin = self.sql_in("airflow")?;
        // the script sets the passwords of roles that all databases share: one test at a time
        admin.execute("select pg_advisory_lock(7083)", &[])?;
        Stage::set_up_postgres("postgres", database)
    }

    /// Runs postgres_setup.sql in a database of any server.
    pub fn set_up_postgres(host: &str, database: &str) -> anyhow::Result<()> {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--username=airflow", "--host", host])
            .args(["--file", "../postgres_setup.sql", "--dbname", database])
            .env("PGPASSWORD", password("POSTGRES_PASSWORD"))
            .env("LOADER_PASSWORD", password("LOADER_PASSWORD"))
            .env("AUDITOR_PASSWORD", password("AUDITOR_PASSWORD"))
            .env("TRANSFORMER_PASSWORD", password("TRANSFORMER_PASSWORD"))
            .env("MAINTAINER_PASSWORD", password("MAINTAINER_PASSWORD"))
            .env("BI_READER_PASSWORD", password("BI_READER_PASSWORD"))
            .env("AIRFLOW_META_PASSWORD", password("AIRFLOW_META_PASSWORD"))
            .stdin(Stdio::null())
            .output()
            .context("psql")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "postgres_setup.sql: {said}");
        Ok(())
    }

    /// Paths of the stage's raw files, sorted.
    pub fn raw_files(&self) -> anyhow::Result<Vec<String>> {
        let directory = format!("{}/{}", self.raw_root, self.topic);
        let mut paths: Vec<String> = self
            .hdfs
            .list_status(&directory, true)?
            .into_iter()
            .filter(|status| !status.isdir)
            .map(|status| status.path)
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// Lets each raw file be so many days old.
    pub fn age_raw_files(&self, days: u64) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
        let then = now - days * 24 * 3_600 * 1_000;
        for path in self.raw_files()? {
            self.hdfs.set_times(&path, then, then)?;
        }
        Ok(())
    }

    /// Files written and not yet in a chain.
    pub fn temporary_files(&self) -> anyhow::Result<usize> {
        match self
            .hdfs
            .list_status(&format!("{}/_tmp", self.raw_root), false)
        {
            Ok(found) => Ok(found.len()),
            Err(hdfs_native::HdfsError::FileNotFound(_)) => Ok(0),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The bytes of a file on HDFS.
    pub fn read_file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let reader = self.hdfs.read(path)?;
        Ok(reader.read_range(0, reader.file_length())?.to_vec())
    }

    /// Deletes a file on HDFS.
    pub fn delete_file(&self, path: &str) -> anyhow::Result<()> {
        let deleted = self.hdfs.delete(path, false)?;
        ensure!(deleted, "{path} was not there");
        Ok(())
    }

    /// Deletes a directory on HDFS, if it is there.
    pub fn delete_directory(&self, path: &str) -> anyhow::Result<()> {
        self.hdfs.delete(path, true)?;
        Ok(())
    }

    /// Replaces a file on HDFS.
    pub fn replace_file(&self, path: &str, data: Vec<u8>) -> anyhow::Result<()> {
        self.hdfs.delete(path, false)?;
        let options = hdfs_native::client::WriteOptions::default();
        let mut writer = self.hdfs.create(path, &options)?;
        writer.write_bytes(data.into())?;
        Ok(writer.close()?)
    }

    /// Every record of the chain, as `load` would read them.
    pub fn chain_records(&self) -> anyhow::Result<Vec<ArchivedRecord>> {
        let mut records = Vec::new();
        let options = HdfsOptions {
            hdfs_url: setting("HDFS_URL", "hdfs://namenode:8020"),
            raw_root: self.raw_root.clone(),
            hdfs_user: "pipeline".to_owned(),
            hdfs_patience_seconds: 60,
        };
        let hdfs = Hdfs::connect(&options, &Stop::default())?;
        let raw = Raw::new(&self.raw_root);
        for (_, stored) in chain::raw_files(&hdfs, &raw, &self.topic, |_| false)? {
            let file = chain::RawFile::open(&hdfs, &stored)?;
            let partition = file.footer.partition;
            file.for_each(|record| {
                let value = record.value.map(<[u8]>::to_vec);
                records.push((partition, record.offset, value));
                Ok(())
            })?;
        }
        records.sort();
        Ok(records)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let cleaned = (|| -> anyhow::Result<()> {
            self.hdfs.delete(&self.raw_root, true)?;
            self.kafka.delete_topic(&self.topic)?;
            Stage::admin("airflow")?.batch_execute(&format!(
                "drop database if exists {} with (force)",
                self.database
            ))?;
            Ok(())
        })();
        if let Err(failure) = cleaned {
            eprintln!("{} is left behind: {failure:#}", self.topic);
        }
    }
}
