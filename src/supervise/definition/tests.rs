use super::*;

fn error(text: &str) -> String {
    Definition::parse(text).unwrap_err().to_string()
}

#[test]
fn name_and_program_are_enough() {
    let text = r#"{"name": "BasicAgent", "exec": "/bin/agent"}"#;
    let read = Definition::parse(text).unwrap();
    let wanted = Definition {
        text: text.into(),
        name: "BasicAgent".into(),
        exec: "/bin/agent".into(),
        ..Definition::plain()
    };
    assert_eq!(read, wanted);
    assert!(!read.autostart && read.stop_signal == libc::SIGTERM && read.exit_codes == [0]);
}

#[test]
fn every_member_has_its_effect() {
    let text = r#"{"name": "a", "version": "1.2", "exec": "bin/a", "args": ["-f", ""], "type": "daemon",
        "pidfile": "/run/a.pid", "user": "nobody", "group": "7", "envs": {"A": "b"},
        "limits": {"CPU": "10%"}, "cgroup": {"MEM": 20480}, "single": true, "order": 3, "startsecs": 4, "autostart": true,
        "stopsecs": 5, "stopit": true, "stopasgroup": false, "stopsignal": "SIGUSR1",
        "restartsecs": 6, "retries": 7, "exitcodes": "0, 9", "autorestart": "yes",
        "check": {"interval": 8, "path": "/run/a.sock", "match": "string:OK"},
        "heartbeat": {"interval": 9}, "checkall": false, "checks": 2, "checksecs": 1}"#;
    let read = Definition::parse(text);
    let seconds = Duration::from_secs;
    let probe = |interval, wanted: &str| Probe {
        interval: seconds(interval),
        wanted: wanted.into(),
        is_pattern: false,
    };
    let wanted = Definition {
        text: text.into(),
        name: "a".into(),
        version: "1.2".into(),
        exec: "bin/a".into(),
        args: vec!["-f".into(), String::new()],
        daemon: true,
        pidfile: Some("/run/a.pid".into()),
        user: Some("nobody".into()),
        group: Some("7".into()),
        envs: vec![("A".into(), "b".into())],
        limits: Limits { cpu: Some(1000), memory: Some(20 << 20), ..Limits::default() },
        order: 3,
        start_time: seconds(4),
        autostart: true,
        stop_time: seconds(5),
        stop_with_agent: true,
        stop_as_group: false,
        stop_signal: libc::SIGUSR1,
        cooldown: Some(seconds(6)),
        retries: Some(7),
        exit_codes: vec![0, 9],
        restart: Restart::Always,
        check: Some(Check { path: "/run/a.sock".into(), probe: probe(8, "OK") }),
        heartbeat: Some(probe(9, "")),
        check_all: false,
        checks: 2,
        recheck: seconds(1),
    };
    assert_eq!(read.unwrap(), wanted);
}

#[test]
fn an_error_names_the_member_the_line_and_the_remedy() {
    for (text, wanted) in [
        ("{", "line 1: a member name"),
        ("[]", "line 1: \"the definition\" must be an object"),
        ("{\"exec\": \"/a\"}", "line 1: \"name\" is missing"),
        ("\n{\"name\": \"a\"}", "line 2: \"exec\" is missing"),
        ("{\"name\":\n\"a b\"}", "line 2: \"name\" must be letters, digits"),
        ("{\n\"nmae\": 1}", "line 2: there is no member \"nmae\"; the members here are name, ver"),
        ("{\"type\": \"once\"}", "\"type\" must be \"simple\" or \"daemon\""),
        ("{\"limits\": {\"CPU\": \"fast\"}}", "\"limits.CPU\" must be percent"),
        ("{\"stopsecs\": \"5\"}", "\"stopsecs\" must be a whole number of seconds"),
        ("{\"stopsignal\": \"SIGSTOP\"}", "\"stopsignal\" must be SIGTERM, SIGHUP"),
        ("{\"exitcodes\": \"0;9\"}", "\"exitcodes\" must be numbers, such as \"0,9\""),
        ("{\"autorestart\": true}", "\"autorestart\" must be \"yes\", \"no\""),
        ("{\"envs\": {\"A=\": \"b\"}}", "\"envs\" must be an object of texts"),
        ("{\"envs\": [\"A\"]}", "\"envs\" must be an object of texts"),
        ("{\"check\": {\"interval\": 5}}", "\"check.path\" must be the path of a Unix socket"),
        ("{\"check\": {\"match\": \"regex:(\"}}", "\"check.match\" must be \"string:\" and"),
        ("{\"heartbeat\": {\"path\": \"/a\"}}", "there is no member \"heartbeat.path\""),
        ("{\"autostart\": 1}", "\"autostart\" must be true or false"),
        ("{\"args\": \"-f\"}", "\"args\" must be a list of texts"),
    ] {
        let error = error(text);
        assert!(error.contains(wanted), "{text}: {error}");
    }
}
