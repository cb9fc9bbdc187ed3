//! Running the real executables.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::setting;

/// The longest that anything in a test may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How the line of GNU time begins.
const COST: &str = "TIME ";

/// What a process took, its children included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// The most memory that it, or one of its children, had in use, in MiB.
    pub peak_mib: f64,
}

/// What a fault point ends a process with.
const SIGABRT: i32 = 6;

/// Waits for a condition, with a bound.
pub fn wait_until(what: &str, holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    wait_within(PATIENCE, what, holds)
}

/// Waits for a condition that may take longer, or must not take so long.
pub fn wait_within(
    bound: Duration,
    what: &str,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + bound;
    while !holds()? {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether the run of this summary did its work alone: not after `PIPELINE_KILL` had it killed, when
/// its own counts are those of the rest. What the stores hold is asserted either way.
pub fn undisturbed(summary: &Value) -> bool {
    summary["killed_first"] != true
}

/// What `PIPELINE_KILL` did to a run.
enum Killed {
    /// Nothing: it is another task's turn.
    Not,
    /// It never came to the point, and this is how it ended.
    PassedBy(Box<Finished>),
    /// It was killed there.
    There,
}

/// An executable and what it is told.
pub struct Task {
    name: String,
    command: Command,
}

impl Task {
    /// The executable of that name, with an environment of its own but for the path.
    pub fn new(name: &str) -> Task {
        let mut command = Command::new(name);
        command.env_clear();
        for kept in ["PATH", "DOCKER_HOST", "HOME"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Task {
            name: name.to_owned(),
            command,
        }
    }

    /// Adds options.
    pub fn args<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Task {
        self.command.args(words);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Task {
        self.command.env(name, value);
        self
    }

    /// The same, built with fault points, of which some are set:
    /// `archive.after_rename=2*off->return` ends it there the third time.
    pub fn failing(self, failpoints: &str) -> Task {
        let directory = setting("FAILPOINT_EXECUTABLES", "/usr/local/lib/failpoints");
        let mut command = self.clone_command(&format!("{directory}/{}", self.name));
        command.env("FAILPOINTS", failpoints);
        Task {
            name: self.name,
            command,
        }
    }

    /// The same, run by GNU time: [`Finished::cost`] tells what it took.
    pub fn timed(self) -> Task {
        let format = format!("{COST}{{\"wall\":%e,\"user\":%U,\"system\":%S,\"max_kib\":%M}}");
        let prefix = ["--quiet", "--format", &format, &self.name];
        let command = self.clone_with("/usr/bin/time", &prefix);
        Task {
            name: self.name,
            command,
        }
    }

    fn clone_command(&self, program: &str) -> Command {
        self.clone_with(program, &[])
    }

    fn clone_with(&self, program: &str, prefix: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(prefix)
            .args(self.command.get_args())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    }

    /// Where `PIPELINE_KILL=archive.after_rename` asks for it: this task is killed there first. Any
    /// test becomes a test of that kill.
    fn killed_first(&self) -> anyhow::Result<Killed> {
        let Ok(wanted) = std::env::var("PIPELINE_KILL") else {
            return Ok(Killed::Not);
        };
        let (point, actions) = wanted.split_once('=').unwrap_or((&wanted, "return"));
        let is_set = self
            .command
            .get_envs()
            .any(|(name, _)| name == "FAILPOINTS");
        if point.split('.').next() != Some(self.name.as_str()) || is_set {
            return Ok(Killed::Not);
        }
        let same = Task {
            name: self.name.clone(),
            command: self.clone_command(&self.name),
        };
        let finished = same
            .failing(&format!("{point}={actions}"))
            .start()?
            .finish()?;
        if finished.signal.is_none() {
            return Ok(Killed::PassedBy(Box::new(finished)));
        }
        finished.ended_at(point)?;
        if let Ok(path) = std::env::var("PIPELINE_KILL_LOG") {
            let opened = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path);
            opened
                .with_context(|| path.clone())?
                .write_all(format!("{point}\n").as_bytes())?;
        }
        Ok(Killed::There)
    }

    /// Starts it.
    pub fn start(mut self) -> anyhow::Result<Running> {
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let stdout = child.stdout.take().context("stdout")?;
        let stderr = child.stderr.take().context("stderr")?;
        Ok(Running {
            name: self.name,
            child,
            stdout: Some(drain(stdout)),
            stderr: Some(drain(stderr)),
        })
    }

    /// Runs it to its end.
    pub fn run(self) -> anyhow::Result<Finished> {
        let killed = self.killed_first()?;
        match killed {
            Killed::Not => self.start()?.finish(),
            Killed::PassedBy(finished) => Ok(*finished),
            Killed::There => {
                let mut finished = self.start()?.finish()?;
                finished.killed_first = true;
                Ok(finished)
            }
        }
    }

    /// Runs it and asserts that it ends with 0; gives its summary.
    pub fn succeed(self) -> anyhow::Result<Value> {
        let finished = self.run()?;
        ensure!(finished.code == Some(0), "{finished:?}");
        finished.assert_calm()?;
        let mut summary = finished.summary()?;
        if let (true, Some(fields)) = (finished.killed_first, summary.as_object_mut()) {
            fields.insert("killed_first".to_owned(), true.into());
        }
        Ok(summary)
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // a pipe that breaks ends the output; the exit code tells the rest
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// An executable at work. Killed when dropped.
pub struct Running {
    name: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Sends a signal by name, such as `TERM` or `KILL`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        // the shell's own kill: slim images have no other
        let status = Command::new("bash")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()?;
        ensure!(status.success(), "cannot signal {}", self.name);
        Ok(())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end, within bounds.
    pub fn finish(self) -> anyhow::Result<Finished> {
        self.finish_within(PATIENCE)
    }

    /// Waits for its end, within bounds of one's own.
    pub fn finish_within(mut self, bound: Duration) -> anyhow::Result<Finished> {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if started.elapsed() > bound {
                bail!("{} does not end", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let output = |pipe: Option<JoinHandle<Vec<u8>>>| {
            let bytes = pipe.map(|pipe| pipe.join().unwrap_or_default());
            bytes.unwrap_or_default()
        };
        let stdout_bytes = output(self.stdout.take());
        Ok(Finished {
            code: status.code(),
            signal: status.signal(),
            killed_first: false,
            stdout: String::from_utf8_lossy(&stdout_bytes).into_owned(),
            stdout_bytes,
            stderr: String::from_utf8_lossy(&output(self.stderr.take())).into_owned(),
            waited: started.elapsed(),
            name: self.name.clone(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How an executable ended.
pub struct Finished {
    /// The executable.
    pub name: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether `PIPELINE_KILL` had it killed before, so that this run did only the rest.
    pub killed_first: bool,
    /// All it said on stdout, as far as it is text.
    pub stdout: String,
    /// All it said on stdout.
    pub stdout_bytes: Vec<u8>,
    /// All it said on stderr.
    pub stderr: String,
    /// How long its end was waited for.
    pub waited: Duration,
}

impl fmt::Debug for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(20)..].join("\n")
        };
        write!(
            formatter,
            "{} ended with {:?}\n{}\n{}",
            self.name,
            self.code,
            last(&self.stderr),
            last(&self.stdout)
        )
    }
}

impl Finished {
    /// The last line on stdout, which must be JSON.
    pub fn summary(&self) -> anyhow::Result<Value> {
        let line = self
            .stdout
            .lines()
            .last()
            .with_context(|| format!("{self:?}"))?;
        serde_json::from_str(line).with_context(|| format!("no summary: {line}"))
    }

    /// What it took: of a task that was [`Task::timed`], or a container that says so itself.
    pub fn cost(&self) -> anyhow::Result<Cost> {
        let line = self
            .stderr
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(COST));
        let cost: Value = serde_json::from_str(line.with_context(|| format!("{self:?}"))?)?;
        let number = |name: &str| {
            cost[name]
                .as_f64()
                .with_context(|| format!("{name}: {cost}"))
        };
        Ok(Cost {
            seconds: number("wall")?,
            cpu_seconds: number("user")? + number("system")?,
            peak_mib: number("max_kib")? / 1024.0,
        })
    }

    /// Asserts that it ended at a fault point, and nowhere else.
    pub fn ended_at(&self, point: &str) -> anyhow::Result<()> {
        let line = format!("failpoint {point}: the process ends here");
        ensure!(
            self.signal == Some(SIGABRT) && self.stderr.lines().any(|said| said == line),
            "{point} did not fire: {self:?}"
        );
        Ok(())
    }

    /// Asserts that nothing was logged that a person should look at.
    pub fn assert_calm(&self) -> anyhow::Result<()> {
        for line in self.stderr.lines() {
            ensure!(
                !line.contains("Z WARN ]") && !line.contains("Z ERROR]"),
                "{} logged: {line}",
                self.name
            );
        }
        Ok(())
    }

    /// Asserts an exit code and gives the error of the summary: one line.
    pub fn fails_with(&self, code: i32) -> anyhow::Result<String> {
        ensure!(self.code == Some(code), "expected {code}: {self:?}");
        let summary = self.summary()?;
        let error = summary["error"].as_str().context("no error")?;
        ensure!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        ensure!(summary["exit_code"] == code, "{summary}");
        Ok(error.to_owned())
    }
}
