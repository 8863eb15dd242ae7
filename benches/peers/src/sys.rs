//! The only unsafe code of this program: packets in batches, CPU affinity, what a thread has used, and signals, for Linux.
//! It moves octets and numbers; it knows nothing of DNS.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::time::Duration;

use libc::{c_int, iovec, mmsghdr};

/// Packets that one system call moves at most.
pub(crate) const BATCH: usize = 64;

/// Room for packets that leave or arrive together.
pub(crate) struct Batch {
    octets: Box<[u8]>,
    slot_octets: usize,
    lengths: [usize; BATCH],
}

impl Batch {
    /// Room for `BATCH` packets of up to `slot_octets` octets.
    pub(crate) fn new(slot_octets: usize) -> Batch {
        Batch { octets: vec![0; BATCH * slot_octets].into(), slot_octets, lengths: [0; BATCH] }
    }

    /// The packet at `at`, as it was received or put.
    pub(crate) fn packet(&self, at: usize) -> &[u8] {
        &self.octets[at * self.slot_octets..][..self.lengths[at]]
    }

    /// Puts a packet at `at`, cut to the room that is there, and gives it back to be changed.
    pub(crate) fn put(&mut self, at: usize, packet: &[u8]) -> &mut [u8] {
        let length = packet.len().min(self.slot_octets);
        self.lengths[at] = length;
        let slot = &mut self.octets[at * self.slot_octets..][..length];
        slot.copy_from_slice(&packet[..length]);
        slot
    }

    /// Receives what has arrived on a connected socket, without waiting. Returns how many packets: they are at 0 and up.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut slots = [EMPTY; BATCH];
        for (slot, room) in slots.iter_mut().zip(self.octets.chunks_exact_mut(self.slot_octets)) {
            *slot = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        }
        let mut headers = headers(&mut slots);
        // SAFETY: there are BATCH headers; each points to one iovec of `slots`, and that to a part of `octets` of its own of the
        // length that it says. All live until the call has returned, and nothing else refers to `octets` meanwhile.
        let received = unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, null_mut()) };
        let count = unless_it_would_block(received)?;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(count) {
            *length = header.msg_len as usize;
        }
        Ok(count)
    }

    /// Sends the first `count` packets on a connected socket. Returns how many the system took.
    pub(crate) fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        let count = count.min(BATCH);
        let mut slots = [EMPTY; BATCH];
        for ((slot, packet), length) in slots.iter_mut().zip(self.octets.chunks_exact_mut(self.slot_octets)).zip(self.lengths).take(count) {
            *slot = iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: length };
        }
        let mut headers = headers(&mut slots);
        // SAFETY: as in `receive`, for the first `count` headers, and `count` is at most BATCH; the kernel only reads the packets.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT) };
        unless_it_would_block(sent)
    }
}

const EMPTY: iovec = iovec { iov_base: null_mut(), iov_len: 0 };

/// One header for each slot. They point into `slots`, which must outlive their use.
fn headers(slots: &mut [iovec; BATCH]) -> [mmsghdr; BATCH] {
    // SAFETY: headers are integers and pointers, for which all zero bits are a value.
    let mut headers: [mmsghdr; BATCH] = unsafe { zeroed() };
    for (header, slot) in headers.iter_mut().zip(slots) {
        header.msg_hdr.msg_iov = slot;
        header.msg_hdr.msg_iovlen = 1;
    }
    headers
}

fn unless_it_would_block(count: c_int) -> io::Result<usize> {
    usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        error => Err(error),
    })
}

/// Asks for buffers of `octets` for what a socket has received and has to send. The system may give less.
pub(crate) fn ask_for_buffers(socket: &UdpSocket, octets: c_int) {
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        let length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the pointer is to a live c_int and the length is its size; the kernel only reads it.
        let _ = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const octets).cast(), length) };
    }
}

/// Holds this thread, and all that it starts from now on, to one core.
pub(crate) fn hold_to(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: a set is an array of integers, for which all zero bits are a value, and `core` is below its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: the pointer is to a live set and the length is its size; 0 is this thread.
    let done = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// CPU time that this thread has used.
pub(crate) fn own_cpu() -> io::Result<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to room for one rusage, which the kernel fills when it returns 0.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        usage.assume_init()
    };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(of(usage.ru_utime) + of(usage.ru_stime))
}

/// Sends a signal to one process.
pub(crate) fn signal(process: u32, signal: c_int) -> io::Result<()> {
    let process = c_int::try_from(process).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the call touches no memory; `process` is positive, so neither a group nor everyone.
    let done = unsafe { libc::kill(process, signal) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_sent_and_received_whole() {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        one.connect(other.local_addr().unwrap()).unwrap();
        other.connect(one.local_addr().unwrap()).unwrap();
        let (mut out, mut back) = (Batch::new(8), Batch::new(8));
        assert_eq!(back.receive(&other).unwrap(), 0);
        out.put(0, b"first");
        out.put(1, b"longer than the room")[0] = b'L';
        assert_eq!(out.send(&one, 2).unwrap(), 2);
        assert_eq!(back.receive(&other).unwrap(), 2);
        assert_eq!((back.packet(0), back.packet(1)), (&b"first"[..], &b"Longer t"[..]));
    }
}
