//! How the stack's containers are confined, and that no secret shows where it does not belong.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use integration::{IMAGES, Server, docker, image, network, password};
use postgres::NoTls;
use serde_json::Value;

/// Starts as root, because the official image's user does not own a new volume.
const HDFS: [&str; 2] = ["namenode", "datanode"];

/// Ours, and others that write nowhere but in their volumes.
const SEALED: [&str; 6] = [
    "socket-proxy",
    "produce",
    "stream",
    "postgres",
    "prometheus",
    "pushgateway",
];

/// What the start of PostgreSQL and Cassandra needs, to make a new volume its user's.
const OWN_FILES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

/// Every container of the stack: its service, and what the engine says of it.
fn containers() -> anyhow::Result<Vec<(String, Value)>> {
    let project = format!("label=com.docker.compose.project={}", network());
    let ids = docker(&["ps", "--all", "--quiet", "--filter", &project])?;
    let ids: Vec<&str> = ids.lines().collect();
    let found: Value = serde_json::from_str(&docker(&[&["inspect"], ids.as_slice()].concat())?)?;
    let found = found.as_array().context("no containers")?.clone();
    ensure!(found.len() >= 10, "{} containers", found.len());
    let named = found.into_iter().map(|container| {
        let service = &container["Config"]["Labels"]["com.docker.compose.service"];
        (service.as_str().unwrap_or_default().to_owned(), container)
    });
    Ok(named.collect())
}

fn words(list: &Value) -> BTreeSet<&str> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).collect()
}

#[test]
fn services_are_confined() -> anyhow::Result<()> {
    for (service, container) in containers()? {
        let host = &container["HostConfig"];
        ensure!(host["Privileged"] == false, "{service} is privileged");
        for shared in ["PidMode", "IpcMode", "UTSMode", "UsernsMode", "NetworkMode"] {
            ensure!(
                host[shared] != "host",
                "{service} shares {shared} with the host"
            );
        }
        ensure!(words(&host["Devices"]).is_empty(), "{service} has a device");
        let added = words(&host["CapAdd"]);
        let (dropped, options) = (words(&host["CapDrop"]), words(&host["SecurityOpt"]));
        if HDFS.contains(&service.as_str()) {
            ensure!(
                added.is_empty() && dropped.contains("NET_RAW"),
                "{service}: {host}"
            );
        } else {
            ensure!(dropped.contains("ALL"), "{service} keeps capabilities");
            ensure!(
                options.contains("no-new-privileges:true"),
                "{service}: {options:?}"
            );
            let own: BTreeSet<&str> = OWN_FILES.into();
            ensure!(added.is_subset(&own), "{service}: {added:?}");
        }
        let sealed = SEALED.contains(&service.as_str());
        ensure!(
            host["ReadonlyRootfs"] == true || !sealed,
            "{service} is not read-only"
        );
        ensure!(
            host["Memory"].as_i64() > Some(0),
            "{service} has no memory limit"
        );
        // what is reachable from outside the machine
        for (port, bindings) in host["PortBindings"].as_object().into_iter().flatten() {
            for binding in bindings.as_array().into_iter().flatten() {
                ensure!(
                    binding["HostIp"] == "127.0.0.1",
                    "{service}: {port} {binding}"
                );
            }
        }
        // what it has of the host: settings to read; one has the engine's socket, and no network
        for mount in container["Mounts"].as_array().into_iter().flatten() {
            if mount["Type"] != "bind" {
                continue;
            }
            let source = mount["Source"].as_str().unwrap_or_default();
            if source.ends_with("docker.sock") {
                ensure!(
                    service == "socket-proxy",
                    "{service} has the engine's socket"
                );
                ensure!(host["NetworkMode"] == "none", "{service} has a network");
            } else {
                ensure!(mount["RW"] == false, "{service} may write to {source}");
            }
        }
        let user = container["Config"]["User"].as_str().unwrap_or_default();
        let is_root = matches!(user.split(':').next(), Some("" | "0" | "root"));
        let steps_down = added.contains("SETUID") || HDFS.contains(&service.as_str());
        ensure!(!is_root || steps_down, "{service} runs as {user:?}");
    }
    Ok(())
}

#[test]
fn the_scheduler_cannot_reach_the_engine_but_through_the_proxy() -> anyhow::Result<()> {
    let scheduler = Server::of("airflow-scheduler")?;
    // as a task of a DAG would
    let escape = "
import docker, os
assert not os.path.exists('/var/run/docker.sock')
client = docker.APIClient(base_url=os.environ['DOCKER_HOST'])
base = {'image': os.environ['ESCAPE_IMAGE'], 'labels': {'com.ecomm-pipeline.job': '1', 'com.ecomm-pipeline.network': os.environ['PIPELINE_NETWORK']}}
host = {'network_mode': os.environ['PIPELINE_NETWORK'], 'mem_limit': '64m'}
made = client.create_container(**base, host_config=client.create_host_config(**host))
client.remove_container(made['Id'], v=True, force=True)
for way in [{'binds': ['/:/host']}, {'privileged': True}, {'pid_mode': 'host'}, {'cap_add': ['SYS_ADMIN']}, {'network_mode': 'host'}]:
    try:
        client.create_container(**base, host_config=client.create_host_config(**(host | way)))
    except docker.errors.APIError as problem:
        assert problem.status_code == 403, problem
    else:
        raise SystemExit(f'{way} is let through')
for call in [client.info, client.images, client.volumes, lambda: client.exec_create('postgres', 'id')]:
    try:
        call()
    except docker.errors.APIError as problem:
        assert problem.status_code == 403, problem
    else:
        raise SystemExit(f'{call} is let through')
print('held')
";
    let variable = format!("ESCAPE_IMAGE={}", image("load"));
    let said = scheduler.exec(&["env", &variable, "python", "-c", escape])?;
    ensure!(said == "held", "{said}");
    Ok(())
}

/// Secrets of the stack that are long enough for a find to mean something, by name.
fn secrets() -> anyhow::Result<Vec<(String, String)>> {
    let found: Vec<(String, String)> = std::env::vars()
        .filter(|(name, value)| {
            let secret = ["PASSWORD", "_KEY", "_SECRET"]
                .iter()
                .any(|end| name.ends_with(end));
            secret && value.len() >= 20
        })
        .collect();
    // those that `make up` draws
    for name in [
        "AIRFLOW_FERNET_KEY",
        "AIRFLOW_JWT_SECRET",
        "AIRFLOW_SECRET_KEY",
    ] {
        ensure!(
            found.iter().any(|(known, _)| known == name),
            "{name} is not set here"
        );
    }
    Ok(found)
}

#[test]
fn no_service_has_a_secret_in_its_settings() -> anyhow::Result<()> {
    let secrets = secrets()?;
    for (service, container) in containers()? {
        let settings = container["Config"].to_string() + &container["HostConfig"].to_string();
        let found = shown(&secrets, &settings);
        // its provisioning reads this one from a variable
        let expected = match service.as_str() {
            "grafana" => &["BI_READER_PASSWORD", "GRAFANA_PASSWORD"][..],
            _ => &[],
        };
        let odd: Vec<&String> = found
            .iter()
            .filter(|name| !expected.contains(&name.as_str()))
            .collect();
        ensure!(odd.is_empty(), "{odd:?} in the settings of {service}");
    }
    Ok(())
}

/// Runs a shell command that reads the secrets, one a line, on stdin; names those it prints.
fn find(secrets: &[(String, String)], command: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut running = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines: String = secrets
        .iter()
        .map(|(_, value)| format!("{value}\n"))
        .collect();
    running
        .stdin
        .take()
        .context("stdin")?
        .write_all(lines.as_bytes())?;
    let output = running.wait_with_output()?;
    let code = output.status.code();
    // grep: 1 is nothing found
    ensure!(
        matches!(code, Some(0 | 1)),
        "{command:?} ended with {code:?}"
    );
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(shown(secrets, &printed))
}

fn shown(secrets: &[(String, String)], text: &str) -> Vec<String> {
    let found = secrets
        .iter()
        .filter(|(_, value)| text.contains(value.as_str()));
    found.map(|(name, _)| name.clone()).collect()
}

#[test]
fn no_secret_is_in_an_image_a_log_or_a_process_list() -> anyhow::Result<()> {
    let secrets = secrets()?;
    // the search finds what is there
    let echo = [
        "sh",
        "-c",
        "grep -aohF -f - /proc/self/environ \"$0\" || true",
        "/proc/self/cmdline",
    ];
    ensure!(
        find(&secrets, &echo)?.len() >= secrets.len(),
        "the search finds nothing"
    );

    let images: Vec<String> = IMAGES.iter().map(|name| image(name)).collect();
    for image in &images {
        for words in [
            ["image", "inspect", image.as_str()],
            ["history", "--no-trunc", image.as_str()],
        ] {
            let found = shown(&secrets, &docker(&words)?);
            ensure!(
                found.is_empty(),
                "{image}: {found:?} in its settings or history"
            );
        }
    }
    let save = format!(
        "cat > /tmp/secrets.$$; docker save {} | grep -aohF -f /tmp/secrets.$$; e=$?; rm /tmp/secrets.$$; exit $e",
        images.join(" ")
    );
    let found = find(&secrets, &["sh", "-c", &save])?;
    ensure!(found.is_empty(), "{found:?} in a layer of an image");

    for (service, container) in containers()? {
        let id = container["Id"].as_str().context("no id")?;
        let logs = format!(
            "cat > /tmp/secrets.$$; docker logs {id} 2>&1 | grep -aohF -f /tmp/secrets.$$; e=$?; rm /tmp/secrets.$$; exit $e"
        );
        let found = find(&secrets, &["sh", "-c", &logs])?;
        ensure!(found.is_empty(), "{found:?} in the log of {service}");
        let words = container["Path"].to_string() + &container["Args"].to_string();
        let found = shown(&secrets, &words);
        ensure!(
            found.is_empty(),
            "{found:?} in the command line of {service}"
        );
        if container["State"]["Running"] == true {
            let processes = docker(&["top", id, "-eo", "pid,args"])?;
            let found = shown(&secrets, &processes);
            ensure!(
                found.is_empty(),
                "{found:?} in the process list of {service}"
            );
        }
    }
    Ok(())
}

#[test]
fn no_secret_is_in_what_airflow_keeps() -> anyhow::Result<()> {
    let secrets = secrets()?;
    let mut config: postgres::Config = "postgresql://airflow@postgres:5432/airflow_meta".parse()?;
    config.password(password("POSTGRES_PASSWORD"));
    let mut meta = config.connect(NoTls)?;
    let tables = meta.query(
        "select format('%I', tablename) from pg_tables where schemaname = 'public' order by 1",
        &[],
    )?;
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    ensure!(tables.iter().any(|table| table == "xcom"), "{tables:?}");
    for table in &tables {
        for (name, value) in &secrets {
            let query = format!(
                "select count(*) from {table} as kept where position($1 in kept::text) > 0"
            );
            let found: i64 = meta.query_one(&query, &[value])?.get(0);
            ensure!(found == 0, "{name} is in Airflow's table {table}");
        }
    }
    let scheduler = docker(&[
        "ps",
        "--quiet",
        "--filter",
        &format!("label=com.docker.compose.project={}", network()),
        "--filter",
        "label=com.docker.compose.service=airflow-scheduler",
    ])?;
    let grep = [
        "docker",
        "exec",
        "-i",
        &scheduler,
        "grep",
        "-raohF",
        "-f",
        "-",
        "/opt/airflow/logs",
    ];
    let found = find(&secrets, &grep)?;
    ensure!(found.is_empty(), "{found:?} in a log of a task");
    Ok(())
}
