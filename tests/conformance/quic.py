"""The same kinds of questions over QUIC (RFC 9250), by dnspython with aioquic, as dig speaks no QUIC.
Nothing here knows whose server it asks."""

from servers import ZONE


def lines(server):
    """What came of each question."""
    if "quic" not in server.ports:
        return ["QUIC: this server has none"]
    try:
        import dns.edns
        import dns.flags
        import dns.message
        import dns.query
        import dns.rcode
        import aioquic  # noqa: F401
    except ImportError as missing:
        return [f"QUIC: not asked, {missing}"]

    def ask(name, qtype, **edns):
        query = dns.message.make_query(name, qtype, **edns)
        query.flags &= ~dns.flags.RD
        query.id = 0
        return dns.query.quic(query, server.ip, timeout=5, port=server.ports["quic"], verify=False)

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

    def outcome(check):
        try:
            return "holds" if check() else "**does not hold**"
        except Exception as error:  # whatever it is, it is what came of the question
            return f"**{type(error).__name__}: {error}**"

    return [f"QUIC: {what}: {outcome(check)}" for what, check in checks]
