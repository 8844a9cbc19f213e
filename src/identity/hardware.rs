//! What this device is made of, as far as it can be told without help.
//!
//! It is advice and no proof: devices get new disks and new network cards in good faith, and the
//! key alone says who they are. A change is told; nothing is refused for it.

use std::fs;
use std::path::Path;
use stint_wire::text;

/// Of this many parts in a hundred that are the same a device is taken for the same one: the
/// original's number.
const SIMILAR_PERCENT: usize = 40;

/// Digits of a part's digest: enough to tell devices apart, and it has to fit in a file.
const PART_DIGITS: usize = 8;

/// Digits of the digest that servers see.
const DIGEST_DIGITS: usize = 16;

/// Memory comes in multiples of this, kB; what is missing of one is the kernel's.
const MEMORY_UNIT: u64 = 64 * 1024;

/// The part that no two devices share, unless one is a copy.
const MACHINE: &str = "machine-id";

/// The parts that a copied card doesn't take along.
const SERIAL: &str = "serial";
const NETWORK: &str = "network";

/// The network cards one by one, with commas. [`NETWORK`] is all of them in one digest, which is what files of
/// earlier agents have, and what servers hear.
const CARDS: &str = "cards";

/// So many cards are told apart; a switch with more of them is known by those whose digests sort first.
const MAX_CARDS: usize = 8;

/// Parts and the files that tell them, of which the first that is there counts.
const FILES: [(&str, &[&str]); 4] = [
    (MACHINE, &["etc/machine-id", "var/lib/dbus/machine-id"]),
    (SERIAL, &["proc/device-tree/serial-number", "sys/class/dmi/id/product_uuid"]),
    ("disk", &["sys/block/mmcblk0/device/cid", "sys/block/sda/device/wwid"]),
    ("hostname", &["proc/sys/kernel/hostname"]),
];

/// The parts with a digest of each, `name=digest` with blanks between. What the device doesn't
/// tell is left out.
pub struct Hardware(String);

/// How a device differs from what it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The parts that differ, with commas.
    pub parts: String,
    /// Whether it may be the same device all the same.
    pub similar: bool,
}

impl Change {
    /// In words for people.
    pub fn words(&self) -> String {
        let what = match self.similar {
            true => "this device has changed since it was registered",
            false => "this looks like another device than the registered one",
        };
        format!("{what}: {}", self.parts)
    }
}

impl Hardware {
    /// Reads it.
    pub fn read() -> Hardware {
        Hardware::below(Path::new("/"))
    }

    fn below(root: &Path) -> Hardware {
        let mut parts = String::new();
        let mut add = |name: &str, digests: &str| {
            if !digests.is_empty() {
                let blank = if parts.is_empty() { "" } else { " " };
                parts.extend([blank, name, "=", digests]);
            }
        };
        for (name, files) in FILES {
            let value = files.iter().find_map(|file| fs::read_to_string(root.join(file)).ok());
            let value = value.unwrap_or_default();
            let value = value.trim_end_matches(['\n', '\0']);
            // Boards that were given no serial number tell zeros, all of them the same.
            let is_blank = name == SERIAL && value.bytes().all(|it| matches!(it, b'0' | b'-'));
            add(name, &digest(if is_blank { "" } else { value }));
        }
        let processor = line(&root.join("proc/cpuinfo"), &["model name", "Hardware", "Model"]);
        add("processor", &digest(&processor));
        add("memory", &digest(&memory(&line(&root.join("proc/meminfo"), &["MemTotal"]))));
        let addresses = addresses(&root.join("sys/class/net"));
        add(NETWORK, &digest(&addresses.concat()));
        let mut cards: Vec<String> = addresses.iter().map(|address| digest(address)).collect();
        cards.sort_unstable();
        // The ports of a switch often share one.
        cards.dedup();
        cards.truncate(MAX_CARDS);
        add(CARDS, &cards.join(","));
        Hardware(parts)
    }

    /// As the registration file holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A digest of what a copied card doesn't take along; empty if nothing is known of it.
    pub fn digest(&self) -> String {
        let own = |part: &&str| part.starts_with(SERIAL) || part.starts_with(NETWORK);
        let own: Vec<&str> = self.0.split(' ').filter(own).collect();
        if own.is_empty() {
            return String::new();
        }
        text::head(&text::sha256_hex(own.join(" ").as_bytes()), DIGEST_DIGITS).to_owned()
    }

    /// Whether `before`, as a file on this device's card holds it, is another device's, by what a copied card
    /// doesn't take along: the serial number, or where not both tell one, the network cards. What only one
    /// of them tells says nothing: a driver may have been late.
    pub fn is_another_than(&self, before: &str) -> bool {
        self.differs(SERIAL, before).or_else(|| self.differs(NETWORK, before)).unwrap_or_default()
    }

    /// Whether a part is another one than before; `None` if not both tell it. Network cards are others if on
    /// both sides there is one that the other side doesn't have: a card that is only new, or only missing, was late.
    fn differs(&self, name: &str, before: &str) -> Option<bool> {
        if name == NETWORK
            && let Some(now) = part(&self.0, CARDS)
            && let Some(before) = part(before, CARDS)
        {
            let has = |all: &str, some: &str| {
                let is_full = all.split(',').count() == MAX_CARDS;
                // What sorts behind a full list may have had no room in it.
                let last = all.rsplit(',').next().filter(|_| is_full);
                some.split(',').all(|it| {
                    last.is_some_and(|last| it > last) || all.split(',').any(|one| one == it)
                })
            };
            return Some(!has(now, before) && !has(before, now));
        }
        Some(part(&self.0, name)? != part(before, name)?)
    }

    /// One of these parts.
    #[cfg(test)]
    pub fn of(parts: &str) -> Hardware {
        Hardware(parts.to_owned())
    }

    /// How it differs from what the registration file holds; `None` if it doesn't.
    pub fn change_since(&self, before: &str) -> Option<Change> {
        let names = self.0.split(' ').filter_map(|part| Some(part.split_once('=')?.0));
        let (mut count, mut changed) = (0, Vec::new());
        for name in names.filter(|name| *name != CARDS) {
            count += 1;
            if self.differs(name, before) != Some(false) {
                changed.push(name);
            }
        }
        if changed.is_empty() || before.is_empty() {
            return None;
        }
        let same = count - changed.len();
        let similar = !changed.contains(&MACHINE) && same * 100 >= SIMILAR_PERCENT * count;
        Some(Change { parts: changed.join(","), similar })
    }
}

/// The digest of a part; empty if the device doesn't tell it.
fn digest(value: &str) -> String {
    match value {
        "" => String::new(),
        value => text::head(&text::sha256_hex(value.as_bytes()), PART_DIGITS).to_owned(),
    }
}

/// The digest of the part with that name.
fn part<'a>(parts: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = parts.split(' ').filter_map(|part| part.split_once('='));
    parts.find(|(known, _)| *known == name).map(|(_, digest)| digest)
}

/// What stands behind the first of the names in a file of `name: value` lines.
fn line(path: &Path, names: &[&str]) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| names.contains(&name.trim()));
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// Memory out of "… kB". Each kernel takes a little of it for itself, so only the size of what is
/// soldered on counts.
fn memory(text: &str) -> String {
    let size = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    size.map_or(String::new(), |size| size.div_ceil(MEMORY_UNIT).to_string())
}

/// The addresses of network cards that are built in, sorted. One that the driver has drawn, as many do on
/// boards where nobody has burnt one in, is another one at each boot.
fn addresses(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // Bridges, tunnels and the like are made up, and what hangs on USB comes and goes.
        let place = fs::canonicalize(path.join("device")).unwrap_or_default();
        let place = place.to_string_lossy();
        if place.is_empty() || place.contains("/usb") {
            continue;
        }
        let origin = fs::read_to_string(path.join("addr_assign_type"));
        if origin.is_ok_and(|kind| kind.trim() != "0") {
            continue;
        }
        found.extend(fs::read_to_string(path.join("address")).ok());
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    /// A device with these files.
    fn device(files: &[(&str, &str)]) -> (Folder, Hardware) {
        let folder = Folder::new();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let hardware = Hardware::below(folder.path());
        (folder, hardware)
    }

    const BOARD: [(&str, &str); 5] = [
        ("etc/machine-id", "4f7c\n"),
        ("proc/device-tree/serial-number", "10000000a\0"),
        ("proc/sys/kernel/hostname", "gw-7\n"),
        ("proc/meminfo", "MemTotal:  500000 kB\n"),
        ("proc/cpuinfo", "processor : 0\nmodel name : ARMv7\n"),
    ];

    #[test]
    fn the_same_device_has_not_changed() {
        let (_one, before) = device(&BOARD);
        let (_two, now) = device(&BOARD);
        assert_eq!(now.change_since(before.as_str()), None);
        assert_eq!(now.digest(), before.digest());
        assert_eq!(now.digest().len(), DIGEST_DIGITS);
        // One that was registered by an agent that didn't look.
        assert_eq!(now.change_since(""), None);
    }

    #[test]
    fn a_part_that_changes_is_named_and_the_device_stays_similar() {
        let (_one, before) = device(&BOARD);
        let mut files = BOARD;
        files[2].1 = "gw-8\n";
        let (_two, now) = device(&files);
        let change = now.change_since(before.as_str()).unwrap();
        assert_eq!(change, Change { parts: "hostname".into(), similar: true });
    }

    #[test]
    fn a_card_in_another_board_has_another_digest() {
        let (_one, before) = device(&BOARD);
        let mut files = BOARD;
        (files[1].1, files[3].1, files[4].1) = ("b", "MemTotal: 1 kB\n", "Hardware : X\n");
        let (_two, now) = device(&files);
        assert_ne!(now.digest(), before.digest());
        let change = now.change_since(before.as_str()).unwrap();
        assert_eq!(change, Change { parts: "serial,processor,memory".into(), similar: true });
        files[0].1 = "another\n";
        let (_three, now) = device(&files);
        assert!(!now.change_since(before.as_str()).unwrap().similar);
    }

    #[test]
    fn another_device_has_another_serial_number_or_where_there_is_none_another_network() {
        let is_another = |now: &str, before: &str| Hardware::of(now).is_another_than(before);
        assert!(is_another("serial=2 network=3", "serial=1 network=3"));
        assert!(is_another("memory=1 network=4", "memory=1 network=3"));
        assert!(is_another("serial=1 network=4", "network=3"));
        // A network card drew another address.
        assert!(!is_another("serial=1 network=4", "serial=1 network=3"));
        // Its driver was late, before or now.
        assert!(!is_another("serial=1 network=4", "serial=1"));
        assert!(!is_another("memory=1", "memory=1 network=3"));
        assert!(!is_another("memory=1 network=3", "memory=1"));
        // An agent that didn't look has made it.
        assert!(!is_another("serial=1 network=4", ""));
    }

    /// The network parts of a device without a serial number and with one built-in card.
    fn network(address: &str, assigned: &str) -> Hardware {
        with_cards(&[address], assigned)
    }

    /// The same with several.
    fn with_cards(addresses: &[&str], assigned: &str) -> Hardware {
        let serial = ("proc/device-tree/serial-number".to_owned(), "0000000000000000\0");
        let mut files = vec![serial];
        for (number, address) in addresses.iter().enumerate() {
            let card = format!("sys/class/net/eth{number}");
            files.push((format!("{card}/device/uevent"), ""));
            files.push((format!("{card}/address"), address));
            files.push((format!("{card}/addr_assign_type"), assigned));
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, it)| (path.as_str(), *it)).collect();
        device(&files).1
    }

    #[test]
    fn a_network_card_that_appears_late_or_not_at_all_makes_no_other_device() {
        let (one, both) = (with_cards(&["00:01\n"], "0"), with_cards(&["00:00\n", "00:01\n"], "0"));
        assert!(!both.is_another_than(one.as_str()) && !one.is_another_than(both.as_str()));
        assert_eq!(both.change_since(one.as_str()), None);
        // What a copied card comes to has cards of its own beside one that all boards of its make have.
        let copy = with_cards(&["00:01\n", "00:02\n"], "0");
        assert!(copy.is_another_than(both.as_str()));
        assert_eq!(copy.change_since(both.as_str()).unwrap().parts, "network");
    }

    #[test]
    fn of_more_cards_than_are_noted_each_may_be_late_and_ports_that_share_an_address_are_one() {
        let names: Vec<String> = (0..2 * MAX_CARDS).map(|card| format!("00:{card}\n")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (own, others) = names.split_at(MAX_CARDS + 1);
        let all = with_cards(own, "0");
        assert_eq!(part(all.as_str(), CARDS).unwrap().split(',').count(), MAX_CARDS);
        for late in 0..own.len() {
            let mut cards = own.to_vec();
            cards.remove(late);
            let some = with_cards(&cards, "0");
            assert!(!all.is_another_than(some.as_str()) && !some.is_another_than(all.as_str()));
        }
        assert!(with_cards(others, "0").is_another_than(all.as_str()));
        let ports = [&["00:0\n"; MAX_CARDS][..], &["00:1\n"]].concat();
        assert_eq!(
            part(with_cards(&ports, "0").as_str(), CARDS),
            part(with_cards(own.get(..2).unwrap(), "0").as_str(), CARDS)
        );
    }

    #[test]
    fn what_an_earlier_agent_has_noted_of_several_cards_is_understood() {
        let both = with_cards(&["00:00\n", "00:01\n"], "0");
        let (before, cards) = both.as_str().split_once(' ').unwrap();
        assert!(cards.starts_with("cards="));
        assert!(!both.is_another_than(before));
        assert_eq!(both.change_since(before), None);
        assert!(with_cards(&["00:02\n"], "0").is_another_than(before));
        // A server is told the same digest as ever.
        assert_eq!(both.digest(), Hardware::of(before).digest());
    }

    #[test]
    fn an_address_that_was_drawn_and_a_serial_number_of_zeros_tell_nothing() {
        assert_eq!(network("de:ad", "1\n").as_str(), "");
        let (one, other) = (network("00:01", "0\n"), network("00:02", "0\n"));
        assert!(one.as_str().starts_with("network=") && !one.as_str().contains("serial"));
        assert!(other.is_another_than(one.as_str()));
    }

    #[test]
    fn a_device_that_tells_nothing_has_no_digest() {
        let (_one, nothing) = device(&[]);
        assert_eq!((nothing.as_str(), nothing.digest().as_str()), ("", ""));
    }
}
