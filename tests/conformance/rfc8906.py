"""The tests of RFC 8906 section 8, asked by dig as they stand there, and what each must show.
Nothing here knows whose server it asks."""

import re
import subprocess

from servers import ZONE

NEVER = {"ad", "cd", "ra"}


class Reply:
    """What dig printed of a reply, or that there was none."""

    def __init__(self, text):
        self.text = text
        head = re.search(r"opcode: (\S+), status: (\S+),", text)
        self.is_there = head is not None
        self.status = head.group(2) if head else "none"
        flags = re.search(r";; flags: ?([a-z ]*);", text)
        self.flags = set(flags.group(1).split()) if flags else set()
        self.has_mbz = "MBZ" in text
        edns = re.search(r"; EDNS: version: (\d+), flags:([^;]*); (?:MBZ: \S+ ?, )?udp: (\d+)", text)
        self.edns = int(edns.group(1)) if edns else None
        self.edns_flags = set(edns.group(2).split()) if edns else set()
        self.has_answer = "ANSWER SECTION" in text
        self.has_unknown_option = "OPT=100" in text


def answered(reply):
    return reply.status == "NOERROR" and "aa" in reply.flags and not reply.flags & NEVER and not reply.has_mbz


def plain(reply):
    return answered(reply) and reply.edns is None and reply.has_answer


def nodata(reply):
    return answered(reply) and reply.edns is None and not reply.has_answer


def edns(reply):
    return answered(reply) and reply.edns == 0 and reply.has_answer and not reply.has_unknown_option


def badvers(reply):
    return reply.status == "BADVERS" and reply.edns == 0 and not reply.has_answer and not reply.has_unknown_option and not reply.has_mbz


def truncated(reply):
    return reply.status == "NOERROR" and reply.edns == 0 and "tc" in reply.flags


def with_do(check):
    return lambda reply: check(reply) and "do" in reply.edns_flags


SOA = f"+norec soa {ZONE}"
NOEDNS = f"+noedns +noad {SOA}"
EDNS = f"+nocookie +edns=0 +noad {SOA}"
VERSION_1 = f"+nocookie +edns=1 +noednsneg +noad {SOA}"

# Section, what is tested, arguments of dig, what must hold; those that ask for truncation are not asked over streams.
TESTS = [
    ("8.1.1", "is the zone served", NOEDNS, plain),
    ("8.1.2", "unknown type", f"+noedns +noad +norec type1000 {ZONE}", nodata),
    ("8.1.3.1", "CD=1", f"+noedns +noad +norec +cd soa {ZONE}", plain),
    ("8.1.3.2", "AD=1", f"+noedns +norec +ad soa {ZONE}", plain),
    ("8.1.3.3", "reserved header bit", f"+noedns +noad +norec +zflag soa {ZONE}", plain),
    ("8.1.3.4", "RD=1", f"+noedns +noad +rec soa {ZONE}", plain),
    ("8.1.4", "unknown opcode", f"+noedns +noad +opcode=15 +norec +header-only {ZONE}", lambda reply: reply.status == "NOTIMP"),
    ("8.2.1", "EDNS version 0", EDNS, edns),
    ("8.2.2", "EDNS version 1", VERSION_1, badvers),
    ("8.2.3", "unknown option", f"+ednsopt=100 {EDNS}", edns),
    ("8.2.4", "unknown EDNS flag", f"+ednsflags=0x40 {EDNS}", edns),
    ("8.2.5", "version 1 and unknown flag", f"+ednsflags=0x40 {VERSION_1}", badvers),
    ("8.2.6", "version 1 and unknown option", f"+ednsopt=100 {VERSION_1}", badvers),
    ("8.2.7", "truncation keeps EDNS", f"+norec +nocookie +edns=0 +bufsize=512 +ignore txt big.{ZONE}", truncated),
    ("8.2.8", "DO=1", f"+dnssec {EDNS}", with_do(edns)),
    ("8.2.9", "version 1 and DO=1", f"+dnssec {VERSION_1}", badvers),
    ("8.2.10", "NSID, cookie, client subnet, expire", f"+edns=0 +noad +nsid +cookie +subnet=0.0.0.0/0 +expire {SOA}", edns),
]

# dig speaks no QUIC; see encrypted.py.
TRANSPORTS = {"udp": "+notcp", "tcp": "+tcp", "tls": "+tls", "https": "+https"}


def ask(server, transport, arguments):
    """One question by dig; silence is tried twice."""
    command = ["dig", f"@{server.ip}", "-p", str(server.ports[transport]), TRANSPORTS[transport], "+time=2", "+tries=2", "+qr"]
    text = subprocess.run(command + arguments.split(), capture_output=True, text=True, timeout=60).stdout
    # What dig asked stands first, what it got after.
    return Reply(text.split(";; Got answer:", 1)[-1] if ";; Got answer:" in text else "")


def table(servers):
    """Rows of a Markdown table: a test, and for each server over which transports it holds, and what was seen where it does not."""
    yield "| RFC 8906 | | " + " | ".join(server.name for server in servers) + " |"
    yield "|---|---|" + "---|" * len(servers)
    for section, what, arguments, holds in TESTS:
        cells = []
        for server in servers:
            transports = [name for name in server.ports if name in TRANSPORTS and (holds is not truncated or name == "udp")]
            replies = {name: ask(server, name, arguments) for name in transports}
            bad = {name: reply for name, reply in replies.items() if not holds(reply)}
            seen = [f"**{name}: {reply.status}{'' if reply.edns is None else ' EDNS'} {' '.join(sorted(reply.flags))}**" for name, reply in bad.items()]
            cells.append(", ".join(seen) or " ".join(transports))
        yield f"| {section} | {what} | " + " | ".join(cells) + " |"
