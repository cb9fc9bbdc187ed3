//! The Docker engine as Airflow may use it: jobs of this stack, and nothing else.
//!
//! Whoever reaches the engine's socket is root on the host: a container that mounts `/` is enough.
//! This program is the only one that has the socket. It promises:
//!
//! - a request is read into one of a dozen calls, or refused; what the engine gets is written anew
//!   from the call, so not a byte of the client's own goes through;
//! - a container is created of an image of this stack, on its network, with bounded memory, without
//!   capabilities, on a read-only file system, and with the labels by which it is known again. A
//!   field that is not known here is refused, whatever it means;
//! - every other call about a container is made by the id of one that carries these labels;
//! - one connection carries one request, so nothing can hide behind it.
//!
//! It does not hold back a job: what its image does with the network and its own secrets it may do.

mod create;
mod engine;
mod gate;
mod options;
mod request;
mod run;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    frame::run::<Options, _>("socket_proxy", run::run)
}
