//! Where records go: Kafka, or stdout.

use std::io::{BufWriter, ErrorKind, StdoutLock, Write};

use anyhow::Context;
use frame::Stop;

/// What became of the records.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Handed over and acknowledged.
    pub acked: u64,
    /// Handed over and given up.
    pub failed: u64,
    /// Refused because they are larger than Kafka takes.
    pub too_large: u64,
}

/// Where records go.
pub trait Sink {
    /// Hands over one record. May wait.
    fn send(&mut self, key: &[u8], payload: Option<&[u8]>) -> anyhow::Result<()>;

    /// Whether nobody wants more.
    fn is_closed(&self) -> bool {
        false
    }

    /// So far.
    fn delivery(&self) -> Delivery;

    /// Waits until all is settled, a few seconds at most once `stop` is set.
    fn finish(&mut self, stop: &Stop) -> anyhow::Result<Delivery>;
}

/// One payload a line.
#[derive(Debug)]
pub struct Lines {
    out: BufWriter<StdoutLock<'static>>,
    written: u64,
    closed: bool,
}

impl Lines {
    /// On stdout.
    pub fn new() -> Lines {
        Lines {
            out: BufWriter::with_capacity(1 << 18, std::io::stdout().lock()),
            written: 0,
            closed: false,
        }
    }

    /// A reader that has seen enough (`| head`) is no failure.
    fn settle(&mut self, result: std::io::Result<()>) -> anyhow::Result<()> {
        match result {
            Err(failure) if failure.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.context("cannot write to stdout"),
        }
    }
}

impl Sink for Lines {
    fn send(&mut self, _key: &[u8], payload: Option<&[u8]>) -> anyhow::Result<()> {
        let result = self
            .out
            .write_all(payload.unwrap_or_default())
            .and_then(|()| self.out.write_all(b"\n"));
        self.written += u64::from(!self.closed && result.is_ok());
        self.settle(result)
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            acked: self.written,
            ..Delivery::default()
        }
    }

    fn finish(&mut self, _stop: &Stop) -> anyhow::Result<Delivery> {
        let result = self.out.flush();
        self.settle(result)?;
        Ok(self.delivery())
    }
}
