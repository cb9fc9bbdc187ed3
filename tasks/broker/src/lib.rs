//! Kafka as the tasks see it: where it is, how to log in, what the topic looks like, and what its
//! errors ask for.

mod denial;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use log::{debug, warn};
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use denial::explain;

/// How often a client asks who leads its partitions. One whose leader was gone and is back waits for the
/// next time it asks, by librdkafka's default 5 minutes: longer than records wait to be delivered.
const METADATA_REFRESH_MS: &str = "10000";

/// Where Kafka is.
#[derive(Args, Debug, Clone)]
pub struct KafkaOptions {
    /// Kafka brokers to ask first, as HOST:PORT[,HOST:PORT…]
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "kafka:9092")]
    pub kafka_bootstrap_servers: String,

    /// Topic of the events
    #[arg(long, env = "KAFKA_TOPIC", default_value = "LogEvents")]
    pub kafka_topic: String,

    /// Longest wait for an answer of Kafka, in seconds
    #[arg(long, env = "KAFKA_TIMEOUT_SECONDS", default_value_t = 30)]
    pub kafka_timeout_seconds: u64,

    /// User to log in to Kafka as (SASL/SCRAM-SHA-512 over TLS). The password is read from
    /// KAFKA_PASSWORD, or from the file named by KAFKA_PASSWORD_FILE; the certificate of the
    /// authority that Kafka's is from, in PEM, from KAFKA_CA or KAFKA_CA_FILE. With a certificate
    /// and no user: TLS without a login
    #[arg(long, env = "KAFKA_USERNAME", value_name = "NAME")]
    pub kafka_username: Option<String>,

    /// Any librdkafka property, as KEY=VALUE; may be given more than once (in the environment:
    /// separated by commas)
    #[arg(
        short = 'X',
        long = "kafka-property",
        env = "KAFKA_PROPERTIES",
        value_name = "KEY=VALUE",
        value_delimiter = ','
    )]
    pub kafka_properties: Vec<Property>,
}

/// One librdkafka property. Its value is not shown where it could be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    key: String,
    value: String,
}

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Property, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Property {
                key: key.trim().to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write KEY=VALUE, such as session.timeout.ms=6000".to_owned()),
        }
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = ["password", "secret", "pem", "sasl.oauthbearer"]
            .iter()
            .any(|word| self.key.contains(word));
        let value = if secret { "***" } else { &self.value };
        write!(formatter, "{}={value}", self.key)
    }
}

impl KafkaOptions {
    /// The topic as lineage names it, at the first of the brokers.
    pub fn dataset(&self) -> frame::Dataset {
        let first = self.kafka_bootstrap_servers.split(',').next();
        let namespace = format!("kafka://{}", first.unwrap_or_default());
        frame::Dataset::new(namespace, &*self.kafka_topic)
    }

    /// A client with the task's own `settings`; what the operator set wins.
    ///
    /// # Errors
    /// Half a login asks for a person: a user without a password or without a certificate. So does a
    /// property that librdkafka does not know.
    pub fn client<C, T>(
        &self,
        client_id: &str,
        settings: &[(&str, &str)],
        context: C,
    ) -> anyhow::Result<T>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C> + Send,
    {
        let config = self.config(client_id, settings)?;
        // OpenSSL keeps a queue of errors for each thread. librdkafka reads certificates until there is none
        // left and leaves that failure in the queue, where PostgreSQL's client would take it for its own.
        let made = thread::scope(|scope| {
            let making = scope.spawn(|| config.create_with_context(context));
            making.join()
        });
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .context(frame::PersonNeeded(
                "librdkafka refuses its configuration: check KAFKA_PROPERTIES and -X".to_owned(),
            ))
    }

    fn config(&self, client_id: &str, settings: &[(&str, &str)]) -> anyhow::Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_bootstrap_servers)
            .set("client.id", client_id)
            .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS);
        for (key, value) in settings {
            config.set(*key, *value);
        }
        self.secure(&mut config)?;
        for property in &self.kafka_properties {
            config.set(&property.key, &property.value);
        }
        Ok(config)
    }

    fn secure(&self, config: &mut ClientConfig) -> anyhow::Result<()> {
        let authority = frame::optional_secret("KAFKA_CA")?;
        if let Some(authority) = &authority {
            config
                .set("security.protocol", "ssl")
                .set("ssl.ca.pem", authority)
                .set("ssl.endpoint.identification.algorithm", "https");
        }
        if let Some(user) = &self.kafka_username {
            if authority.is_none() {
                return Err(frame::person_needed(
                    "KAFKA_USERNAME without a certificate: set KAFKA_CA_FILE, since a login is \
                     not sent to a broker that nobody vouches for",
                ));
            }
            config
                .set("security.protocol", "sasl_ssl")
                .set("sasl.mechanism", "SCRAM-SHA-512")
                .set("sasl.username", user)
                .set("sasl.password", frame::secret("KAFKA_PASSWORD")?);
        }
        Ok(())
    }

    /// How long to wait for Kafka.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.kafka_timeout_seconds)
    }

    /// The partitions of the topic.
    ///
    /// # Errors
    /// A topic that is not there asks for a person; brokers that do not answer are worth a retry.
    pub fn partitions<C: ClientContext>(&self, client: &Client<C>) -> anyhow::Result<Vec<i32>> {
        let topic = &self.kafka_topic;
        let metadata = client
            .fetch_metadata(Some(topic), self.timeout())
            .map_err(|failure| explain(failure, &self.kafka_bootstrap_servers))
            .with_context(|| self.no_answer())?;
        let denied = metadata.topics().iter().find_map(|found| found.error());
        if let Some(code) = denied.map(RDKafkaErrorCode::from)
            && code == RDKafkaErrorCode::TopicAuthorizationFailed
        {
            let failure = KafkaError::MetadataFetch(code);
            return Err(explain(failure, &self.kafka_bootstrap_servers));
        }
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic && found.error().is_none())
            .flat_map(|found| found.partitions().iter().map(|partition| partition.id()))
            .collect();
        if partitions.is_empty() {
            return Err(frame::person_needed(format!(
                "Kafka at {} has no topic {topic}: create it (kafka-topics.sh --create --topic \
                 {topic} --partitions 4) or mend KAFKA_TOPIC",
                self.kafka_bootstrap_servers
            )));
        }
        Ok(partitions)
    }

    /// What to say when Kafka does not answer.
    pub fn no_answer(&self) -> String {
        format!(
            "no answer from Kafka at {}: is it up, and is KAFKA_BOOTSTRAP_SERVERS right?",
            self.kafka_bootstrap_servers
        )
    }
}

/// What librdkafka says of its own accord. It goes on by itself, so each complaint is one warning;
/// what ends a task is an error of a call.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashSet<String>>);

impl Complaints {
    /// For [`ClientContext::error`].
    pub fn note(&self, reason: &str) {
        // `(after 3ms in state CONNECT)` differs every time
        let complaint = reason.split(" (after ").next().unwrap_or(reason);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(complaint) {
            warn!("Kafka: {complaint}");
            known.insert(complaint.to_owned());
        }
    }

    /// For [`ClientContext::log`]: librdkafka logs as errors what it mends itself.
    pub fn log(&self, facility: &str, text: &str) {
        denial::listen(text);
        debug!("librdkafka: {facility} {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_property_is_masked_and_kept() {
        let property: Property = "sasl.password=hunter2=".parse().expect("a property");
        assert_eq!(format!("{property:?}"), "sasl.password=***");
        assert_eq!(property.value, "hunter2=");
        assert!("nonsense".parse::<Property>().is_err());
    }
}
