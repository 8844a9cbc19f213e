#!/bin/sh
# Installs stint on a device, or into the root folder of an image, that has no package manager. Needs
# nothing but a POSIX shell and the usual small tools (BusyBox is enough), and makes no user.
# An installed configuration is never touched, so running it again is an upgrade.
set -u

usage() {
	cat <<'END'
usage: install.sh [OPTIONS]
       install.sh --uninstall [--purge] [--root DIR]

  --binary FILE          the agent (default: stint, beside this script)
  --root DIR             install into an image's root folder instead of this system; starts nothing
  --init NAME            procd, systemd, openrc, sysvinit, busybox, inittab (default: look), or none:
                         leave to what is there who starts it
  --no-start             install and enable, but leave starting to the next boot
  --uninstall            stop and remove the agent; configuration and registration stay
  --purge                with --uninstall: remove those too

To register at the first boot that has a network (the file is used once, then wiped):
  --activation-id ID     from `aws ssm create-activation`
  --activation-code CODE or, unseen by other users, in the variable STINT_ACTIVATION_CODE
  --endpoint URL         the server; without it, AWS
  --region REGION
  --ca-file FILE         PEM, copied to /etc/stint/ca.pem: the only authority trusted then
  --key-type TYPE        ed25519 or rsa; rsa where the server is AWS
END
}

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

misuse() {
	echo "install.sh: $*; see --help" >&2
	exit 2
}

here=$(dirname "$0")
binary='' root='' init='' start=yes action=install purge=
activation_id='' activation_code=${STINT_ACTIVATION_CODE-} endpoint='' region='' ca_file='' key_type=

while [ $# -gt 0 ]; do
	case $1 in
	--help | -h) usage && exit 0 ;;
	--no-start) start= && shift && continue ;;
	--uninstall) action=uninstall && shift && continue ;;
	--purge) purge=yes && shift && continue ;;
	--*) [ $# -ge 2 ] || misuse "$1 needs a value, or is no option" ;;
	*) misuse "'$1' is no option" ;;
	esac
	case $1 in
	--binary) binary=$2 ;;
	--root) root=${2%/} ;;
	--init) init=$2 ;;
	--activation-id) activation_id=$2 ;;
	--activation-code) activation_code=$2 ;;
	--endpoint) endpoint=$2 ;;
	--region) region=$2 ;;
	--ca-file) ca_file=$2 ;;
	--key-type) key_type=$2 ;;
	*) misuse "'$1' is no option" ;;
	esac
	shift 2
done
[ -z "$purge" ] || [ $action = uninstall ] || misuse "--purge goes with --uninstall"
[ -z "$root" ] || [ -d "$root" ] || fail "there is no folder $root; make it, or name the image's root with --root"
[ -z "$root" ] || start=

SBIN=$root/usr/sbin
ETC=$root/etc
MARK='stint supervise'

# put MODE FROM TO: whole or not at all, even if the power goes.
put() {
	mkdir -p "$(dirname "$3")" || exit 1
	if ! { cp "$2" "$3.new" && chmod "$1" "$3.new" && mv -f "$3.new" "$3"; }; then
		rm -f "$3.new"
		fail "can't write $3; is the file system full, or read-only?"
	fi
}

# put_new MODE FROM TO: what belongs to the device's owner is written once.
put_new() {
	[ -e "$3" ] || put "$1" "$2" "$3"
}

# there PATH: is it there, be it a link that leads nowhere?
there() {
	[ -e "$1" ] || [ -L "$1" ]
}

# Which init an earlier installation has told to start the agent.
init_of_before() {
	if grep -qs "$MARK" "$ETC/inittab"; then
		echo inittab
	elif there "$ETC/init.d/S90stint"; then
		echo busybox
	elif there "$ETC/systemd/system/multi-user.target.wants/stint.service"; then
		echo systemd
	elif there "$ETC/runlevels/default/stint"; then
		echo openrc
	elif there "$ETC/rc.d/S95stint"; then
		echo procd
	elif there "$ETC"/rc2.d/S[0-9][0-9]stint; then
		echo sysvinit
	fi
}

look_for_init() {
	if [ -e "$ETC/rc.common" ]; then
		echo procd
	elif [ -z "$root" ] && [ -d /run/systemd/system ]; then
		echo systemd
	elif [ -n "$root" ] && { [ -e "$root/lib/systemd/systemd" ] || [ -e "$root/usr/lib/systemd/systemd" ]; }; then
		echo systemd
	elif [ "$before" = inittab ] || [ "$before" = busybox ]; then
		# The owner's choice: nothing else on such a device tells it from its neighbours.
		echo "$before"
	elif [ -x "$root/sbin/openrc-run" ] || [ -x "$root/usr/sbin/openrc-run" ]; then
		echo openrc
	elif [ -d "$ETC/rc2.d" ]; then
		echo sysvinit
	else
		echo busybox
	fi
}

check_words() {
	case $init in
	procd | systemd | openrc | sysvinit | busybox | inittab | none) ;;
	*) misuse "--init is procd, systemd, openrc, sysvinit, busybox, inittab or none, not '$init'" ;;
	esac
	[ $action = install ] || return 0
	[ "$init" != inittab ] || [ -f "$ETC/inittab" ] ||
		fail "there is no $ETC/inittab to add a line to; use --init busybox"
	[ -n "$binary" ] || binary=$here/stint
	[ -f "$binary" ] || fail "there is no $binary; name the agent's program with --binary"
	if [ -z "$activation_id" ]; then
		[ -z "$activation_code$endpoint$region$ca_file$key_type" ] ||
			misuse "an activation needs --activation-id"
		return 0
	fi
	[ -n "$activation_code" ] || misuse "an activation needs --activation-code, or STINT_ACTIVATION_CODE"
	[ -n "$region" ] || misuse "an activation needs --region"
	[ -z "$ca_file" ] || [ -f "$ca_file" ] || fail "there is no $ca_file; name the authority's PEM file with --ca-file"
	case $key_type in '' | ed25519 | rsa) ;; *) misuse "--key-type is ed25519 or rsa, not '$key_type'" ;; esac
	# They go into a JSON file as they are, so nothing that JSON would read otherwise.
	case $activation_id$activation_code$region$endpoint in
	*[!A-Za-z0-9+/=_.:~?%@[\]-]*) misuse "an activation's values hold letters, digits and +/=_.:~?%@[]- only" ;;
	esac
}

# A program for another processor is found out now, and not by a device that stays away.
check_binary() {
	[ -z "$root" ] || return 0
	chmod +x "$binary" 2>/dev/null
	version=$("$binary" version 2>/dev/null) ||
		fail "$binary doesn't run here ($(uname -m)); take the one made for this board"
	echo "installing $version"
}

place_activation() {
	[ -n "$activation_id" ] || return 0
	[ -z "$ca_file" ] || put 644 "$ca_file" "$ETC/stint/ca.pem"
	if ! (
		umask 077
		{
			printf '{"activationId":"%s","activationCode":"%s","region":"%s"' \
				"$activation_id" "$activation_code" "$region"
			[ -z "$endpoint" ] || printf ',"endpoint":"%s"' "$endpoint"
			[ -z "$ca_file" ] || printf ',"caFile":"/etc/stint/ca.pem"'
			[ -z "$key_type" ] || printf ',"keyType":"%s"' "$key_type"
			echo '}'
		} >"$ETC/stint/activation.json.new"
	) || ! mv -f "$ETC/stint/activation.json.new" "$ETC/stint/activation.json"; then
		fail "can't write $ETC/stint/activation.json; is the file system full, or read-only?"
	fi
}

# link TARGET PATH
link() {
	if ! { mkdir -p "$(dirname "$2")" && rm -f "$2" && ln -s "$1" "$2"; }; then
		fail "can't make the link $2"
	fi
}

# stop_under INIT: as that one has it.
stop_under() {
	case $1 in
	systemd) systemctl disable --now stint 2>/dev/null ;;
	openrc) rc-service stint stop 2>/dev/null ;;
	# It would be started again at once: its line goes first (forget_others).
	inittab) ;;
	*) [ ! -x /etc/init.d/stint ] || /etc/init.d/stint stop ;;
	esac
}

# Each init system: its files, and what makes it start them at boot.
install_init() {
	case $init in
	procd)
		put 755 "$here/procd/stint.init" "$ETC/init.d/stint"
		put_new 644 "$here/procd/stint.config" "$ETC/config/stint"
		put 644 "$here/procd/stint.keep" "$root/lib/upgrade/keep.d/stint"
		link ../init.d/stint "$ETC/rc.d/S95stint"
		link ../init.d/stint "$ETC/rc.d/K10stint"
		;;
	systemd)
		put 644 "$here/systemd/stint.service" "$ETC/systemd/system/stint.service"
		link ../stint.service "$ETC/systemd/system/multi-user.target.wants/stint.service"
		[ -n "$root" ] || systemctl daemon-reload
		;;
	openrc)
		put 755 "$here/openrc/stint" "$ETC/init.d/stint"
		link /etc/init.d/stint "$ETC/runlevels/default/stint"
		;;
	sysvinit | busybox | inittab)
		put 755 "$here/init.d/stint" "$ETC/init.d/stint"
		put_new 644 "$here/stint.default" "$ETC/default/stint"
		;;
	esac
	case $init in
	sysvinit)
		if [ -z "$root" ] && command -v update-rc.d >/dev/null; then
			update-rc.d stint defaults || exit 1
		else
			for level in 2 3 4 5; do link ../init.d/stint "$ETC/rc$level.d/S90stint"; done
			for level in 0 1 6; do link ../init.d/stint "$ETC/rc$level.d/K10stint"; done
		fi
		;;
	busybox)
		link stint "$ETC/init.d/S90stint"
		grep -q 'S??\|S\[0-9\]' "$ETC/init.d/rcS" 2>/dev/null ||
			echo "note: $ETC/init.d/rcS starts no S??* scripts; let it, or use --init inittab" >&2
		;;
	inittab)
		if ! grep -q "$MARK" "$ETC/inittab"; then
			cp "$ETC/inittab" "$ETC/inittab.new" &&
				grep '^[^#]' "$here/busybox/inittab" >>"$ETC/inittab.new" &&
				mv -f "$ETC/inittab.new" "$ETC/inittab"
			grep -q "$MARK" "$ETC/inittab" || fail "can't write $ETC/inittab"
		fi
		;;
	esac
}

# Every other init forgets the agent; two of them would start two. `none` stays out of it.
forget_others() {
	[ "$init" = procd ] || rm -f "$ETC"/rc.d/[SK][0-9][0-9]stint "$root/lib/upgrade/keep.d/stint"
	[ "$init" = systemd ] || rm -f "$ETC/systemd/system/stint.service" \
		"$ETC/systemd/system/multi-user.target.wants/stint.service"
	[ "$init" = openrc ] || rm -f "$ETC/runlevels/default/stint"
	[ "$init" = sysvinit ] || rm -f "$ETC"/rc[0-6].d/[SK][0-9][0-9]stint
	[ "$init" = busybox ] || rm -f "$ETC/init.d/S90stint"
	[ "$init" != systemd ] || rm -f "$ETC/init.d/stint"
	if [ "$init" != inittab ] && grep -qs "$MARK" "$ETC/inittab"; then
		grep -v "$MARK" "$ETC/inittab" >"$ETC/inittab.new" && mv -f "$ETC/inittab.new" "$ETC/inittab"
		if [ -n "$start" ]; then
			kill -HUP 1
			/etc/init.d/stint stop
		fi
	fi
}

start_now() {
	case $init in
	systemd) systemctl restart stint ;;
	openrc) rc-service stint restart ;;
	# init starts another supervisor for one that was stopped, and reads a new line at SIGHUP.
	inittab)
		/etc/init.d/stint stop
		kill -HUP 1
		;;
	none) ;;
	*) /etc/init.d/stint restart ;;
	esac
}

install_all() {
	[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "only root can install; or name an image's folder with --root"
	check_binary
	put 755 "$binary" "$SBIN/stint"
	mkdir -p "$ETC/stint" || exit 1
	put_new 644 "$here/agent.json" "$ETC/stint/agent.json"
	place_activation
	# What was started before its files are on the disk would be gone after a power cut.
	sync
	if [ "$init" != none ]; then
		[ -z "$start" ] || [ "$before" = "$init" ] || stop_under "$before"
		install_init
		forget_others
		[ -z "$start" ] || start_now
	fi
	sync
	echo "stint is in $SBIN/stint, for $init"
}

# Child agents outlive the agent; what they run from is about to go. They are known by their environment, and
# those of an agent in a container by its numbers. One of them that calls this isn't ended by it.
end_children() {
	case ${STINT_CHILD-} in /var/lib/stint/*) return 0 ;; esac
	here_is=$(readlink /proc/self/ns/pid)
	# Five seconds to end in order; 0 only asks.
	for signal in TERM 0 0 0 0 KILL; do
		found=
		for process in /proc/[0-9]*; do
			if [ "$(readlink "$process/ns/pid")" = "$here_is" ] &&
				{ tr '\000' '\n' <"$process/environ"; } 2>/dev/null | grep -q '^STINT_CHILD=/var/lib/stint/' &&
				kill "-$signal" "${process#/proc/}" 2>/dev/null; then found=yes; fi
		done
		[ -n "$found" ] || return 0
		sleep 1
	done
}

uninstall() {
	if [ -z "$root" ]; then
		[ "$(id -u)" = 0 ] || fail "only root can uninstall"
		stop_under "${before:-$init}"
	fi
	was=$init init=
	forget_others
	rm -f "$ETC/init.d/stint" "$SBIN/stint"
	[ -n "$root" ] || [ "$was" != systemd ] || systemctl daemon-reload
	if [ -n "$purge" ]; then
		[ -n "$root" ] || end_children
		rm -rf "$ETC/stint" "$root/var/lib/stint" "$ETC/default/stint" "$ETC/config/stint"
		echo "stint, its configuration and its registration are removed;" \
			"retire the node with: aws ssm deregister-managed-instance"
	else
		echo "stint is removed; its configuration ($ETC/stint) and registration stay, --purge removes them"
	fi
	sync
}

before=$(init_of_before)
[ -n "$init" ] || init=$(look_for_init)
check_words
case $action in
install) install_all ;;
uninstall) uninstall ;;
esac
