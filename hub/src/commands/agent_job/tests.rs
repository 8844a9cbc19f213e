//! What operators write, and what nodes get.

use super::*;
use crate::tools::testbed::Testbed;
use proptest::prelude::*;

fn built_in() -> Value {
    serde_json::from_str(include_str!("../../../documents/Stint-ConfigureAgent.json")).unwrap()
}

fn given(parameters: Value) -> Map<String, Value> {
    parameters.as_object().unwrap().clone()
}

#[test]
fn what_nobody_gave_is_not_there_and_what_is_given_empty_is() {
    let content = built_in();
    let step = sole_step(&content).unwrap();
    let filled = inputs(&content, step, &given(json!({"Action": ["config"], "Name": ["a"]})));
    assert_eq!(
        Value::Object(filled.clone()),
        json!({"action": "config", "name": "a", "timeoutSeconds": "3600"})
    );
    let kept = job("1", &filled).unwrap();
    assert_eq!((kept.envs, kept.limits), (None, None));
    let empty = json!({"Action": ["config"], "Name": ["a"], "Envs": ["{}"], "Limits": ["{}"]});
    let cleared = job("1", &inputs(&content, step, &given(empty))).unwrap();
    assert_eq!(cleared.envs, Some(vec![]));
    assert!(cleared.limits.is_some());
}

#[test]
fn every_parameter_of_the_document_reaches_the_job() {
    let content = built_in();
    let parameters = json!({
        "Action": ["install"], "Name": ["a"], "Url": ["http://h/a.deb"],
        "Checksum": [format!("SHA256:{}", "0".repeat(64))], "Version": ["1.2"],
        "Envs": ["{\"A\": \"b\"}"], "Limits": ["{\"CPU\": \"10%\"}"],
        "Definition": ["{\"exec\": \"bin/a\", \"stopsecs\": 5}"], "Force": ["true"],
        "SvrList": ["h:1"], "Step": ["600"],
    });
    let filled = inputs(&content, sole_step(&content).unwrap(), &given(parameters));
    let job = job("1", &filled).unwrap();
    assert_eq!((job.action, job.name.as_str()), (Action::Install, "a"));
    assert_eq!(job.version.as_deref(), Some("1.2"));
    assert_eq!(job.envs, Some(vec![("A".to_owned(), "b".to_owned())]));
    assert_eq!(job.limits.unwrap().cpu, Some(1000));
    assert!(job.definition.unwrap().contains("\"stopsecs\""));
    assert!(job.force && job.url.is_some() && job.checksum.is_some());
    assert_eq!((job.server_list.as_deref(), job.step), (Some("h:1"), Some(600)));
}

#[test]
fn operators_own_documents_may_fix_some_of_it() {
    let content = json!({"schemaVersion": "2.2",
        "parameters": {"Site": {"type": "String", "default": "lab"}, "Wait": {"type": "String"}},
        "mainSteps": [{"action": PLUGIN, "name": "s", "inputs": {
            "action": "config", "name": "sensor", "envs": {"SITE": "site-{{ Site }}", "W": "{{Wait}}s"}}}]});
    let filled = inputs(&content, sole_step(&content).unwrap(), &given(json!({"Wait": ["5"]})));
    let envs = job("1", &filled).unwrap().envs.unwrap();
    assert_eq!(envs, [("SITE".into(), "site-lab".into()), ("W".into(), "5s".into())]);
}

#[test]
fn only_a_document_of_one_step_is_a_job() {
    let step = json!({"action": PLUGIN, "name": "s", "inputs": {}});
    let shell = json!({"action": "aws:runShellScript", "name": "t", "inputs": {}});
    let of = |steps: &[&Value]| json!({"mainSteps": steps});
    assert!(sole_step(&of(&[&step])).is_some());
    for other in [of(&[&step, &shell]), of(&[&shell]), of(&[]), json!({}), json!(null)] {
        assert!(sole_step(&other).is_none(), "{other}");
    }
    assert!(has_steps(&of(&[&shell, &step])) && !has_steps(&of(&[&shell])));
}

#[test]
fn a_secret_is_never_sent_as_its_reference() {
    let inputs = given(json!({"action": "config", "name": "a", "envs": {"K": "{{ssm-secure:k}}"}}));
    assert!(job("1", &inputs).unwrap_err().contains("Parameter Store"));
}

#[tokio::test]
async fn a_node_that_runs_documents_gets_the_link_in_its_document() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[("arch", "x86_64")]).await;
    for arch in ["armv7", "x86_64"] {
        bed.sql(
            "INSERT INTO package VALUES ('sensor', '1.0', $1, 'sensor.deb', $2, 4, 1)",
            &[arch, &format!("hash-{arch}")],
        )
        .await;
    }
    let content = built_in();
    let parameters = given(json!({"Action": ["install"], "Package": ["sensor"], "Name": ["mine"]}));
    let place = Place { node: &node, endpoint: "https://hub", now: Utc(1) };
    let prepared = prepare(&bed.app, &content, &parameters, &place).await.unwrap().unwrap();
    let inputs = prepared.pointer("/mainSteps/0/inputs").unwrap();
    assert_eq!(inputs["checksum"], "SHA256:hash-x86_64");
    assert!(inputs["url"].as_str().unwrap().starts_with("https://hub/attachments/hash-x86_64/"));
    // What the link leads to stays for as long as the link is good.
    let kept: (String, i64) = sqlx::query_as("SELECT hash, until FROM promised_content")
        .fetch_one(&bed.app.store.read)
        .await
        .unwrap();
    assert_eq!(kept, ("hash-x86_64".to_owned(), 1 + 24 * 3_600_000));
    assert_eq!((&inputs["action"], &inputs["name"]), (&json!("{{ Action }}"), &json!("mine")));
    assert_eq!(inputs["version"], "1.0");
    let names: Vec<&String> = inputs.as_object().unwrap().keys().collect();
    assert!(!names.iter().any(|n| ["package", "envs", "limits", "step"].contains(&n.as_str())));

    let nowhere = bed.node(2, &[]).await;
    let place = Place { node: &nowhere, ..place };
    let refused = prepare(&bed.app, &content, &parameters, &place).await.unwrap().unwrap_err();
    assert!(refused.contains("tag `arch`"), "{refused}");
    let shell = json!({"mainSteps": [{"action": "aws:runShellScript", "name": "t", "inputs": {}}]});
    let same = prepare(&bed.app, &shell, &given(json!({})), &place).await.unwrap().unwrap();
    assert_eq!(same, shell);
}

#[test]
fn a_job_fits_into_what_nodes_read() {
    let of = |size: usize| {
        let envs = json!({"A": "x".repeat(size), "Q": "\u{1}".repeat(size / 10)});
        job("1", &given(json!({"action": "config", "name": "a", "envs": envs})))
    };
    let fits = of(MOST_BYTES / 2).unwrap();
    assert!(fits.write().len() <= MOST_BYTES);
    let refused = of(MOST_BYTES * 2 / 3).unwrap_err();
    assert!(refused.contains("bytes, and nodes take 65536"), "{refused}");
}

proptest! {
    #[test]
    fn no_inputs_make_the_reader_panic(text: String, name: String) {
        let _ = job(&name, &given(json!({"action": text, "name": name, "envs": {&name: text}})));
        let content = json!({"parameters": {&name: {"default": text}},
            "mainSteps": [{"action": PLUGIN, "inputs": {"url": text, "name": format!("{{{{{name}}}}}")}}]});
        let _ = inputs(&content, sole_step(&content).unwrap(), &given(json!({&name: [&text]})));
    }
}
