//! Ways out of a container, and into others, that the engine's socket offers: each is shown to work
//! with the engine itself, where that harms nothing, and to be refused by the proxy of Airflow's.

#[path = "escapes/wire.rs"]
mod wire;

use std::io::{Read, Write};

use anyhow::{Context, ensure};
use integration::{docker, image, network, wait_until};
use serde_json::{Value, json};
use wire::{Doorkeeper, Made, Wire, foreign, job, refused};

#[test]
fn a_job_runs_through_the_proxy_and_is_confined() -> anyhow::Result<()> {
    let proxy = Doorkeeper::start()?;
    let present = format!(
        "filters={}",
        encoded(&json!({"reference": image("produce")}))
    );
    let images = proxy.wire.ask(
        "GET",
        &format!("/v1.41/images/json?only_ids=0&all=0&{present}"),
        None,
    )?;
    ensure!(
        images.status == 200 && images.body.contains(&image("produce")),
        "{}",
        images.body
    );

    let made = proxy.wire.create(&job())?;
    let path = format!("/v1.41/containers/{}", made.0);
    // attached before it starts, as the operator does
    let mut stream = proxy.wire.connect()?;
    let attach = format!(
        "POST {path}/attach?logs=0&stdout=1&stderr=1&stream=1 HTTP/1.1\r\nHost: docker\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(attach.as_bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    ensure!(
        head == *b"HTTP/1.1 101",
        "{}",
        String::from_utf8_lossy(&head)
    );
    ensure!(
        proxy
            .wire
            .ask("POST", &format!("{path}/start"), None)?
            .status
            == 204
    );
    let mut output = Vec::new();
    stream.read_to_end(&mut output)?;
    let output = String::from_utf8_lossy(&output);
    ensure!(output.matches("\"event_id\"").count() == 3, "{output}");

    let waited = proxy.wire.ask("POST", &format!("{path}/wait"), None)?;
    ensure!(waited.body.contains("\"StatusCode\":0"), "{}", waited.body);
    let logs = proxy.wire.ask(
        "GET",
        &format!("{path}/logs?stdout=1&stderr=0&tail=100"),
        None,
    )?;
    ensure!(
        logs.body.matches("\"event_id\"").count() == 3,
        "{}",
        logs.body
    );
    let shown = proxy.wire.ask("GET", &format!("{path}/json"), None)?;
    ensure!(shown.body.contains("\"ExitCode\":0"), "{}", shown.body);
    ensure!(
        !shown.body.contains("not-for-everyone") && !shown.body.contains("\"Env\""),
        "{}",
        shown.body
    );

    let host = "{{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.ReadonlyRootfs}} \
                {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.Config.User}} {{len .Mounts}}";
    let is = made.is(host)?;
    ensure!(
        is == "[ALL] [no-new-privileges] true 134217728 256 10001 0",
        "{is}"
    );

    let filters = encoded(&json!({"label": ["com.ecomm-pipeline.task=test_escapes"]}));
    let jobs = proxy.wire.ask(
        "GET",
        &format!("/v1.41/containers/json?all=1&limit=-1&filters={filters}"),
        None,
    )?;
    ensure!(jobs.body.contains(&made.0), "{}", jobs.body);
    ensure!(
        proxy
            .wire
            .ask("POST", &format!("{path}/stop?t=1"), None)?
            .status
            < 400
    );
    ensure!(
        proxy
            .wire
            .ask(
                "DELETE",
                &format!("{path}?v=True&link=False&force=True"),
                None
            )?
            .status
            == 204
    );
    ensure!(proxy.wire.ask("GET", &format!("{path}/json"), None)?.status == 404);
    std::mem::forget(made);

    let ended = proxy.end()?;
    ensure!(
        !ended.stderr.contains("not-for-everyone"),
        "a secret in the log"
    );
    Ok(())
}

/// Settings of a container that reach the host or another container: fields of `HostConfig`. What is
/// made of them is never started.
fn ways_out(other: &str) -> Vec<(&'static str, Value)> {
    let bind = json!([{"Type": "bind", "Source": "/", "Target": "/host"}]);
    // a volume that is a bind in disguise
    let disguised = json!([{"Type": "volume", "Target": "/host", "VolumeOptions": {"DriverConfig": {
        "Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}}}]);
    let device = json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]);
    vec![
        ("Binds", json!(["/:/host"])),
        ("Mounts", bind),
        ("Mounts", disguised),
        ("VolumesFrom", json!([other])),
        ("Privileged", json!(true)),
        ("privileged", json!(true)),
        ("CapAdd", json!(["SYS_ADMIN"])),
        ("Devices", device),
        ("DeviceCgroupRules", json!(["b 8:* rwm"])),
        ("PidMode", json!("host")),
        ("PidMode", json!(format!("container:{other}"))),
        ("IpcMode", json!("host")),
        ("UTSMode", json!("host")),
        ("UsernsMode", json!("host")),
        ("CgroupnsMode", json!("host")),
        ("CgroupParent", json!("/elsewhere")),
        ("NetworkMode", json!("host")),
        ("NetworkMode", json!("bridge")),
        ("NetworkMode", json!(format!("container:{other}"))),
        ("SecurityOpt", json!(["seccomp=unconfined"])),
        ("SecurityOpt", json!(["apparmor=unconfined"])),
        ("Sysctls", json!({"net.ipv4.ip_forward": "1"})),
        ("Runtime", json!("runc")),
        ("ExtraHosts", json!(["kafka:192.0.2.1"])),
        ("GroupAdd", json!(["0"])),
        ("OomScoreAdj", json!(-1000)),
        ("RestartPolicy", json!({"Name": "always"})),
        ("PortBindings", json!({"8080/tcp": [{"HostPort": "0"}]})),
        (
            "LogConfig",
            json!({"Type": "syslog", "Config": {"syslog-address": "udp://192.0.2.1:514"}}),
        ),
        ("Memory", json!(0)),
        ("MaskedPaths", json!([])),
    ]
}

#[test]
fn creations_that_reach_the_host_are_refused() -> anyhow::Result<()> {
    let (proxy, engine) = (Doorkeeper::start()?, Wire::engine());
    let other = foreign(&[])?;
    let mut refusals = 0;
    let mut check = |body: &Value| -> anyhow::Result<()> {
        drop(
            engine
                .create(body)
                .with_context(|| format!("the engine itself refuses {body}"))?,
        );
        proxy.refuses("POST", "/v1.41/containers/create", Some(body))?;
        refusals += 1;
        Ok(())
    };
    for (field, value) in ways_out(&other.0) {
        let mut body = job();
        body["HostConfig"][field] = value;
        check(&body)?;
    }
    for (field, value) in [
        ("Image", json!("debian:bookworm-slim")),
        ("User", json!("0")),
        ("Entrypoint", json!(["/bin/sh"])),
        ("Volumes", json!({"/data": {}})),
        ("Hostname", json!("postgres")),
        (
            "NetworkingConfig",
            json!({"EndpointsConfig": {network(): {"Aliases": ["postgres"]}}}),
        ),
        ("Healthcheck", json!({"Test": ["CMD", "true"]})),
        ("Labels", json!({})),
        ("Labels", json!({"com.docker.compose.service": "postgres"})),
        ("hostconfig", json!({"Privileged": true})),
    ] {
        let mut body = job();
        body[field] = value;
        check(&body)?;
    }
    // a name that others look for
    let named = format!(
        "/v1.41/containers/create?name=escape-{}",
        uuid::Uuid::new_v4().simple()
    );
    drop(Made::read(&engine.ask("POST", &named, Some(&job()))?.body)?);
    proxy.refuses("POST", &named, Some(&job()))?;
    refusals += 1;

    let log = proxy.end()?;
    ensure!(log.stderr.matches("WARN").count() == refusals, "{log:?}");
    ensure!(log.summary()?["refused"] == refusals, "{log:?}");
    Ok(())
}

#[test]
fn of_two_equal_keys_the_engine_takes_the_other_and_the_proxy_none() -> anyhow::Result<()> {
    let (proxy, engine) = (Doorkeeper::start()?, Wire::engine());
    let text = job().to_string();
    for (once, twice) in [
        (
            "\"Mounts\":[]",
            "\"Privileged\":false,\"Mounts\":[],\"Privileged\":true",
        ),
        (
            "\"HostConfig\":{",
            "\"HostConfig\":{\"Privileged\":true},\"HostConfig\":{",
        ),
        (
            "\"HostConfig\":{",
            "\"hostConfig\":{\"Privileged\":true},\"HostConfig\":{",
        ),
        (
            "\"HostConfig\":{",
            "\"\\u0048ostConfig\":{\"Privileged\":true},\"HostConfig\":{",
        ),
    ] {
        ensure!(text.contains(once), "{once} in {text}");
        let body = text.replacen(once, twice, 1);
        let request = format!(
            "POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let made = Made::read(&engine.send(request.as_bytes())?.body)?;
        ensure!(
            made.is("{{.HostConfig.Privileged}}")? == "true",
            "{twice} is harmless"
        );
        refused(&proxy.wire.send(request.as_bytes())?, &body)?;
    }
    Ok(())
}

#[test]
fn calls_that_no_job_needs_are_refused() -> anyhow::Result<()> {
    let (proxy, engine) = (Doorkeeper::start()?, Wire::engine());
    // even about a container of its own
    let own = proxy.wire.create(&job())?;
    let id = &own.0;
    let name = format!("escape-{}", uuid::Uuid::new_v4().simple());
    let volume = json!({"Name": name, "Driver": "local", "DriverOpts": {"type": "none", "o": "bind", "device": "/"}});
    // what works with the engine, and harms nothing
    let harmless: Vec<(&str, String, Option<Value>)> = vec![
        ("GET", "/info".into(), None),
        ("GET", "/system/df".into(), None),
        ("GET", "/volumes".into(), None),
        ("POST", "/volumes/create".into(), Some(volume)),
        ("DELETE", format!("/volumes/{name}"), None),
        ("GET", "/networks".into(), None),
        (
            "POST",
            "/networks/create".into(),
            Some(json!({"Name": name})),
        ),
        ("DELETE", format!("/networks/{name}"), None),
        ("GET", "/plugins".into(), None),
        ("GET", format!("/images/{}/json", image("produce")), None),
        ("GET", format!("/images/{}/history", image("produce")), None),
        (
            "POST",
            format!("/images/{}/tag?repo={name}&tag=x", image("produce")),
            None,
        ),
        ("DELETE", format!("/images/{name}:x"), None),
        (
            "POST",
            format!("/commit?container={id}&repo={name}&tag=y"),
            Some(json!({})),
        ),
        ("DELETE", format!("/images/{name}:y"), None),
        (
            "GET",
            format!("/containers/{id}/archive?path=/etc/passwd"),
            None,
        ),
        ("GET", format!("/containers/{id}/changes"), None),
        (
            "POST",
            format!("/containers/{id}/update"),
            Some(json!({"Memory": 67_108_864, "MemorySwap": -1})),
        ),
        ("POST", format!("/containers/{id}/rename?name={name}"), None),
        ("GET", "/events?since=1&until=2".into(), None),
    ];
    for (method, path, body) in &harmless {
        proxy.refuses(method, path, body.as_ref())?;
        let answer = engine.ask(method, &format!("/v1.41{path}"), body.as_ref())?;
        ensure!(
            answer.status < 400,
            "the engine itself refuses {method} {path}: {}",
            answer.body
        );
    }
    // with the engine these need what is not at hand here, or would do harm
    for (method, path) in [
        ("POST", "/build?t=escape".to_owned()),
        ("POST", "/build/prune".to_owned()),
        ("POST", "/images/create?fromImage=debian".to_owned()),
        ("POST", "/images/create?fromSrc=-".to_owned()),
        ("POST", "/images/load".to_owned()),
        ("POST", "/images/prune".to_owned()),
        ("POST", format!("/images/{}/push", image("produce"))),
        ("GET", "/images/search?term=debian".to_owned()),
        ("GET", format!("/images/get?names={}", image("produce"))),
        ("GET", format!("/distribution/{}/json", image("produce"))),
        ("DELETE", format!("/images/{}", image("produce"))),
        ("POST", format!("/containers/{id}/exec")),
        ("POST", "/exec/abc/start".to_owned()),
        ("GET", "/exec/abc/json".to_owned()),
        ("PUT", format!("/containers/{id}/archive?path=/")),
        ("GET", format!("/containers/{id}/export")),
        ("GET", format!("/containers/{id}/stats")),
        ("GET", format!("/containers/{id}/top")),
        ("GET", format!("/containers/{id}/attach/ws")),
        ("POST", format!("/containers/{id}/restart")),
        ("POST", format!("/containers/{id}/pause")),
        ("POST", format!("/containers/{id}/unpause")),
        ("POST", format!("/containers/{id}/resize?h=1&w=1")),
        ("POST", format!("/containers/{id}/checkpoints")),
        ("POST", format!("/containers/{id}/start?checkpoint=x")),
        ("POST", format!("/containers/{id}/copy")),
        ("POST", "/containers/prune".to_owned()),
        ("POST", "/volumes/prune".to_owned()),
        ("POST", "/networks/prune".to_owned()),
        ("POST", format!("/networks/{}/connect", network())),
        ("POST", format!("/networks/{}/disconnect", network())),
        ("POST", "/plugins/pull?remote=x".to_owned()),
        ("POST", "/plugins/create?name=x".to_owned()),
        ("POST", "/plugins/x/enable".to_owned()),
        ("POST", "/swarm/init".to_owned()),
        ("POST", "/swarm/join".to_owned()),
        ("GET", "/swarm".to_owned()),
        ("GET", "/nodes".to_owned()),
        ("POST", "/services/create".to_owned()),
        ("GET", "/services".to_owned()),
        ("GET", "/tasks".to_owned()),
        ("GET", "/secrets".to_owned()),
        ("POST", "/secrets/create".to_owned()),
        ("GET", "/configs".to_owned()),
        ("POST", "/auth".to_owned()),
        ("POST", "/session".to_owned()),
        ("POST", "/grpc".to_owned()),
        ("TRACE", "/_ping".to_owned()),
        ("OPTIONS", "/containers/json".to_owned()),
        ("PROPFIND", "/_ping".to_owned()),
        ("get", "/_ping".to_owned()),
    ] {
        for version in ["", "/v1.41", "/v1.24"] {
            proxy.refuses(method, &format!("{version}{path}"), None)?;
        }
    }
    // nothing of it happened to the container
    ensure!(own.is("{{.State.Status}}")? == "created");
    Ok(())
}

#[test]
fn foreign_containers_are_out_of_reach() -> anyhow::Result<()> {
    let (proxy, engine) = (Doorkeeper::start()?, Wire::engine());
    let nobodys = foreign(&[])?;
    // a job of another stack, and one that only says that it is a job
    let elsewhere = foreign(&[
        "com.ecomm-pipeline.job=1",
        "com.ecomm-pipeline.network=elsewhere",
    ])?;
    let claims = foreign(&["com.ecomm-pipeline.job=1"])?;
    for made in [&nobodys, &elsewhere, &claims] {
        let name = made.is("{{.Name}}")?;
        for called in [
            &made.0,
            &made.0[..12],
            &made.0[..6],
            name.trim_start_matches('/'),
        ] {
            let path = format!("/containers/{called}");
            // with the engine itself all of it works
            let shown = engine.ask("GET", &format!("{path}/json"), None)?;
            ensure!(shown.body.contains("another-secret"), "{}", shown.body);
            let logs = engine.ask("GET", &format!("{path}/logs?stdout=1"), None)?;
            ensure!(logs.body.contains("foreign words"), "{}", logs.body);
            let exec = json!({"Cmd": ["id"], "AttachStdout": true});
            let exec_path = format!("{path}/exec");
            ensure!(engine.ask("POST", &exec_path, Some(&exec))?.status == 201);
            proxy.refuses("POST", &exec_path, Some(&exec))?;

            for (method, what) in [
                ("GET", "/json"),
                ("GET", "/logs?stdout=1"),
                ("POST", "/start"),
                ("POST", "/stop?t=0"),
                ("POST", "/kill?signal=SIGKILL"),
                ("POST", "/wait"),
                ("DELETE", "?force=1"),
                ("POST", "/rename?name=x"),
            ] {
                proxy.refuses(method, &format!("{path}{what}"), None)?;
            }
            let attach = format!(
                "POST {path}/attach?logs=1&stdout=1&stream=1 HTTP/1.1\r\nHost: docker\r\n\
                 Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
            );
            refused(&proxy.wire.send(attach.as_bytes())?, &attach)?;
        }
        ensure!(
            made.is("{{.State.Status}}")? == "running",
            "something got through"
        );
    }
    // nor are they listed, whatever is asked for
    let all = engine.ask("GET", "/containers/json?all=1", None)?;
    for filters in [
        "",
        "&filters=%7B%7D",
        "&filters=%7B%22label%22%3A%5B%22com.ecomm-pipeline.job%3D1%22%5D%7D",
    ] {
        let listed = proxy
            .wire
            .ask("GET", &format!("/containers/json?all=1{filters}"), None)?;
        ensure!(listed.status == 200, "{}", listed.body);
        for made in [&nobodys, &elsewhere, &claims] {
            ensure!(
                all.body.contains(&made.0) && !listed.body.contains(&made.0),
                "{}",
                listed.body
            );
        }
    }
    Ok(())
}

#[test]
fn tricks_with_http_are_refused() -> anyhow::Result<()> {
    let proxy = Doorkeeper::start()?;
    let other = foreign(&[])?;
    let id = &other.0;
    let head = "Host: docker\r\nContent-Type: application/json\r\n";
    let mut privileged = job();
    privileged["HostConfig"]["Privileged"] = json!(true);
    let evil = privileged.to_string();
    let kill =
        format!("POST /containers/{id}/kill HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n");

    let mut refusals = 0;

    // understood by HTTP, refused by the proxy with a reason
    let huge = "x".repeat(70_000);
    for request in [
        format!(
            "POST /v1.41/../containers/create HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST //containers/create HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST /containers/%63reate HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST /containers/create/ HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST http://docker/containers/create HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST /containers/{id}%2fkill HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"
        ),
        format!(
            "POST /containers/x%3f/../{id}/kill HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"
        ),
        // bodies: in chunks, cut short, longer than said, too long, where none is wanted
        format!(
            "POST /containers/create HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{evil}\r\n0\r\n\r\n",
            evil.len()
        ),
        format!(
            "POST /containers/create HTTP/1.1\r\n{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{kill}"
        ),
        format!(
            "POST /containers/create HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len() - 1
        ),
        format!(
            "POST /containers/create HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{huge}",
            huge.len()
        ),
        format!(
            "POST /containers/{id}/start HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "GET /version HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{kill}",
            kill.len()
        ),
        format!(
            "POST /containers/create HTTP/1.1\r\n{head}Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!("GET /version HTTP/1.0\r\n{head}\r\n"),
    ] {
        refused(&proxy.wire.send(request.as_bytes())?, &request)?;
        refusals += 1;
    }
    // longer than what comes: the wait for the rest has a bound
    let mut stream = proxy.wire.connect()?;
    let short =
        format!("POST /containers/create HTTP/1.1\r\n{head}Content-Length: 9999\r\n\r\n{{}}");
    stream.write_all(short.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("the body did not come"),
        "{answer}"
    );

    // no HTTP: answered by the library, without a reason
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET /_ping HTTP/1.1\r\n{}\r\n", "X-Y: z\r\n".repeat(500));
    for request in [
        "GET /_ping HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n".as_bytes(),
        b"POST /containers/create HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        b"GET /_ping HTTP/1.1\r\nHost : docker\r\n\r\n",
        b"GET /_ping\x00 HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: identity, chunked, identity\r\n\r\n",
        b"GET  /_ping  HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/3.7\r\n\r\n",
        b"CONNECT /containers/json HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let said = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        let answer = proxy.wire.send(request).with_context(|| said.clone())?;
        ensure!((400..=431).contains(&answer.status), "{said}: {} {}", answer.status, answer.body);
        refusals += 1;
    }

    // a second request behind the first: nobody reads it
    let before = docker(&["ps", "--all", "--quiet", "--no-trunc"])?;
    let harmless = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
    let create = format!(
        "POST /containers/create HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{evil}",
        evil.len()
    );
    for behind in [&create, &kill] {
        let answer = proxy.wire.send(format!("{harmless}{behind}").as_bytes())?;
        ensure!(
            answer.status == 200 && answer.body.trim() == "OK",
            "{} {}",
            answer.status,
            answer.body
        );
    }
    ensure!(
        other.is("{{.State.Status}}")? == "running",
        "a second request got through"
    );
    let made = docker(&[
        "ps",
        "--all",
        "--quiet",
        "--no-trunc",
        "--filter",
        "label=com.ecomm-pipeline.task=test_escapes",
    ])?;
    for id in made.lines().filter(|id| !before.contains(id)) {
        let is = docker(&["inspect", "--format", "{{.HostConfig.Privileged}}", id])?;
        ensure!(is == "false", "a second request got through");
    }
    let log = proxy.end()?;
    let lines = log.stderr.matches("WARN").count();
    // and the body that did not come
    ensure!(
        lines == refusals + 1,
        "{lines} lines for {refusals} refusals and one: {log:?}"
    );
    ensure!(
        !log.stderr.contains("not-for-everyone"),
        "a secret in the log"
    );
    Ok(())
}

#[test]
fn what_a_client_writes_into_a_stream_goes_nowhere() -> anyhow::Result<()> {
    let proxy = Doorkeeper::start()?;
    let other = foreign(&[])?;
    let own = proxy.wire.create(&job())?;
    let mut stream = proxy.wire.connect()?;
    let attach = format!(
        "POST /containers/{}/attach?stdout=1&stream=1 HTTP/1.1\r\nHost: docker\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        own.0
    );
    stream.write_all(attach.as_bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    ensure!(
        head == *b"HTTP/1.1 101",
        "{}",
        String::from_utf8_lossy(&head)
    );
    // as if the connection were the engine's
    let kill = format!(
        "POST /containers/{}/kill HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
        other.0
    );
    for _ in 0..20 {
        stream.write_all(kill.as_bytes())?;
    }
    ensure!(
        proxy
            .wire
            .ask("POST", &format!("/containers/{}/start", own.0), None)?
            .status
            == 204
    );
    wait_until("the job has ended", || {
        Ok(own.is("{{.State.Status}}")? == "exited")
    })?;
    ensure!(
        own.is("{{.State.ExitCode}}")? == "0",
        "what was written reached the job"
    );
    ensure!(
        other.is("{{.State.Status}}")? == "running",
        "what was written reached the engine"
    );
    Ok(())
}

/// A value of a query.
fn encoded(filters: &Value) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let text = filters.to_string();
    let each = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    each.collect()
}
