"""`stint install-package`, the process that fetches, verifies and unpacks a child agent's package."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from harness import packages
from harness.ftp import Ftp
from harness.programs import AGENT, Program, environment, run
from harness.wait import until

# Incompressible, and more than one read of the agent's.
BODY = b"#!/bin/sh\n" + b"".join(
    hashlib.sha256(bytes([i, j])).digest() for i in range(100) for j in range(50)
)


class Child:
    """The folder of a child, and what the agent would start for it."""

    def __init__(self, home: Path):
        self.home = home
        self.folder = home / "children" / "agent"
        self.incoming = self.folder / "incoming"
        self.incoming.mkdir(parents=True)

    def order(self, act: str = "prepare", **more: object) -> None:
        """Writes an order."""
        order = {"act": act, "child": "agent", "maxPackage": 1 << 20, **more}
        (self.incoming / "order.json").write_text(json.dumps(order))
        (self.incoming / "outcome.json").unlink(missing_ok=True)

    def work(self, **more: str) -> CompletedProcess:
        """Runs the process to its end."""
        return run([AGENT, "install-package", self.incoming], self.home, **more)

    def outcome(self) -> dict:
        """What it left."""
        return json.loads((self.incoming / "outcome.json").read_text())

    def prepare(self, url: str, package: bytes, **more: object) -> Path:
        """Has a version made and gives its folder."""
        self.order(url=url, checksum=packages.checksum(package), **more)
        done = self.work()
        assert done.returncode == 0, done.stderr
        outcome = self.outcome()
        assert outcome["error"] == "", outcome
        return self.folder / "versions" / outcome["folder"]

    def refused(self, url: str, checksum: str, **more: object) -> str:
        """Has none made; the reason."""
        before = self.versions()
        self.order(url=url, checksum=checksum, **more)
        assert self.work().returncode == 0
        outcome = self.outcome()
        assert outcome["error"] and not outcome["folder"]
        assert self.versions() == before
        assert self.left() == []
        assert not (self.folder / "versions" / ".new").exists()
        return outcome["error"]

    def versions(self) -> list[str]:
        """Versions that are whole."""
        found = (self.folder / "versions").glob("*/.stint.json")
        return sorted(note.parent.name for note in found)

    def left(self) -> list[str]:
        """What lies about besides the order, its outcome and versions."""
        files = [path.name for path in self.incoming.iterdir()]
        return sorted(set(files) - {"order.json", "outcome.json"})


@pytest.fixture
def child(home):
    """One child without a version."""
    return Child(home)


@pytest.fixture
def ftp():
    """An FTP server of the test's own."""
    ftp = Ftp()
    yield ftp
    ftp.close()


def test_a_program_becomes_a_version_that_its_file_name_tells(child, web):
    version = child.prepare(web.serve("/agent-1.2.3-x86_64", BODY), BODY)
    assert version.name == "1.2.3"
    assert (version / "agent").read_bytes() == BODY
    assert os.access(version / "agent", os.X_OK)
    assert child.left() == []


@pytest.mark.parametrize("how", ["gz", "xz"])
def test_an_archive_is_unpacked_as_the_agents_own_and_its_definition_tells_the_version(child, web, how):
    package = packages.tarball(
        packages.entry("agent-7/agent", BODY),
        packages.entry("agent-7/agent.json", '{"version": "7.1", "exec": "agent"}', 0o644),
        packages.entry("agent-7/lib/a.so.1", "x"),
        packages.entry("agent-7/lib/a.so", type=tarfile.SYMTYPE, linkname="a.so.1"),
        packages.entry("agent-7/same", type=tarfile.LNKTYPE, linkname="agent-7/agent"),
        how=how,
    )
    version = child.prepare(web.serve("/file", package), package)
    assert version.name == "7.1"
    assert (version / "agent").read_bytes() == (version / "same").read_bytes() == BODY
    assert (version / "lib" / "a.so").read_text() == "x"
    assert (version / "agent").stat().st_uid == os.getuid()
    assert child.left() == []


def test_the_jobs_own_version_wins_and_two_packages_of_one_version_stay_apart(child, web):
    other = BODY + b"more"
    first = child.prepare(web.serve("/agent-1.0", BODY), BODY, version="9")
    second = child.prepare(web.serve("/agent-2.0", other), other, version="9")
    assert (first.name, second.name[:2]) == ("9", "9+")
    # One that is there isn't fetched again.
    seen = len(web.seen)
    assert child.prepare(web.url + "/gone", BODY) == first
    assert len(web.seen) == seen


def test_a_package_without_the_right_checksum_changes_nothing(child, web):
    url = web.serve("/agent-1.0", BODY)
    assert "has not the checksum" in child.refused(url, packages.checksum(b"another"))
    seen = len(web.seen)
    assert "no checksum" in child.refused(url, "")
    assert "SHA256:" in child.refused(url, "MD5:" + "0" * 32)
    # Refused before anybody was asked for anything.
    assert len(web.seen) == seen


def test_a_package_above_the_cap_is_refused_whether_its_size_is_told_or_not(child, web):
    checksum = packages.checksum(BODY)

    def unsized(request) -> None:
        request.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)
        request._handler.close_connection = True

    web.pages["/unsized"] = unsized
    for url in (web.serve("/sized", BODY), web.url + "/unsized"):
        assert "is larger than" in child.refused(url, checksum, maxPackage=1000)
        assert child.left() == []


def test_a_broken_connection_is_taken_up_where_it_broke(child, web):
    url = web.serve_cut("/agent-1.0", BODY, 60_000)
    assert (child.prepare(url, BODY) / "agent").read_bytes() == BODY
    assert [request.range_start() for request in web.seen] == [0, 60_000, 120_000]


def test_a_download_survives_the_death_of_its_process(child, web, home):
    """The first process is killed while it waits for the rest; the second asks for the rest alone."""
    child.order(url=web.url + "/agent-1.0", checksum=packages.checksum(BODY))

    def slow(request) -> None:
        request.answer(200, BODY, cut=50_000, ETag='"v1"', Content_Length=str(len(BODY)))
        request._handler.close_connection = False
        request._handler.wfile.flush()
        stuck.wait(60)

    stuck = threading.Event()
    web.pages["/agent-1.0"] = slow
    worker = Program([AGENT, "install-package", child.incoming], home / "worker.log", environment(home))
    part = child.incoming / "package.stint-part"
    until("a part is there", lambda: part.exists() and part.stat().st_size > 30_000)
    worker.kill()
    stuck.set()
    size = part.stat().st_size
    web.serve_cut("/agent-1.0", BODY, 1 << 20)
    seen = len(web.seen)
    assert child.work().returncode == 0
    assert child.outcome()["error"] == ""
    assert [request.range_start() for request in web.seen[seen:]] == [size]
    assert (child.folder / "versions" / "1.0" / "agent").read_bytes() == BODY
    assert child.left() == []


def test_a_process_that_is_told_to_stop_leaves_the_order_to_the_next(child, web, home):
    stuck = threading.Event()

    def slow(request) -> None:
        request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + BODY[:1000])
        stuck.wait(60)

    web.pages["/agent-1.0"] = slow
    child.order(url=web.url + "/agent-1.0", checksum=packages.checksum(BODY))
    worker = Program([AGENT, "install-package", child.incoming], home / "worker.log", environment(home))
    until("it has begun", lambda: web.seen)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    stuck.set()
    assert not (child.incoming / "outcome.json").exists()


ELSEWHERE = [
    ("an absolute name", packages.entry("/tmp/stint-test-escape", "x")),
    ("a name that climbs", packages.entry("a/../../escape", "x")),
    ("a link out", packages.entry("a", type=tarfile.SYMTYPE, linkname="/etc")),
    ("a link up", packages.entry("a", type=tarfile.SYMTYPE, linkname="../..")),
    ("a device", packages.entry("a", type=tarfile.CHRTYPE)),
    ("a FIFO", packages.entry("a", type=tarfile.FIFOTYPE)),
]


@pytest.mark.parametrize("bad", [bad for _, bad in ELSEWHERE], ids=[name for name, _ in ELSEWHERE])
def test_an_archive_that_reaches_out_of_its_folder_is_refused(child, web, bad):
    package = packages.tarball(packages.entry("agent", BODY), bad)
    error = child.refused(web.serve("/a.tgz", package), packages.checksum(package))
    assert "a.tgz its entry" in error


def test_a_hard_link_that_leads_out_leads_nowhere(child, web):
    """GNU tar shows and takes its target without what leads out of the folder."""
    for target in ("/etc/passwd", "../../../../../../../../etc/passwd"):
        link = packages.entry("a", type=tarfile.LNKTYPE, linkname=target)
        package = packages.tarball(packages.entry("agent", BODY), link)
        error = child.refused(web.serve("/a.tgz", package), packages.checksum(package))
        assert "a.tgz its entry" in error or error.startswith("tar failed:")


def test_busyboxs_tar_will_do(child, web, home):
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("there is no busybox")
    tools = home / "tools"
    tools.mkdir()
    (tools / "tar").symlink_to(busybox)
    good = packages.tarball(
        packages.entry("agent", BODY),
        packages.entry("lib/a", type=tarfile.SYMTYPE, linkname="../agent"),
        packages.entry("same", type=tarfile.LNKTYPE, linkname="agent"),
    )
    bad = packages.tarball(packages.entry("a", type=tarfile.SYMTYPE, linkname="/etc"))
    for package, wanted in ((good, ""), (bad, "its entry a is a link that leads out of its folder")):
        child.order(url=web.serve("/agent-1.tgz", package), checksum=packages.checksum(package))
        assert child.work(PATH=f"{tools}").returncode == 0
        assert child.outcome()["error"].endswith(wanted)
    version = child.folder / "versions" / "1"
    assert (version / "same").read_bytes() == (version / "lib" / "a").read_bytes() == BODY


def test_a_tar_without_xz_is_a_clear_failure(child, web, home):
    tools = home / "tools"
    tools.mkdir()
    (tools / "tar").symlink_to(shutil.which("tar"))
    package = packages.tarball(packages.entry("agent", BODY), how="xz")
    child.order(url=web.serve("/agent-1.tar.xz", package), checksum=packages.checksum(package))
    child.work(PATH=f"{tools}")
    assert child.outcome()["error"].startswith("tar failed:") and "xz" in child.outcome()["error"]


def test_what_is_no_package_is_refused_by_its_content(child, web):
    page = b"<html>You have to log in</html>"
    assert "is no package" in child.refused(web.serve("/agent.deb", page), packages.checksum(page))


def test_http_beyond_this_machine_and_ftp_and_files_come_only_where_the_configuration_says(child, home, ftp):
    package = home / "agent-5"
    package.write_bytes(BODY)
    checksum = packages.checksum(BODY)
    assert "allowPlainHttp" in child.refused("http://hub.example/agent-1.0", checksum)
    assert "allowFtp" in child.refused(ftp.url + "/agent-1.0", checksum)
    assert "packagesDir" in child.refused(f"file://{package}", checksum)
    assert child.prepare(f"file://{package}", BODY, packages=str(home)).name == "5"


def test_ftp_is_taken_up_where_it_broke(child, ftp):
    ftp.files["dir/BasicAgent-1.5.6..rpm"] = BODY
    ftp.cut = 60_000
    version = child.prepare(ftp.url + "/dir/BasicAgent-1.5.6..rpm", BODY, ftp=True)
    assert (version.name, (version / "agent").read_bytes()) == ("1.5.6", BODY)
    assert [line for line in ftp.seen if line.startswith("REST")] == ["REST 60000", "REST 120000"]


def test_an_ftp_server_of_the_old_kind_will_do_and_can_t_send_the_agent_elsewhere(child, ftp):
    """No EPSV, no MDTM, and an address of a network that isn't there."""
    ftp.files["agent-1.0"] = BODY
    ftp.refuses = ("EPSV", "MDTM")
    ftp.passive_address = "192,0,2,1"
    assert child.prepare(ftp.url + "/agent-1.0", BODY, ftp=True).name == "1.0"
    assert "550 there is no such file" in child.refused(ftp.url + "/b", packages.checksum(b"b"), ftp=True)


def test_a_full_disk_is_told_and_the_next_try_succeeds(home, web):
    """The state is on a file system of 1 MiB; unpacked, the package has three."""
    big = packages.tarball(packages.entry("agent", bytes(3 << 20)))
    small = packages.tarball(packages.entry("agent", BODY))
    disk = home / "disk"
    disk.mkdir()
    script = [f"mount -t tmpfs -o size=1m none {disk}", f"mkdir -p {disk}/a/incoming"]
    orders = []
    for number, (url, package) in enumerate(
        [
            (web.serve("/big.tgz", big), big),
            (web.serve("/huge", bytes(2 << 20)), bytes(2 << 20)),
            (web.serve("/agent-1.tgz", small), small),
        ]
    ):
        order = {"act": "prepare", "child": "agent", "maxPackage": 1 << 30, "url": url}
        (home / f"order{number}").write_text(json.dumps({**order, "checksum": packages.checksum(package)}))
        orders.append(f"cp {home}/order{number} {disk}/a/incoming/order.json")
        orders.append(f"{AGENT} install-package {disk}/a/incoming; cat {disk}/a/incoming/outcome.json; echo")
    inside = "\n".join([*script, *orders])
    done = run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", inside], home)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert "takes 3328 KiB unpacked, and the disk has" in outcomes[0]["error"]
    assert "/huge needs 2048 KiB and the disk has" in outcomes[1]["error"]
    assert outcomes[2] == {"error": "", "folder": "1"}


# --- packages for the system's own package managers --------------------------------------------


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there is no dpkg")
def test_a_deb_is_prepared_without_touching_the_system_then_installed_and_removed_by_dpkg(child, web, home):
    root, where = packages.dpkg_of_its_own(home)
    program = root / "usr/bin/agent"
    for version in ("1.0-1", "2.0-1"):
        package = packages.deb(home, "some-agent", version, {"usr/bin/agent": f"#!/bin/sh\n# {version}\n"})
        child.order(url=web.serve("/x", package), checksum=packages.checksum(package))
        child.work(**where)
        assert child.outcome() == {"error": "", "folder": version}
    assert not program.exists()
    # Also back to an older one.
    for version in ("1.0-1", "2.0-1", "1.0-1"):
        child.order("apply", folder=version)
        child.work(**where)
        assert child.outcome()["error"] == ""
        assert version in program.read_text()
    child.order("remove", folder="1.0-1")
    child.work(**where)
    assert (child.outcome()["error"], program.exists()) == ("", False)
    child.order("apply", folder="3.0")
    child.work(**where)
    assert "version 3.0 is not there" in child.outcome()["error"]


def test_a_package_that_dpkg_refuses_is_quoted(child, web, home):
    package = b"!<arch>\nthis is no archive at all"
    error = child.refused(web.serve("/a_1.0_all.deb", package), packages.checksum(package))
    assert error.startswith(("dpkg-deb failed:", "this device has no dpkg"))


def test_a_package_without_its_manager_is_a_clear_failure(child, web, home):
    tools = home / "tools"
    tools.mkdir()
    for tool in ("tar", "gzip"):
        (tools / tool).symlink_to(shutil.which(tool))
    for package, wanted in (
        (packages.ipk("agent", "1.0", {"usr/bin/agent": "x"}), "no opkg, which an .ipk needs"),
        (packages.apk("agent", "1.0", {"usr/bin/agent": "x"}), "no apk, which an .apk needs"),
        (b"\xed\xab\xee\xdb" + bytes(100), "no rpm, which an .rpm needs"),
    ):
        child.order(url=web.serve("/package", package), checksum=packages.checksum(package))
        child.work(PATH=str(tools))
        assert wanted in child.outcome()["error"]
        assert child.versions() == []


@pytest.mark.parametrize("kind", ["ipk", "apk"])
def test_packages_of_small_systems_tell_their_name_and_version(child, web, home, kind):
    """A stand-in notes how the manager is called: neither runs on the machines of these tests."""
    tools = home / "tools"
    tools.mkdir()
    program = {"ipk": "opkg", "apk": "apk"}[kind]
    (tools / program).write_text(f'#!/bin/sh\necho "$@" >>{home}/calls\n')
    (tools / program).chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    package = getattr(packages, kind)("some-agent", "1.2-r3", {"usr/bin/agent": "x"})
    child.order(url=web.serve("/package", package), checksum=packages.checksum(package))
    child.work(PATH=path)
    assert child.outcome() == {"error": "", "folder": "1.2-r3"}
    for act in ("apply", "remove"):
        child.order(act, folder="1.2-r3")
        child.work(PATH=path)
        assert child.outcome()["error"] == ""
    file = child.folder / "versions" / "1.2-r3" / f"package.{kind}"
    wanted = {
        "ipk": [f"install --force-downgrade --force-reinstall {file}", "remove some-agent"],
        "apk": [f"add --allow-untrusted {file}", "del some-agent"],
    }
    assert (home / "calls").read_text().splitlines() == wanted[kind]
    assert file.read_bytes() == package


def test_the_real_rpm_installs_upgrades_goes_back_and_removes(child, web, home):
    if not shutil.which("rpm") or not shutil.which("rpmbuild"):
        pytest.skip("there is no rpm with rpmbuild")
    tools, root = home / "tools", home / "root"
    tools.mkdir()
    root.mkdir()
    real = shutil.which("rpm")
    # Queries of a file take no --nodeps.
    (tools / "rpm").write_text(
        f'#!/bin/sh\ncase $1 in --query) exec {real} --root {root} "$@";;\n'
        f'*) exec {real} --root {root} --nodeps "$@";; esac\n'
    )
    (tools / "rpm").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    program = root / "usr/bin/agent"
    for version in ("1.0", "2.0"):
        package = rpm(home, version)
        child.order(url=web.serve("/p.rpm", package), checksum=packages.checksum(package))
        child.work(PATH=path)
        assert child.outcome() == {"error": "", "folder": f"{version}-1"}
    for version in ("1.0", "2.0", "1.0"):
        child.order("apply", folder=f"{version}-1")
        child.work(PATH=path)
        assert child.outcome()["error"] == ""
        assert version in program.read_text()
    child.order("remove", folder="1.0-1")
    child.work(PATH=path)
    assert (child.outcome()["error"], program.exists()) == ("", False)


def rpm(home: Path, version: str) -> bytes:
    """A package for rpm, by rpmbuild."""
    top = home / f"rpm-{version}"
    top.mkdir()
    (top / "agent.spec").write_text(
        f"Name: some-agent\nVersion: {version}\nRelease: 1\nSummary: a test's\n"
        "License: none\nBuildArch: noarch\n"
        "%description\na test's\n%install\nmkdir -p %{buildroot}/usr/bin\n"
        f"echo '# {version}' >%{{buildroot}}/usr/bin/agent\n%files\n%attr(755,root,root) /usr/bin/agent\n"
    )
    command = ["rpmbuild", "-bb", "--define", f"_topdir {top}", top / "agent.spec"]
    subprocess.run(command, check=True, capture_output=True)
    return next(top.glob("RPMS/*/*.rpm")).read_bytes()
