//! What the report says of the device.

use super::boots;
use super::line::Line;
use crate::board::BOARD;
use crate::sys::host::{self, Platform};
use std::fs;
use std::path::Path;
use stint_wire::time::Utc;

/// More addresses than this make a report of a router's interfaces, not of how to reach it.
const MAX_ADDRESSES: usize = 4;

/// `WDIOF_CARDRESET` of linux/watchdog.h: the watchdog was the last to reset the board.
const RESET_BY_WATCHDOG: u32 = 0x20;

/// The device as the report shows it.
#[derive(Debug, Default)]
pub struct Facts {
    platform: String,
    kernel: String,
    host: String,
    boot_id: String,
    reason: String,
    uptime: String,
    addresses: Vec<(String, String)>,
}

impl Facts {
    /// Looks around, and remembers in the folder `state` what it has seen. `was_reset` says that the watchdog
    /// got no food before.
    pub fn gather(state: &Path, watchdog: &Path, was_reset: bool) -> Facts {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let platform = Platform::read();
        let words = [platform.name, platform.version];
        let uptime = read("/proc/uptime");
        Facts {
            platform: words.into_iter().flatten().collect::<Vec<_>>().join(" "),
            kernel: read("/proc/sys/kernel/osrelease"),
            host: host::name().unwrap_or_default(),
            boot_id: host::boot_id(),
            reason: boots::reason(state, was_reset || has_reset(watchdog)),
            uptime: uptime.split('.').next().unwrap_or_default().to_owned(),
            addresses: host::addresses(),
        }
    }

    /// The block of lines at start. `is_set`: the clock that says that it is `now` is relied on.
    pub fn lines(&self, node: &str, (now, is_set): (Utc, bool)) -> Vec<Line> {
        let version = env!("STINT_VERSION");
        let set = if is_set { "set" } else { "unset" };
        let mut lines = vec![
            Line::new("start")
                .word("version", version)
                .word("board", BOARD.name)
                .word("node", node),
            Line::new("system")
                .word("kernel", &self.kernel)
                .word("arch", std::env::consts::ARCH)
                .word("host", &self.host)
                .word("os", &self.platform),
            Line::new("boot")
                .word("id", &self.boot_id)
                .word("reason", &self.reason)
                .word("uptime", &self.uptime),
            Line::new("clock").word("time", &now.iso()).word("state", set),
        ];
        for (interface, address) in self.addresses.iter().take(MAX_ADDRESSES) {
            lines.push(Line::new("address").word("interface", interface).word("ip", address));
        }
        lines
    }
}

/// Whether the watchdog's driver found, when it came up, that the board was reset by it. Some don't know.
fn has_reset(device: &Path) -> bool {
    let Some(name) = device.file_name().and_then(|name| name.to_str()) else { return false };
    // /dev/watchdog is the first of them under its old name.
    let name = if name == "watchdog" { "watchdog0" } else { name };
    let path = ["/sys/class/watchdog/", name, "/bootstatus"].concat();
    let status = fs::read_to_string(path).unwrap_or_default();
    status.trim().parse::<u32>().is_ok_and(|status| status & RESET_BY_WATCHDOG != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_that_boots_in_1970_says_that_its_clock_is_unset() {
        let facts =
            Facts { addresses: vec![("eth0".into(), "10.0.2.15".into())], ..Facts::default() };
        let text: String = facts
            .lines("not registered", (Utc(86_400_000), false))
            .iter()
            .map(Line::to_string)
            .collect();
        assert!(text.contains("node=\"not registered\""), "{text}");
        assert!(text.contains("time=1970-01-02T00:00:00.000Z state=unset"), "{text}");
        assert!(text.contains("stint: address interface=eth0 ip=10.0.2.15\n"), "{text}");
    }
}
