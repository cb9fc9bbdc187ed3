//! Small disks that a test fills, and servers of its own on them.

use anyhow::{Context, ensure};

use crate::server::{Server, docker};
use crate::stage::{network, setting};
use crate::wait_until;

/// A disk in memory, of a few MiB. Gone when dropped.
pub struct Disk {
    /// The Docker volume.
    pub volume: String,
    /// A container that keeps it mounted, and from which it is filled.
    keeper: Server,
}

impl Disk {
    /// Empty; whoever writes to it may.
    pub fn new(name: &str, mib: u32) -> anyhow::Result<Disk> {
        let size = format!("o=size={mib}m,mode=0777");
        let options = [
            "--opt",
            "type=tmpfs",
            "--opt",
            "device=tmpfs",
            "--opt",
            &size,
        ];
        docker(
            &[
                &["volume", "create", "--driver", "local"],
                options.as_slice(),
                &[name],
            ]
            .concat(),
        )?;
        let mount = format!("{name}:/disk");
        let keeper = format!("{name}_keeper");
        let image = setting("POSTGRES_IMAGE", "postgres:15");
        let disk = Disk {
            volume: name.to_owned(),
            keeper: Server::named(&keeper),
        };
        docker(&[
            "run",
            "--detach",
            "--name",
            &keeper,
            "--volume",
            &mount,
            "--entrypoint",
            "sleep",
            &image,
            "infinity",
        ])?;
        Ok(disk)
    }

    /// Fills it but for so many KiB; how many are free then.
    pub fn fill(&self, spare_kib: u64) -> anyhow::Result<u64> {
        let free = self.free_kib()?;
        let ballast = free.saturating_sub(spare_kib).to_string();
        let command = format!("head -c {ballast}K /dev/zero > /disk/ballast");
        self.keeper.exec(&["bash", "-c", &command])?;
        let free = self.free_kib()?;
        ensure!(free <= spare_kib + 64, "{free} KiB are still free");
        Ok(free)
    }

    /// Makes room again.
    pub fn clear(&self) -> anyhow::Result<()> {
        self.keeper.exec(&["rm", "/disk/ballast"])?;
        Ok(())
    }

    /// Free KiB.
    pub fn free_kib(&self) -> anyhow::Result<u64> {
        let told = self.keeper.exec(&["df", "--output=avail", "-k", "/disk"])?;
        let number = told.lines().last().context("df")?.trim();
        Ok(number.parse()?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let keeper = format!("{}_keeper", self.volume);
        let removed = docker(&["rm", "--force", &keeper])
            .and_then(|_| docker(&["volume", "rm", &self.volume]));
        if let Err(failure) = removed {
            eprintln!("{} is left behind: {failure:#}", self.volume);
        }
    }
}

/// A server of a test's own, on the network of the stack. Gone when dropped.
pub struct OwnServer {
    /// Its name on the network.
    pub name: String,
    server: Server,
}

impl OwnServer {
    /// Runs an image with these settings; `command` may be empty.
    pub fn run(
        name: &str,
        image: &str,
        options: &[&str],
        settings: &[(&str, &str)],
        command: &[&str],
    ) -> anyhow::Result<OwnServer> {
        let network = network();
        let mut words = vec!["run", "--detach", "--name", name, "--hostname", name];
        words.extend(["--network", &network]);
        words.extend(options);
        let settings: Vec<String> = settings
            .iter()
            .map(|(setting, value)| format!("{setting}={value}"))
            .collect();
        for setting in &settings {
            words.extend(["--env", setting]);
        }
        words.push(image);
        words.extend(command);
        let own = OwnServer {
            name: name.to_owned(),
            server: Server::named(name),
        };
        docker(&words)?;
        Ok(own)
    }

    /// Waits until it listens.
    pub fn wait_for_port(&self, port: u16) -> anyhow::Result<()> {
        wait_until(&format!("{} listens", self.name), || {
            Ok(std::net::TcpStream::connect((self.name.as_str(), port)).is_ok())
        })
    }

    /// Starts it again, whether it has died or not.
    pub fn restart(&self) -> anyhow::Result<()> {
        docker(&["restart", &self.name])?;
        Ok(())
    }

    /// Runs a command in it.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        self.server.exec(words)
    }

    /// What it has logged.
    pub fn log(&self) -> anyhow::Result<String> {
        let output = std::process::Command::new("docker")
            .args(["logs", &self.name])
            .output()?;
        let (said, complained) = (output.stdout, output.stderr);
        Ok(format!(
            "{}{}",
            String::from_utf8_lossy(&said),
            String::from_utf8_lossy(&complained)
        ))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["rm", "--force", "--volumes", &self.name]) {
            eprintln!("{} is left behind: {failure:#}", self.name);
        }
    }
}
