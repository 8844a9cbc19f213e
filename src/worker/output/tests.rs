use super::*;
use crate::spool::OutputTo;
use crate::testing::Folder;
use stint_wire::json::parse;

fn step(name: &str, plugin: &str, inputs: &str) -> Step {
    Step {
        line: 1,
        name: name.into(),
        plugin: plugin.into(),
        inputs: vec![parse(inputs).unwrap()],
        precondition: None,
        may_be_skipped: true,
    }
}

fn result(stdout: &str, stderr: &str) -> StepOutcome {
    StepOutcome {
        name: "s".into(),
        plugin: "p".into(),
        status: "Success".into(),
        code: 0,
        started: String::new(),
        ended: String::new(),
        stdout: stdout.into(),
        stderr: stderr.into(),
        uploaded: None,
    }
}

fn delivery(to: OutputTo, step: &Step, result: &StepOutcome) -> Option<Delivery> {
    let job = Job {
        id: "c-1".into(),
        receipt: String::new(),
        created: String::new(),
        node: "mi-1".into(),
        region: String::new(),
        document_name: String::new(),
        document: String::new(),
        parameters: String::new(),
        output: Some(to),
    };
    Delivery::of(&job, step, result, PathBuf::new())
}

fn to(bucket: &str, prefix: &str, group: &str) -> OutputTo {
    OutputTo { bucket: bucket.into(), prefix: prefix.into(), log_group: group.into() }
}

#[test]
fn keys_and_streams_are_named_as_the_original_names_them() {
    let shell = "aws:runShellScript";
    for (name, inputs, prefix, place, part, stream) in [
        ("s:1", "{}", "a/b", "a/b/c-1/mi-1", "s1", "c-1/mi-1/s-1"),
        (
            shell,
            r#"{"id":"0.aws:runShellScript"}"#,
            "",
            "c-1/mi-1",
            "0.awsrunShellScript",
            "c-1/mi-1/0.aws-runShellScript",
        ),
        (shell, "{}", "", "c-1/mi-1", "", "c-1/mi-1"),
    ] {
        let step = step(name, shell, inputs);
        let found = delivery(to("b", prefix, "g"), &step, &result("", "")).unwrap();
        assert_eq!((found.plugin.as_str(), found.stream.as_str()), ("awsrunShellScript", stream));
        let bucket = found.bucket.unwrap();
        assert_eq!([bucket.bucket, bucket.prefix, bucket.step], ["b", place, part]);
    }
}

#[test]
fn until_it_is_over_the_result_says_that_the_output_is_not_there() {
    let step = step("s", "p", "{}");
    let mut told = result("out", "err");
    delivery(to("b", "", "g"), &step, &told.clone()).unwrap().announce(&mut told);
    assert_eq!(told.uploaded.unwrap().bucket, "b");
    let lines: Vec<_> = told.stderr.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0] == "err" && lines[1].contains("not uploaded"), "{lines:?}");
    let mut told = result("out", "err");
    delivery(to("", "", "g"), &step, &told.clone()).unwrap().announce(&mut told);
    assert_eq!(told.uploaded, None);
}

#[test]
fn a_file_holds_all_that_the_step_said() {
    let folder = Folder::new();
    let path = folder.path().join("stderr");
    let read = || fs::read(&path).unwrap();
    assert!(!complete(&path, "").unwrap());
    assert!(complete(&path, "a reason").unwrap());
    assert_eq!(read(), b"a reason");
    fs::write(&path, "said\n").unwrap();
    assert!(complete(&path, "said\nexit status 7").unwrap());
    assert_eq!(read(), b"said\nexit status 7");
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(complete(&path, "\u{fffd}\u{fffd}exit status 7").unwrap());
    assert_eq!(read(), b"\xff\xfe");
    let long = "x".repeat(STREAM_LIMIT * 2);
    fs::write(&path, &long).unwrap();
    assert!(complete(&path, &limit_stream(&long)).unwrap());
    assert_eq!(read(), long.as_bytes());
}
