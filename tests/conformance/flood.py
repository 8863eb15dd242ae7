"""A bounded flood of the same packets at each server, and who is answered meanwhile who asks honestly, one question after the other.
At most 50,000 packets a second leave here, for a few seconds; what the kernel threw away is counted apart."""

import random
import socket
import struct
import threading
import time

from servers import ZONE

BURST = 25
REST_S = 0.001
QUERIES = 400


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def query(text, qtype=1, number=0, opt=b""):
    return struct.pack("!6H", number & 0xFFFF, 0, 1, 0, 0, 1 if opt else 0) + name(text) + struct.pack("!2H", qtype, 1) + opt


def subnet(rng):
    data = struct.pack("!HBB", 1, 24, 0) + rng.randbytes(3)
    return b"\0\0\x29\x04\xd0\0\0\0\0" + struct.pack("!3H", len(data) + 4, 8, len(data)) + data


def damaged(rng, number):
    octets = bytearray(query(f"www.{ZONE}", 1, number, subnet(rng)))
    kind = number % 4
    if kind == 0:
        for _ in range(3):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
    elif kind == 1:
        del octets[rng.randrange(len(octets)):]
    elif kind == 2:
        octets = bytearray(rng.randbytes(rng.randrange(600)))
    else:
        octets = bytearray(struct.pack("!6H", number & 0xFFFF, 0, 0xFFFF, 0, 0, 0) + b"\xc0\x0c" * 200)
    return bytes(octets)


FLOODS = {
    "random subdomains": lambda rng, number: query(f"{rng.randrange(1 << 60):015x}.{ZONE}", 1, number),
    "malformed": damaged,
    "a /24 of its own in every query": lambda rng, number: query(f"www.{ZONE}", 1, number, subnet(rng)),
    "largest replies": lambda rng, number: query(f"big.{ZONE}", 16, number, b"\0\0\x29\xff\xff\0\0\x80\0\0\0"),
}


def honest(server, queries):
    """How many of so many questions were answered."""
    answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.77.7.7", 0))
        client.connect((server.ip, server.port))
        client.settimeout(1)
        for number in range(queries):
            client.send(query(f"www.{ZONE}", 1, number))
            try:
                while client.recv(4096)[:2] != struct.pack("!H", number):
                    pass
                answered += 1
            except TimeoutError:
                pass
            time.sleep(0.002)
    return answered


def run(server, make, seed=1):
    """Packets sent, honest answers, packets dropped by the kernel, CPU microseconds a packet."""
    over, sent = threading.Event(), 0
    rng = random.Random(seed)
    # Made before, so that sending is all that the flood takes.
    packets = [make(rng, number) for number in range(20_000)]

    def send():
        nonlocal sent
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.connect((server.ip, server.port))
            while not over.is_set():
                for _ in range(BURST):
                    try:
                        deaf.send(packets[sent % len(packets)])
                    except OSError:
                        pass
                    sent += 1
                time.sleep(REST_S)

    drops, cpu = server.kernel_drops(), server.cpu_s()
    sender = threading.Thread(target=send)
    sender.start()
    answered = honest(server, QUERIES)
    over.set()
    sender.join()
    time.sleep(0.5)
    return sent, answered, server.kernel_drops() - drops, (server.cpu_s() - cpu) * 1e6 / (sent + QUERIES)


def table(servers):
    """Rows of a Markdown table: a flood, and for each server the honest answers, what the kernel dropped, and its CPU time a packet."""
    yield "| flood | " + " | ".join(server.name for server in servers) + " |"
    yield "|---|" + "---|" * len(servers)
    for what, make in FLOODS.items():
        cells = []
        for server in servers:
            sent, answered, dropped, cpu_us = run(server, make)
            lives = "" if server.process.poll() is None else ", **ended**"
            cells.append(f"{answered} of {QUERIES}, {dropped} of {sent} dropped, {cpu_us:.1f} us{lives}")
        yield f"| {what} | " + " | ".join(cells) + " |"
