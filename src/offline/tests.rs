//! Tests of the folder.

use super::*;
use crate::spool::Outcome;
use crate::testing::Folder as Place;

const DOCUMENT: &str = r#"{"schemaVersion":"2.2","mainSteps":[]}"#;

fn folder(place: &Place) -> Folder {
    let folder = Folder::of(place.path(), KEEP);
    folder.open().unwrap();
    folder
}

fn ended(id: &str) -> Report {
    let outcome = Outcome::ended(Status::Success, String::new());
    Report { job: id.to_owned(), receipt: RECEIPT.to_owned(), outcome }
}

fn drop_in(folder: &Folder, name: &str, text: &str) -> Taken {
    fs::write(folder.path().join(name), text).unwrap();
    folder.take(name).unwrap()
}

#[test]
fn a_document_is_submitted_and_anything_else_is_invalid() {
    let place = Place::new();
    let folder = folder(&place);
    let Taken::Submitted(id) = drop_in(&folder, "a.json", DOCUMENT) else { panic!() };
    assert_eq!(folder.submitted(&id), Some(format!("a.json.{id}")));
    for (text, wanted) in [("{", "no JSON"), ("[]", "no JSON object"), ("", "no JSON")] {
        let Taken::Invalid(reason) = drop_in(&folder, "b.json", text) else { panic!("{text}") };
        assert!(reason.contains(wanted), "{reason}");
    }
    let Taken::Invalid(reason) = drop_in(&folder, "c", &" ".repeat(MAX_JOB + 1)) else { panic!() };
    assert!(reason.contains("larger than"), "{reason}");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("d")).unwrap();
    assert_eq!(folder.take("d").unwrap(), Taken::Invalid("it is no file".into()));
    assert_eq!(durable::list(folder.path()).unwrap(), ["completed", "invalid", "submitted"]);
}

#[test]
fn a_name_that_is_an_id_gives_it_once() {
    let place = Place::new();
    let folder = folder(&place);
    let id = "0f9b4c0e-1111-4222-8333-444455556666";
    let name = format!("{id}.json");
    assert_eq!(drop_in(&folder, &name, DOCUMENT), Taken::Submitted(id.to_owned()));
    let Taken::Submitted(other) = drop_in(&folder, &name, DOCUMENT) else { panic!() };
    assert_ne!(other, id);
}

#[test]
fn a_document_waits_until_its_end_is_written_down() {
    let place = Place::new();
    let folder = folder(&place);
    let Taken::Submitted(id) = drop_in(&folder, "a.json", DOCUMENT) else { panic!() };
    let jobs = folder.waiting("mi-1", "r").unwrap();
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0];
    assert_eq!((job.id.as_str(), job.document_name.as_str()), (id.as_str(), "a.json"));
    assert_eq!((job.document.as_str(), job.receipt.as_str()), (DOCUMENT, RECEIPT));
    let begun = Report { outcome: Outcome::begun(), ..ended(&id) };
    folder.report(&begun).unwrap();
    assert_eq!(folder.waiting("mi-1", "r").unwrap().len(), 1);
    folder.report(&ended(&id)).unwrap();
    assert_eq!(folder.waiting("mi-1", "r").unwrap(), []);
    assert!(folder.outcome(&id).unwrap().contains(r#""documentStatus":"Success""#));
}

#[test]
fn what_is_kept_is_bounded_and_a_document_goes_with_its_end() {
    let place = Place::new();
    let folder = Folder { keep: Retention { jobs: 3, ..KEEP }, ..folder(&place) };
    for turn in 0..6 {
        let Taken::Submitted(id) = drop_in(&folder, "a.json", DOCUMENT) else { panic!("{turn}") };
        folder.report(&ended(&id)).unwrap();
        assert!(folder.outcome(&id).is_some());
    }
    for name in ["completed", "submitted"] {
        assert_eq!(durable::list(&folder.path().join(name)).unwrap().len(), 3, "{name}");
    }
    for _ in 0..MAX_INVALID + 3 {
        drop_in(&folder, "b.json", "{");
    }
    assert_eq!(durable::list(&folder.path().join("invalid")).unwrap().len(), MAX_INVALID);
    assert_eq!(folder.waiting("mi-1", "r").unwrap(), []);
}

#[test]
fn a_folder_that_others_can_write_to_is_not_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let folder = folder(&place);
    assert!(folder.is_private().unwrap());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!folder.is_private().unwrap());
}
