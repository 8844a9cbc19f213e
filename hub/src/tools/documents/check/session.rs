//! Documents of type Session: preferences and kinds of sessions.

use super::parameters;
use super::problems::{Problems, is_filled_in, shown};
use serde_json::{Map, Value};
use stint_wire::transcript::{WANTED, YES};

/// The longest idle time of a session, minutes (AWS's documentation).
pub const MOST_IDLE_MINUTES: i64 = 60;

/// The longest duration of a session, minutes (the model's).
pub const MOST_MINUTES: i64 = 1440;

/// The words for "no" in `inputs`: those that Go takes, and none at all.
const NO: [&str; 7] = ["", "0", "f", "F", "false", "FALSE", "False"];

/// What a preference may be.
enum Kind {
    Text,
    /// True or false, or a word for it.
    Truth,
    /// True or false; amazon-ssm-agent takes no word there.
    Boolean,
    /// A number of minutes, from 1 to this.
    Minutes(i64),
    /// What a shell is told first, by system.
    Profile,
}

/// The preferences of sessions, by the names of AWS's service, and the hub's own.
const INPUTS: [(&str, Kind); 13] = [
    ("s3BucketName", Kind::Text),
    ("s3KeyPrefix", Kind::Text),
    ("s3EncryptionEnabled", Kind::Truth),
    ("cloudWatchLogGroupName", Kind::Text),
    ("cloudWatchEncryptionEnabled", Kind::Truth),
    ("cloudWatchStreamingEnabled", Kind::Boolean),
    ("kmsKeyId", Kind::Text),
    ("runAsEnabled", Kind::Truth),
    ("runAsDefaultUser", Kind::Text),
    ("idleSessionTimeout", Kind::Minutes(MOST_IDLE_MINUTES)),
    ("maxSessionDuration", Kind::Minutes(MOST_MINUTES)),
    ("shellProfile", Kind::Profile),
    (WANTED, Kind::Truth),
];

const TYPES: [&str; 4] =
    ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands", "Port"];

/// Checks a Session document.
pub fn check(document: &Value, problems: &mut Problems) {
    let kind = problems.text("sessionType", document.get("sessionType")).unwrap_or_default();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        problems.add("sessionType", format!("is '{kind}', which is none of {}", TYPES.join(", ")));
    }
    parameters::check(document, &parameters::TYPES, problems);
    for name in ["inputs", "properties"] {
        if document.get(name).is_some_and(|v| !v.is_object()) {
            problems.add(name, "has to be an object");
        }
    }
    if let Some(given) = document.get("inputs").and_then(Value::as_object) {
        inputs(given, problems);
    }
    if kind.ends_with("InteractiveCommands") && document.get("properties").is_none() {
        problems.add("properties", "is missing; it holds the commands");
    }
    if kind == "Port" && document.get("properties").is_none() {
        problems.add("properties", "is missing; it holds portNumber");
    }
}

/// A name that nobody knows is a problem: what it was meant to keep or to forbid would silently be left out.
fn inputs(given: &Map<String, Value>, problems: &mut Problems) {
    for (name, value) in given {
        let place = format!("inputs.{name}");
        // Nodes read names in any case.
        let known = INPUTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((known, kind)) = known else {
            let names = INPUTS.map(|(known, _)| known).join(", ");
            problems.add(place, format!("is no preference of sessions; there are {names}"));
            continue;
        };
        if given.keys().any(|other| other < name && other.eq_ignore_ascii_case(name)) {
            problems.add(&place, format!("is there twice; write {known} once"));
        }
        if let Some(wanted) = mistaken(&place, kind, value, problems) {
            problems.add(place, format!("has to be {wanted}, not {}", shown(value)));
        }
    }
}

/// What a value has to be that isn't. Nothing at all, as YAML has it, says nothing.
fn mistaken(place: &str, kind: &Kind, value: &Value, problems: &mut Problems) -> Option<String> {
    let word = value.as_str();
    let truth = "true or false";
    match kind {
        _ if value.is_null() => None,
        Kind::Text => word.is_none().then(|| "a text".to_owned()),
        Kind::Truth => {
            let good = |word: &str| YES.contains(&word) || NO.contains(&word) || is_filled_in(word);
            (!value.is_boolean() && !word.is_some_and(good)).then(|| truth.to_owned())
        }
        Kind::Boolean => (!value.is_boolean()).then(|| format!("{truth} without quotation marks")),
        Kind::Minutes(most) => (word != Some("") && minutes(value, *most).is_none())
            .then(|| format!("a number of minutes from 1 to {most}")),
        Kind::Profile => {
            let Some(systems) = value.as_object() else {
                return Some("an object with linux and windows".to_owned());
            };
            for (system, line) in systems {
                let place = format!("{place}.{system}");
                if !["linux", "windows"].iter().any(|known| known.eq_ignore_ascii_case(system)) {
                    problems.add(place, "is no system; there are linux and windows");
                } else if !line.is_string() && !line.is_null() {
                    problems.add(place, format!("has to be a text, not {}", shown(line)));
                }
            }
            None
        }
    }
}

/// Documents write minutes as texts or numbers; `None` for what is none, or out of its bounds: it says nothing.
pub fn minutes(value: &Value, most: i64) -> Option<i64> {
    let minutes = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_i64()?,
    };
    (1..=most).contains(&minutes).then_some(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(inputs: Value) -> String {
        let mut problems = Problems::default();
        let document = json!({"sessionType": "Standard_Stream", "inputs": inputs});
        check(&document, &mut problems);
        problems.sentence(20).unwrap_or_default()
    }

    #[test]
    fn preferences_as_aws_writes_them_pass() {
        let all = json!({"s3BucketName": "", "s3KeyPrefix": "p", "s3EncryptionEnabled": true,
            "cloudWatchLogGroupName": "g", "cloudWatchEncryptionEnabled": "false",
            "cloudWatchStreamingEnabled": true, "kmsKeyId": "", "runAsEnabled": "",
            "runAsDefaultUser": "{{ who }}", "idleSessionTimeout": "20", "maxSessionDuration": "",
            "shellProfile": {"windows": "", "linux": "cd /srv"}, "hubTranscriptEnabled": true});
        assert_eq!(told(all), "");
        for good in [
            json!({"IdleSessionTimeout": 60, "MAXSESSIONDURATION": "1440", "RunAsEnabled": "{{ x }}"}),
            json!({"s3BucketName": null, "shellProfile": null, "maxSessionDuration": null}),
            json!({"shellProfile": {"Linux": ""}}),
        ] {
            assert_eq!(told(good.clone()), "", "{good}");
        }
    }

    #[test]
    fn each_fault_of_the_preferences_is_named_with_its_place() {
        for (bad, place) in [
            (
                json!({"hubTranscriptEnabledd": true}),
                "inputs.hubTranscriptEnabledd is no preference",
            ),
            (
                json!({"idleSessionTimeout": "99"}),
                "inputs.idleSessionTimeout has to be a number of minutes from 1 to 60, not '99'",
            ),
            (json!({"idleSessionTimeout": 0}), "inputs.idleSessionTimeout has"),
            (json!({"idleSessionTimeout": "{{ idle }}"}), "inputs.idleSessionTimeout has"),
            (json!({"maxSessionDuration": "1441"}), "from 1 to 1440, not '1441'"),
            (json!({"maxSessionDuration": 1.5}), "inputs.maxSessionDuration has"),
            (
                json!({"runAsEnabled": "yes"}),
                "inputs.runAsEnabled has to be true or false, not 'yes'",
            ),
            (json!({"hubTranscriptEnabled": 1}), "inputs.hubTranscriptEnabled has"),
            (
                json!({"cloudWatchStreamingEnabled": "true"}),
                "inputs.cloudWatchStreamingEnabled has",
            ),
            (json!({"s3BucketName": 5}), "inputs.s3BucketName has to be a text, not 5"),
            (json!({"shellProfile": "cd"}), "inputs.shellProfile has to be an object"),
            (json!({"shellProfile": {"mac": ""}}), "inputs.shellProfile.mac is no system"),
            (json!({"shellProfile": {"linux": 1}}), "inputs.shellProfile.linux has to be a text"),
            (
                json!({"runAsEnabled": true, "RunAsEnabled": true}),
                "inputs.runAsEnabled is there twice",
            ),
        ] {
            let message = told(bad);
            assert!(message.contains(place), "{place}: {message}");
        }
        assert_eq!(told(json!({"a": 1, "b": 2})).matches("is no preference").count(), 2);
    }

    #[test]
    fn minutes_are_texts_or_numbers_within_their_bounds() {
        for (value, expected) in [
            (json!("20"), Some(20)),
            (json!(1), Some(1)),
            (json!("60"), Some(60)),
            (json!("61"), None),
            (json!("0"), None),
            (json!(""), None),
            (json!("soon"), None),
            (json!(null), None),
        ] {
            assert_eq!(minutes(&value, 60), expected, "{value}");
        }
    }
}
