//! Refusals that no retry mends: a wrong certificate, a wrong password, a missing right.
//!
//! librdkafka tries for ever to connect, and says why it could not only in its log; what a call gives
//! in the end is a time-out. So the log is listened to.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The last refusal of a connection that librdkafka told of.
static REFUSED: Mutex<Option<&'static str>> = Mutex::new(None);

/// What librdkafka writes, and what to do about it.
const REFUSALS: [(&str, &str); 6] = [
    (
        "Authentication failed",
        "it refuses the login: check KAFKA_USERNAME and KAFKA_PASSWORD",
    ),
    (
        "certificate verify failed",
        "its certificate is not of the authority in KAFKA_CA, or not for this host name: check \
         KAFKA_CA_FILE and KAFKA_BOOTSTRAP_SERVERS",
    ),
    (
        "connecting to a PLAINTEXT broker listener",
        "it does not speak TLS there: take KAFKA_CA and KAFKA_USERNAME away, or name its other port",
    ),
    (
        "wrong version number",
        "it does not speak TLS there: take KAFKA_CA and KAFKA_USERNAME away, or name its other port",
    ),
    (
        "broker might require SASL authentication",
        "it wants a login: set KAFKA_USERNAME, KAFKA_PASSWORD and KAFKA_CA_FILE",
    ),
    (
        "connecting to a SSL listener",
        "it wants TLS: set KAFKA_CA_FILE, and KAFKA_USERNAME if it wants a login",
    ),
];

/// A broker that takes a session without TLS or login for noise hangs up. One that goes down does so too,
/// which passes.
const HUNG_UP: &str = "isconnected";
static HAS_HUNG_UP: AtomicBool = AtomicBool::new(false);

/// Looks at a line of librdkafka's log.
pub(crate) fn listen(line: &str) {
    let found = REFUSALS.iter().find(|(said, _)| line.contains(said));
    if let Some((_, advice)) = found {
        *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(advice);
    }
    if line.contains(HUNG_UP) {
        HAS_HUNG_UP.store(true, Relaxed);
    }
}

/// Adds to an error of Kafka's what a person must do, where a retry would not help.
pub fn explain(failure: KafkaError, servers: &str) -> anyhow::Error {
    use RDKafkaErrorCode::{
        AllBrokersDown, Authentication, BrokerTransportFailure, ClusterAuthorizationFailed,
        GroupAuthorizationFailed, OperationTimedOut, SSL, SaslAuthenticationFailed,
        TopicAuthorizationFailed,
    };
    let advice = match failure.rdkafka_error_code() {
        Some(TopicAuthorizationFailed) => Some(
            "the user has no right to the topic: give it one (kafka-acls.sh --add), or check \
             KAFKA_USERNAME and KAFKA_TOPIC",
        ),
        // what an idempotent producer hears that may write to no topic at all
        Some(ClusterAuthorizationFailed) => Some(
            "the user may write nothing there: give it the right to the topic (kafka-acls.sh --add \
             --producer), or check KAFKA_USERNAME",
        ),
        Some(GroupAuthorizationFailed) => Some(
            "the user has no right to its consumer group: give it one (kafka-acls.sh --add \
             --operation Read --group)",
        ),
        Some(
            Authentication
            | SaslAuthenticationFailed
            | SSL
            | BrokerTransportFailure
            | AllBrokersDown
            | OperationTimedOut,
        ) => *REFUSED.lock().unwrap_or_else(PoisonError::into_inner),
        _ => None,
    };
    let error = anyhow::Error::new(failure);
    match advice {
        Some(advice) => error.context(frame::PersonNeeded(format!("Kafka at {servers}: {advice}"))),
        None if HAS_HUNG_UP.load(Relaxed) => error.context(
            "it hangs up before it answers: if it wants TLS, set KAFKA_CA_FILE, and KAFKA_USERNAME if it \
             wants a login",
        ),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_is_explained_by_what_was_said_before() {
        let time_out = || KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        listen("[thrd:x]: Connection refused");
        assert!(!frame::is_person_needed(&explain(time_out(), "kafka:9092")));
        listen("SASL authentication error: Authentication failed during authentication due to");
        let failure = explain(time_out(), "kafka:9092");
        assert!(
            format!("{failure:#}").contains("KAFKA_PASSWORD"),
            "{failure:#}"
        );
        assert!(frame::is_person_needed(&failure));
    }
}
