#!/usr/bin/env python3
"""Asks Meridian, gdnsd, Knot and NSD the tests of RFC 8906 by dig over every transport, and Meridian by dnspython and kdig over the encrypted ones, floods all four with the same packets, has dnsviz look
at Meridian, and prints what came as Markdown. Everything happens on loopback; servers that are not installed are left out.

    cargo build --release && tests/conformance/run.py [--binary target/release/meridian] [--only rfc8906|flood|tools]

Exit code 1 if Meridian fails a test of RFC 8906 or leaves more than one honest question of a hundred unanswered."""

import argparse
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import encrypted
import flood
import rfc8906
import servers
import tools


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--binary", default="target/release/meridian")
    options.add_argument("--only", choices=["rfc8906", "flood", "tools"])
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        names = ["meridian", "gdnsd", "knot", "nsd"]
        running = [server for name in names if (server := servers.start(name, os.path.abspath(chosen.binary), folder))]
        try:
            good = True
            if chosen.only in (None, "rfc8906"):
                for row in rfc8906.table(running):
                    print(row, flush=True)
                    # What does not hold is written in bold; Meridian's cell is the third.
                    good = good and "**" not in row.split("|")[3]
                print()
                by_others = encrypted.lines(running[0])
                good = good and not any("**" in line for line in by_others)
                print("\n".join(by_others), end="\n\n")
            if chosen.only in (None, "flood"):
                for row in flood.table(running):
                    print(row, flush=True)
                    cell = row.split("|")[2]
                    if " of " in cell:
                        words = cell.replace(",", "").split()
                        answered, asked, dropped = int(words[0]), int(words[2]), int(words[3])
                        good = good and (answered + dropped) * 100 >= asked * 99
                print()
            if chosen.only in (None, "tools"):
                print("\n".join(tools.report(os.path.abspath(chosen.binary), folder)))
        finally:
            for server in running:
                server.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
