SUMMARY = "Systems Manager agent for small Linux devices"
DESCRIPTION = "Makes this device a managed node of AWS Systems Manager or of a \
               self-hosted stint-hub: it reports its health, polls for commands and runs them \
               in worker processes that outlive it."
HOMEPAGE = "https://github.com/stint-edge/stint"
BUGTRACKER = "https://github.com/stint-edge/stint/issues"
SECTION = "console/network"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

SRC_URI = "git://github.com/stint-edge/stint.git;protocol=https;branch=main"
# Name a commit here, or in your distribution's configuration, for builds that can be repeated.
SRCREV ?= "${AUTOREV}"

inherit cargo cargo-update-recipe-crates systemd update-rc.d

# Made from Cargo.lock by packaging/yocto/crates.py.
require ${BPN}-crates.inc

# A named set of the agent's features: gateway has everything, router is smaller; "tiny" and "tiny,tls" have
# child agents alone.
STINT_FEATURES ?= "gateway"
# Which file of board-configs gives the defaults: the serial console that the agent reports to, a tmpfs for
# scripts, the watchdog. Empty is any Linux machine: no report on the console, scripts on the disk.
STINT_BOARD ?= "${STINT_MACHINE}"
STINT_MACHINE = ""
STINT_MACHINE:beaglebone-yocto = "beaglebone"
STINT_MACHINE:genericx86-64 = "x86-64-gateway"
STINT_MACHINE:qemuriscv64 = "generic-riscv64"
STINT_MACHINE:raspberrypi0 = "raspberry-pi-zero"
STINT_MACHINE:raspberrypi3-64 = "raspberry-pi-3"
export STINT_BOARD
PACKAGE_ARCH = "${MACHINE_ARCH}"
CARGO_BUILD_FLAGS += "--package stint-agent --no-default-features --features ${STINT_FEATURES}"
# bitbake strips, and keeps the symbols for the -dbg package.
CARGO_BUILD_FLAGS += "--config profile.release.strip=false"

SYSTEMD_SERVICE:${PN} = "stint.service"
INITSCRIPT_NAME = "stint"
INITSCRIPT_PARAMS = "defaults 90 10"

do_install:append() {
    # cargo's class installs into bindir; the init scripts name sbindir.
    install -d ${D}${sbindir}
    mv ${D}${bindir}/stint ${D}${sbindir}/stint
    rmdir --ignore-fail-on-non-empty ${D}${bindir}

    install -D -m 0644 ${S}/packaging/agent.json ${D}${sysconfdir}/stint/agent.json
    install -D -m 0644 ${S}/packaging/stint.8 ${D}${mandir}/man8/stint.8
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/packaging/systemd/stint.service ${D}${systemd_system_unitdir}/stint.service
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${S}/packaging/init.d/stint ${D}${sysconfdir}/init.d/stint
        install -D -m 0644 ${S}/packaging/stint.default ${D}${sysconfdir}/default/stint
    fi
}

CONFFILES:${PN} = "${sysconfdir}/stint/agent.json"
RRECOMMENDS:${PN} = "ca-certificates"
