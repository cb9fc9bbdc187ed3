//! The engine's API, byte by byte: directly, and through a proxy of the test's own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{Finished, Running, Task, docker, image, network, setting, wait_until};
use serde_json::{Value, json};

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Anything that speaks the engine's API at a Unix socket.
pub struct Wire(PathBuf);

impl Wire {
    /// The engine itself.
    pub fn engine() -> Wire {
        Wire(PathBuf::from("/var/run/docker.sock"))
    }

    /// Opens a connection.
    pub fn connect(&self) -> anyhow::Result<UnixStream> {
        let stream = UnixStream::connect(&self.0).with_context(|| format!("{:?}", self.0))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(stream)
    }

    /// Sends bytes as they are, and reads until the other side closes.
    pub fn send(&self, bytes: &[u8]) -> anyhow::Result<Answer> {
        let mut stream = self.connect()?;
        // refused before all of it is read: the answer is there all the same
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        if let Err(failure) = stream.read_to_end(&mut answer) {
            ensure!(!answer.is_empty(), "no answer: {failure}");
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .with_context(|| {
                format!(
                    "no answer to {:?}: {answer:?}",
                    String::from_utf8_lossy(bytes)
                )
            })?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(Answer {
            status,
            body: body.to_owned(),
        })
    }

    /// A request as clients write it.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n");
        let length = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(format!("{head}{length}{body}").as_bytes())
    }

    /// Creates a container; gives its id.
    pub fn create(&self, body: &Value) -> anyhow::Result<Made> {
        let answer = self.ask("POST", "/v1.41/containers/create", Some(body))?;
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.body);
        Made::read(&answer.body)
    }
}

/// A container that a test made. Removed when dropped.
pub struct Made(pub String);

impl Made {
    /// From the engine's answer.
    pub fn read(body: &str) -> anyhow::Result<Made> {
        let start = body.find('{').context("no JSON")?;
        let end = body.rfind('}').context("no JSON")?;
        let answer: Value = serde_json::from_str(&body[start..=end])?;
        Ok(Made(answer["Id"].as_str().context("no id")?.to_owned()))
    }

    /// What the engine says of it, as docker's format takes it.
    pub fn is(&self, format: &str) -> anyhow::Result<String> {
        docker(&["inspect", "--format", format, &self.0])
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["rm", "--force", "--volumes", &self.0]) {
            eprintln!("{} is left behind: {failure:#}", self.0);
        }
    }
}

/// A proxy of the test's own, before the real engine.
pub struct Doorkeeper {
    pub wire: Wire,
    running: Option<Running>,
    folder: PathBuf,
}

impl Doorkeeper {
    pub fn start() -> anyhow::Result<Doorkeeper> {
        let folder = std::env::temp_dir().join(format!("proxy-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder)?;
        let socket = folder.join("docker.sock");
        let listen = socket.to_string_lossy().into_owned();
        let running = Task::new("socket_proxy")
            .args(["--listen", &listen, "--network", &network()])
            .args(["--tag", &setting("PIPELINE_TAG", "dev")])
            .start()?;
        wait_until("the proxy listens", || {
            let check = Task::new("socket_proxy").args(["--check", "--listen", &listen]);
            Ok(socket.exists() && check.run()?.code == Some(0))
        })?;
        Ok(Doorkeeper {
            wire: Wire(socket),
            running: Some(running),
            folder,
        })
    }

    /// Ends it; what it logged.
    pub fn end(mut self) -> anyhow::Result<Finished> {
        let running = self.running.take().context("it has ended")?;
        running.signal("TERM")?;
        let finished = running.finish()?;
        ensure!(finished.code == Some(0), "{finished:?}");
        Ok(finished)
    }

    /// Asserts that a request goes no further: with 400 or 403, and one line that says why.
    pub fn refuses(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<()> {
        let answer = self.wire.ask(method, path, body)?;
        let asked = format!("{method} {path} {}", body.unwrap_or(&Value::Null));
        refused(&answer, &asked)
    }
}

impl Drop for Doorkeeper {
    fn drop(&mut self) {
        drop(self.running.take());
        // a folder in the container of the tests, gone with it
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asserts that an answer is a refusal.
pub fn refused(answer: &Answer, asked: &str) -> anyhow::Result<()> {
    let said = format!("{asked}: {} {}", answer.status, answer.body);
    ensure!(matches!(answer.status, 400 | 403), "{said}");
    let reason: Value = serde_json::from_str(&answer.body).with_context(|| said.clone())?;
    let reason = reason["message"].as_str().context(said.clone())?;
    ensure!(reason.starts_with("refused by socket_proxy: "), "{said}");
    ensure!(!reason.contains('\n'), "{said}");
    Ok(())
}

/// A job as Airflow's operator asks for it.
pub fn job() -> Value {
    json!({
        "Image": image("produce"),
        "Cmd": ["--count", "3", "--seed", "7", "--stdout"],
        "Env": ["RUST_LOG=info", "POSTGRES_PASSWORD=not-for-everyone"],
        "Labels": {
            "com.ecomm-pipeline.job": "1",
            "com.ecomm-pipeline.network": network(),
            "com.ecomm-pipeline.task": "test_escapes",
        },
        "Tty": false, "OpenStdin": false, "StdinOnce": false, "AttachStdin": false,
        "AttachStdout": true, "AttachStderr": true, "ExposedPorts": {}, "NetworkDisabled": false,
        "HostConfig": {
            "NetworkMode": network(), "Memory": 134_217_728, "CpuShares": 1024,
            "Mounts": [], "PortBindings": {}, "Ulimits": [],
            "LogConfig": {"Type": null, "Config": {"max-size": "10m", "max-file": "3"}},
        },
    })
}

/// A container of somebody else: it runs for a while, says something, and holds a secret.
pub fn foreign(labels: &[&str]) -> anyhow::Result<Made> {
    let mut words = vec!["run", "--detach", "--env", "FOREIGN=another-secret"];
    for &label in labels {
        words.extend(["--label", label]);
    }
    let (image, say) = (image("produce"), "echo foreign words; exec sleep 600");
    words.extend([
        "--network",
        "none",
        "--entrypoint",
        "/bin/sh",
        &image,
        "-c",
        say,
    ]);
    Ok(Made(docker(&words)?))
}
