"""install.sh in a root with BusyBox alone, and into the root of an image."""

import json
import stat

import pytest

INSTALLER = "sh /media/stint/install.sh"
ACTIVATION = (
    " --activation-id 6e1d4c0a-1f0e-4c7e-9a51-0d3c8f3a2b11 --activation-code Ab1/cd+2efGHijKLmn0p"
    " --region eu-central-1 --endpoint https://hub.example:7400"
)


def test_it_installs_and_starts_the_agent_and_init_will_start_it_at_boot(device):
    out = device.must(
        f"""
        {INSTALLER}
        tries=0
        until /etc/init.d/stint status; do tries=$((tries + 1)); [ $tries -lt 300 ]; usleep 100000; done
        /etc/init.d/stint stop
        /etc/init.d/rcS
        until /etc/init.d/stint status; do tries=$((tries + 1)); [ $tries -lt 300 ]; usleep 100000; done
        """
    )
    assert "installing stint 9.9.9" in out
    assert "stint is in /usr/sbin/stint, for busybox" in out
    assert json.loads(device.text("/etc/stint/agent.json")) == {}


def test_installing_again_upgrades_the_program_and_keeps_what_the_owner_wrote(device):
    device.must(
        f"""
        {INSTALLER} --no-start
        echo '{{"logLevel":"debug"}}' >/etc/stint/agent.json
        echo LOG=/dev/console >/etc/default/stint
        sed -i s/9.9.9/10.0.0/ /media/stint/stint
        {INSTALLER} --no-start
        [ "$(/usr/sbin/stint version)" = "stint 10.0.0" ]
        """
    )
    assert device.text("/etc/stint/agent.json") == '{"logLevel":"debug"}\n'
    assert device.text("/etc/default/stint") == "LOG=/dev/console\n"


@pytest.mark.parametrize("init", ["procd", "systemd", "openrc", "sysvinit", "busybox", "inittab", "none"])
def test_uninstalling_with_purge_leaves_the_image_as_it_was(device, init):
    device.must("mkdir -p /image/etc; echo '::sysinit:/etc/init.d/rcS' >/image/etc/inittab")
    before = device.files()
    device.must(f"{INSTALLER} --root /image --init {init}" + ACTIVATION)
    assert device.exists("/image/usr/sbin/stint")
    assert (device.files() == before) is False
    device.must(
        f"mkdir -p /image/var/lib/stint/spool; {INSTALLER} --uninstall --purge --root /image --init {init}"
    )
    assert device.files() == before
    assert not device.exists("/image/var/lib/stint")


def test_uninstalling_keeps_configuration_and_registration(device):
    device.must(
        f"""
        {INSTALLER}
        mkdir -p /var/lib/stint && echo registered >/var/lib/stint/registration.json
        {INSTALLER} --uninstall
        ! ps -o args | grep -v grep | grep "stint run"
        """
    )
    assert device.exists("/etc/stint/agent.json")
    assert device.exists("/var/lib/stint/registration.json")
    assert not device.exists("/usr/sbin/stint")
    assert not device.exists("/etc/init.d/stint")
    assert not device.exists("/etc/init.d/S90stint")


def test_a_purge_ends_the_child_agents_and_an_uninstallation_does_not(device):
    out = device.must(
        f"""
        {INSTALLER} --no-start >/dev/null
        STINT_CHILD=/var/lib/stint/supervise/camera setsid sh -c 'sleep 3001; sleep 3002' &
        STINT_CHILD=/var/lib/stint/supervise/deaf setsid sh -c 'trap "" TERM; sleep 3003; sleep 3004' &
        STINT_CHILD=/data/stint/supervise/another setsid sleep 3005 &
        sleep 3006 &
        left() {{ ps -o args | grep -v grep | grep -o 'sleep 300[0-9]' | sort -u | tr '\n' ' '; }}
        until [ "$(left | wc -w)" = 12 ]; do usleep 100000; done
        sh /media/stint/install.sh --uninstall >/dev/null
        echo "stays: $(left)"
        {INSTALLER} --no-start >/dev/null
        sh /media/stint/install.sh --uninstall --purge >/dev/null
        echo "purged: $(left)"
        """
    )
    stays, purged = out.splitlines()
    assert "sleep 3001" in stays and "sleep 3003" in stays
    assert purged.split() == ["purged:", "sleep", "3005", "sleep", "3006"]


@pytest.mark.parametrize(
    ("sign", "link"),
    [
        ("/image/etc/rc.common", "/image/etc/rc.d/S95stint"),
        ("/image/usr/lib/systemd/systemd", "/image/etc/systemd/system/multi-user.target.wants/stint.service"),
        ("/image/sbin/openrc-run", "/image/etc/runlevels/default/stint"),
        ("/image/etc/rc2.d/README", "/image/etc/rc2.d/S90stint"),
        ("/image/etc/inittab", "/image/etc/init.d/S90stint"),
    ],
)
def test_it_finds_out_which_init_an_image_has(device, sign, link):
    device.must(f"mkdir -p $(dirname {sign}); touch {sign}; chmod +x {sign}; {INSTALLER} --root /image")
    assert device.exists(link)


def test_init_itself_can_keep_the_agent_running(device):
    device.must("mkdir -p /image/etc; echo '::sysinit:/etc/init.d/rcS' >/image/etc/inittab")
    device.must(f"{INSTALLER} --root /image --init inittab; {INSTALLER} --root /image --init inittab")
    assert device.text("/image/etc/inittab").splitlines() == [
        "::sysinit:/etc/init.d/rcS",
        "::respawn:/etc/init.d/stint supervise",
    ]


INITS = ["procd", "systemd", "openrc", "sysvinit", "busybox", "inittab"]


@pytest.mark.parametrize("init", INITS)
def test_a_change_of_init_leaves_nothing_that_would_start_a_second_agent(device, init):
    roots = ["fresh", *(other for other in INITS if other != init)]
    for root in roots:
        install = f"{INSTALLER} --root /{root} --init"
        first = "true" if root == "fresh" else f"{install} {root}"
        device.must(
            f"mkdir -p /{root}/etc; echo ::sysinit:rcS >/{root}/etc/inittab; {first}; {install} {init}"
        )
    # What is the owner's stays.
    owners = ("etc/default/stint", "etc/config/stint")
    found = {
        root: {
            name.removeprefix(f"{root}/"): text
            for name, text in device.files().items()
            if name.startswith(f"{root}/") and not name.endswith(owners)
        }
        for root in roots
    }
    assert found["fresh"]
    assert [root for root in roots if found[root] != found["fresh"]] == []


@pytest.mark.parametrize("init", ["inittab", "busybox"])
def test_an_upgrade_keeps_the_init_that_was_chosen(device, init):
    device.must("mkdir -p /image/etc; echo '::sysinit:rcS' >/image/etc/inittab")
    device.must(f"{INSTALLER} --root /image --init {init}")
    before = device.files()
    assert f"for {init}" in device.must(f"{INSTALLER} --root /image")
    assert device.files() == before


def test_the_init_none_changes_nothing_of_what_starts_the_agent(device):
    device.must(f"mkdir -p /image; {INSTALLER} --root /image --init busybox")
    before = device.files()
    device.must(f"{INSTALLER} --root /image --init none")
    assert device.files() == before


def test_an_activation_is_placed_where_only_root_reads_it(device):
    device.must(
        f"echo PEM >/tmp/ca.pem; {INSTALLER} --no-start --ca-file /tmp/ca.pem --key-type rsa" + ACTIVATION
    )
    assert json.loads(device.text("/etc/stint/activation.json")) == {
        "activationId": "6e1d4c0a-1f0e-4c7e-9a51-0d3c8f3a2b11",
        "activationCode": "Ab1/cd+2efGHijKLmn0p",
        "region": "eu-central-1",
        "endpoint": "https://hub.example:7400",
        "caFile": "/etc/stint/ca.pem",
        "keyType": "rsa",
    }
    mode = (device.root / "etc/stint/activation.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert device.text("/etc/stint/ca.pem") == "PEM\n"


def test_the_code_may_come_by_a_variable_so_that_no_process_list_shows_it(device):
    device.must(
        f"STINT_ACTIVATION_CODE=secret-secret-secret {INSTALLER} --no-start --activation-id i --region r"
    )
    assert json.loads(device.text("/etc/stint/activation.json"))["activationCode"] == "secret-secret-secret"


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ("--frobnicate x", "'--frobnicate' is no option", 2),
        ("--binary", "--binary needs a value", 2),
        ("--purge", "--purge goes with --uninstall", 2),
        ("--init upstart", "not 'upstart'", 2),
        ("--binary /nowhere", "there is no /nowhere", 1),
        ("--root /nowhere", "there is no folder /nowhere", 1),
        ("--activation-id i --region r", "--activation-code, or STINT_ACTIVATION_CODE", 2),
        ("--region r", "an activation needs --activation-id", 2),
        ("--activation-id i --activation-code 'a\"b' --region r", "letters, digits", 2),
        ("--activation-id i --activation-code c --region r --ca-file /no", "there is no /no", 1),
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(device, words, said, code):
    before = device.files()
    done = device.sh(f"{INSTALLER} {words}")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert device.files() == before


def test_a_program_for_another_processor_is_refused_before_anything_is_changed(device):
    device.must(f"{INSTALLER} --no-start")
    before = device.files()
    (device.root / "media/stint/stint").write_bytes(b"\x7fELF\x01\x02\x03 not for us")
    done = device.sh(f"{INSTALLER} --no-start")
    assert done.returncode == 1
    assert "doesn't run here" in done.stderr
    assert device.files() == before


def test_a_full_file_system_leaves_the_old_program_in_place(device):
    out = device.must(
        f"""
        {INSTALLER} --no-start >/dev/null
        mkdir -p /small && mount -t tmpfs -o size=64k none /small
        mkdir -p /small/usr/sbin && echo old >/small/usr/sbin/stint
        ! {INSTALLER} --root /small --binary /bin/busybox --init none
        cat /small/usr/sbin/stint; ls /small/usr/sbin
        """
    )
    assert out.split() == ["old", "stint"]
