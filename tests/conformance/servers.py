"""The servers that are compared: each on a free port of loopback, from a folder of its own, with the same zone, ended with the run.
Nothing here knows what is asked of them."""

import os
import shutil
import signal
import socket
import subprocess
import time

ZONE = "conf.test"

RECORDS = """\
$TTL 300
@ SOA ns1 hostmaster 1 14400 3600 1209600 60
@ NS ns1
@ NS ns2
ns1 A 192.0.2.53
ns2 A 192.0.2.54
@ A 192.0.2.1
www A 192.0.2.80
alias CNAME www
*.wild A 192.0.2.81
"""
# Over 1,232 octets, so that it does not fit a datagram.
RECORDS += "".join(f'big TXT "{letter * 200}"\n' for letter in "abcdefgh")

MERIDIAN = """\
version: 1
listen: "{ip}:{port}"
workers: 1
regions: regions.yaml
zones: zone.yaml
nsid: conformance
"""

# Of Meridian only: the others have no encrypted transports, or others than these.
ENCRYPTED = """\
encrypted:
  certificate: dns.pem
  key: dns.key
  tls: "{ip}:{tls}"
  https: "{ip}:{https}"
  quic: "{ip}:{quic}"
  http3: "{ip}:{http3}"
"""

GDNSD = """\
options => {{
 listen => {{ {ip}:{port} => {{ udp_threads = 1, tcp_threads = 1 }} }}
 run_dir => {folder}/run
 state_dir => {folder}/state
}}
"""

KNOT = """\
server:
    listen: {ip}@{port}
    rundir: {folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: {folder}/knot.sock
database:
    storage: {folder}
template:
  - id: default
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: {zone}
    file: {folder}/zone
"""

NSD = """\
server:
    ip-address: {ip}@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: {folder}
    database: ""
    pidfile: {folder}/nsd.pid
    xfrdfile: {folder}/xfrd.state
    xfrdir: {folder}
    zonelistfile: {folder}/zone.list
remote-control:
    control-enable: no
zone:
    name: {zone}
    zonefile: zone
"""


class Server:
    """A server at work, with the process and where it listens; other transports than UDP and TCP stand in `ports`."""

    def __init__(self, name, process, ip, ports):
        self.name, self.process, self.ip, self.port, self.ports = name, process, ip, ports["udp"], ports

    def cpu_s(self):
        """CPU time of the process and its children so far, in seconds."""
        pids, ticks = [self.process.pid], 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
                with open(f"/proc/{pid}/task/{pid}/children") as file:
                    pids += [int(child) for child in file.read().split()]
            except OSError:
                pass
        return ticks / os.sysconf("SC_CLK_TCK")

    def kernel_drops(self):
        """Datagrams that the kernel threw away at the sockets of this port."""
        with open("/proc/net/udp") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        return sum(int(row[12]) for row in rows if int(row[1].split(":")[1], 16) == self.port)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_port():
    """A port that is free for UDP and TCP."""
    while True:
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        with udp, tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(udp.getsockname())
                return udp.getsockname()[1]
            except OSError:
                continue


def find(program):
    """The path of a program, none where it is not installed."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")


def encrypted(binary, folder, ip, settings):
    """Adds encrypted transports to Meridian's configuration, with a certificate that is made for it, and gives their ports."""
    if find("openssl") is None:
        return {}
    pair = ["-keyout", os.path.join(folder, "dns.key"), "-out", os.path.join(folder, "dns.pem")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN=ns1.{ZONE}"]
    subprocess.run(["openssl", "req", "-x509", *curve, "-addext", f"subjectAltName=DNS:ns1.{ZONE}", *pair], check=True, capture_output=True)
    ports = {"tls": free_port(), "https": free_port(), "quic": free_port(), "http3": free_port()}
    path = os.path.join(folder, "meridian.yaml")
    with open(path, "w") as file:
        file.write(settings + ENCRYPTED.format(ip=ip, **ports))
    if subprocess.run([binary, "check", "--config", path], capture_output=True).returncode == 0:
        return ports
    # A version that knows none of them.
    with open(path, "w") as file:
        file.write(settings)
    return {}


def start(name, binary, folder):
    """Starts one of `meridian`, `gdnsd`, `knot` and `nsd`; none where it is not installed. `binary` is Meridian's."""
    folder = os.path.join(folder, name)
    os.makedirs(folder)
    ip, port = "127.0.0.1", free_port()
    write = lambda file, text: open(os.path.join(folder, file), "w").write(text)
    fill = lambda text: text.format(ip=ip, port=port, folder=folder, zone=ZONE)
    write("zone", f"$ORIGIN {ZONE}.\n" + RECORDS)
    ports = {"udp": port, "tcp": port}
    if name == "meridian":
        write("meridian.yaml", fill(MERIDIAN))
        write("regions.yaml", "regions:\n  a: {location: {latitude: 1, longitude: 2}, services: {web: 192.0.2.1}}\n")
        write("zone.yaml", f"zone: {ZONE}\nrecords_file: zone\n")
        ports |= encrypted(binary, folder, ip, fill(MERIDIAN))
        command = [binary, "serve", "--config", os.path.join(folder, "meridian.yaml")]
    elif name == "gdnsd":
        os.makedirs(os.path.join(folder, "zones"))
        os.makedirs(os.path.join(folder, "run"))
        write("config", fill(GDNSD))
        write(os.path.join("zones", ZONE), RECORDS)
        command = [find("gdnsd"), "-c", folder, "start"]
    elif name == "knot":
        write("knot.conf", fill(KNOT))
        command = [find("knotd"), "-c", os.path.join(folder, "knot.conf")]
    else:
        write("nsd.conf", fill(NSD))
        command = [find("nsd"), "-d", "-c", os.path.join(folder, "nsd.conf")]
    if command[0] is None:
        return None
    log = open(os.path.join(folder, "log"), "w")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    server = Server(name, process, ip, ports)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((ip, port), 1).close()
            return server
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{name} does not start:\n{open(os.path.join(folder, 'log')).read()}")
