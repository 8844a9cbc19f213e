//! Good documents pass; each fault is named with its place.

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// The message of the refusal, empty if there is none.
fn told(kind: &str, document: &Value) -> String {
    match check(kind, Format::Json, &document.to_string()) {
        Ok(_) => String::new(),
        Err(error) => {
            assert_eq!(error.code, "InvalidDocumentContent", "{}", error.message);
            error.message
        }
    }
}

fn step(inputs: Value) -> Value {
    json!({"action": "aws:runShellScript", "name": "one", "inputs": inputs})
}

fn command(steps: Value) -> Value {
    json!({"schemaVersion": "2.2", "parameters": {"p": {"type": "String"}}, "mainSteps": steps})
}

fn parameter(declaration: Value) -> Value {
    json!({"schemaVersion": "2.2", "parameters": {"p": declaration},
           "mainSteps": [step(json!({"runCommand": ["{{ p }}"]}))]})
}

#[test]
fn every_built_in_document_passes() {
    for document in super::super::built_in::all() {
        let kind = document.summary.document_type.as_str();
        assert_eq!(told(kind, document.content.value()), "", "{}", document.summary.name);
    }
}

#[test]
fn good_commands_pass() {
    for steps in [
        json!([step(json!({"runCommand": ["true"]}))]),
        json!([step(json!({"runCommand": "{{ p }}", "timeoutSeconds": "{{ p }}"}))]),
        json!([step(json!({"runCommand": ["docker ps --format '{{json .}}' {{ item }}"],
                           "timeoutSeconds": 5, "onFailure": "exit"}))]),
        json!([{"action": "aws:softwareInventory", "name": "a", "unknownKey": 1}]),
        json!([{"action": "aws:downloadContent", "name": "a", "maxAttempts": 3,
                "precondition": {"StringEquals": ["{{ p }}", "yes"]},
                "inputs": {"sourceType": "{{ p }}", "sourceInfo": "{{ ssm:where }}"}}]),
    ] {
        assert_eq!(told("Command", &command(steps.clone())), "", "{steps}");
    }
    for declaration in [
        json!({"type": "String", "default": "", "allowedPattern": "(^$)|[a-z]+"}),
        json!({"type": "String", "default": "", "allowedValues": ["lab", "prod"], "minChars": 1}),
        json!({"type": "StringList", "default": [], "minItems": 1}),
        json!({"type": "Integer", "default": 12345, "maxChars": 2}),
        json!({"type": "String", "default": "a", "allowedValues": ["a", 1], "maxChars": "5"}),
        json!({"type": "StringList", "default": ["a"], "minItems": 1, "maxItems": 1}),
        json!({"type": "Boolean", "default": "true"}),
        json!({"type": "Integer", "default": 5}),
        json!({"type": "StringMap", "default": {}, "displayType": "textarea"}),
        json!({"type": "MapList", "default": [{}]}),
    ] {
        assert_eq!(told("Command", &parameter(declaration.clone())), "", "{declaration}");
    }
}

#[test]
fn each_fault_of_a_command_is_named_with_its_place() {
    let one = |inputs: Value| command(json!([step(inputs)]));
    let with = |member: &str, value: Value| {
        let mut step = step(json!({"runCommand": ["true"]}));
        step[member] = value;
        command(json!([step]))
    };
    let good = step(json!({"runCommand": ["true"]}));
    for (document, place) in [
        (json!({"schemaVersion": "2.2"}), "mainSteps is missing"),
        (command(json!([])), "mainSteps is empty"),
        (command(json!({})), "mainSteps has to be a list"),
        (command(json!([1])), "mainSteps[0] has to be an object"),
        (command(json!([good, good])), "mainSteps[1].name is 'one', as another step's"),
        (with("name", json!("a/b")), "mainSteps[0].name has to be"),
        (with("name", json!("..")), "mainSteps[0].name has to be"),
        (with("name", json!(null)), "mainSteps[0].name has to be a text"),
        (with("action", json!("aws:runShelScript")), "mainSteps[0].action names the plugin"),
        (with("action", json!("")), "mainSteps[0].action is empty"),
        (with("inputs", json!([])), "mainSteps[0].inputs has to be an object"),
        (with("precondition", json!({})), "mainSteps[0].precondition has to be"),
        (with("precondition", json!({"Equals": []})), "precondition.Equals is no operator"),
        (with("precondition", json!({"StringEquals": ["platformType"]})), "has to be two texts"),
        (with("precondition", json!({"StringEquals": ["a", "b"]})), "has to compare platformType"),
        (one(json!({})), "mainSteps[0].inputs.runCommand is missing"),
        (one(json!({"runCommand": []})), "mainSteps[0].inputs.runCommand is empty"),
        (one(json!({"runCommand": ["a", 1]})), "inputs.runCommand[1] has to be a text, not 1"),
        (one(json!({"runCommand": "{{ q }}"})), "inputs.runCommand names the parameter 'q'"),
        (one(json!({"runCommand": ["a"], "timeoutSeconds": "soon"})), "inputs.timeoutSeconds has"),
        (
            command(json!([{"action": "aws:downloadContent", "name": "d",
                            "inputs": {"sourceType": "FTP"}}])),
            "inputs.sourceType has to be one of Git, GitHub, HTTP, S3, SSMDocument, not 'FTP'; \
             mainSteps[0].inputs.sourceInfo is missing",
        ),
        (
            command(json!([{"action": "aws:runDocument", "name": "d"}])),
            "mainSteps[0].inputs.documentType is missing; mainSteps[0].inputs.documentPath",
        ),
        (
            command(json!([{"action": "aws:runDockerAction", "name": "d",
                            "inputs": {"action": "Fly"}}])),
            "inputs.action has to be one of Create, ",
        ),
        (
            json!({"schemaVersion": "2.0", "mainSteps": [with("precondition",
                json!({"StringEquals": ["platformType", "Linux"]}))["mainSteps"][0]]}),
            "mainSteps[0].precondition needs schemaVersion 2.2",
        ),
        (json!({"schemaVersion": "1.2", "mainSteps": []}), "mainSteps belongs to schema 2.x"),
        (json!({"schemaVersion": "1.2", "runtimeConfig": {}}), "runtimeConfig is empty"),
        (
            json!({"schemaVersion": "1.2", "runtimeConfig": {"aws:runShellScript": {}}}),
            "runtimeConfig.aws:runShellScript.properties is missing",
        ),
        (
            json!({"schemaVersion": "1.2", "runtimeConfig": {"aws:runShellScript":
                {"properties": [{"runCommand": 1}]}}}),
            "runtimeConfig.aws:runShellScript.properties[0].runCommand has to be a list",
        ),
    ] {
        let message = told("Command", &document);
        assert!(message.contains(place), "{place}: {message}");
    }
}

#[test]
fn each_fault_of_a_declaration_is_named_with_its_place() {
    for (declaration, place) in [
        (json!(1), "parameters.p has to be an object"),
        (json!({}), "parameters.p.type is missing"),
        (json!({"type": "Text"}), "parameters.p.type is 'Text', which is none of String, "),
        (json!({"type": "String", "default": 1}), "parameters.p.default has to be a String, not 1"),
        (json!({"type": "StringList", "default": "a"}), "parameters.p.default has to be a Str"),
        (json!({"type": "String", "default": null}), "parameters.p.default has to be a String"),
        (
            json!({"type": "String", "default": "c", "allowedValues": ["a"]}),
            "parameters.p.default is 'c', which is none of allowedValues",
        ),
        (
            json!({"type": "String", "default": "c", "allowedPattern": "[ab]"}),
            "parameters.p.default is 'c', which does not match allowedPattern",
        ),
        (
            json!({"type": "String", "default": "", "allowedPattern": "[a-z]+"}),
            "parameters.p.default is '', which does not match allowedPattern",
        ),
        (
            json!({"type": "String", "default": "c", "minChars": "2"}),
            "parameters.p.default is 'c', which is shorter than minChars",
        ),
        (
            json!({"type": "StringList", "default": ["a", "b"], "maxItems": 1}),
            "parameters.p.default has fewer items than minItems or more than maxItems",
        ),
        (json!({"type": "String", "allowedPattern": "(?!x)"}), "parameters.p.allowedPattern is no"),
        (json!({"type": "String", "allowedPattern": "["}), "parameters.p.allowedPattern is no"),
        (json!({"type": "String", "allowedValues": []}), "parameters.p.allowedValues is empty"),
        (json!({"type": "String", "minChars": -1}), "parameters.p.minChars has to be a whole"),
        (json!({"type": "String", "minChars": 5, "maxChars": 2}), "parameters.p.minChars is 5"),
    ] {
        let message = told("Command", &parameter(declaration));
        assert!(message.contains(place), "{place}: {message}");
    }
    let named = json!({"schemaVersion": "2.2", "parameters": {"my-unit": {"type": "String"}},
                       "mainSteps": [step(json!({"runCommand": ["true"]}))]});
    assert!(told("Command", &named).contains("parameters.my-unit has a name"));
}

#[test]
fn all_problems_are_told_at_once_and_no_more_than_twenty_are_listed() {
    let steps: Vec<Value> = (0..30).map(|n| json!({"name": format!("s{n}")})).collect();
    let message = told("Command", &command(json!(steps)));
    assert!(message.contains("mainSteps[19].action") && !message.contains("mainSteps[20]"));
    assert!(message.ends_with("and 10 more problems."), "{message}");
}

#[test]
fn syntax_size_format_and_schema_have_their_own_codes() {
    for (kind, format, text, code, words) in [
        ("Command", Format::Json, "{", "InvalidDocumentContent", "line 1 column 1"),
        ("Command", Format::Yaml, "a: b: c", "InvalidDocumentContent", "line 1 column"),
        ("Command", Format::Text, "x", "InvalidDocumentContent", "not as TEXT"),
        ("Command", Format::Json, "[]", "InvalidDocumentContent", "has to be an object"),
        ("ChangeCalendar", Format::Json, "{}", "InvalidDocumentContent", "TEXT"),
        ("Command", Format::Json, "{}", "InvalidDocumentSchemaVersion", "missing"),
        ("Command", Format::Yaml, "schemaVersion: 0.3", "InvalidDocumentSchemaVersion", "'0.3'"),
        ("Session", Format::Json, r#"{"schemaVersion": 1}"#, "InvalidDocumentSchemaVersion", "1"),
    ] {
        let error = check(kind, format, text).unwrap_err();
        assert_eq!(error.code, code, "{text}");
        assert!(error.message.contains(words), "{}", error.message);
    }
    let large = "x".repeat(MOST_BYTES + 1);
    let error = check("Command", Format::Json, &large).unwrap_err();
    assert_eq!(error.code, "MaxDocumentSizeExceeded");
}

#[test]
fn runbooks_sessions_and_manifests_are_checked_for_their_frame() {
    let runbook = |step: Value| {
        json!({"schemaVersion": "0.3", "assumeRole": "{{ role }}",
               "parameters": {"role": {"type": "AWS::IAM::Role::Arn", "default": ""}},
               "mainSteps": [step, {"name": "end", "action": "aws:sleep", "isEnd": true}]})
    };
    let good = json!({"name": "begin", "action": "aws:runCommand", "nextStep": "end",
                      "onFailure": "step:end", "inputs": {}});
    assert_eq!(told("Automation", &runbook(good)), "");
    for (bad, place) in [
        (json!({"name": "a", "action": "aws:x"}), "mainSteps[0].name has to be 3"),
        (json!({"name": "end", "action": "aws:x"}), "mainSteps[1].name is 'end'"),
        (json!({"name": "one", "action": "x"}), "mainSteps[0].action has to begin with aws:"),
        (json!({"name": "one", "action": "aws:x", "nextStep": "two"}), "mainSteps[0].nextStep na"),
        (json!({"name": "one", "action": "aws:x", "onFailure": "step:no"}), "onFailure names"),
        (json!({"name": "one", "action": "aws:x", "onFailure": "Stop"}), "onFailure has to be"),
        (json!({"name": "one", "action": "aws:x", "isEnd": 1}), "mainSteps[0].isEnd has to be"),
    ] {
        let message = told("Automation", &runbook(bad));
        assert!(message.contains(place), "{place}: {message}");
    }

    let session = json!({"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}});
    assert_eq!(told("Session", &session), "");
    let bad = json!({"schemaVersion": "1.0", "sessionType": "Port"});
    assert!(told("Session", &bad).contains("properties is missing"));

    let manifest = |file: &str, sum: &str| {
        json!({"schemaVersion": "2.0", "version": "1.0",
               "packages": {"_any": {"_any": {"arm64": {"file": file}}}},
               "files": {"a.zip": {"checksums": {"sha256": sum}}}})
    };
    assert_eq!(told("Package", &manifest("a.zip", &"0".repeat(64))), "");
    assert!(told("Package", &manifest("b.zip", &"0".repeat(64))).contains("_any.arm64.file is 'b"));
    assert!(told("Package", &manifest("a.zip", "0")).contains("files.a.zip.checksums.sha256"));
}

#[test]
fn calendars_are_one_closed_calendar_with_events_that_begin() {
    let calendar = |inner: &str| {
        let text = format!(
            "BEGIN:VCALENDAR\r\nPRODID:-//stint//EN\r\nVERSION:2.0\r\n{inner}END:VCALENDAR\r\n"
        );
        match check("ChangeCalendar", Format::Text, &text) {
            Ok(_) => String::new(),
            Err(error) => error.message,
        }
    };
    let event = "BEGIN:VEVENT\r\nDTSTART;TZID=Europe/Berlin:20261224T000000\r\nSUMMARY:a\r\n very \
                 long: line\r\nEND:VEVENT\r\n";
    assert_eq!(calendar(&format!("X-CALENDAR-TYPE:DEFAULT_OPEN\r\n{event}")), "");
    for (inner, words) in [
        ("BEGIN:VEVENT\r\nEND:VEVENT\r\n", "VEVENT of line 4 has no DTSTART"),
        ("BEGIN:VEVENT\r\n", "line 5 ends VCALENDAR, but VEVENT of line 4 is open"),
        ("nonsense\r\n", "line 4 has no colon"),
        ("X-CALENDAR-TYPE:OPEN\r\n", "line 4 has to be DEFAULT_OPEN"),
        ("END:VEVENT\r\n", "line 4 ends VEVENT, but VCALENDAR"),
    ] {
        let message = calendar(inner);
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(check("ChangeCalendar", Format::Text, "hello: you").is_err());
}

/// A document is checked while other requests wait for the same thread.
#[test]
fn no_document_of_the_largest_size_takes_long() {
    for part in [
        "[", "{", "- ", "? ", "a: ", "{a: ", "&a ", "*a ", "&a [*a, ", "\"", "'", "|\n", "a: &a\n",
        "#", "--- ", "!!str ", "%", "\t", "a:\n ", "a, ", "\n", "- a\n", "- {}\n", "<<: ",
        "\u{feff}", "\r", "{{ a }}", "a: b: ",
    ] {
        let text = part.repeat(MOST_BYTES / part.len());
        let keys: String = (0..MOST_BYTES / 12).map(|n| format!("{part}k{n}: 1\n")).collect();
        for text in [text, keys] {
            let text = stint_wire::text::head(&text, MOST_BYTES);
            let started = std::time::Instant::now();
            for format in [Format::Json, Format::Yaml] {
                let _ = check("Command", format, text);
            }
            let took = started.elapsed();
            assert!(took.as_secs() < 5, "{part:?} {took:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_checks_panic(text: String, kind in "Command|Automation|Session|Package|ChangeCalendar") {
        for format in [Format::Json, Format::Yaml, Format::Text] {
            let _ = check(&kind, format, &text);
        }
    }

    #[test]
    fn no_yaml_of_familiar_words_does_either(lines in prop::collection::vec(
        "( {0,6}(- )?)(schemaVersion|mainSteps|parameters|inputs|name|action|runCommand|files|packages): ?('2.2'|0.3|\\{\\}|\\[\\]|x|1)?", 0..12))
    {
        for kind in ["Command", "Automation", "Session", "Package"] {
            let _ = check(kind, Format::Yaml, &lines.join("\n"));
        }
    }
}
