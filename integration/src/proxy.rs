//! A TCP proxy that loses messages: between a task and a server, at a moment that a test chooses.
//!
//! Promises: bytes pass in order, and unchanged but for what [`Proxy::replace`] says, until a fault
//! is due; what [`Proxy::fired`] counts did happen. Does not understand any protocol: a fault is due
//! at a text or a number of bytes on the way from the client to the server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};

/// When a fault is due, on a connection of its own each.
#[derive(Debug, Clone)]
pub enum Moment {
    /// The client sends these bytes.
    Text(&'static [u8]),
    /// The client has sent so many bytes.
    Bytes(u64),
}

/// What happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request does not arrive: it is dropped, and the connection closed.
    CutRequest,
    /// The request arrives and is answered; the answer is dropped, and the connection closed.
    CutReply,
    /// The request waits until [`Proxy::release`] or [`Proxy::cut`].
    Hold,
}

struct Plan {
    moment: Moment,
    fault: Fault,
    times: u64,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Option<Plan>>,
    fired: AtomicU64,
    connections: AtomicU64,
    /// Requests that are held go on when this is no longer set.
    holding: Mutex<bool>,
    released: Condvar,
    streams: Mutex<Vec<TcpStream>>,
    /// What replies say, and what they are made to say.
    replacement: Mutex<Option<(Vec<u8>, Vec<u8>)>>,
    ended: AtomicBool,
}

/// A proxy at work. Its connections are closed when it is dropped.
pub struct Proxy {
    /// Where it listens: `127.0.0.1:PORT`.
    pub address: String,
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// To a server, from a port that is free.
    pub fn to(server: &str) -> anyhow::Result<Proxy> {
        Proxy::at("127.0.0.1:0", server)
    }

    /// To a server, from an address of the test's choice: for clients that take the port from the
    /// server, as those of Kafka do.
    pub fn at(listen: &str, server: &str) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind(listen).with_context(|| listen.to_owned())?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let (accepting, server) = (Arc::clone(&shared), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    break;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                // a server that is down: the client sees its connection closed
                if let Ok(upstream) = TcpStream::connect(&server) {
                    let _ = connect(&accepting, client, upstream);
                }
            }
        });
        Ok(Proxy {
            address: format!("127.0.0.1:{port}"),
            shared,
        })
    }

    /// From now on, the next so many connections on which the moment comes meet the fault.
    pub fn arm(&self, moment: Moment, fault: Fault, times: u64) {
        *locked(&self.shared.holding) = fault == Fault::Hold;
        *locked(&self.shared.plan) = Some(Plan {
            moment,
            fault,
            times,
        });
    }

    /// Puts bytes in the place of others, as many, in every reply: for a server that tells its own
    /// address, so that its clients come back through the proxy.
    pub fn replace(&self, told: &[u8], put: &[u8]) -> anyhow::Result<()> {
        ensure!(told.len() == put.len(), "the length must stay");
        *locked(&self.shared.replacement) = Some((told.to_vec(), put.to_vec()));
        Ok(())
    }

    /// How often a request or a reply was cut or held.
    pub fn fired(&self) -> u64 {
        self.shared.fired.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Lets go what is held.
    pub fn release(&self) {
        *locked(&self.shared.holding) = false;
        self.shared.released.notify_all();
    }

    /// Closes every connection; what is held never arrives.
    pub fn cut(&self) {
        for stream in locked(&self.shared.streams).drain(..) {
            // one that is closed already is just as well
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.release();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // wakes the thread that accepts
        let _ = TcpStream::connect(&self.address);
    }
}

/// One connection: whether its replies are to be lost.
#[derive(Default)]
struct Connection {
    deaf: AtomicBool,
}

fn connect(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    locked(&shared.streams).extend([client.try_clone()?, server.try_clone()?]);
    let connection = Arc::new(Connection::default());
    let requests = Requests {
        shared: Arc::clone(shared),
        connection: Arc::clone(&connection),
        sent: 0,
        tail: Vec::new(),
        met: false,
    };
    let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        if requests.forward(&client_too, &server_too).is_err() {
            close(&client_too, &server_too);
        }
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        if forward_replies(&shared, &connection, &server, &client).is_err() {
            close(&client, &server);
        }
    });
    Ok(())
}

/// An error on one side is the end of both, as it would be without a proxy.
fn close(client: &TcpStream, server: &TcpStream) {
    for stream in [client, server] {
        // one that is closed already is just as well
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// From the client to the server.
struct Requests {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    sent: u64,
    /// The end of what was sent: a text may arrive in two pieces.
    tail: Vec<u8>,
    met: bool,
}

impl Requests {
    /// The fault that is due with these bytes.
    fn due(&mut self, bytes: &[u8]) -> Option<Fault> {
        self.sent += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let mut plan = locked(&self.shared.plan);
        let armed = plan.as_mut().filter(|plan| plan.times > 0 && !self.met);
        let found = armed.and_then(|plan| {
            let here = match &plan.moment {
                Moment::Text(text) => self.tail.windows(text.len()).any(|part| part == *text),
                Moment::Bytes(count) => self.sent >= *count,
            };
            here.then(|| {
                plan.times -= 1;
                plan.fault
            })
        });
        self.met = self.met || found.is_some();
        // longer than any text that is looked for
        let keep = self.tail.len().saturating_sub(64);
        self.tail.drain(..keep);
        found
    }

    fn forward(mut self, mut client: &TcpStream, mut server: &TcpStream) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return server.shutdown(Shutdown::Write);
            }
            match self.due(&buffer[..count]) {
                None => {}
                Some(Fault::CutRequest) => {
                    self.shared.fired.fetch_add(1, Ordering::SeqCst);
                    server.shutdown(Shutdown::Both)?;
                    return client.shutdown(Shutdown::Both);
                }
                Some(Fault::CutReply) => self.connection.deaf.store(true, Ordering::SeqCst),
                Some(Fault::Hold) => {
                    self.shared.fired.fetch_add(1, Ordering::SeqCst);
                    let mut holding = locked(&self.shared.holding);
                    while *holding {
                        let woken = self.shared.released.wait(holding);
                        holding = woken.unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
            server.write_all(&buffer[..count])?;
        }
    }
}

fn forward_replies(
    shared: &Shared,
    connection: &Connection,
    mut server: &TcpStream,
    mut client: &TcpStream,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = server.read(&mut buffer)?;
        if count == 0 {
            return client.shutdown(Shutdown::Write);
        }
        if connection.deaf.load(Ordering::SeqCst) {
            // the server has answered: what it was asked is done
            shared.fired.fetch_add(1, Ordering::SeqCst);
            client.shutdown(Shutdown::Both)?;
            return server.shutdown(Shutdown::Both);
        }
        if let Some((told, put)) = &*locked(&shared.replacement) {
            let replies = &mut buffer[..count];
            let places = (0..replies.len()).filter(|from| replies[*from..].starts_with(told));
            for from in places.collect::<Vec<usize>>() {
                replies[from..from + put.len()].copy_from_slice(put);
            }
        }
        client.write_all(&buffer[..count])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with the next letter; what it received.
    fn echo() -> (String, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut bytes = [0; 16];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    locked(&kept).extend(&bytes[..count]);
                    let next: Vec<u8> = bytes[..count].iter().map(|byte| byte + 1).collect();
                    let _ = stream.write_all(&next);
                }
            }
        });
        (address, received)
    }

    fn ask(stream: &mut TcpStream, request: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(request).ok()?;
        let mut reply = vec![0; request.len()];
        stream.read_exact(&mut reply).ok()?;
        Some(reply)
    }

    #[test]
    fn replies_and_requests_are_lost_when_they_are_due_and_not_before() {
        let (server, received) = echo();
        let proxy = Proxy::to(&server).expect("a proxy");
        let dial = || TcpStream::connect(&proxy.address).expect("a connection");
        assert_eq!(ask(&mut dial(), b"abc").as_deref(), Some(&b"bcd"[..]));

        proxy.arm(Moment::Text(b"xy"), Fault::CutReply, 1);
        let mut stream = dial();
        // the text comes in two pieces
        assert_eq!(ask(&mut stream, b"ax").as_deref(), Some(&b"by"[..]));
        assert_eq!(ask(&mut stream, b"y"), None);
        assert_eq!(proxy.fired(), 1);
        assert_eq!(locked(&received).as_slice(), b"abcaxy");

        proxy.arm(Moment::Bytes(3), Fault::CutRequest, 1);
        let mut stream = dial();
        assert_eq!(ask(&mut stream, b"kl").as_deref(), Some(&b"lm"[..]));
        assert_eq!(ask(&mut stream, b"m"), None);
        assert_eq!(proxy.fired(), 2);
        assert_eq!(locked(&received).as_slice(), b"abcaxykl");
        proxy.replace(b"cd", b"..").expect("the same length");
        // once was asked for
        assert_eq!(ask(&mut dial(), b"abcd").as_deref(), Some(&b"b..e"[..]));
        assert_eq!(proxy.connections(), 4);
    }

    #[test]
    fn what_is_held_goes_on_when_it_is_released() {
        let (server, received) = echo();
        let proxy = Proxy::to(&server).expect("a proxy");
        proxy.arm(Moment::Bytes(2), Fault::Hold, 1);
        let mut stream = TcpStream::connect(&proxy.address).expect("a connection");
        stream.write_all(b"ab").expect("room");
        crate::wait_until("it is held", || Ok(proxy.fired() == 1)).expect("held");
        assert!(locked(&received).is_empty());
        proxy.release();
        let mut reply = [0; 2];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b"bc");
    }
}
