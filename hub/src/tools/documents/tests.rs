//! Documents as operators use them.

use crate::tools::testbed::{Testbed, command_id};
use serde_json::{Value, json};

const NAME: &str = "Edge-Restart";

const YAML: &str = "schemaVersion: '2.2'\ndescription: restart a unit\nparameters:\n  unit: {type: \
                    String, description: unit name, default: yes}\nmainSteps:\n- action: \
                    aws:runShellScript\n  name: r\n  inputs:\n    runCommand:\n    - systemctl \
                    restart '{{ unit }}'\n";

/// A Command document that prints a word.
fn content(word: &str) -> String {
    json!({
        "schemaVersion": "2.2",
        "description": format!("says {word}"),
        "mainSteps": [{"action": "aws:runShellScript", "name": "say",
                       "inputs": {"runCommand": [format!("echo {word}")]}}],
    })
    .to_string()
}

async fn create(bed: &Testbed, name: &str, more: Value) -> Value {
    let mut input = json!({"Name": name, "Content": content(name)});
    for (member, value) in more.as_object().unwrap() {
        input[member] = value.clone();
    }
    bed.ok("CreateDocument", input).await["DocumentDescription"].clone()
}

async fn update(bed: &Testbed, name: &str, word: &str, more: Value) -> Value {
    let mut input = json!({"Name": name, "Content": content(word), "DocumentVersion": "$LATEST"});
    for (member, value) in more.as_object().unwrap() {
        input[member] = value.clone();
    }
    bed.ok("UpdateDocument", input).await["DocumentDescription"].clone()
}

fn yaml() -> Value {
    json!({"Content": YAML, "DocumentFormat": "YAML"})
}

async fn names(bed: &Testbed, filters: Value) -> Vec<String> {
    let found = bed.ok("ListDocuments", json!({"Filters": filters})).await;
    let found = found["DocumentIdentifiers"].as_array().unwrap().clone();
    found.iter().map(|d| d["Name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_yaml_document_is_described_and_shown_in_both_formats() {
    let bed = Testbed::new().await;
    let made = create(&bed, NAME, yaml()).await;
    assert_eq!(made["Owner"], "123456789012");
    assert_eq!(made["Status"], "Active");
    assert_eq!(made["DocumentFormat"], "YAML");
    assert_eq!(made["Hash"], stint_wire::text::sha256_hex(YAML.as_bytes()));
    assert_eq!(made["PlatformTypes"], json!(["Linux", "MacOS"]));
    assert_eq!(
        made["Parameters"],
        json!([{"Name": "unit", "Type": "String", "Description": "unit name",
                "DefaultValue": "yes"}])
    );
    let described = bed.ok("DescribeDocument", json!({"Name": NAME})).await;
    assert_eq!(described["Document"], made);
    let written = bed.ok("GetDocument", json!({"Name": NAME, "DocumentFormat": "YAML"})).await;
    assert_eq!(written["Content"], YAML);
    for input in [json!({"Name": NAME}), json!({"Name": NAME, "DocumentFormat": "JSON"})] {
        let shown = bed.ok("GetDocument", input).await;
        assert_eq!(shown["DocumentFormat"], "JSON");
        let value: Value = serde_json::from_str(shown["Content"].as_str().unwrap()).unwrap();
        assert_eq!(value["parameters"]["unit"]["default"], "yes");
    }
    // From JSON to YAML and back.
    create(&bed, "second", json!({})).await;
    let shown = bed.ok("GetDocument", json!({"Name": "second", "DocumentFormat": "YAML"})).await;
    let again = json!({"Content": shown["Content"], "DocumentFormat": "YAML"});
    create(&bed, "third", again).await;
    let third = bed.ok("GetDocument", json!({"Name": "third"})).await;
    let value = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    assert_eq!(value(third["Content"].as_str().unwrap()), value(&content("second")));
}

#[tokio::test]
async fn versions_are_numbered_named_and_one_is_the_default() {
    let bed = Testbed::new().await;
    create(&bed, NAME, json!({"VersionName": "first", "DisplayName": "Restart a unit"})).await;
    let second = update(&bed, NAME, "two", json!({"VersionName": "second"})).await;
    assert_eq!(second["DocumentVersion"], "2");
    assert_eq!(second["LatestVersion"], "2");
    assert_eq!(second["DefaultVersion"], "1");
    assert_eq!(second["DisplayName"], "Restart a unit");
    for (input, version) in [
        (json!({}), "1"),
        (json!({"DocumentVersion": "$DEFAULT"}), "1"),
        (json!({"DocumentVersion": "$LATEST"}), "2"),
        (json!({"DocumentVersion": "2"}), "2"),
        (json!({"VersionName": "second"}), "2"),
        (json!({"VersionName": "second", "DocumentVersion": "2"}), "2"),
    ] {
        let mut input = input;
        input["Name"] = json!(NAME);
        let shown = bed.ok("GetDocument", input.clone()).await;
        assert_eq!(shown["DocumentVersion"], version, "{input}");
    }
    let set = json!({"Name": NAME, "DocumentVersion": "2"});
    assert_eq!(
        bed.ok("UpdateDocumentDefaultVersion", set).await["Description"],
        json!({"Name": NAME, "DefaultVersion": "2", "DefaultVersionName": "second"})
    );
    let listed = bed.ok("ListDocumentVersions", json!({"Name": NAME})).await;
    let versions = listed["DocumentVersions"].as_array().unwrap();
    let seen: Vec<(&Value, &Value)> =
        versions.iter().map(|v| (&v["DocumentVersion"], &v["IsDefaultVersion"])).collect();
    assert_eq!(seen, [(&json!("2"), &json!(true)), (&json!("1"), &json!(false))]);

    // The content of an older version may come again.
    assert_eq!(update(&bed, NAME, NAME, json!({})).await["DocumentVersion"], "3");
    bed.ok("DeleteDocument", json!({"Name": NAME, "DocumentVersion": "3"})).await;

    // A version goes, its number does not come again.
    assert_eq!(update(&bed, NAME, "three", json!({})).await["DocumentVersion"], "4");
    bed.ok("DeleteDocument", json!({"Name": NAME, "VersionName": "first"})).await;
    bed.ok("DeleteDocument", json!({"Name": NAME})).await;
    assert_eq!(bed.code("GetDocument", json!({"Name": NAME})).await, "InvalidDocument");
    assert_eq!(create(&bed, NAME, json!({})).await["DocumentVersion"], "1");
}

#[tokio::test]
async fn pages_of_versions_and_documents_hold_each_once() {
    let bed = Testbed::new().await;
    for name in ["doc-a", "doc-b", "doc-c"] {
        create(&bed, name, json!({})).await;
    }
    for word in ["two", "three", "four", "five"] {
        update(&bed, "doc-a", word, json!({})).await;
    }
    for (operation, member, key, expected) in [
        ("ListDocumentVersions", "DocumentVersions", "DocumentVersion", 5),
        ("ListDocuments", "DocumentIdentifiers", "Name", 21),
    ] {
        let mut input = json!({"Name": "doc-a", "MaxResults": 2});
        let mut seen = Vec::new();
        loop {
            let page = bed.ok(operation, input.clone()).await;
            let rows = page[member].as_array().unwrap().clone();
            assert!(rows.len() <= 2);
            seen.extend(rows.iter().map(|row| row[key].as_str().unwrap().to_owned()));
            match page.get("NextToken") {
                Some(token) => input["NextToken"] = token.clone(),
                None => break,
            }
        }
        let once: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!((once.len(), seen.len()), (expected, expected), "{operation}");
    }
}

#[tokio::test]
async fn own_documents_are_found_by_every_filter() {
    let bed = Testbed::new().await;
    let tags = json!([{"Key": "team", "Value": "edge"}]);
    let more = json!({"Tags": tags, "TargetType": "/AWS::EC2::Instance", "DisplayName": "Hello"});
    create(&bed, "mine", more).await;
    let runbook = json!({"schemaVersion": "0.3", "description": "waits",
                         "mainSteps": [{"name": "wait", "action": "aws:sleep"}]});
    let more = json!({"Content": runbook.to_string(), "DocumentType": "Automation"});
    create(&bed, "runbook", more).await;
    for (key, value, expected) in [
        ("Owner", "Self", &["mine", "runbook"][..]),
        ("Owner", "123456789012", &["mine", "runbook"]),
        ("Name", "min", &["mine"]),
        ("DocumentType", "Automation", &["runbook"]),
        ("TargetType", "/AWS::EC2::Instance", &["mine"]),
        ("SearchKeyword", "hello", &["mine"]),
        ("SearchKeyword", "WAITS", &["runbook"]),
        ("tag:team", "edge", &["mine"]),
        ("tag:team", "core", &[]),
    ] {
        assert_eq!(names(&bed, json!([{"Key": key, "Values": [value]}])).await, expected, "{key}");
    }
    let both = json!([{"Key": "Owner", "Values": ["Self"]},
                      {"Key": "PlatformTypes", "Values": ["Windows"]}]);
    assert_eq!(names(&bed, both).await, ["runbook"]);
    assert_eq!(names(&bed, json!([])).await.len(), 20);
    // Tags are those of the tag operations.
    let resource = json!({"ResourceType": "Document", "ResourceId": "runbook"});
    let mut add = resource.clone();
    add["Tags"] = json!([{"Key": "team", "Value": "core"}]);
    bed.ok("AddTagsToResource", add).await;
    let core = json!([{"Key": "tag:team", "Values": ["core"]}]);
    assert_eq!(names(&bed, core.clone()).await, ["runbook"]);
    bed.ok("DeleteDocument", json!({"Name": "runbook"})).await;
    assert_eq!(bed.code("ListTagsForResource", resource).await, "InvalidResourceId");
    create(&bed, "runbook", json!({})).await;
    assert!(names(&bed, core).await.is_empty());
}

#[tokio::test]
async fn a_command_runs_the_version_it_was_sent_with() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    create(&bed, NAME, yaml()).await;
    let second = update(&bed, NAME, "two", json!({})).await;
    for (name, more, said) in [
        (NAME, json!({}), "systemctl"),
        (NAME, json!({"DocumentVersion": "2"}), "echo two"),
        (NAME, json!({"DocumentVersion": "$LATEST", "DocumentHash": second["Hash"]}), "echo two"),
        ("arn:aws:ssm:eu-central-1:123456789012:document/Edge-Restart", json!({}), "systemctl"),
    ] {
        let mut input = more.clone();
        input["DocumentName"] = json!(name);
        input["InstanceIds"] = json!([node]);
        let command = command_id(&bed.ok("SendCommand", input).await);
        let row: (String, String) =
            sqlx::query_as("SELECT content, document_name FROM command WHERE id = $1")
                .bind(&command)
                .fetch_one(&bed.app.store.read)
                .await
                .unwrap();
        let sent: Value = serde_json::from_str(&row.0).expect("nodes get JSON");
        assert!(sent.to_string().contains(said), "{name} {more}");
        assert_eq!(row.1, NAME);
    }
    // What is under way does not change with the document.
    bed.ok("DeleteDocument", json!({"Name": NAME})).await;
    let kept: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM command")
        .fetch_one(&bed.app.store.read)
        .await
        .unwrap();
    assert_eq!(kept.0, 4);
}

#[tokio::test]
async fn sending_refuses_wrong_versions_hashes_types_and_parameters() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    create(&bed, NAME, yaml()).await;
    let runbook = json!({"schemaVersion": "0.3",
                         "mainSteps": [{"name": "wait", "action": "aws:sleep"}]});
    let more = json!({"Content": runbook.to_string(), "DocumentType": "Automation"});
    create(&bed, "runbook", more).await;
    for (more, code) in [
        (json!({"DocumentVersion": "2"}), "InvalidDocumentVersion"),
        (json!({"DocumentHash": "0".repeat(64)}), "InvalidDocument"),
        (json!({"DocumentName": "runbook"}), "InvalidDocument"),
        (json!({"DocumentName": "nothing"}), "InvalidDocument"),
        (
            json!({"DocumentName": "arn:aws:ssm:x:999999999999:document/Edge-Restart"}),
            "InvalidDocument",
        ),
        (json!({"Parameters": {"units": ["x"]}}), "InvalidParameters"),
    ] {
        let mut input = json!({"DocumentName": NAME, "InstanceIds": [node]});
        for (member, value) in more.as_object().unwrap() {
            input[member] = value.clone();
        }
        assert_eq!(bed.code("SendCommand", input).await, code, "{more}");
    }
}

#[tokio::test]
async fn documents_are_shared_shown_and_not_deleted_while_shared() {
    let bed = Testbed::new().await;
    create(&bed, NAME, json!({})).await;
    let share = |member: &str, accounts: Value| {
        let mut input = json!({"Name": NAME, "PermissionType": "Share"});
        input[member] = accounts;
        input
    };
    let twenty: Vec<String> = (0..20).map(|n| format!("{n:012}")).collect();
    bed.ok("ModifyDocumentPermission", share("AccountIdsToAdd", json!(twenty))).await;
    let mut all = share("AccountIdsToAdd", json!(["All"]));
    all["SharedDocumentVersion"] = json!("$LATEST");
    bed.ok("ModifyDocumentPermission", all).await;
    let ask = json!({"Name": NAME, "PermissionType": "Share"});
    let first = bed.ok("DescribeDocumentPermission", ask.clone()).await;
    assert_eq!(first["AccountIds"].as_array().unwrap().len(), 20);
    assert_eq!(
        first["AccountSharingInfoList"][0],
        json!({"AccountId": "000000000000", "SharedDocumentVersion": "$DEFAULT"})
    );
    let mut more = ask.clone();
    more["NextToken"] = first["NextToken"].clone();
    let second = bed.ok("DescribeDocumentPermission", more).await;
    assert_eq!(second["AccountIds"], json!(["all"]));
    let delete = json!({"Name": NAME});
    assert_eq!(bed.code("DeleteDocument", delete.clone()).await, "InvalidDocumentOperation");
    bed.ok("ModifyDocumentPermission", share("AccountIdsToRemove", json!(twenty))).await;
    bed.ok("ModifyDocumentPermission", share("AccountIdsToRemove", json!(["all"]))).await;
    let none = bed.ok("DescribeDocumentPermission", ask.clone()).await;
    assert_eq!(none["AccountIds"], json!([]));
    for n in 0..1000_u64 {
        bed.sql(
            "INSERT INTO document_permission (name, account_id, shared_version)
             VALUES ($1, $2, '$ALL')",
            &[NAME, &(100_000_000_000_u64 + n).to_string()],
        )
        .await;
    }
    let more = share("AccountIdsToAdd", json!(["999999999999"]));
    assert_eq!(bed.code("ModifyDocumentPermission", more).await, "DocumentPermissionLimit");
    let rest = bed.ok("DescribeDocumentPermission", ask).await;
    assert!(!rest.to_string().contains("999999999999"));
    bed.sql("DELETE FROM document_permission", &[]).await;
    bed.ok("DeleteDocument", delete).await;
}

#[tokio::test]
async fn change_templates_are_reviewed_version_by_version() {
    let bed = Testbed::new().await;
    let template = json!({"schemaVersion": "0.3",
                          "mainSteps": [{"name": "wait", "action": "aws:sleep"}]});
    let kind = "Automation.ChangeTemplate";
    let more = json!({"Content": template.to_string(), "DocumentType": kind});
    assert_eq!(create(&bed, "template", more).await["ReviewStatus"], "NOT_REVIEWED");
    let review = |action: &str| {
        json!({"Name": "template", "DocumentReviews": {
            "Action": action, "Comment": [{"Type": "Comment", "Content": "seen"}]}})
    };
    let early = bed.code("UpdateDocumentMetadata", review("Approve")).await;
    assert_eq!(early, "InvalidDocumentOperation");
    bed.ok("UpdateDocumentMetadata", review("SendForReview")).await;
    bed.ok("UpdateDocumentMetadata", review("Approve")).await;
    let described = bed.ok("DescribeDocument", json!({"Name": "template"})).await;
    assert_eq!(described["Document"]["ReviewStatus"], "APPROVED");
    let ask = json!({"Name": "template", "Metadata": "DocumentReviews", "MaxResults": 1});
    let first = bed.ok("ListDocumentMetadataHistory", ask.clone()).await;
    let response = &first["Metadata"]["ReviewerResponse"][0];
    assert_eq!(response["ReviewStatus"], "APPROVED");
    assert_eq!(response["Comment"][0]["Content"], "seen");
    assert_eq!(response["Reviewer"], "AKIATEST");
    let mut more = ask;
    more["NextToken"] = first["NextToken"].clone();
    let second = bed.ok("ListDocumentMetadataHistory", more).await;
    assert_eq!(second["Metadata"]["ReviewerResponse"][0]["ReviewStatus"], "PENDING");
    create(&bed, NAME, json!({})).await;
    let other = json!({"Name": NAME, "DocumentReviews": {"Action": "Approve"}});
    assert_eq!(bed.code("UpdateDocumentMetadata", other).await, "InvalidDocumentOperation");
}

#[tokio::test]
async fn attachments_come_from_the_hub_s_own_store() {
    let bed = Testbed::new().await;
    let sum = |c: char| c.to_string().repeat(64);
    for (path, hash) in [
        ("tools/v1.0/tool-arm.zip", sum('a')),
        ("tools/v1.0/tool-x86.zip", sum('b')),
        ("tools/v1.0/deeper/no.zip", sum('c')),
        ("tools_v1.0/other.zip", sum('d')),
    ] {
        bed.sql(
            "INSERT INTO attachment (path, hash, size, created_at) VALUES ($1, $2, $3, $3)",
            &[path, &hash, "7"],
        )
        .await;
    }
    let manifest = |arm: String| {
        json!({"schemaVersion": "2.0", "version": "1.0",
               "packages": {"_any": {"_any": {"arm64": {"file": "tool-arm.zip"}}}},
               "files": {"tool-arm.zip": {"checksums": {"sha256": arm}}}})
        .to_string()
    };
    let package = |content: String, sources: Value| json!({"Content": content, "DocumentType": "Package", "Attachments": sources});
    let folder = json!([{"Key": "SourceUrl", "Values": ["hub://tools/v1.0"]}]);
    let made = create(&bed, "tool", package(manifest(sum('a')), folder.clone())).await;
    assert_eq!(
        made["AttachmentsInformation"],
        json!([{"Name": "tool-arm.zip"}, {"Name": "tool-x86.zip"}])
    );
    let shown = bed.ok("GetDocument", json!({"Name": "tool"})).await;
    let file = &shown["AttachmentsContent"][0];
    assert_eq!(file["Hash"], sum('a'));
    assert_eq!((&file["Size"], &file["HashType"]), (&json!(7), &json!("Sha256")));
    let url = file["Url"].as_str().unwrap();
    assert!(url.starts_with("https://hub.test/attachments/aaaa"), "{url}");

    let reuse = json!([{"Key": "AttachmentReference", "Values": ["tool/1/tool-arm.zip"],
                        "Name": "script.zip"}]);
    let reused = create(&bed, "reuses", json!({"Attachments": reuse})).await;
    assert_eq!(reused["AttachmentsInformation"], json!([{"Name": "script.zip"}]));

    let one = |key: &str, value: &str| json!([{"Key": key, "Values": [value]}]);
    let twice = json!([{"Key": "SourceUrl", "Values": ["hub://tools/v1.0"]},
                       {"Key": "S3FileUrl", "Values": ["hub://tools/v1.0/tool-arm.zip"]}]);
    for (content, sources, code) in [
        (manifest(sum('a')), one("SourceUrl", "s3://bucket/tools"), "ValidationException"),
        (manifest(sum('a')), one("SourceUrl", "hub://nowhere"), "ValidationException"),
        (manifest(sum('a')), one("S3FileUrl", "hub://tools/v1.0/no.zip"), "ValidationException"),
        (manifest(sum('a')), one("AttachmentReference", "tool/9/x.zip"), "ValidationException"),
        (manifest(sum('a')), twice, "ValidationException"),
        (manifest(sum('b')), folder, "InvalidDocumentContent"),
        (manifest(sum('a')), json!([]), "InvalidDocumentContent"),
    ] {
        let mut input = package(content, sources.clone());
        input["Name"] = json!("bad");
        assert_eq!(bed.code("CreateDocument", input).await, code, "{sources}");
    }
}

#[tokio::test]
async fn each_bad_change_has_its_own_code() {
    let bed = Testbed::new().await;
    create(&bed, NAME, json!({"VersionName": "one"})).await;
    update(&bed, NAME, "two", json!({})).await;
    let (name, builtin) = (json!(NAME), json!("AWS-RunShellScript"));
    for (operation, input, code) in [
        ("CreateDocument", json!({"Name": name, "Content": content("x")}), "DocumentAlreadyExists"),
        (
            "CreateDocument",
            json!({"Name": "awsome", "Content": content("x")}),
            "ValidationException",
        ),
        ("CreateDocument", json!({"Name": "no", "Content": content("x")}), "ValidationException"),
        ("CreateDocument", json!({"Name": "new", "Content": "{"}), "InvalidDocumentContent"),
        ("CreateDocument", json!({"Name": "new", "Content": "{}"}), "InvalidDocumentSchemaVersion"),
        (
            "CreateDocument",
            json!({"Name": "new", "Content": "x".repeat(65537)}),
            "MaxDocumentSizeExceeded",
        ),
        (
            "CreateDocument",
            json!({"Name": "new", "Content": content("x"), "Tags": [{"Key": "aws:x", "Value": ""}]}),
            "ValidationException",
        ),
        ("UpdateDocument", json!({"Name": "none", "Content": content("x")}), "InvalidDocument"),
        (
            "UpdateDocument",
            json!({"Name": name, "Content": content("two")}),
            "DuplicateDocumentContent",
        ),
        (
            "UpdateDocument",
            json!({"Name": name, "Content": content("x"), "VersionName": "one"}),
            "DuplicateDocumentVersionName",
        ),
        (
            "UpdateDocument",
            json!({"Name": name, "Content": content("x"), "DocumentVersion": "1"}),
            "InvalidDocumentVersion",
        ),
        (
            "UpdateDocument",
            json!({"Name": name, "Content": content("x"), "DocumentVersion": "7"}),
            "InvalidDocumentVersion",
        ),
        ("UpdateDocument", json!({"Name": name, "Content": "[]"}), "InvalidDocumentContent"),
        (
            "UpdateDocument",
            json!({"Name": builtin, "Content": content("x")}),
            "InvalidDocumentOperation",
        ),
        (
            "UpdateDocumentDefaultVersion",
            json!({"Name": name, "DocumentVersion": "9"}),
            "InvalidDocumentVersion",
        ),
        (
            "UpdateDocumentDefaultVersion",
            json!({"Name": builtin, "DocumentVersion": "1"}),
            "InvalidDocument",
        ),
        ("DeleteDocument", json!({"Name": builtin}), "InvalidDocumentOperation"),
        ("DeleteDocument", json!({"Name": "none"}), "InvalidDocument"),
        (
            "DeleteDocument",
            json!({"Name": name, "DocumentVersion": "1"}),
            "InvalidDocumentOperation",
        ),
        (
            "DeleteDocument",
            json!({"Name": name, "DocumentVersion": "9"}),
            "InvalidDocumentOperation",
        ),
        (
            "GetDocument",
            json!({"Name": name, "VersionName": "one", "DocumentVersion": "2"}),
            "InvalidDocumentVersion",
        ),
        ("GetDocument", json!({"Name": name, "VersionName": "nine"}), "InvalidDocumentVersion"),
        ("ListDocumentVersions", json!({"Name": "none"}), "InvalidDocument"),
        ("ListDocumentVersions", json!({"Name": name, "NextToken": "x"}), "InvalidNextToken"),
        (
            "ModifyDocumentPermission",
            json!({"Name": builtin, "PermissionType": "Share"}),
            "InvalidDocument",
        ),
        (
            "DescribeDocumentPermission",
            json!({"Name": builtin, "PermissionType": "Share"}),
            "InvalidDocumentOperation",
        ),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
}

#[tokio::test]
async fn the_limits_on_documents_and_versions_are_kept() {
    let bed = Testbed::new().await;
    create(&bed, NAME, json!({})).await;
    let mut tx = bed.app.store.begin().await.unwrap();
    for n in 2..=1000_i64 {
        sqlx::query(
            "INSERT INTO document_version (name, version, document_format, content, hash,
               platforms, requires, attachments, created_at)
             VALUES ($1, $2, 'JSON', '{}', $3, '[]', '[]', '[]', 0)",
        )
        .bind(NAME)
        .bind(n)
        .bind(n.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    for n in 1..500_i64 {
        sqlx::query(
            "INSERT INTO document (name, document_type, default_version, last_version, created_at)
             VALUES ($1, 'Command', 1, 1, 0)",
        )
        .bind(format!("doc-{n}"))
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let more = json!({"Name": NAME, "Content": content("x")});
    assert_eq!(bed.code("UpdateDocument", more).await, "DocumentVersionLimitExceeded");
    let another = json!({"Name": "another", "Content": content("x")});
    assert_eq!(bed.code("CreateDocument", another).await, "DocumentLimitExceeded");
}
