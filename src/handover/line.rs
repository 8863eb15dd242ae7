//! The conversation of two processes over a Unix stream: descriptors (SCM_RIGHTS) and the health state go from the one that runs to the
//! one that takes over, then each says a word. It never waits for ever, and nothing that the other end says can make it hold more than its limits.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};

use super::{Entry, Sockets};

/// The name of the conversation, in the request that opens it; another release that speaks otherwise has another.
pub const PROTOCOL: &str = "meridian-takeover-1";

/// The request that opens it, on the control socket.
pub const PATH: &str = "/v1/takeover";

/// Descriptors of one frame; the kernel takes at most 253 (SCM_MAX_FD).
const FRAME_DESCRIPTORS: usize = 128;

/// Descriptors in all: more than 64 addresses with 512 workers have for two transports, so that a peer gone mad is noticed.
const MAX_DESCRIPTORS: usize = 1 << 17;

/// Largest frame: the health state of the largest configuration, as its file may be.
const MAX_FRAME_OCTETS: usize = 16 << 20;

/// Largest head of the answer to the request.
const MAX_HEAD_OCTETS: usize = 16 << 10;

/// Each octet that is waited for must come in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// From the descriptors to the word that the heir serves: its first probes, which take up to ten seconds, and a slow machine.
const STARTING_PATIENCE: Duration = Duration::from_secs(60);

/// What a frame is of; the rest of its text follows.
const SOCKETS: &str = "sockets";
const HEALTH: &str = "health";
const SERVING: &str = "serving";
const YOURS: &str = "yours";
const NO: &str = "no";

/// Why there is no handover.
#[derive(Debug)]
pub enum HandoverError {
    /// The other end said no, and why.
    Refused(String),
    /// The conversation broke off.
    Broken(io::Error),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandoverError::Refused(why) => write!(f, "it was refused: {why}"),
            HandoverError::Broken(error) => write!(f, "the conversation broke off: {error}"),
        }
    }
}

impl From<io::Error> for HandoverError {
    fn from(error: io::Error) -> HandoverError {
        HandoverError::Broken(error)
    }
}

/// What the last word of the process that ran was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It serves no more: all is the heir's.
    Yours,
    /// None: it has gone before it could say any.
    Gone,
}

/// The process that takes over, seen from the one that runs.
#[derive(Debug)]
pub struct Heir {
    line: Line,
    process: Option<u32>,
}

impl Heir {
    /// Over a connection that has asked for it; `process` is who the kernel says is at its other end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn new(stream: UnixStream, process: Option<u32>) -> io::Result<Heir> {
        Ok(Heir { line: Line::new(stream)?, process })
    }

    /// Its number, where it is known.
    pub fn process(&self) -> Option<u32> {
        self.process
    }

    /// Gives it the sockets, of which we keep ours, and the health state.
    ///
    /// # Errors
    /// The connection is broken, or not read.
    pub fn give<'s>(&mut self, sockets: impl IntoIterator<Item = &'s Sockets>, health: &str) -> io::Result<()> {
        for (number, entry) in sockets.into_iter().flat_map(|sockets| &sockets.entries).enumerate() {
            for part in entry.descriptors.chunks(FRAME_DESCRIPTORS) {
                self.line.say(&format!("{SOCKETS} {number} {} {}", entry.kind, entry.place), part)?;
            }
        }
        self.line.say(&format!("{HEALTH} {health}"), &[])
    }

    /// Waits for its word that it serves.
    ///
    /// # Errors
    /// It has gone, or did not say so in time: we go on as if it had never come.
    pub fn wait_until_it_serves(&mut self) -> io::Result<()> {
        self.line.stream.set_read_timeout(Some(STARTING_PATIENCE))?;
        match self.line.hear()? {
            Some((word, _)) if word == SERVING => Ok(()),
            Some((word, _)) => Err(unexpected(&word)),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended before it served")),
        }
    }

    /// The last word: all is its own now.
    ///
    /// # Errors
    /// It has gone meanwhile, and all stays ours.
    pub fn yours(&mut self) -> io::Result<()> {
        self.line.say(YOURS, &[])
    }

    /// The last word: nothing is, for this reason.
    pub fn refuse(&mut self, why: &str) {
        // Whoever has gone need not be told.
        _ = self.line.say(&format!("{NO} {why}"), &[]);
    }
}

/// What the running process leaves, seen from the one that takes over.
#[derive(Debug)]
pub struct Legacy {
    line: Line,
    /// Its sockets.
    pub sockets: Sockets,
    /// Its health state, in the form in which it is saved.
    pub health: String,
}

impl Legacy {
    /// Says that the sockets are served, and waits for the other's last word.
    ///
    /// # Errors
    /// It goes on serving, so whoever asked must end.
    pub fn serving(&mut self) -> Result<Word, HandoverError> {
        if self.line.say(SERVING, &[]).is_err() {
            // It may have said why.
            return self.last_word();
        }
        self.last_word()
    }

    fn last_word(&mut self) -> Result<Word, HandoverError> {
        match self.line.hear() {
            Ok(Some((word, _))) if word == YOURS => Ok(Word::Yours),
            Ok(Some((word, _))) => Err(word
                .strip_prefix(NO)
                .map_or_else(|| HandoverError::Broken(unexpected(&word)), |why| HandoverError::Refused(why.trim().to_owned()))),
            Ok(None) => Ok(Word::Gone),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Word::Gone),
            Err(error) => Err(error.into()),
        }
    }
}

/// Asks the process that listens at a control socket for all that it has; none if nobody listens there.
///
/// # Errors
/// It refuses, it does not know how, or the conversation broke off; it goes on in each case.
pub fn claim(socket: &Path) -> Result<Option<Legacy>, HandoverError> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut line = Line::new(stream)?;
    let request =
        format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: {PROTOCOL}\r\nContent-Length: 0\r\n\r\n");
    line.stream.write_all(request.as_bytes())?;
    let head = line.head()?;
    if head.split_whitespace().nth(1) != Some("101") {
        let status = head.lines().next().unwrap_or_default();
        return Err(HandoverError::Refused(format!("the running process answers `{status}`; stop it, and start this one as usual")));
    }
    let mut sockets = Sockets::of_ours();
    let mut count = 0;
    let mut last = None;
    loop {
        let (text, descriptors) = line.hear()?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        count += descriptors.len();
        if count > MAX_DESCRIPTORS {
            return Err(io::Error::other(format!("it has more than {MAX_DESCRIPTORS} descriptors")).into());
        }
        match text.split_once(' ') {
            Some((HEALTH, health)) => return Ok(Some(Legacy { line, sockets, health: health.to_owned() })),
            Some((SOCKETS, rest)) => {
                let mut words = rest.splitn(3, ' ');
                let (Some(number), Some(kind), Some(place)) = (words.next(), words.next(), words.next()) else {
                    return Err(unexpected(&text).into());
                };
                // More than a frame holds comes in several of the same number.
                match sockets.entries.last_mut().filter(|_| last.as_deref() == Some(number)) {
                    Some(entry) => entry.descriptors.extend(descriptors),
                    None => sockets.entries.push(Entry { kind: kind.to_owned(), place: place.to_owned(), descriptors }),
                }
                last = Some(number.to_owned());
            }
            Some((NO, why)) => return Err(HandoverError::Refused(why.to_owned())),
            _ => return Err(unexpected(&text).into()),
        }
    }
}

fn unexpected(text: &str) -> io::Error {
    /// Enough to know it by.
    const SHOWN: usize = 40;
    io::Error::other(format!("it says `{}`, which nobody expected", text.chars().take(SHOWN).collect::<String>()))
}

/// Frames: four octets of length (big-endian), with which descriptors travel, and a text.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
}

impl Line {
    fn new(stream: UnixStream) -> io::Result<Line> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Line { stream })
    }

    fn say(&mut self, text: &str, descriptors: &[OwnedFd]) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_be_bytes();
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(io::Error::other("too many descriptors for one frame"));
        }
        // A stream takes descriptors with the first octet that it takes; what it leaves of the four goes without.
        let taken = loop {
            match sendmsg(&self.stream, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        self.stream.write_all(&length[taken..])?;
        self.stream.write_all(text.as_bytes())
    }

    /// The next frame; none if the other end has closed.
    fn hear(&mut self) -> io::Result<Option<(String, Vec<OwnedFd>)>> {
        let (mut length, mut have, mut descriptors) = ([0; 4], 0, Vec::new());
        while have < length.len() {
            match self.receive(&mut length[have..], &mut descriptors)? {
                0 if have == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => have += count,
            }
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME_OCTETS {
            return Err(io::Error::other("it says more than there can be to say"));
        }
        let mut octets = vec![0; length];
        self.stream.read_exact(&mut octets)?;
        String::from_utf8(octets).map(|text| Some((text, descriptors))).map_err(io::Error::other)
    }

    fn receive(&self, octets: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let received = loop {
            match recvmsg(&self.stream, &mut [IoSliceMut::new(octets)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = message {
                descriptors.extend(came);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("descriptors were lost: more came than one frame may have, or this process may have open"));
        }
        Ok(received.bytes)
    }

    /// The head of an HTTP response, octet by octet: what follows it may carry descriptors, which a plain read would lose.
    fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            self.stream.read_exact(&mut octet)?;
            head.extend(octet);
            if head.len() > MAX_HEAD_OCTETS {
                return Err(io::Error::other("its answer is not one of HTTP"));
            }
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }
}
