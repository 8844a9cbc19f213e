//! Bakes a board's defaults into the agent: `STINT_BOARD=<name>` takes `board-configs/<name>.toml`.
//! Without it the defaults below serve, which suit an ordinary Linux machine.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A board file. An unknown key is an error: on a board nobody would notice it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Board {
    description: String,
    /// For scripts/build: the target triple and the set of cargo features.
    #[serde(rename = "target")]
    _target: String,
    #[serde(rename = "features")]
    _features: Features,
    /// Also for scripts/image and the installer.
    init: Init,
    paths: Paths,
    serial: Serial,
    intervals: Intervals,
    /// For scripts/size.
    #[serde(rename = "flash")]
    _flash: Flash,
    watchdog: Option<Watchdog>,
    update: Option<Update>,
    network: Option<Network>,
    log: Option<Log>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Features {
    Gateway,
    Router,
    Tiny,
    #[serde(rename = "tiny,tls")]
    TinyTls,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Init {
    Sysvinit,
    Busybox,
    Procd,
    Systemd,
    Openrc,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    state: String,
    config: String,
    /// A tmpfs for scripts, so that running a command costs no flash.
    scripts: Option<String>,
    /// Where private keys are, if not in `state`: a partition of their own.
    keys: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Serial {
    /// Tried in this order; an empty list switches the report off.
    devices: Vec<String>,
    baud: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Intervals {
    health_minutes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flash {
    #[serde(rename = "budget")]
    _budget: u64,
    #[serde(rename = "squashfs_budget")]
    _squashfs_budget: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watchdog {
    device: String,
}

/// Where new versions of the agent come from, and who may say that they are good.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    source: Option<String>,
    #[serde(default)]
    keys: Vec<String>,
}

/// A link that costs by what it carries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    bytes_per_day: u64,
}

/// Where the log goes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    to: LogTo,
    file: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogTo {
    Stderr,
    Syslog,
    File,
}

/// The log's file, where there is to be one and nobody says which.
const LOG_FILE: &str = "/var/log/stint.log";

/// The speeds that every UART driver knows.
const BAUDS: [u32; 7] = [9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(uplink)");
    println!("cargo::rustc-check-cfg=cfg(fetching)");
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    let on = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    // A build for a release says which one it is; every other is the version of Cargo.toml.
    println!("cargo::rerun-if-env-changed=STINT_VERSION");
    let given = env::var("STINT_VERSION").ok().filter(|version| !version.is_empty());
    let version = given.or_else(|| env::var("CARGO_PKG_VERSION").ok()).unwrap_or_default();
    let number = |part: &str| part.len() < 10 && part.parse::<u32>().is_ok();
    if version.split('.').count() > 4 || !version.split('.').all(number) {
        stop(&format!("STINT_VERSION is {version}; it must be up to four numbers with dots"));
    }
    println!("cargo::rustc-env=STINT_VERSION={version}");
    println!("cargo::rustc-env=STINT_TRIPLE={}", env::var("TARGET").unwrap_or_default());
    if on("SSM") || on("BOOTAGENT") {
        println!("cargo::rustc-cfg=uplink");
        // They download files, each for reasons of its own.
        if on("DOCUMENTS") || on("SUPERVISE") || on("UPDATE") {
            println!("cargo::rustc-cfg=fetching");
        }
    }
    println!("cargo::rerun-if-env-changed=STINT_BOARD");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let name = env::var("STINT_BOARD").unwrap_or_default();
    let source = if name.is_empty() { generic() } else { read(&name) };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("board.rs");
    if let Err(error) = fs::write(&out, source) {
        stop(&format!("can't write {}: {error}", out.display()));
    }
}

fn read(name: &str) -> String {
    let path = Path::new("board-configs").join(format!("{name}.toml"));
    println!("cargo::rerun-if-changed={}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => stop(&format!("there is no board {name}: {}: {error}", path.display())),
    };
    // The error shows the line and the key.
    let board: Board = match toml::from_str(&text) {
        Ok(board) => board,
        Err(error) => stop(&format!("{}: {error}", path.display())),
    };
    let fault = |key: &str, must: &str| -> ! {
        stop(&format!("{}, line {}: {key} must be {must}", path.display(), line_of(&text, key)))
    };
    for (key, value) in [
        ("paths.state", Some(&board.paths.state)),
        ("paths.config", Some(&board.paths.config)),
        ("paths.scripts", board.paths.scripts.as_ref()),
        ("paths.keys", board.paths.keys.as_ref()),
        ("log.file", board.log.as_ref().and_then(|log| log.file.as_ref())),
    ] {
        if value.is_some_and(|path| !path.starts_with('/')) {
            fault(key, "absolute");
        }
    }
    if !BAUDS.contains(&board.serial.baud) {
        fault("serial.baud", "one of 9600, 19200, 38400, 57600, 115200, 230400, 460800");
    }
    if !(1..=60).contains(&board.intervals.health_minutes) {
        fault("intervals.health_minutes", "from 1 to 60");
    }
    let update = board.update.unwrap_or(Update { source: None, keys: Vec::new() });
    if update.keys.iter().any(|key| !key.starts_with("ed25519:") || key.len() != 52) {
        fault("update.keys", "release keys, \"ed25519:\" and 44 characters of base64");
    }
    let bytes_per_day = board.network.map_or(0, |network| network.bytes_per_day);
    if bytes_per_day != 0 && !(100_000..=1_000_000_000_000).contains(&bytes_per_day) {
        fault("network.bytes_per_day", "0, or from 100000 to 1000000000000");
    }
    let scripts = board.paths.scripts.unwrap_or_default();
    let keys = board.paths.keys.unwrap_or_default();
    let log = board.log.unwrap_or(Log { to: LogTo::Stderr, file: None });
    let log_file = log.file.unwrap_or_else(|| LOG_FILE.to_owned());
    literal(&Baked {
        name,
        description: &board.description,
        state: &board.paths.state,
        config: &board.paths.config,
        scripts: &scripts,
        keys: &keys,
        devices: &board.serial.devices,
        baud: board.serial.baud,
        health_minutes: board.intervals.health_minutes,
        watchdog: &board.watchdog.map(|watchdog| watchdog.device).unwrap_or_default(),
        sources_from: sources_from(),
        update_source: &update.source.unwrap_or_default(),
        release_keys: &update.keys.join(","),
        bytes_per_day,
        log_to: match log.to {
            LogTo::Stderr => "stderr",
            LogTo::Syslog => "syslog",
            LogTo::File => "file",
        },
        log_file: &log_file,
        // sysvinit alone doesn't watch what it has started.
        respawns: !matches!(board.init, Init::Sysvinit),
    })
}

/// The line, from 1, where a board file says `section.key`.
fn line_of(text: &str, name: &str) -> usize {
    let (section, key) = name.split_once('.').unwrap_or(("", name));
    let header = format!("[{section}]");
    let (mut inside, mut last) = (false, 0);
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            inside = line.starts_with(&header);
        }
        let word = line.split(['=', ' ']).next().unwrap_or_default();
        if inside && (word == key || line.starts_with(&header)) {
            last = number + 1;
        }
        if inside && word == key {
            break;
        }
    }
    last
}

fn generic() -> String {
    literal(&Baked {
        name: "generic",
        description: "any Linux machine",
        state: "/var/lib/stint",
        config: "/etc/stint/agent.json",
        scripts: "",
        keys: "",
        // Machines with a screen and a login on their serial ports get no surprise there.
        devices: &[],
        // Who names a port there need not know how fast it is.
        baud: 0,
        health_minutes: 5,
        watchdog: "",
        sources_from: sources_from(),
        update_source: "",
        release_keys: "",
        bytes_per_day: 0,
        log_to: "stderr",
        log_file: LOG_FILE,
        respawns: false,
    })
}

/// When the sources were last changed, seconds since 1970: no device's clock may be before it. The same
/// sources give the same bytes, so the time of the build itself won't do: it is `SOURCE_DATE_EPOCH`
/// (scripts/build sets it), else the commit's, else that of the newest file.
fn sources_from() -> u64 {
    if let Ok(text) = env::var("SOURCE_DATE_EPOCH") {
        return match text.trim().parse() {
            Ok(seconds) => seconds,
            Err(_) => stop(&format!("SOURCE_DATE_EPOCH must be seconds since 1970, not {text:?}")),
        };
    }
    let git = process::Command::new("git").args(["log", "-1", "--format=%ct"]).output();
    let committed =
        git.ok().and_then(|out| String::from_utf8(out.stdout).ok()?.trim().parse().ok());
    committed.unwrap_or_else(|| newest(Path::new("src")))
}

/// The time of the newest file below a folder.
fn newest(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let time = |file: fs::DirEntry| match file.metadata() {
        Ok(data) if data.is_dir() => newest(&file.path()),
        Ok(data) => data
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_secs()),
        Err(_) => 0,
    };
    files.map(time).max().unwrap_or(0)
}

// Read by its derived Debug alone, which makes the literal.
#[allow(dead_code)]
#[derive(Debug)]
struct Baked<'a> {
    name: &'a str,
    description: &'a str,
    state: &'a str,
    config: &'a str,
    scripts: &'a str,
    keys: &'a str,
    devices: &'a [String],
    baud: u32,
    health_minutes: u64,
    watchdog: &'a str,
    sources_from: u64,
    update_source: &'a str,
    release_keys: &'a str,
    bytes_per_day: u64,
    log_to: &'a str,
    log_file: &'a str,
    respawns: bool,
}

/// The value of `BOARD` in `src/board.rs`: the debug form of a struct is its literal, but for
/// the slice.
fn literal(board: &Baked<'_>) -> String {
    format!("{board:?}").replacen("Baked", "Board", 1).replacen("devices: [", "devices: &[", 1)
}

fn stop(error: &str) -> ! {
    eprintln!("{error}");
    process::exit(1);
}
