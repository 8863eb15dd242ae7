"""The same kinds of questions over the transports that dig does not speak, and by other clients than dig over those that it does: dnspython (with
aioquic) over QUIC (RFC 9250) and HTTP/3, kdig over TLS, HTTPS and QUIC with padding (RFC 8467). Nothing here knows whose server it asks."""

import subprocess

from servers import ZONE, find

# How kdig asks, by what it prints; its library for QUIC may be left out.
KDIG = {
    "TLS": ("tls", "+tls", "TLS session"),
    "HTTPS": ("https", "+https", "HTTP session (HTTP/2-POST)"),
    "HTTPS by GET": ("https", "+https-get", "HTTP session (HTTP/2-GET)"),
    "QUIC": ("quic", "+quic", "QUIC session"),
}

# Padded replies are multiples of this (RFC 8467 4.1).
BLOCK = 468


def lines(server):
    """What came of each question."""
    return [*by_dnspython(server), *by_kdig(server)]


def by_dnspython(server):
    try:
        import dns.edns
        import dns.flags
        import dns.message
        import dns.query
        import dns.rcode
        import aioquic  # noqa: F401
    except ImportError as missing:
        return [f"dnspython: not asked, {missing}"]

    def over_quic(query):
        return dns.query.quic(query, server.ip, timeout=5, port=server.ports["quic"], verify=False)

    def over_http3(query):
        version = dns.query.HTTPVersion.HTTP_3
        return dns.query.https(query, server.ip, timeout=5, port=server.ports["http3"], verify=False, http_version=version)

    found = []
    for transport, port, over in [("QUIC", "quic", over_quic), ("HTTP/3", "http3", over_http3)]:
        if port not in server.ports:
            found.append(f"{transport}: this server has none")
            continue

        def ask(name, qtype, **edns):
            query = dns.message.make_query(name, qtype, **edns)
            query.flags &= ~dns.flags.RD
            query.id = 0
            return over(query)

        big = f"big.{ZONE}"
        checks = [
            ("SOA", lambda: len(ask(ZONE, "SOA").answer) == 1),
            ("unknown type", lambda: ask(ZONE, "TYPE1000").rcode() == dns.rcode.NOERROR),
            ("unknown name", lambda: ask(f"missing.{ZONE}", "A").rcode() == dns.rcode.NXDOMAIN),
            ("EDNS version 1", lambda: ask(ZONE, "SOA", use_edns=1).rcode() == dns.rcode.BADVERS),
            ("unknown option", lambda: not ask(ZONE, "SOA", use_edns=0, options=[dns.edns.GenericOption(100, b"")]).options),
            ("DO", lambda: ask(ZONE, "SOA", use_edns=0, want_dnssec=True).ednsflags & dns.flags.DO != 0),
            ("client subnet", lambda: ask(ZONE, "SOA", use_edns=0, options=[dns.edns.ECSOption("192.0.2.0", 24)]).options != []),
            ("over 1,232 octets", lambda: len(ask(big, "TXT", use_edns=0).answer[0]) == 8),
        ]
        found += [f"{transport} by dnspython: {what}: {outcome(check)}" for what, check in checks]
    return found


def outcome(check):
    try:
        return "holds" if check() else "**does not hold**"
    except Exception as error:  # whatever it is, it is what came of the question
        return f"**{type(error).__name__}: {error}**"


def by_kdig(server):
    if find("kdig") is None:
        return ["kdig: not asked, it is not installed"]
    found = []
    for transport, (port, how, session) in KDIG.items():
        if port not in server.ports:
            found.append(f"{transport}: this server has none")
            continue
        command = ["kdig", f"@{server.ip}", "-p", str(server.ports[port]), how, "+norec", "+padding=128", "+time=5", "soa", ZONE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if "not supported" in done.stderr or "invalid option" in done.stderr:
            found.append(f"{transport} by kdig: not asked, this kdig does not know it")
            continue
        text = done.stdout
        received = [int(line.split()[2]) for line in text.splitlines() if line.startswith(";; Received ")]
        checks = [
            ("SOA", "status: NOERROR" in text and "Flags: qr aa;" in text and session in text),
            ("padding", len(received) == 1 and received[0] % BLOCK == 0),
        ]
        found += [f"{transport} by kdig: {what}: {'holds' if holds else f'**does not hold** {done.stderr.strip()}'}" for what, holds in checks]
    return found
