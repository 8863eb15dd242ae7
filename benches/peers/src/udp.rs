//! The sender over UDP: one thread that never waits, on sockets of its own, so that it is never slower than the server for being asleep.
//! Closed loop: so many queries are on their way at a time. Open loop: they leave at random moments (Poisson), whatever comes back.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::{Clock, Counts, Load, Measured, WINDOW, measure};
use crate::question::{self, LONGEST_QUERY, Pool};
use crate::random::Random;
use crate::sys::{self, BATCH, Batch};

/// A closed loop sends no fewer at once from a port, as long as some are on their way there.
const FEWEST: usize = 8;

/// A query without a reply after this long is lost.
const PATIENCE: Duration = Duration::from_millis(200);

/// Longest reply that is taken whole; ours are much shorter.
const LONGEST_REPLY: usize = 1232;

/// Octets that a socket may hold in each direction, if the system allows.
const BUFFER: i32 = 4 << 20;

/// Identifiers of a socket.
const IDENTIFIERS: usize = 1 << 16;

/// Asks the questions of a pool, in its order and again from its beginning.
pub(crate) fn run(load: Load, pool: &Pool) -> Result<Measured> {
    let lanes: Result<Vec<Lane>> = (0..load.ports).map(|_| Lane::open(load)).collect();
    let mut sender = Sender { lanes: lanes?, asked: 0, pool, out: Batch::new(LONGEST_QUERY), back: Batch::new(LONGEST_REPLY) };
    if load.rate > 0.0 {
        let mut schedule = Schedule { random: Random::new(load.rate.to_bits()), mean_ns: 1e9 / load.rate, due_ns: 0.0 };
        let mut turn = 0;
        measure(load, |clock, counts| {
            turn = (turn + 1) % load.ports;
            sender.receive(turn, clock, counts)?;
            (0..schedule.due(clock.now_ns())).try_for_each(|_| {
                turn = (turn + 1) % load.ports;
                sender.send(turn, 1, clock)
            })
        })
    } else {
        measure(load, |clock, counts| (0..load.ports).try_for_each(|lane| sender.fill(lane, clock, counts)))
    }
}

/// Moments at random, of a rate.
struct Schedule {
    random: Random,
    mean_ns: f64,
    due_ns: f64,
}

impl Schedule {
    /// How many queries are due; more than a batch are left for the next time.
    fn due(&mut self, now_ns: u64) -> usize {
        let mut count = 0;
        while self.due_ns <= now_ns as f64 && count < BATCH {
            // Above 0 and up to 1, in steps of 2^-53.
            let share = ((self.random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            self.due_ns -= share.ln() * self.mean_ns;
            count += 1;
        }
        count
    }
}

struct Sender<'a> {
    lanes: Vec<Lane>,
    /// The question that is asked next.
    asked: usize,
    pool: &'a Pool,
    out: Batch,
    back: Batch,
}

/// A socket and what is on its way on it, by identifier.
struct Lane {
    socket: UdpSocket,
    /// When it was sent, in nanoseconds; 0 is not on its way.
    sent_ns: Box<[u64]>,
    question: Box<[usize]>,
    next: u16,
    /// All before this one have come back or are lost.
    oldest: u16,
    on_its_way: usize,
}

impl Lane {
    fn open(load: Load) -> Result<Lane> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no socket for the sender")?;
        socket.connect(load.server).context("no socket for the sender")?;
        sys::ask_for_buffers(&socket, BUFFER);
        Ok(Lane { socket, sent_ns: vec![0; IDENTIFIERS].into(), question: vec![0; IDENTIFIERS].into(), next: 0, oldest: 0, on_its_way: 0 })
    }

    /// Counts what is on its way for too long as lost.
    fn give_up(&mut self, now_ns: u64, counts: &mut Counts) {
        let limit_ns = now_ns.saturating_sub(PATIENCE.as_nanos() as u64);
        while self.oldest != self.next {
            let sent_ns = &mut self.sent_ns[usize::from(self.oldest)];
            if *sent_ns > limit_ns {
                break;
            }
            if *sent_ns != 0 {
                *sent_ns = 0;
                self.on_its_way -= 1;
                counts.lost += 1;
            }
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    /// Identifiers that are neither on their way nor behind one that is.
    fn free(&self) -> usize {
        IDENTIFIERS - 1 - usize::from(self.next.wrapping_sub(self.oldest))
    }
}

impl Sender<'_> {
    /// Takes what has come on a lane, and sends as many as are missing on it.
    fn fill(&mut self, lane: usize, clock: Clock, counts: &mut Counts) -> Result<()> {
        self.receive(lane, clock, counts)?;
        let on_its_way = self.lanes[lane].on_its_way;
        let room = (WINDOW / self.lanes.len()).saturating_sub(on_its_way);
        if room >= FEWEST || (room > 0 && on_its_way == 0) { self.send(lane, room, clock) } else { Ok(()) }
    }

    fn receive(&mut self, lane: usize, clock: Clock, counts: &mut Counts) -> Result<()> {
        let lane = &mut self.lanes[lane];
        if lane.on_its_way == 0 {
            return Ok(());
        }
        let received = unless_nobody_listens(self.back.receive(&lane.socket))?;
        let now_ns = clock.now_ns();
        for at in 0..received {
            let reply = self.back.packet(at);
            let identifier = reply.first_chunk().map(|octets| usize::from(u16::from_be_bytes(*octets)));
            // What comes after its patience was counted as lost.
            let Some(identifier) = identifier.filter(|identifier| lane.sent_ns[*identifier] != 0) else { continue };
            counts.replies += 1;
            counts.latency.add(now_ns.saturating_sub(lane.sent_ns[identifier]));
            counts.wrong += u64::from(!question::is_right(reply, self.pool.expected(lane.question[identifier])));
            lane.sent_ns[identifier] = 0;
            lane.on_its_way -= 1;
        }
        lane.give_up(now_ns, counts);
        Ok(())
    }

    /// Sends the next questions of the pool on a lane.
    fn send(&mut self, lane: usize, count: usize, clock: Clock) -> Result<()> {
        let lane = &mut self.lanes[lane];
        let count = count.min(lane.free());
        for at in 0..count {
            let question = (self.asked + at) % self.pool.len();
            let identifier = lane.next.wrapping_add(at as u16);
            self.out.put(at, self.pool.query(question))[..2].copy_from_slice(&identifier.to_be_bytes());
            lane.question[usize::from(identifier)] = question;
        }
        let now_ns = clock.now_ns();
        let sent = unless_nobody_listens(self.out.send(&lane.socket, count))?;
        for at in 0..sent {
            lane.sent_ns[usize::from(lane.next.wrapping_add(at as u16))] = now_ns;
        }
        lane.on_its_way += sent;
        lane.next = lane.next.wrapping_add(sent as u16);
        self.asked = (self.asked + sent) % self.pool.len();
        Ok(())
    }
}

/// A server that has gone is told by what is lost.
fn unless_nobody_listens(count: io::Result<usize>) -> Result<usize> {
    match count {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(0),
        count => count.context("UDP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::DEFAULT_PORTS;

    #[test]
    fn random_moments_have_the_rate_that_was_asked_for() {
        let mut schedule = Schedule { random: Random::new(1), mean_ns: 1000.0, due_ns: 0.0 };
        let due: usize = (0..100_000).map(|step| schedule.due(step * 1000)).sum();
        assert!((98_000..102_000).contains(&due), "{due}");
    }

    #[test]
    fn right_wrong_and_lost_are_told_apart() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        // Answers each query with 192.0.2.1, but never those for `c`.
        let serve = std::thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok((length, peer)) = server.recv_from(&mut octets) {
                let mut reply = octets[..length].to_vec();
                (reply[2], reply[7]) = (0x84, 1);
                reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
                if octets[13] != b'c' {
                    server.send_to(&reply, peer).unwrap();
                }
            }
        });
        let mut pool = Pool::new();
        pool.add(&question::query("a", None), Some(Ipv4Addr::new(192, 0, 2, 1)));
        pool.add(&question::query("b", None), Some(Ipv4Addr::new(192, 0, 2, 2)));
        pool.add(&question::query("c", None), None);
        let load =
            Load { server: address, process: std::process::id(), time: Duration::from_millis(500), rate: 1000.0, ports: DEFAULT_PORTS };
        let Counts { replies, lost, wrong, latency } = run(load, &pool).unwrap().counts;
        serve.join().unwrap();
        assert!(replies > 0 && lost > 0 && latency.percentile_us(0.5) > 0.0, "{replies} replies, {lost} lost");
        assert!(wrong.abs_diff(replies / 2) <= 2 + replies / 10, "{wrong} of {replies} wrong");
    }
}
