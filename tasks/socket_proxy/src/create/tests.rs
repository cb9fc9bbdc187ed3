//! Bodies that pass, and one change after another that must not.

use serde_json::{Value, json};

use super::{MAX_BODY_BYTES, Policy};

fn policy() -> Policy {
    Policy {
        images: vec!["ecomm-pipeline/load:dev".to_owned()],
        network: "ecomm".to_owned(),
        max_memory_bytes: 1 << 30,
    }
}

/// As docker-py sends it for Airflow's operator.
fn body() -> Value {
    json!({
        "Image": "ecomm-pipeline/load:dev",
        "Cmd": ["--retry-quarantined"],
        "Env": ["POSTGRES_PASSWORD=a=b", "RUST_LOG=info"],
        "Labels": {"com.ecomm-pipeline.job": "1", "com.ecomm-pipeline.network": "ecomm", "com.ecomm-pipeline.run": "manual__2026"},
        "Tty": false, "OpenStdin": false, "StdinOnce": false, "AttachStdin": false,
        "AttachStdout": true, "AttachStderr": true, "ExposedPorts": {}, "NetworkDisabled": false,
        "HostConfig": {
            "NetworkMode": "ecomm", "Memory": 268_435_456, "CpuShares": 1024,
            "Mounts": [], "PortBindings": {}, "Ulimits": [],
            "LogConfig": {"Type": null, "Config": {"max-size": "10m", "max-file": "3"}},
        },
    })
}

fn reason(body: &Value) -> String {
    match policy().check(body.to_string().as_bytes()) {
        Ok(passed) => panic!("passed: {body} as {passed}"),
        Err(refusal) => refusal.reason,
    }
}

#[test]
fn a_job_passes_and_is_hardened() {
    let sent = policy()
        .check(body().to_string().as_bytes())
        .expect("a job");
    assert_eq!(sent["Env"], body()["Env"]);
    assert_eq!(sent["Labels"], body()["Labels"]);
    let host = &sent["HostConfig"];
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["Memory"], 268_435_456);
    assert!(
        host["Mounts"].is_null() && host["Binds"].is_null(),
        "{host}"
    );
}

#[test]
fn each_way_out_of_a_container_is_refused() {
    for (field, value) in [
        ("Binds", json!(["/:/host"])),
        ("Binds", json!([])),
        (
            "Mounts",
            json!([{"Type": "bind", "Source": "/", "Target": "/host"}]),
        ),
        ("VolumesFrom", json!(["postgres"])),
        ("VolumeDriver", json!("local")),
        ("Privileged", json!(true)),
        ("privileged", json!(true)),
        ("PRIVILEGED", json!(true)),
        ("CapAdd", json!(["SYS_ADMIN"])),
        ("CapDrop", json!([])),
        ("Capabilities", json!(["SYS_ADMIN"])),
        (
            "Devices",
            json!([{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
        ),
        ("DeviceCgroupRules", json!(["b 8:* rwm"])),
        ("DeviceRequests", json!([{"Count": -1}])),
        ("PidMode", json!("host")),
        ("PidMode", json!("container:postgres")),
        ("IpcMode", json!("host")),
        ("UTSMode", json!("host")),
        ("UsernsMode", json!("host")),
        ("CgroupnsMode", json!("host")),
        ("CgroupParent", json!("/")),
        ("Cgroup", json!("container:postgres")),
        ("NetworkMode", json!("host")),
        ("NetworkMode", json!("container:postgres")),
        ("NetworkMode", json!("bridge")),
        ("NetworkMode", json!("default")),
        ("NetworkMode", json!("ecomm ")),
        ("NetworkMode", json!(["ecomm"])),
        ("SecurityOpt", json!(["seccomp=unconfined"])),
        ("Sysctls", json!({"net.ipv4.ip_forward": "1"})),
        ("Runtime", json!("runc")),
        ("ExtraHosts", json!(["kafka:10.0.0.1"])),
        ("Dns", json!(["10.0.0.1"])),
        ("Links", json!(["postgres:db"])),
        ("GroupAdd", json!(["0"])),
        ("OomKillDisable", json!(true)),
        ("OomScoreAdj", json!(-1000)),
        ("Tmpfs", json!({"/usr/local/bin": "exec"})),
        ("ReadonlyRootfs", json!(false)),
        ("ReadonlyPaths", json!([])),
        ("MaskedPaths", json!([])),
        ("StorageOpt", json!({"size": "1000G"})),
        ("RestartPolicy", json!({"Name": "always"})),
        ("AutoRemove", json!(true)),
        ("PortBindings", json!({"1/tcp": [{"HostPort": "1"}]})),
        ("PublishAllPorts", json!(true)),
        ("Ulimits", json!([{"Name": "nofile", "Soft": 1, "Hard": 1}])),
        ("ShmSize", json!(1)),
        ("PidsLimit", json!(-1)),
        ("Memory", json!(0)),
        ("Memory", json!(-1)),
        ("Memory", json!(1_u64 << 31)),
        ("Memory", json!("256m")),
        ("Memory", json!(null)),
        ("MemorySwap", json!(-1)),
        ("CpuShares", json!(100_000)),
        ("CpuRealtimeRuntime", json!(1)),
        ("LogConfig", json!({"Type": "syslog", "Config": {}})),
        ("LogConfig", json!({"Config": {"path": "/etc/passwd"}})),
        ("LogConfig", json!({"Config": {"max-size": "-1"}})),
        ("LogConfig", json!({"Config": {"max-file": "100"}})),
        ("ContainerIDFile", json!("/etc/cron.d/x")),
        ("InitPath", json!("/bin/sh")),
        ("Isolation", json!("process")),
        ("NotInvented", json!(null)),
    ] {
        let mut asked = body();
        asked["HostConfig"][field] = value;
        let said = reason(&asked);
        assert!(said.starts_with("HostConfig"), "{field}: {said}");
    }
}

#[test]
fn each_other_field_is_refused() {
    for (field, value) in [
        ("Image", json!("debian:bookworm-slim")),
        ("Image", json!("ecomm-pipeline/load:latest")),
        ("Image", json!("ecomm-pipeline/test:dev")),
        ("Image", json!("ecomm-pipeline/load")),
        ("Image", json!("ecomm-pipeline/load:dev@sha256:00")),
        ("Image", json!("evil.example/ecomm-pipeline/load:dev")),
        ("User", json!("0")),
        ("Entrypoint", json!(["/bin/sh", "-c"])),
        ("WorkingDir", json!("/proc/1/root")),
        ("Volumes", json!({"/host": {}})),
        ("Hostname", json!("postgres")),
        ("Domainname", json!("x")),
        ("MacAddress", json!("02:42:ac:11:00:02")),
        ("Healthcheck", json!({"Test": ["CMD", "true"]})),
        ("Shell", json!(["/bin/sh"])),
        ("OnBuild", json!(["RUN true"])),
        (
            "NetworkingConfig",
            json!({"EndpointsConfig": {"bridge": {}}}),
        ),
        ("Tty", json!(true)),
        ("OpenStdin", json!(true)),
        ("AttachStdin", json!(true)),
        ("ExposedPorts", json!({"1/tcp": {}})),
        ("hostconfig", json!({"Privileged": true})),
        ("Env", json!(["NO_VALUE"])),
        ("Env", json!(["=x"])),
        ("Env", json!(["A B=x"])),
        ("Labels", json!({})),
        ("Labels", json!({"com.ecomm-pipeline.job": "1"})),
        (
            "Labels",
            json!({"com.ecomm-pipeline.job": "1", "com.ecomm-pipeline.network": "other"}),
        ),
        (
            "Labels",
            json!({"com.ecomm-pipeline.job": "1", "com.ecomm-pipeline.network": "ecomm", "com.docker.compose.project": "ecomm"}),
        ),
        ("HostConfig", json!(null)),
    ] {
        let mut asked = body();
        asked[field] = value;
        let said = reason(&asked);
        assert!(!said.contains('\n') && !said.is_empty(), "{field}: {said}");
    }
}

#[test]
fn a_value_is_not_repeated() {
    let mut asked = body();
    asked["Env"] = json!(["BAD NAME=hunter2"]);
    assert!(!reason(&asked).contains("hunter2"));
}

#[test]
fn a_key_stands_there_once() {
    let text = body().to_string();
    for (once, twice) in [
        (r#""Memory":268435456"#, r#""Memory":268435456,"Memory":0"#),
        (r#""Image":"#, r#""Image":"debian:bookworm-slim","Image":"#),
        (
            r#""com.ecomm-pipeline.job":"1""#,
            r#""com.ecomm-pipeline.job":"0","com.ecomm-pipeline.job":"1""#,
        ),
        (r#""Tty":false"#, r#""Tty":false,"\u0054ty":false"#),
    ] {
        assert!(text.contains(once), "{once} in {text}");
        let said = policy().check(text.replacen(once, twice, 1).as_bytes());
        let said = said.expect_err("a refusal").reason;
        assert!(said.contains("duplicate field"), "{said}");
    }
}

#[test]
fn what_is_no_json_is_malformed() {
    let whole = body().to_string();
    let nested = "[".repeat(MAX_BODY_BYTES);
    let twice = format!("{whole}{whole}");
    for text in [
        "",
        "{",
        "null",
        "[]",
        &whole[..whole.len() - 1],
        &twice,
        &nested,
    ] {
        let refusal = policy().check(text.as_bytes()).expect_err("a refusal");
        assert!(matches!(refusal.status.as_u16(), 400 | 403), "{refusal:?}");
        assert!(!refusal.reason.contains('\n'), "{refusal:?}");
    }
    assert!(policy().check(b"\xff\xfe").is_err());
}
