//! The command line of `socket_proxy`.

use std::path::PathBuf;

use clap::Parser;

/// Lets Airflow run the containers of its jobs, without the Docker socket, which is root on the
/// host: every request is checked, and only what jobs need goes on to the engine.
///
/// Exit codes: 0 done; 1 failed, try again; 2 a person is needed, the last line says for what.
#[derive(Parser, Debug, Clone)]
#[command(version)]
pub struct Options {
    /// Unix socket to listen at; made anew, for its owner and group alone
    #[arg(
        long,
        env = "SOCKET_PROXY_LISTEN",
        default_value = "/run/socket_proxy/docker.sock"
    )]
    pub listen: PathBuf,

    /// The socket of the Docker engine
    #[arg(
        long,
        env = "SOCKET_PROXY_ENGINE",
        default_value = "/var/run/docker.sock"
    )]
    pub engine: PathBuf,

    /// Network of the jobs, the only one that a container may join; it also tells the jobs of this
    /// stack from another's
    #[arg(long, env = "PIPELINE_NETWORK", default_value = "ecomm")]
    pub network: String,

    /// Tag of the images that may be run
    #[arg(long, env = "PIPELINE_TAG", default_value = "dev")]
    pub tag: String,

    /// Images that may be run: ecomm-pipeline/NAME of that tag
    #[arg(
        long,
        env = "SOCKET_PROXY_JOBS",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "produce,stream,archive,catalog,load,audit,maintain,dbt"
    )]
    pub jobs: Vec<String>,

    /// The most memory that a container may ask for, in MiB
    #[arg(long, env = "SOCKET_PROXY_MAX_MEMORY_MIB", default_value_t = 1024)]
    pub max_memory_mib: u64,

    /// Ask the running proxy whether the engine answers, and end: for a health check
    #[arg(long)]
    pub check: bool,
}
