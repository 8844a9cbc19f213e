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

fn waiting(folder: &Folder) -> Vec<Job> {
    let files = folder.unfinished().unwrap();
    files.iter().filter_map(|file| folder.job(file, "mi-1", "r")).collect()
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
    let jobs = waiting(&folder);
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0];
    assert_eq!((job.id.as_str(), job.document_name.as_str()), (id.as_str(), "a.json"));
    assert_eq!((job.document.as_str(), job.receipt.as_str()), (DOCUMENT, RECEIPT));
    let begun = Report { outcome: Outcome::begun(), ..ended(&id) };
    folder.report(&begun).unwrap();
    assert_eq!(waiting(&folder).len(), 1);
    folder.report(&ended(&id)).unwrap();
    assert_eq!(waiting(&folder), []);
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
    assert_eq!(waiting(&folder), []);
}

#[test]
fn each_of_the_folders_must_be_the_agents_own() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let place = Place::new();
    let folder = folder(&place);
    assert_eq!(folder.exposed(false).unwrap(), None);
    let submitted = folder.path().join("submitted");
    for path in [folder.path(), submitted.as_path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(folder.exposed(false).unwrap().as_deref(), Some(path));
        assert_eq!(folder.exposed(true).unwrap().as_deref(), Some(path));
        assert!(folder.check(true).unwrap_err().contains("chmod 700"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        // Only root can give it away.
        if chown(path, Some(12345), None).is_ok() {
            assert_eq!(folder.exposed(false).unwrap().as_deref(), Some(path));
            assert_eq!(folder.exposed(true).unwrap(), None);
            chown(path, Some(0), None).unwrap();
        }
    }
    fs::remove_dir(&submitted).unwrap();
    assert_eq!(folder.exposed(false).unwrap(), None);
    symlink("/tmp", &submitted).unwrap();
    assert_eq!(folder.exposed(false).unwrap(), Some(submitted));
}

#[test]
fn a_file_that_another_can_change_is_no_document() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let place = Place::new();
    let folder = folder(&place);
    let path = folder.path().join("a.json");
    let invalid = |wanted: &str| {
        let Taken::Invalid(reason) = folder.take("a.json").unwrap() else { panic!("{wanted}") };
        assert!(reason.contains(wanted), "{reason}");
    };
    fs::write(&path, DOCUMENT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    invalid("can write to it");
    fs::write(&path, DOCUMENT).unwrap();
    fs::hard_link(&path, place.path().join("other")).unwrap();
    invalid("hard links");
    fs::write(&path, DOCUMENT).unwrap();
    if chown(&path, Some(12345), None).is_ok() {
        invalid("belongs to user 12345");
    }
}

#[test]
fn what_is_unfinished_is_counted() {
    let place = Place::new();
    let folder = folder(&place);
    let ids: Vec<String> = (0..3)
        .map(|turn| match drop_in(&folder, &format!("{turn}.json"), DOCUMENT) {
            Taken::Submitted(id) => id,
            Taken::Invalid(reason) => panic!("{reason}"),
        })
        .collect();
    assert_eq!(folder.unfinished().unwrap().len(), 3);
    folder.report(&ended(&ids[0])).unwrap();
    assert_eq!(folder.unfinished().unwrap().len(), 2);
}
