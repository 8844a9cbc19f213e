//! Limits as people and servers write them: `{"CPU": "10%", "memory": "20M"}`.

use super::Limits;
use crate::json::{Node, ObjectWriter, Value};
use std::fmt;

/// The least share of a core that a kernel can keep: 1 ms of its longest period, 1 s.
const LEAST_CPU: u32 = 10;

/// No machine that runs this has more cores; a larger number is a slip.
const MOST_CPU: u32 = 1024 * 100 * 100;

/// Below this no program starts, so that a smaller number is a slip: most often `20` for `"20M"`.
const LEAST_MEMORY: u64 = 256 * 1024;

/// cgroup v2's range of `cpu.weight`, where 100 is what everybody has.
const WEIGHTS: std::ops::RangeInclusive<u64> = 1..=10_000;

/// Linux has no more processes than this (`PID_MAX_LIMIT`).
const MOST_PROCESSES: u64 = 4 * 1024 * 1024;

/// A limit that can't be understood. It is refused rather than guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLimit {
    /// Where it stands, counted from 1.
    pub line: u32,
    /// The member, in its own spelling; empty for the object as a whole.
    pub member: String,
    /// What is expected there.
    pub expected: &'static str,
}

impl fmt::Display for BadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.member.is_empty() { "" } else { "." };
        write!(f, "line {}: limits{dot}{}: expected {}", self.line, self.member, self.expected)
    }
}

impl std::error::Error for BadLimit {}

impl Limits {
    /// Reads the object of a job or of a definition file. `null` and `{}` are no limits at all.
    ///
    /// `CPU` is percent of one core: `"10%"`, `"12.5%"`, `10`. `memory` is `"20M"`, with `K`, `M`
    /// and `G` for powers of 1024, or a number of bytes; its elder spelling `MEM` counts a number
    /// without a unit in KiB. `cpuWeight` is 1 to 10,000, `processes` a number. Names may be in
    /// any case of letters, others are passed over, and a member that is `null` is no limit.
    ///
    /// # Errors
    /// A member that says none of these.
    pub fn read(node: &Node) -> Result<Limits, BadLimit> {
        let bad = |node: &Node, member: &str, expected| BadLimit {
            line: node.line,
            member: member.to_owned(),
            expected,
        };
        if !matches!(node.value, Value::Object(_) | Value::Null) {
            return Err(bad(node, "", "an object, as {\"CPU\": \"10%\", \"memory\": \"20M\"}"));
        }
        let mut limits = Limits::default();
        for (name, node) in node.members() {
            if node.value == Value::Null {
                continue;
            }
            let text = match &node.value {
                Value::String(text) | Value::Number(text) => text.trim(),
                _ => "",
            };
            let known = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            let number = |range: std::ops::RangeInclusive<u64>| {
                text.parse().ok().filter(|n| range.contains(n)).and_then(|n| u32::try_from(n).ok())
            };
            if known("CPU") {
                let cpu = percent(text).filter(|cpu| (LEAST_CPU..=MOST_CPU).contains(cpu));
                let expected =
                    "percent of one core from 0.1% on, as \"10%\"; without a limit, leave it out";
                limits.cpu = Some(cpu.ok_or_else(|| bad(node, name, expected))?);
            } else if known("memory") || known("MEM") {
                let bytes = bytes(text, if known("MEM") { 1024 } else { 1 });
                let bytes = bytes.filter(|bytes| *bytes >= LEAST_MEMORY);
                let expected = "at least 256K, as \"20M\"; without a limit, leave it out";
                limits.memory = Some(bytes.ok_or_else(|| bad(node, name, expected))?);
            } else if known("cpuWeight") {
                let expected = "a number from 1 to 10000";
                limits.cpu_weight = Some(number(WEIGHTS).ok_or_else(|| bad(node, name, expected))?);
            } else if known("processes") {
                let count = number(1..=MOST_PROCESSES);
                limits.processes =
                    Some(count.ok_or_else(|| bad(node, name, "a number of processes from 1 on"))?);
            }
        }
        Ok(limits)
    }

    /// The object that [`Limits::read`] reads, in the founding page's spelling where that can say
    /// it: `{"CPU":"10%","memory":"20M"}`. Agents differ about what a number without a unit means.
    pub fn to_json(&self) -> String {
        let mut object = ObjectWriter::new();
        if let Some(cpu) = self.cpu {
            let text = format!("{}.{:02}", cpu / 100, cpu % 100);
            let text = text.trim_end_matches('0').trim_end_matches('.');
            object = object.string("CPU", &format!("{text}%"));
        }
        if let Some(memory) = self.memory {
            object = match (memory % (1 << 20), memory % (1 << 10)) {
                (0, _) => object.string("memory", &format!("{}M", memory >> 20)),
                (_, 0) => object.string("memory", &format!("{}K", memory >> 10)),
                _ => object.raw("memory", &memory.to_string()),
            };
        }
        let rest = [
            ("cpuWeight", self.cpu_weight.map(u64::from)),
            ("processes", self.processes.map(u64::from)),
        ];
        for (name, value) in rest {
            if let Some(value) = value {
                object = object.raw(name, &value.to_string());
            }
        }
        object.finish()
    }
}

/// Hundredths of a percent. Digits beyond them are dropped.
fn percent(text: &str) -> Option<u32> {
    let text = text.strip_suffix('%').unwrap_or(text).trim_end();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let mut hundredths = part.bytes().chain([b'0', b'0']);
    if !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let mut digit = || hundredths.next().map(|b| u32::from(b - b'0'));
    let part = digit()? * 10 + digit()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)
}

/// Bytes; a number without a unit counts in `unit`.
fn bytes(text: &str, unit: u64) -> Option<u64> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at_checked(end)?;
    let suffix = suffix.trim();
    let unit = match suffix.bytes().next().map(|b| b.to_ascii_uppercase()) {
        None => unit,
        Some(b'B') if suffix.len() == 1 => 1,
        Some(b'K') => 1024,
        Some(b'M') => 1024 * 1024,
        Some(b'G') => 1024 * 1024 * 1024,
        Some(_) => return None,
    };
    let rest = suffix.get(1..).unwrap_or_default();
    if !["", "B", "b", "iB", "ib", "IB"].contains(&rest) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Limits, BadLimit> {
        Limits::read(&parse(text).unwrap())
    }

    #[test]
    fn the_founding_pages_sample_is_read() {
        let limits = read(r#"{"CPU": "10%", "memory": "20M"}"#).unwrap();
        let expected = Limits { cpu: Some(1000), memory: Some(20 << 20), ..Limits::default() };
        assert_eq!(limits, expected);
    }

    #[test]
    fn percent_is_of_one_core_with_or_without_its_sign() {
        for (text, hundredths) in [
            (r#""10%""#, 1000),
            (r#""10""#, 1000),
            ("10", 1000),
            ("12.5", 1250),
            (r#""0.1 %""#, 10),
            (r#""33.333%""#, 3333),
            (r#""250%""#, 25_000),
        ] {
            assert_eq!(
                read(&format!(r#"{{"CPU":{text}}}"#)).unwrap().cpu,
                Some(hundredths),
                "{text}"
            );
        }
    }

    #[test]
    fn memory_is_bytes_or_has_a_unit_and_the_elder_spelling_counts_in_kib() {
        for (text, bytes) in [
            (r#"{"memory":"20M"}"#, 20 << 20),
            (r#"{"memory":20971520}"#, 20 << 20),
            (r#"{"memory":"20971520"}"#, 20 << 20),
            (r#"{"Memory":"20480 KB"}"#, 20 << 20),
            (r#"{"memory":"1GiB"}"#, 1 << 30),
            (r#"{"MEM":20480}"#, 20 << 20),
            (r#"{"mem":"20m"}"#, 20 << 20),
        ] {
            assert_eq!(read(text).unwrap().memory, Some(bytes), "{text}");
        }
    }

    #[test]
    fn nothing_is_no_limit_and_unknown_members_are_passed_over() {
        for text in ["null", "{}", r#"{"CPU":null,"memory":null}"#, r#"{"interval":60}"#] {
            assert_eq!(read(text), Ok(Limits::default()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_named() {
        for text in [
            r#"{"CPU":"0%"}"#,
            r#"{"CPU":"-1"}"#,
            r#"{"CPU":"ten"}"#,
            r#"{"CPU":"1e3"}"#,
            r#"{"CPU":"10.%"}"#,
            r#"{"CPU":true}"#,
            r#"{"CPU":99999999999}"#,
            r#"{"memory":20}"#,
            r#"{"memory":"20X"}"#,
            r#"{"memory":"20MM"}"#,
            r#"{"memory":"M"}"#,
            r#"{"memory":""}"#,
            r#"{"memory":"99999999999G"}"#,
            r#"{"cpuWeight":0}"#,
            r#"{"processes":"many"}"#,
            r#"{"processes":0}"#,
            "[]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = read("{\n\"Memory\": 20}").unwrap_err();
        let expected = "at least 256K, as \"20M\"; without a limit, leave it out";
        assert_eq!(error.to_string(), format!("line 2: limits.Memory: expected {expected}"));
    }

    #[test]
    fn limits_are_written_as_the_founding_page_writes_them() {
        for text in [
            r#"{"CPU":"10%","memory":"20M"}"#,
            r#"{"CPU":"12.5%","memory":"20481K"}"#,
            r#"{"CPU":"100%","memory":20971521}"#,
        ] {
            let limits = Limits::read(&parse(text).unwrap()).unwrap();
            assert_eq!(limits.to_json(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            cpu in proptest::option::of(LEAST_CPU..MOST_CPU),
            memory in proptest::option::of(LEAST_MEMORY..u64::MAX),
            cpu_weight in proptest::option::of(1u32..=10_000),
            processes in proptest::option::of(1u32..100_000),
        ) {
            let limits = Limits { cpu, memory, cpu_weight, processes };
            prop_assert_eq!(read(&limits.to_json()), Ok(limits));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = (percent(&text), bytes(&text, 1));
        }
    }
}
