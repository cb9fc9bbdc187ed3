//! Kafka and PostgreSQL that ask for TLS and a login, and a Cassandra that asks for a login, as docker-compose.secure.yaml sets them up.
//!
//! What is right works; what is wrong ends with 2 and one line that says what to mend, and soon.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use integration::{Finished, OwnServer, Stage, Task, docker, password, wait_within};

/// Certificates, and the passwords of Kafka's users, in a folder and on a volume of their own.
struct Trust {
    folder: PathBuf,
    volume: String,
}

impl Trust {
    fn new(name: &str, servers: &[&str]) -> anyhow::Result<Trust> {
        let folder = std::env::temp_dir().join(name);
        let trust = Trust {
            volume: name.to_owned(),
            folder,
        };
        let made = Command::new("up/certificates.sh")
            .arg(&trust.folder)
            .args(servers)
            .status()?;
        ensure!(made.success(), "certificates.sh");
        for (server, users) in [
            ("KAFKA", ["produce", "stream", "pipeline"]),
            ("CASSANDRA", ["admin", "stream", "reader"]),
        ] {
            for user in users {
                let path = format!("{server}_{}_PASSWORD", user.to_uppercase());
                std::fs::write(trust.folder.join(path), secret_of(user))?;
            }
        }
        // the engine is another machine, as far as files go
        docker(&["volume", "create", name])?;
        let mount = format!("{name}:/trust");
        let carrier = docker(&["create", "--volume", &mount, "postgres:15", "true"])?;
        let from = format!("{}/.", trust.folder.display());
        let copied = docker(&["cp", &from, &format!("{carrier}:/trust")]);
        docker(&["rm", &carrier])?;
        copied?;
        Ok(trust)
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["volume", "rm", &self.volume]) {
            eprintln!("{} is left behind: {failure:#}", self.volume);
        }
    }
}

fn secret_of(user: &str) -> String {
    format!("{user}-has-a-long-secret-of-its-own")
}

/// Asserts that a task ended with 2, says `advice`, and shows no secret.
fn refused(finished: &Finished, advice: &str) -> anyhow::Result<()> {
    let error = finished.fails_with(2)?;
    ensure!(error.contains(advice), "{advice}: {error}");
    for text in [&finished.stdout, &finished.stderr] {
        ensure!(
            !text.contains("-has-a-long-secret"),
            "a secret is shown: {text}"
        );
    }
    ensure!(
        finished.waited < Duration::from_secs(30),
        "only after {:?}",
        finished.waited
    );
    Ok(())
}

/// PostgreSQL that has no session without TLS, with the warehouse's roles and tables.
fn postgres_with_tls(name: &str, trust: &Trust) -> anyhow::Result<OwnServer> {
    let mount = format!("{}:/run/secrets:ro", trust.volume);
    let start = "install -o postgres -g postgres -m 600 /run/secrets/postgres.key /var/run/postgresql/server.key && \
        printf 'local all all trust\\nhostssl all all all scram-sha-256\\n' > /tmp/hba.conf && \
        exec docker-entrypoint.sh postgres -c ssl=on -c ssl_cert_file=/run/secrets/postgres.crt \
        -c ssl_key_file=/var/run/postgresql/server.key -c hba_file=/tmp/hba.conf";
    let server = OwnServer::run(
        name,
        "postgres:15",
        &["--volume", &mount],
        &[
            ("POSTGRES_USER", "airflow"),
            ("POSTGRES_PASSWORD", &password("POSTGRES_PASSWORD")),
            ("POSTGRES_DB", "airflow"),
        ],
        &["bash", "-c", start],
    )?;
    server.wait_for_port(5432)?;
    Stage::set_up_postgres(name, "airflow")?;
    Ok(server)
}

#[test]
fn kafka_lets_in_who_has_a_login_and_a_right() -> anyhow::Result<()> {
    let stage = Stage::new("sasl", 1)?;
    let name = format!("{}_kafka", stage.topic).replace('_', "-");
    let postgres = format!("{name}-postgres");
    let trust = Trust::new(&name, &[&name, &postgres])?;
    let stranger = Trust::new(&format!("{name}-stranger"), &[&name])?;
    let mount = format!("{}:/run/secrets:ro", trust.volume);
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let kafka = OwnServer::run(
        &name,
        "apache/kafka:4.3.1",
        &["--volume", &mount],
        &[
            ("KAFKA_NODE_ID", "1"),
            ("KAFKA_PROCESS_ROLES", "broker,controller"),
            (
                "KAFKA_LISTENERS",
                "INTERNAL://:9092,PLAIN://:9095,LOCAL://127.0.0.1:9094,CONTROLLER://127.0.0.1:9093",
            ),
            (
                "KAFKA_ADVERTISED_LISTENERS",
                &format!("INTERNAL://{name}:9092,PLAIN://{name}:9095,LOCAL://127.0.0.1:9094"),
            ),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "INTERNAL:SASL_SSL,PLAIN:PLAINTEXT,LOCAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            ),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "LOCAL"),
            ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@127.0.0.1:9093"),
            ("KAFKA_LOG_DIRS", "/var/lib/kafka/data"),
            ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
            ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "1"),
            ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
            ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
            ("KAFKA_SASL_ENABLED_MECHANISMS", "SCRAM-SHA-512"),
            (
                "KAFKA_LISTENER_NAME_INTERNAL_SCRAM___SHA___512_SASL_JAAS_CONFIG",
                scram,
            ),
            ("KAFKA_SSL_KEYSTORE_TYPE", "PEM"),
            ("KAFKA_SSL_KEYSTORE_LOCATION", "/run/secrets/kafka.pem"),
            (
                "KAFKA_AUTHORIZER_CLASS_NAME",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            ),
            ("KAFKA_SUPER_USERS", "User:ANONYMOUS"),
            ("KAFKA_HEAP_OPTS", "-Xms96m -Xmx192m"),
        ],
        &[],
    )?;
    kafka.wait_for_port(9092)?;
    docker(&[
        "cp",
        "up/kafka_users.sh",
        &format!("{name}:/tmp/kafka_users.sh"),
    ])?;
    let topic = format!("TOPIC={}", stage.topic);
    wait_within(Duration::from_secs(180), "Kafka has users", || {
        Ok(kafka
            .exec(&["env", &topic, "bash", "/tmp/kafka_users.sh"])
            .is_ok())
    })?;

    let address = format!("{name}:9092");
    let as_user = |task: Task, user: &str, trust: &Trust| {
        task.env("KAFKA_BOOTSTRAP_SERVERS", &address)
            .env("KAFKA_TIMEOUT_SECONDS", "10")
            .env("KAFKA_USERNAME", user)
            .env("KAFKA_PASSWORD", &secret_of(user))
            .env("KAFKA_CA_FILE", &trust.file("ca.pem"))
    };
    let produce = || {
        stage
            .task("produce")
            .args(["--count", "200", "--seed", "3"])
    };

    // what is right
    ensure!(as_user(produce(), "produce", &trust).succeed()?["acked"] == 200);
    let archived = as_user(stage.task("archive"), "pipeline", &trust).succeed()?;
    ensure!(archived["records"] == 200, "{archived}");
    // TLS to both from one process
    let _postgres = postgres_with_tls(&postgres, &trust)?;
    let _cassandra = stage.cassandra()?;
    let url = format!("postgresql://auditor@{postgres}:5432/airflow");
    let audited = as_user(stage.task("audit"), "pipeline", &trust)
        .env("POSTGRES_URL", &url)
        .env("POSTGRES_CA_FILE", &trust.file("ca.pem"))
        .succeed()?;
    ensure!(audited["records"] == 200, "{audited}");

    // what is wrong
    let wrong = as_user(produce(), "produce", &trust).env("KAFKA_PASSWORD", "wrong");
    refused(&wrong.run()?, "KAFKA_PASSWORD")?;
    refused(
        &as_user(produce(), "nobody", &trust).run()?,
        "KAFKA_USERNAME",
    )?;
    refused(
        &as_user(produce(), "produce", &stranger).run()?,
        "KAFKA_CA_FILE",
    )?;
    let bare = |task: Task| {
        task.env("KAFKA_BOOTSTRAP_SERVERS", &address)
            .env("KAFKA_TIMEOUT_SECONDS", "10")
    };
    // a broker that hangs up may be one that goes down: worth a retry, and a word
    let error = bare(produce()).run()?.fails_with(1)?;
    ensure!(error.contains("KAFKA_CA_FILE"), "{error}");
    let no_login = bare(produce()).env("KAFKA_CA_FILE", &trust.file("ca.pem"));
    let error = no_login.run()?.fails_with(1)?;
    ensure!(error.contains("KAFKA_USERNAME"), "{error}");
    let no_authority = bare(produce())
        .env("KAFKA_USERNAME", "produce")
        .env("KAFKA_PASSWORD", "wrong");
    refused(&no_authority.run()?, "KAFKA_CA_FILE")?;
    let in_the_clear = as_user(produce(), "produce", &trust)
        .env("KAFKA_BOOTSTRAP_SERVERS", &format!("{name}:9095"));
    refused(&in_the_clear.run()?, "does not speak TLS")?;
    let no_such_file = as_user(produce(), "produce", &trust).env("KAFKA_CA_FILE", "/nowhere");
    refused(&no_such_file.run()?, "/nowhere")?;
    // a login without the right
    refused(
        &as_user(produce(), "stream", &trust).run()?,
        "kafka-acls.sh",
    )?;
    refused(
        &as_user(stage.task("archive"), "produce", &trust).run()?,
        "kafka-acls.sh",
    )?;
    let elsewhere = as_user(produce(), "produce", &trust).env("KAFKA_TOPIC", "of_somebody_else");
    refused(&elsewhere.run()?, "kafka-acls.sh")?;
    Ok(())
}

#[test]
fn cassandra_lets_in_who_has_a_role() -> anyhow::Result<()> {
    let stage = Stage::new("cassandra_login", 1)?;
    let name = format!("{}_cassandra", stage.topic).replace('_', "-");
    let trust = Trust::new(&name, &[])?;
    let mount = format!("{}:/run/secrets:ro", trust.volume);
    // as docker-compose.secure.yaml has it
    let start = "sed -i 's/AllowAllAuthenticator/PasswordAuthenticator/; s/AllowAllAuthorizer/CassandraAuthorizer/' \
        /etc/cassandra/cassandra.yaml && exec docker-entrypoint.sh cassandra -f";
    let server = OwnServer::run(
        &name,
        "cassandra:5.0.9",
        &["--volume", &mount],
        &[("MAX_HEAP_SIZE", "512M"), ("HEAP_NEWSIZE", "128M")],
        &["bash", "-c", start],
    )?;
    server.wait_for_port(9042)?;
    let tables = trust.file("cassandra_setup.cql");
    std::fs::write(&tables, include_str!("../../cassandra_setup.cql"))?;
    for (file, place) in [
        ("up/cassandra_users.sh", "users.sh"),
        (tables.as_str(), "setup.cql"),
    ] {
        docker(&["cp", file, &format!("{name}:/tmp/{place}")])?;
    }
    // twice: running it again changes nothing
    for _ in 0..2 {
        server.exec(&["bash", "/tmp/users.sh", &name, "/tmp/setup.cql"])?;
    }

    let produced = stage
        .task("produce")
        .args(["--count", "200", "--seed", "4"])
        .succeed()?;
    ensure!(produced["acked"] == 200, "{produced}");
    let stream = || {
        stage
            .task("stream")
            .env("CASSANDRA_CONTACT_POINTS", &format!("{name}:9042"))
            .env("CASSANDRA_KEYSPACE", "logs")
            .env("CASSANDRA_TIMEOUT_SECONDS", "5")
    };
    let as_role = |role: &str, password: &str| {
        stream()
            .env("CASSANDRA_USERNAME", role)
            .env("CASSANDRA_PASSWORD", password)
    };
    // what is wrong writes nothing and commits nothing
    refused(
        &as_role("reader", &secret_of("reader")).run()?,
        "grant it MODIFY",
    )?;
    refused(&as_role("stream", "wrong").run()?, "CASSANDRA_PASSWORD")?;
    refused(
        &as_role("cassandra", "cassandra").run()?,
        "CASSANDRA_PASSWORD",
    )?;
    refused(&stream().run()?, "CASSANDRA_USERNAME")?;
    // what is right
    let written = as_role("stream", &secret_of("stream")).succeed()?;
    ensure!(written["records"] == 200, "{written}");
    Ok(())
}

#[test]
fn postgres_lets_in_who_comes_by_tls() -> anyhow::Result<()> {
    let stage = Stage::new("tls", 1)?;
    let name = format!("{}_postgres", stage.topic).replace('_', "-");
    let trust = Trust::new(&name, &[&name])?;
    let stranger = Trust::new(&format!("{name}-stranger"), &[&name])?;
    let _server = postgres_with_tls(&name, &trust)?;

    let catalog = |host: &str| {
        stage
            .task("catalog")
            .args([
                "--users",
                "../data/users.json",
                "--products",
                "../data/products.json",
            ])
            .env(
                "POSTGRES_URL",
                &format!("postgresql://loader@{host}:5432/airflow"),
            )
    };
    let trusted = |task: Task, trust: &Trust| task.env("POSTGRES_CA_FILE", &trust.file("ca.pem"));
    let done = trusted(catalog(&name), &trust).succeed()?;
    ensure!(done["users"]["inserted"] == 2_000, "{done}");
    // the certificate itself, as jobs get it
    let text = std::fs::read_to_string(trust.file("ca.pem"))?;
    catalog(&name).env("POSTGRES_CA", &text).succeed()?;

    refused(
        &trusted(catalog(&name), &stranger).run()?,
        "POSTGRES_CA_FILE",
    )?;
    refused(&catalog(&name).run()?, "POSTGRES_CA_FILE")?;
    let wrong = trusted(catalog(&name), &trust).env("POSTGRES_PASSWORD", "wrong");
    refused(&wrong.run()?, "POSTGRES_PASSWORD")?;
    let broken = catalog(&name).env("POSTGRES_CA", "no certificate");
    refused(&broken.run()?, "POSTGRES_CA")?;
    // a server that shows a certificate for another name: by its address
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, &name])?;
    refused(
        &trusted(catalog(&address), &trust).run()?,
        "for this host name",
    )?;
    // the stack's own server speaks no TLS
    refused(
        &trusted(catalog("postgres"), &trust).run()?,
        "does not speak TLS",
    )?;
    // dbt, whose client is another
    let dbt = |authority: &str| {
        Task::new("docker")
            .args(["run", "--rm", "--network", &integration::network()])
            .args(["--env", "TRANSFORMER_PASSWORD", "--env", "POSTGRES_CA"])
            .args([
                "--env",
                &format!("POSTGRES_HOST={name}"),
                &integration::image("dbt"),
            ])
            .env("TRANSFORMER_PASSWORD", &password("TRANSFORMER_PASSWORD"))
            .env("POSTGRES_CA", authority)
    };
    dbt(&text).succeed()?;
    let other = std::fs::read_to_string(stranger.file("ca.pem"))?;
    let error = dbt(&other).run()?.fails_with(2)?;
    ensure!(error.contains("certificate"), "{error}");
    Ok(())
}
