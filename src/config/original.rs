//! amazon-ssm-agent.json, as far as it makes sense here, read as leniently as Go's decoder does:
//! keys in any case of letters, unknown keys passed over, a value out of range replaced by the
//! default.

#[cfg(feature = "ssm")]
use super::Source;
use super::{Config, Loaded};
use std::time::Duration;
use stint_wire::json::{Node, Value};

/// The sections of the original's file. One that has any of them is in that spelling.
const SECTIONS: [&str; 10] =
    ["Profile", "Mds", "Ssm", "Mgs", "Agent", "Os", "S3", "Birdwatcher", "Kms", "Identity"];

/// Section and key of everything that is honoured; the rest is listed once.
const HONOURED: [(&str, &str); if cfg!(feature = "update") { 11 } else { 9 }] = [
    ("Profile", "KeyAutoRotateDays"),
    ("Ssm", "Endpoint"),
    ("Ssm", "HealthFrequencyMinutes"),
    ("Mds", "Endpoint"),
    ("Mds", "CommandWorkersLimit"),
    ("Mgs", "Endpoint"),
    ("S3", "Endpoint"),
    ("Agent", "Region"),
    ("Identity", "ConsumptionOrder"),
    #[cfg(feature = "update")]
    ("Agent", "SelfUpdate"),
    #[cfg(feature = "update")]
    ("Agent", "SelfUpdateScheduleDay"),
];

/// The one key of our own that is understood in this spelling, at the top.
const ALLOW_PLAIN_HTTP: &str = "allowPlainHttp";

/// The identities that there are: a hybrid activation, and an instance's own.
const IDENTITIES: [&str; 2] = ["OnPrem", "EC2"];

/// Whether the file is in the original's spelling.
pub fn is_original(root: &Node) -> bool {
    let is_section = |name: &String| SECTIONS.iter().any(|s| s.eq_ignore_ascii_case(name));
    root.members().iter().any(|(name, section)| !is_ours(name, section) && is_section(name))
}

/// Whether this section's name is a key in our spelling, too, there without a capital; the original's own keys
/// begin with one.
fn is_ours(name: &str, section: &Node) -> bool {
    let is_capital =
        |(key, _): &(String, Node)| key.starts_with(|first: char| first.is_ascii_uppercase());
    name == "identity"
        || cfg!(feature = "ssm") && name == "ssm" && !section.members().iter().any(is_capital)
}

/// Reads it. There is nothing in it that could be wrong enough to refuse.
pub fn read(root: &Node) -> Loaded {
    let get = |section: &str, key: &str| root.get_any_case(section)?.get_any_case(key);
    let url = |section: &str| {
        let text = get(section, "Endpoint")?.as_str().filter(|text| !text.is_empty())?;
        // The original takes a bare host for https.
        let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        super::clean_url(&text)
    };
    let mut config = Config::default();
    // One set of endpoints stays per service here: the original has no endpoint for all.
    config.endpoints.ssm = url("Ssm");
    config.endpoints.ec2messages = url("Mds");
    config.endpoints.ssmmessages = url("Mgs");
    config.endpoints.s3 = url("S3");
    config.region =
        get("Agent", "Region").and_then(Node::as_str).filter(|r| !r.is_empty()).map(str::to_owned);
    if let Some(minutes @ 5..=60) = get("Ssm", "HealthFrequencyMinutes").and_then(Node::as_u64) {
        config.health_interval = Duration::from_secs(minutes * 60);
    }
    if let Some(workers @ 1..=64) = get("Mds", "CommandWorkersLimit").and_then(Node::as_u64) {
        config.command_workers = workers as usize;
    }
    // Out of range is 0 there, too, which is never.
    #[cfg(feature = "ssm")]
    if let Some(days @ 1..=365) = get("Profile", "KeyAutoRotateDays").and_then(Node::as_u64) {
        config.identity.key_max_age_days = Some(days as u32);
    }
    #[cfg(feature = "ssm")]
    if let Some(order) = get("Identity", "ConsumptionOrder").and_then(Node::elements) {
        let names = order.iter().filter_map(Node::as_str);
        let sources: Vec<Source> = names.filter_map(Source::parse).collect();
        if !sources.is_empty() {
            config.identity.sources = sources;
        }
    }
    #[cfg(feature = "update")]
    if get("Agent", "SelfUpdate").and_then(Node::as_bool) == Some(true) {
        let days = get("Agent", "SelfUpdateScheduleDay").and_then(Node::as_u64);
        config.update.automatic = true;
        config.update.every = days.filter(|days| (1..=7).contains(days)).unwrap_or(7);
    }
    // Not the original's: it needs no leave for plain HTTP, and stint does.
    config.allow_plain_http = root.get(ALLOW_PLAIN_HTTP).and_then(Node::as_bool).unwrap_or(false);
    Loaded { config, not_honoured: not_honoured(root), path: None }
}

fn not_honoured(root: &Node) -> Vec<String> {
    let mut found = Vec::new();
    for (section, node) in root.members() {
        if !matches!(node.value, Value::Object(_)) && section != ALLOW_PLAIN_HTTP {
            found.push(section.clone());
        }
        for (key, value) in node.members() {
            let same = |(s, k): &(&str, &str)| {
                s.eq_ignore_ascii_case(section) && k.eq_ignore_ascii_case(key)
            };
            if !HONOURED.iter().any(same) {
                found.push(format!("{section}.{key}"));
            } else if key.eq_ignore_ascii_case("ConsumptionOrder") {
                let others = value.elements().unwrap_or_default().iter().filter_map(Node::as_str);
                found.extend(
                    others
                        .filter(|o| !IDENTITIES.contains(o))
                        .map(|other| format!("{section}.{key}: {other}")),
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::json;

    fn parse(text: &str) -> Loaded {
        let root = json::parse(text).unwrap();
        assert!(is_original(&root));
        read(&root)
    }

    #[test]
    fn the_file_that_points_the_original_at_a_server_works_here() {
        let loaded = parse(
            r#"{"Ssm":{"Endpoint":"http://127.0.0.1:8081"},"Mds":{"Endpoint":"127.0.0.1:8082"},
            "Mgs":{"Region":"none!"},"S3":{"Endpoint":"s3.example"},"Identity":{"ConsumptionOrder":["OnPrem","ECS"]}}"#,
        );
        assert_eq!(loaded.config.endpoints.ssm.as_deref(), Some("http://127.0.0.1:8081"));
        assert_eq!(loaded.config.endpoints.ec2messages.as_deref(), Some("https://127.0.0.1:8082"));
        assert_eq!(loaded.config.endpoints.s3.as_deref(), Some("https://s3.example"));
        assert_eq!(loaded.not_honoured, ["Mgs.Region", "Identity.ConsumptionOrder: ECS"]);
        assert!(!loaded.config.allow_plain_http);
    }

    #[test]
    fn keys_in_any_case_and_values_out_of_range_are_taken_as_the_original_does() {
        let loaded = parse(
            r#"{"profile":{"keyautorotatedays":30},"ssm":{"healthfrequencyminutes":90},"MDS":{"commandworkerslimit":2},"agent":{"region":"eu-west-1"}}"#,
        );
        assert_eq!(loaded.config.health_interval, Duration::from_secs(300));
        assert_eq!(loaded.config.command_workers, 2);
        assert_eq!(loaded.config.region.as_deref(), Some("eu-west-1"));
        #[cfg(feature = "ssm")]
        assert_eq!(loaded.config.identity.key_max_age_days, Some(30));
        assert!(loaded.not_honoured.is_empty());
    }

    #[cfg(feature = "update")]
    #[test]
    fn the_originals_self_update_is_ours_and_comes_as_seldom() {
        let read = |agent: &str| {
            let loaded = parse(&format!(r#"{{"Agent":{agent}}}"#));
            assert!(loaded.not_honoured.is_empty());
            (loaded.config.update.automatic, loaded.config.update.every)
        };
        assert_eq!(read("{}"), (false, 1));
        assert_eq!(read(r#"{"SelfUpdate":false,"SelfUpdateScheduleDay":3}"#), (false, 1));
        for (days, every) in [("1", 1), ("3", 3), ("7", 7), ("0", 7), ("8", 7), ("\"2\"", 7)] {
            let agent = format!(r#"{{"selfupdate":true,"SelfUpdateScheduleDay":{days}}}"#);
            assert_eq!(read(&agent), (true, every), "{days}");
        }
        assert_eq!(read(r#"{"SelfUpdate":true}"#), (true, 7));
    }

    #[test]
    fn a_key_of_ours_that_a_section_is_called_like_makes_no_file_of_the_original() {
        let is = |text: &str| is_original(&json::parse(text).unwrap());
        assert!(is(r#"{"Ssm":{}}"#) && is(r#"{"ssm":{},"Agent":{}}"#));
        assert!(is(r#"{"ssm":{"Endpoint":"https://ssm.example"}}"#));
        assert!(!is(r#"{"identity":{},"region":"r"}"#));
        #[cfg(feature = "ssm")]
        assert!(!is(r#"{"ssm":{"controlChannel":false}}"#));
    }

    #[test]
    fn plain_http_needs_the_same_leave_as_in_the_native_spelling() {
        let loaded = parse(r#"{"Ssm":{"Endpoint":"http://10.0.0.1"},"allowPlainHttp":true}"#);
        assert!(loaded.config.allow_plain_http && loaded.not_honoured.is_empty());
    }

    #[test]
    fn a_file_in_the_native_spelling_is_none_of_these() {
        assert!(!is_original(&json::parse(r#"{"region":"x"}"#).unwrap()));
        assert!(!is_original(&json::parse(r#"{"identity":{"keyMaxAgeDays":1}}"#).unwrap()));
        assert!(is_original(&json::parse(r#"{"Identity":{}}"#).unwrap()));
    }
}
