//! The only unsafe code of the crate: `recvmmsg`, `sendmmsg` and the socket options that no library wraps, for Linux.
//! It moves packets and their addresses; it never looks into a packet.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null_mut};

use libc::{c_int, in_pktinfo, in6_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_in6, socklen_t};

use super::departure::{Waiting, deliver, run_of};
use super::udp::{BATCH, Packet, PacketPath, QUERY_OCTETS, REPLY_OCTETS, Reading};

/// Room for the one control message that we ask for; `in6_pktinfo` is the larger one.
const CONTROL_OCTETS: usize = 64;

/// Fields of `SO_MEMINFO` that are read (linux/sock_diag.h, `SK_MEMINFO_*`); the last of them is the number of drops.
const MEMORY_FIELDS: usize = 9;

/// The time of the packet that was read last (linux/sockios.h); `_OLD`, as the kernel's timespec is that of the C library where both have 64 bits.
const SIOCGSTAMPNS: libc::Ioctl = 0x8907;

/// Replies start on a cache line of their own.
const REPLY_ALIGN: usize = 64;

/// Sets what only Linux has: a large receive buffer, no fragmentation, and on wildcards the address that was asked.
///
/// Don't-fragment (RFC 9715) in the "probe" form: what a forged ICMP message says of the path is not believed, and the
/// kernel need not draw an identification number for each reply.
///
/// # Errors
/// A system without these options.
pub(super) fn tune_udp(socket: &UdpSocket, address: SocketAddr, receive_buffer_octets: usize) -> io::Result<()> {
    // Only with the right to pass the system's limit; the plain option was set before.
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, c_int::try_from(receive_buffer_octets).unwrap_or(c_int::MAX));
    set_fragmentation(socket, address, libc::IP_PMTUDISC_PROBE, libc::IPV6_PMTUDISC_PROBE)?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        IpAddr::V6(ip) if ip.is_unspecified() => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
        _ => Ok(()),
    }
}

/// Lets the kernel cut replies that are longer than the interface takes; still deaf to what ICMP says of the path.
fn allow_fragments(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    set_fragmentation(socket, address, libc::IP_PMTUDISC_OMIT, libc::IPV6_PMTUDISC_OMIT)
}

fn set_fragmentation(socket: &UdpSocket, address: SocketAddr, v4: c_int, v6: c_int) -> io::Result<()> {
    if address.is_ipv4() {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, v4)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, v6)
    }
}

/// Packets that the kernel has thrown away at this socket since it was opened, for want of room above all; none where it does not say.
/// The number wraps.
fn kernel_drops(socket: &UdpSocket) -> Option<u32> {
    let mut memory = [0u32; MEMORY_FIELDS];
    let mut octets = size_of_val(&memory) as socklen_t;
    // SAFETY: both pointers are to live values; the kernel writes at most `octets` octets of the first, and then how many into the second.
    let done =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, (&raw mut memory).cast(), &raw mut octets) };
    (done == 0 && octets as usize == size_of_val(&memory)).then_some(memory[MEMORY_FIELDS - 1])
}

/// When the kernel received the packet that was read last from this socket, in nanoseconds since 1970; none where it does not say.
/// The first call asks it to note the time of what comes from then on (socket(7), `SIOCGSTAMP`).
fn newest_ns(socket: &UdpSocket) -> Option<u64> {
    let mut stamp = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the request writes one timespec to where the pointer says, which is a live one.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSTAMPNS, &raw mut stamp) };
    let ns = u64::try_from(stamp.tv_sec).ok()?.checked_mul(1_000_000_000)?.checked_add(stamp.tv_nsec as u64)?;
    (done == 0 && ns > 0).then_some(ns)
}

fn set_option(socket: &UdpSocket, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a live c_int and the length is its size; the kernel only reads it.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<c_int>() as socklen_t) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An owned array whose address stays. After its making it is reached through one raw pointer only, so that pointers into
/// it that stand in message headers stay valid while other parts are read and written.
struct Fixed<T> {
    first: NonNull<T>,
    len: usize,
}

impl<T> Fixed<T> {
    fn new(len: usize, item: impl Fn() -> T) -> Fixed<T> {
        let items: Box<[T]> = (0..len).map(|_| item()).collect();
        Fixed { first: NonNull::from(Box::leak(items)).cast(), len }
    }

    fn pointer(&self, at: usize) -> *mut T {
        assert!(at < self.len, "index in range");
        // SAFETY: `first` points to `len` items of one allocation, and `at` is below `len`.
        unsafe { self.first.as_ptr().add(at) }
    }

    fn item(&self, at: usize) -> &T {
        // SAFETY: `pointer` checked the range; items are valid from `new` on. Only the kernel writes behind our back,
        // and only inside a system call that is made with `&mut Batch`, when no such reference lives.
        unsafe { &*self.pointer(at) }
    }

    fn item_mut(&mut self, at: usize) -> &mut T {
        // SAFETY: as in `item`; `&mut self` makes the reference the only one.
        unsafe { &mut *self.pointer(at) }
    }

    fn part(&self, from: usize, len: usize) -> &[T] {
        assert!(from <= self.len && len <= self.len - from, "part in range");
        // SAFETY: the range was checked; the rest as in `item`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr().add(from), len) }
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: `first` and `len` come from the leaked box of `new`, which nobody else owns or frees.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.first.as_ptr(), self.len)) });
    }
}

/// Peer addresses of a batch; a socket has one family only.
enum Names {
    V4(Fixed<sockaddr_in>),
    V6(Fixed<sockaddr_in6>),
}

impl Names {
    fn new(family_of: SocketAddr) -> Names {
        // SAFETY (both): these are plain integers and arrays of them, for which all zero bits are a value.
        match family_of {
            SocketAddr::V4(_) => Names::V4(Fixed::new(BATCH, || unsafe { zeroed() })),
            SocketAddr::V6(_) => Names::V6(Fixed::new(BATCH, || unsafe { zeroed() })),
        }
    }

    fn pointer(&self, at: usize) -> *mut libc::c_void {
        match self {
            Names::V4(names) => names.pointer(at).cast(),
            Names::V6(names) => names.pointer(at).cast(),
        }
    }

    #[inline]
    fn are_same(&self, one: usize, other: usize) -> bool {
        match self {
            Names::V4(names) => {
                let (one, other) = (names.item(one), names.item(other));
                (one.sin_port, one.sin_addr.s_addr) == (other.sin_port, other.sin_addr.s_addr)
            }
            Names::V6(names) => {
                let (one, other) = (names.item(one), names.item(other));
                (one.sin6_port, one.sin6_addr.s6_addr, one.sin6_scope_id) == (other.sin6_port, other.sin6_addr.s6_addr, other.sin6_scope_id)
            }
        }
    }

    fn octets(&self) -> socklen_t {
        match self {
            Names::V4(_) => size_of::<sockaddr_in>() as socklen_t,
            Names::V6(_) => size_of::<sockaddr_in6>() as socklen_t,
        }
    }

    fn address(&self, at: usize) -> SocketAddr {
        match self {
            Names::V4(names) => {
                let name = names.item(at);
                let ip = Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr));
                SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into()
            }
            Names::V6(names) => {
                let name = names.item(at);
                let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
                SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into()
            }
        }
    }
}

/// Control messages of one packet, aligned as `cmsghdr` needs it.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; CONTROL_OCTETS]);

/// The control message of several replies that leave as one: how long each of them is (`UDP_SEGMENT`, Linux 4.18).
#[repr(C)]
struct Cut {
    header: libc::cmsghdr,
    octets: u16,
    /// Up to the alignment of headers, so that no octet that nobody has set goes to the kernel.
    _padding: [u8; 6],
}

impl Cut {
    fn new() -> Cut {
        // SAFETY: a control header is integers, for which all zero bits are a value.
        let mut header = unsafe { zeroed::<libc::cmsghdr>() };
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        // SAFETY: CMSG_LEN only computes.
        header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<u16>() as u32) } as _;
        Cut { header, octets: 0, _padding: [0; 6] }
    }
}

/// A socket with the buffers and headers of a batch, made once. It holds raw pointers into itself and so stays on the
/// thread that made it.
pub(super) struct Batch {
    socket: UdpSocket,
    local: SocketAddr,
    queries: Fixed<u8>,
    names: Names,
    controls: Fixed<Control>,
    /// Only kept: `incoming` points to them.
    _query_slots: Fixed<iovec>,
    incoming: Fixed<mmsghdr>,
    received: usize,
    /// Most packets of a batch.
    most: usize,
    /// Replies one after the other, so that a batch of small ones stays within a few pages.
    replies: Box<[u8]>,
    replies_end: usize,
    waiting: [Waiting; BATCH],
    waiting_len: usize,
    reply_slots: Fixed<iovec>,
    outgoing: Box<[mmsghdr]>,
    cuts: Fixed<Cut>,
    may_fragment: bool,
    /// As the kernel said last.
    drops: u32,
    /// Whether the kernel notes when packets come.
    has_stamps: bool,
    may_join: bool,
}

impl Batch {
    /// Takes over a socket that is bound to `local`, for batches of at most `most` packets, 1 to [`BATCH`].
    pub(super) fn new(socket: UdpSocket, local: SocketAddr, Reading { most, has_stamps }: Reading) -> Batch {
        if has_stamps {
            // Nothing has come yet; this makes the kernel begin.
            newest_ns(&socket);
        }
        let queries = Fixed::new(BATCH * QUERY_OCTETS, || 0);
        let mut query_slots = Fixed::new(BATCH, || iovec { iov_base: null_mut(), iov_len: QUERY_OCTETS });
        let names = Names::new(local);
        let controls = Fixed::new(BATCH, || Control([MaybeUninit::zeroed(); CONTROL_OCTETS]));
        // SAFETY (both): headers are integers and pointers, for which all zero bits are a value.
        let mut incoming = Fixed::new(BATCH, || unsafe { zeroed::<mmsghdr>() });
        let outgoing = (0..BATCH).map(|_| unsafe { zeroed::<mmsghdr>() }).collect();
        for at in 0..BATCH {
            query_slots.item_mut(at).iov_base = queries.pointer(at * QUERY_OCTETS).cast();
            let header = &mut incoming.item_mut(at).msg_hdr;
            header.msg_iov = query_slots.pointer(at);
            header.msg_iovlen = 1;
            header.msg_name = names.pointer(at);
            header.msg_control = controls.pointer(at).cast();
        }
        Batch {
            socket,
            local,
            queries,
            names,
            controls,
            _query_slots: query_slots,
            incoming,
            received: BATCH,
            most: most.clamp(1, BATCH),
            replies: vec![0; BATCH * REPLY_OCTETS].into(),
            replies_end: 0,
            waiting: [Waiting::default(); BATCH],
            waiting_len: 0,
            reply_slots: Fixed::new(BATCH, || iovec { iov_base: null_mut(), iov_len: 0 }),
            outgoing,
            cuts: Fixed::new(BATCH, Cut::new),
            may_fragment: false,
            drops: 0,
            has_stamps,
            may_join: true,
        }
    }

    fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// Makes the headers that the last batch used as the kernel wants them: with the room for address and control data.
    fn reset(&mut self) {
        let (name_octets, control_octets) = (self.names.octets(), if self.is_wildcard() { CONTROL_OCTETS } else { 0 });
        for at in 0..self.received {
            let header = &mut self.incoming.item_mut(at).msg_hdr;
            header.msg_namelen = name_octets;
            header.msg_controllen = control_octets as _;
        }
        self.received = 0;
        self.replies_end = 0;
        self.waiting_len = 0;
    }

    /// The address that a packet was sent to, on a wildcard socket. Leaves the packet's control data such that, sent along
    /// with the reply, it makes the reply leave from there, through whichever interface the routes say; or empties it.
    fn asked_address(&mut self, at: usize) -> Option<IpAddr> {
        let header = &mut self.incoming.item_mut(at).msg_hdr;
        // SAFETY: `msg_control` and `msg_controllen` describe the part of this packet's `Control` that the kernel has
        // filled; CMSG_FIRSTHDR returns null or a header that lies within it, and the length is checked before the
        // data is read and written unaligned. No other reference to `controls` lives.
        let asked = unsafe {
            let control = libc::CMSG_FIRSTHDR(header);
            if control.is_null() {
                None
            } else if is_control::<in_pktinfo>(control, libc::IPPROTO_IP, libc::IP_PKTINFO) {
                let data = libc::CMSG_DATA(control).cast::<in_pktinfo>();
                let mut info = data.read_unaligned();
                info.ipi_ifindex = 0;
                data.write_unaligned(info);
                Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr))))
            } else if is_control::<in6_pktinfo>(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
                let data = libc::CMSG_DATA(control).cast::<in6_pktinfo>();
                let mut info = data.read_unaligned();
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                if !ip.is_unicast_link_local() {
                    info.ipi6_ifindex = 0;
                    data.write_unaligned(info);
                }
                (!ip.is_multicast()).then_some(IpAddr::V6(ip))
            } else {
                None
            }
        };
        if asked.is_none() {
            header.msg_controllen = 0;
        }
        asked
    }
}

/// Whether a control message is of this kind and long enough to hold a `T`.
///
/// # Safety
/// `control` points to a control header.
unsafe fn is_control<T>(control: *const libc::cmsghdr, level: c_int, kind: c_int) -> bool {
    // SAFETY: by the contract above; CMSG_LEN only computes.
    unsafe {
        let enough = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        (*control).cmsg_level == level && (*control).cmsg_type == kind && (*control).cmsg_len >= enough
    }
}

impl Batch {
    /// Writes the headers of the replies from `from` on, those that may leave as one into one header; returns how many headers there are.
    fn write_headers(&mut self, from: usize) -> usize {
        let may_join = self.may_join && !self.is_wildcard();
        let (mut next, mut headers) = (from, 0);
        while next < self.waiting_len {
            let waiting = &self.waiting[next..self.waiting_len];
            let run = if may_join { run_of(waiting, |one, other| self.names.are_same(one, other)) } else { 1 };
            let Waiting { index, len, .. } = waiting[0];
            for (at, Waiting { start, len, .. }) in waiting[..run].iter().enumerate() {
                *self.reply_slots.item_mut(next + at) =
                    iovec { iov_base: self.replies[*start..*start + *len].as_mut_ptr().cast(), iov_len: *len };
            }
            let header = &mut self.outgoing[headers].msg_hdr;
            header.msg_iov = self.reply_slots.pointer(next);
            header.msg_iovlen = run as _;
            header.msg_name = self.names.pointer(index);
            header.msg_namelen = self.names.octets();
            (header.msg_control, header.msg_controllen) = if run > 1 {
                let cut = self.cuts.item_mut(headers);
                cut.octets = len as u16;
                (std::ptr::from_mut(cut).cast(), size_of::<Cut>() as _)
            } else {
                match self.incoming.item(index).msg_hdr.msg_controllen {
                    0 => (null_mut(), 0),
                    octets => (self.controls.pointer(index).cast(), octets),
                }
            };
            next += run;
            headers += 1;
        }
        headers
    }

    /// Sends replies from `from` on; returns how many the kernel took, or why it refused the first of them.
    fn hand_over(&mut self, from: usize) -> io::Result<usize> {
        loop {
            let headers = self.write_headers(from);
            // SAFETY: the first `headers` of `outgoing` were filled just now; they point to names, slots, replies and control data of
            // `self`, which nothing changes until the call returns. The kernel writes only `msg_len` of the headers.
            let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), self.outgoing.as_mut_ptr(), headers as u32, 0) };
            let Ok(sent) = usize::try_from(sent) else {
                let error = io::Error::last_os_error();
                if self.can_mend(&error) { continue } else { return Err(error) }
            };
            return Ok(self.outgoing[..sent].iter().map(|header| header.msg_hdr.msg_iovlen).sum());
        }
    }

    /// Whether the first reply would be taken if it were sent in another way, which is then the way from now on: several as one only
    /// where the interface takes that, in pieces where it takes no reply of this length (both once per socket).
    fn can_mend(&mut self, error: &io::Error) -> bool {
        let was_joined = self.outgoing[0].msg_hdr.msg_iovlen > 1;
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE) if was_joined => std::mem::replace(&mut self.may_join, false),
            Some(libc::EMSGSIZE) => !std::mem::replace(&mut self.may_fragment, true) && allow_fragments(&self.socket, self.local).is_ok(),
            _ => false,
        }
    }
}

impl PacketPath for Batch {
    fn receive(&mut self, wait: bool) -> io::Result<usize> {
        self.reset();
        // With MSG_WAITFORONE the call blocks for the first packet (up to the socket's time limit) and then takes only
        // what is there.
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: `incoming` holds BATCH headers whose pointers lead into `queries`, `names`, `controls` and the slots, all
        // owned by `self` and not referenced now; their lengths are the room there (`new` and `reset`).
        let got = unsafe { libc::recvmmsg(self.socket.as_raw_fd(), self.incoming.pointer(0), self.most as u32, flags as _, null_mut()) };
        self.received = usize::try_from(got).map_err(|_| io::Error::last_os_error())?.min(BATCH);
        Ok(self.received)
    }

    fn drops(&mut self) -> u64 {
        let Some(drops) = kernel_drops(&self.socket) else { return 0 };
        u64::from(drops.wrapping_sub(std::mem::replace(&mut self.drops, drops)))
    }

    fn newest_ns(&self) -> Option<u64> {
        if self.has_stamps { newest_ns(&self.socket) } else { None }
    }

    fn query(&self, index: usize) -> (&[u8], IpAddr) {
        let len = (self.incoming.item(index).msg_len as usize).min(QUERY_OCTETS);
        (self.queries.part(index * QUERY_OCTETS, len), self.names.address(index).ip())
    }

    fn packet(&mut self, index: usize) -> Packet<'_> {
        let mut local = self.local;
        if self.is_wildcard()
            && let Some(ip) = self.asked_address(index)
        {
            local.set_ip(ip);
        }
        let len = (self.incoming.item(index).msg_len as usize).min(QUERY_OCTETS);
        Packet {
            // Not by `query`: that would borrow the replies too.
            bytes: self.queries.part(index * QUERY_OCTETS, len),
            peer: self.names.address(index),
            local,
            out: &mut self.replies[self.replies_end..][..REPLY_OCTETS],
        }
    }

    fn reply(&mut self, index: usize, len: usize) {
        assert!(index < self.received && len <= REPLY_OCTETS, "a reply to a packet of this batch");
        self.waiting[self.waiting_len] = Waiting { index, start: self.replies_end, len };
        self.waiting_len += 1;
        self.replies_end += len.next_multiple_of(REPLY_ALIGN);
    }

    fn send(&mut self) -> u64 {
        deliver(self.waiting_len, |from| self.hand_over(from))
    }
}
