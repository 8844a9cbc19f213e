//! What the board that this agent was built for brings along. The configuration file overrides it.

/// The defaults of one board, baked in by `build.rs` from `board-configs/`.
#[derive(Debug)]
pub struct Board {
    /// The board file's name, or `generic`.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// The folder of registration, spool and outbox.
    pub state: &'static str,
    /// The configuration file.
    pub config: &'static str,
    /// A tmpfs for scripts; empty: they are beside their job.
    pub scripts: &'static str,
    /// The folder of private keys; empty: they are in the state folder.
    pub keys: &'static str,
    /// Serial consoles, tried in this order; empty: none.
    pub devices: &'static [&'static str],
    /// Their speed, baud; 8 data bits, no parity, one stop bit. 0: as they are.
    pub baud: u32,
    /// The time between two health reports, minutes.
    pub health_minutes: u64,
    /// The hardware watchdog; empty: none.
    pub watchdog: &'static str,
    /// When the sources of this build were last changed, seconds since 1970. It can't be earlier.
    pub sources_from: u64,
    /// Where the manifest of new versions is; empty: with the server of this node.
    pub update_source: &'static str,
    /// The keys by which manifests are signed, with commas; empty: none.
    pub release_keys: &'static str,
    /// What its links may carry in a day, bytes; 0: as much as they like.
    pub bytes_per_day: u64,
    /// What takes the log: `stderr`, `syslog` or `file`.
    pub log_to: &'static str,
    /// The file, for the last.
    pub log_file: &'static str,
    /// Its init starts the agent again when it ends.
    pub respawns: bool,
}

/// The speeds that every UART driver knows, baud.
pub const BAUDS: [u64; 7] = [9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];

/// The version of this build: that of the package, or the release that it was built for.
pub const VERSION: &str = env!("STINT_VERSION");

/// The target triple of this build.
pub const TRIPLE: &str = env!("STINT_TRIPLE");

/// The board this agent was built for.
pub const BOARD: Board = include!(concat!(env!("OUT_DIR"), "/board.rs"));

#[cfg(test)]
mod tests {
    use super::BOARD;

    #[test]
    fn a_board_has_absolute_paths_and_a_sane_interval() {
        assert!(BOARD.state.starts_with('/') && BOARD.config.starts_with('/'));
        assert!(BOARD.scripts.is_empty() || BOARD.scripts.starts_with('/'));
        assert!(BOARD.keys.is_empty() || BOARD.keys.starts_with('/'));
        assert!(BOARD.log_file.starts_with('/'));
        assert!((1..=60).contains(&BOARD.health_minutes));
    }
}
