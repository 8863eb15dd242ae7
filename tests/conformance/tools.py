"""Checkers of other people, in a network namespace of their own whose Internet is a root and a `test.` served by NSD: zonemaster-cli and dnsviz
walk from there to our zone, on real ports 53. What they say for want of the rest of the Internet (routing tables, reverse names) is theirs."""

import json
import os
import subprocess
import time

import servers
from servers import ZONE, find

ROOT, NS1, NS2 = "192.0.2.1", "192.0.2.53", "192.0.2.54"

ROOT_ZONES = {
    ".": f"$ORIGIN .\n$TTL 300\n@ SOA a.root. nobody. 1 1800 900 604800 300\n@ NS a.root.\na.root. A {ROOT}\ntest. NS a.test.\na.test. A {ROOT}\n",
    "test": f"$ORIGIN test.\n$TTL 300\n@ SOA a nobody 1 14400 3600 1209600 300\n@ NS a\na A {ROOT}\nconf NS ns1.conf\nconf NS ns2.conf\n"
    f"ns1.conf A {NS1}\nns2.conf A {NS2}\n",
}


class Namespace:
    """A network of our own with nothing but the addresses of these servers on its loopback."""

    def __init__(self):
        self.name = f"conformance-{os.getpid()}"
        self.running = []

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run(["ip", "link", "set", "lo", "up"])
        for address in (ROOT, NS1, NS2):
            self.run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
            process.wait(10)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    def prefix(self, command):
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, command):
        return subprocess.run(self.prefix(command), capture_output=True, text=True, timeout=300, check=False)

    def start(self, command, address):
        """Starts a server and returns when it answers at the address."""
        self.running.append(subprocess.Popen(self.prefix(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for _ in range(100):
            if "status: " in self.run(["dig", f"@{address}", "+time=1", "+tries=1", "soa", ZONE]).stdout:
                return
            time.sleep(0.1)
        raise SystemExit(f"{command[0]} does not start")


def write(folder, file, text):
    path = os.path.join(folder, file)
    with open(path, "w") as to:
        to.write(text)
    return path


def zonemaster(network, folder):
    """What zonemaster-cli says, from warnings on."""
    if find("zonemaster-cli") is None:
        return ["zonemaster: not installed"]
    hints = write(folder, "hints", f". 3600 NS a.root.\na.root. 3600 A {ROOT}\n")
    said = network.run(["zonemaster-cli", "--no-ipv6", "--level", "NOTICE", "--raw", "--no-time", "--hints", hints, ZONE])
    lines = [line for line in said.stdout.splitlines() + said.stderr.splitlines() if line.strip()]
    # The seconds in front differ from run to run.
    return [f"zonemaster: {' '.join(line.lstrip(' .0123456789').split())}" for line in lines] or ["zonemaster: nothing from NOTICE on"]


def dnsviz(network, folder):
    """What dnsviz says, from warnings on."""
    if find("dnsviz") is None:
        return ["dnsviz: not installed"]
    probe = os.path.join(folder, "dnsviz.json")
    at = [f"-x=.+:a.root={ROOT}", f"-x=test+:a.test={ROOT}", f"-x={ZONE}+:ns1.{ZONE}={NS1},ns2.{ZONE}={NS2}"]
    made = network.run(["dnsviz", "probe", "-A", "-4", "-a", ".", "-o", probe, *at, ZONE])
    if not os.path.exists(probe):
        return [f"dnsviz: cannot probe: {made.stderr.strip()}"]
    with open(probe) as file:
        print_of = subprocess.run(["dnsviz", "grok", "-l", "warning"], stdin=file, capture_output=True, text=True, timeout=300, check=False)
    found = []

    def walk(value, path):
        if isinstance(value, dict):
            for kind in ("errors", "warnings"):
                found.extend(f"dnsviz: {kind[:-1]}: {path}: {item.get('description', item)}" for item in value.get(kind, []))
            for key, inner in value.items():
                walk(inner, f"{path} {key}".strip())
        elif isinstance(value, list):
            for inner in value:
                walk(inner, path)

    # Of the root and of `test.` that are played here nothing is told.
    walk(json.loads(print_of.stdout or "{}").get(f"{ZONE}.", {}), "")
    return found or ["dnsviz: no error and no warning"]


def report(binary, folder):
    """Lines of both."""
    if os.geteuid() != 0 or find("ip") is None or find("nsd") is None:
        return ["dnsviz and zonemaster: not run; they need root, `ip` and `nsd` for a network of their own"]
    for name, text in ROOT_ZONES.items():
        write(folder, "root.zone" if name == "." else f"{name}.zone", text)
    nsd = servers.NSD.format(ip=ROOT, port=53, folder=folder, zone="test").replace("zonefile: zone", "zonefile: test.zone")
    nsd_file = write(folder, "root-nsd.conf", nsd + 'zone:\n    name: "."\n    zonefile: root.zone\n')
    write(folder, "zone", f"$ORIGIN {ZONE}.\n" + servers.RECORDS)
    write(folder, "zone.yaml", f"zone: {ZONE}\nrecords_file: zone\n")
    write(folder, "regions.yaml", "regions:\n  a: {location: {latitude: 1, longitude: 2}, services: {web: 192.0.2.1}}\n")
    settings = servers.MERIDIAN.format(ip=NS1, port=53).replace(f'"{NS1}:53"', f'["{NS1}:53", "{NS2}:53"]')
    config = write(folder, "meridian.yaml", settings)
    with Namespace() as network:
        network.start([find("nsd"), "-d", "-c", nsd_file], ROOT)
        network.start([binary, "serve", "--config", config], NS1)
        return zonemaster(network, folder) + dnsviz(network, folder)
