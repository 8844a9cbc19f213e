use super::super::plugin::Bench;
use super::*;
use std::fs;
use stint_wire::json::{parse, quote};

fn shell(name: &str, script: &str) -> String {
    let script = quote(script);
    format!(
        r#"{{"action":"aws:runShellScript","name":"{name}","inputs":{{"runCommand":[{script}]}}}}"#
    )
}

fn document(steps: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":"2.2","parameters":{{"p":{{"type":"String","default":"std",
        "allowedPattern":"^[a-z]+$"}}}},"mainSteps":[{}]}}"#,
        steps.join(",")
    )
}

/// Runs the document, which is put among the downloads, with `more` inputs.
fn run_more(bench: &Bench, document: &str, more: &str) -> Ended {
    let downloads = bench.path().join("downloads");
    fs::create_dir_all(&downloads).unwrap();
    fs::write(downloads.join("d.json"), document).unwrap();
    let inputs = format!(r#"{{"documentType":"LocalPath","documentPath":"d.json"{more}}}"#);
    bench.with(|context| run(&parse(&inputs).unwrap(), 0, context))
}

fn run_it(steps: &[String]) -> Ended {
    run_more(&Bench::new(), &document(steps), "")
}

#[test]
fn the_outputs_come_in_the_order_of_the_steps_and_lie_in_the_outer_steps_files() {
    let bench = Bench::new();
    let steps = [
        shell("z", "echo one {{ p }}; echo e1 >&2"),
        shell("a", "echo two; echo e2 >&2"),
        shell("m", "pwd"),
    ];
    let ended = run_more(&bench, &document(&steps), r#","documentParameters":{"p":"given"}"#);
    let folder = bench.path().join("downloads");
    let out = format!("one given\n\ntwo\n\n{}\n", folder.display());
    assert_eq!((ended.status, ended.code, ended.stdout), (Status::Success, 0, out));
    assert_eq!(ended.stderr, "e1\n\ne2\n");
    assert_eq!(fs::read_to_string(bench.path().join("stderr")).unwrap(), "e1\ne2\n");
}

#[test]
fn the_status_is_the_weightiest_and_no_inner_code_gets_out() {
    let (fails, works) = (shell("f", "exit 7"), shell("w", "true"));
    let skipped = r#"{"action":"aws:runShellScript","name":"s",
        "precondition":{"StringEquals":["platformType","Windows"]}}"#
        .to_owned();
    let ended = run_it(&[works.clone(), skipped.clone()]);
    assert_eq!((ended.status, ended.code), (Status::Success, 0));
    assert!(ended.stdout.contains("Step s was skipped because its precondition"));
    let ended = run_it(&[fails, skipped.clone(), works]);
    assert_eq!((ended.status, ended.code), (Status::Failed, 1));
    assert_eq!(ended.stderr, "failed to run commands: exit status 7");
    assert_eq!(run_it(&[skipped]).status, Status::Skipped);
    let times_out = shell("t", "exit 137");
    assert_eq!(run_it(&[times_out, shell("f", "exit 1")]).status, Status::TimedOut);
}

#[test]
fn inner_steps_can_end_the_inner_document() {
    let ended = run_it(&[shell("a", "echo bad >&2; exit 168"), shell("b", "echo ran")]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Status::Success, ""));
    assert!(ended.stdout.contains("Step b was skipped because step a ended the document"));
}

#[test]
fn a_document_that_cannot_be_had_or_read_is_named() {
    let bench = Bench::new();
    for (inputs, wanted) in [
        ("{}", "the step has no documentPath"),
        (r#"{"documentPath":"x"}"#, "documentType must be SSMDocument or LocalPath, not \"\""),
        (
            r#"{"documentPath":"x.json","documentType":"LocalPath"}"#,
            "x.json: No such file or directory",
        ),
        (r#"{"documentPath":"/","documentType":"LocalPath"}"#, "can't read the document /: Is a"),
    ] {
        let ended = bench.with(|context| run(&parse(inputs).unwrap(), 0, context));
        assert_eq!((ended.status, ended.code), (Status::Failed, 1));
        assert!(ended.stderr.contains(wanted), "{inputs}: {}", ended.stderr);
    }
    for (text, wanted) in [
        ("schemaVersion: '2.2'\n", "YAML is read by the hub alone"),
        ("{", "d.json: the document is no JSON"),
        (r#"{"schemaVersion":"0.3"}"#, "schema version 0.3 is not supported"),
        (&" ".repeat(300_000), "larger than 256 KiB"),
    ] {
        let ended = run_more(&bench, text, "");
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    }
}

#[test]
fn values_of_parameter_store_are_judged_before_any_inner_step_runs() {
    let text = document(&[shell("a", "echo ran")]).replace(r#""std""#, r#""{{ssm:p}}""#);
    let ended = run_more(&Bench::new(), &text, "");
    assert_eq!((ended.status, ended.stdout.as_str()), (Status::Failed, ""));
    // The bench has no Parameter Store.
    assert!(ended.stderr.contains("d.json: parameters of Parameter Store"), "{}", ended.stderr);
}

#[test]
fn nothing_to_do_is_a_success() {
    let inputs = parse(r#"{"documentType":"SSMDocument","documentPath":"AWS-Noop"}"#).unwrap();
    let ended = Bench::new().with(|context| run(&inputs, 0, context));
    assert_eq!((ended.status, ended.code), (Status::Success, 0));
}

#[test]
fn documents_run_one_another_three_deep_and_no_deeper() {
    let bench = Bench::new();
    // It runs itself, for ever if it could.
    let path = bench.path().join("downloads/d.json");
    let again = format!(
        r#"{{"action":"aws:runDocument","name":"again","inputs":{{"documentType":"LocalPath",
        "documentPath":{}}}}}"#,
        quote(path.to_str().unwrap())
    );
    let ended = run_more(&bench, &document(&[shell("a", "echo here"), again]), "");
    assert_eq!(ended.stdout.matches("here").count(), 3);
    assert_eq!(ended.status, Status::Failed);
    assert!(ended.stderr.contains("3 deep"), "{}", ended.stderr);
}

#[test]
fn a_time_limit_of_the_whole_ends_the_step_that_runs_and_starts_no_other() {
    let steps = [shell("a", "echo begun; sleep 60"), shell("b", "echo never")];
    let ended = run_more(&Bench::new(), &document(&steps), r#","timeoutSeconds":5"#);
    assert_eq!((ended.status, ended.stdout.as_str()), (Status::TimedOut, "begun\n"));
    assert_eq!(ended.stderr, "Step b was out of time before it was started.\n");
}

#[test]
fn a_reboot_inside_goes_on_with_the_step_that_asked_for_it() {
    let bench = Bench::new();
    let before = bench.path().join("before");
    let steps = [
        shell("a", "echo first"),
        shell("b", &format!("mkdir {0} 2>/dev/null && exit 194; echo second", before.display())),
        shell("c", "echo third"),
    ];
    let ended = run_more(&bench, &document(&steps), "");
    assert_eq!((ended.status, ended.code), (Status::SuccessAndReboot, 194));
    assert_eq!(ended.stdout, "first\n");
    // Over the reboot the file may change; what was begun is gone on with.
    let ended = run_more(&bench, "{}", "");
    assert_eq!((ended.status, ended.code), (Status::Success, 0));
    assert_eq!(ended.stdout, "first\n\nsecond\n\nthird\n");
}

#[test]
fn a_damaged_note_of_a_reboot_runs_nothing() {
    let bench = Bench::new();
    fs::write(bench.path().join("document-0.json"), "{").unwrap();
    let ended = run_more(&bench, &document(&[shell("a", "echo again")]), "");
    assert!(ended.stderr.contains("can't tell how far"), "{}", ended.stderr);
    assert_eq!((ended.status, ended.stdout.as_str()), (Status::Failed, ""));
}

#[test]
fn two_documents_of_one_step_reboot_apart() {
    let bench = Bench::new();
    let once = |name: &str| {
        let marker = bench.path().join(name);
        shell("s", &format!("mkdir {} 2>/dev/null && exit 194; echo {name}", marker.display()))
    };
    let path = |name: &str| {
        let path = bench.path().join(format!("{name}.json"));
        fs::write(&path, document(&[once(name)])).unwrap();
        format!(
            r#"{{"action":"aws:runDocument","name":"{name}","inputs":{{"documentType":"LocalPath",
            "documentPath":{}}}}}"#,
            quote(path.to_str().unwrap())
        )
    };
    let outer = document(&[path("one"), path("two")]);
    for status in [Status::SuccessAndReboot, Status::SuccessAndReboot, Status::Success] {
        assert_eq!(run_more(&bench, &outer, "").status, status);
    }
}
