use super::super::kind::Kind;
use super::super::order::Outcome;
use super::super::versions::{Note, Versions};
use super::*;
use crate::config::Supervise;
use crate::reactor::block_on;
use crate::supervise::limits::Groups;
use crate::testing::Folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use stint_wire::bootagent::{Action, Job};

const DEFINITION: &str = "{\"name\":\"app\",\"exec\":\"app\"}";

fn supervisor(folder: &Folder) -> Rc<Supervisor> {
    let definitions = folder.path().join("children.d");
    let settings = Supervise { definitions, ..Supervise::default() };
    let supervisor = Supervisor::open(folder.path(), settings).unwrap();
    assert!(supervisor.groups.set(Groups::none()).is_ok());
    Rc::new(supervisor)
}

fn sha256(version: &str) -> String {
    version.repeat(64)
}

fn add(versions: &Versions, version: &str, kind: Kind) {
    let note = Note {
        version: version.into(),
        sha256: sha256(version),
        kind,
        package: "app".into(),
        file: String::new(),
    };
    let made = versions.begin().unwrap();
    fs::write(made.join("app"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(made.join("app"), PermissionsExt::from_mode(0o755)).unwrap();
    versions.finish(&made, &note).unwrap();
}

/// The child has version 2, and had version 1 before.
fn installed(site: &Site<'_>, kind: Kind) {
    add(&site.versions, "1", kind);
    add(&site.versions, "2", kind);
    site.versions.switch(Some("2"), Some("1")).unwrap();
    fs::write(site.folder.join(definitions::BY_JOB), DEFINITION).unwrap();
    let definition = Definition::parse(DEFINITION).unwrap();
    site.supervisor.define(definition, None).unwrap();
}

fn plan(from: Option<&str>, to: &str) -> Plan {
    Plan {
        job: "install 1".into(),
        phase: Phase::Back,
        to: to.into(),
        from: from.map(str::to_owned),
        definition: Some(DEFINITION.into()),
        before: Some(Before::default()),
        why: "the disk is full".into(),
    }
}

#[test]
fn a_package_that_can_t_be_installed_once_more_stays_as_it_is() {
    let folder = Folder::new();
    let supervisor = supervisor(&folder);
    let site = Site::of(&supervisor, "app");
    installed(&site, Kind::TarGz);
    let job = Job {
        id: "1".into(),
        action: Action::Install,
        name: "app".into(),
        version: None,
        url: Some("https://example.com/app.tgz".into()),
        checksum: Some(format!("SHA256:{}", sha256("2"))),
        envs: None,
        limits: None,
        definition: None,
        force: true,
        server_list: None,
        step: None,
    };
    // As the process has left it that fetches packages.
    let key = "install 1".to_owned();
    let incoming = site.order(&job, key.clone()).put(&site.folder).unwrap();
    Outcome { error: String::new(), folder: "2".into() }.put(&incoming).unwrap();
    let mut plan = block_on(site.prepare(&job, key)).unwrap().unwrap().unwrap();
    assert_eq!((plan.from.as_deref(), plan.to.as_str(), plan.older()), (Some("2"), "2", None));
    site.turn_back(&mut plan, "the disk is full".into());
    let words = block_on(site.back(&mut plan)).unwrap();
    assert_eq!(words, "the disk is full");
    assert_eq!(site.versions.current().as_deref(), Some("2"));
    assert_eq!(site.versions.previous().as_deref(), Some("1"));
    assert!(site.is_known() && site.versions.path("2").join("app").exists());
}

#[test]
fn the_pauses_between_two_tries_grow_and_have_an_end() {
    let longest = Duration::from_secs(180);
    let pauses: Vec<u64> = (1..8).map(|tries| pause(tries, longest).as_secs()).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 180, 180]);
    assert_eq!(pause(u32::MAX, longest), longest);
}

#[test]
fn of_a_definition_that_cannot_be_read_the_child_itself_knows_what_it_said() {
    let folder = Folder::new();
    let supervisor = supervisor(&folder);
    let site = Site::of(&supervisor, "app");
    assert_eq!(site.given().unwrap(), None);
    installed(&site, Kind::TarGz);
    let kept = site.folder.join(definitions::BY_JOB);
    fs::write(&kept, "{\"name\": \"ap").unwrap();
    assert_eq!(site.given().unwrap().as_deref(), Some(DEFINITION));
    // The way back ends, whatever can't be read.
    let plan = Plan { definition: None, ..plan(Some("1"), "2") };
    fs::write(site.folder.join(BY_FILE), "damaged").unwrap();
    assert_eq!(site.definition_before(&plan), Source::Kept);
    block_on(site.step_back(&plan)).unwrap().unwrap();
    assert_eq!(site.versions.current().as_deref(), Some("1"));
    // It comes from the operator's file, so no job has given it.
    fs::create_dir(folder.path().join("children.d")).unwrap();
    fs::write(folder.path().join("children.d/app.json"), DEFINITION).unwrap();
    assert_eq!(site.given().unwrap(), None);
    // Without the child nobody knows, and what may be there isn't touched.
    supervisor.units.borrow_mut().clear();
    let why = site.given().unwrap_err().message;
    assert!(why.contains("definition.json"), "{why}");
}

#[test]
fn the_systems_package_manager_removes_only_what_wasn_t_there() {
    let folder = Folder::new();
    let supervisor = supervisor(&folder);
    let site = Site::of(&supervisor, "app");
    installed(&site, Kind::Deb);
    add(&site.versions, "3", Kind::TarGz);
    for (from, to, wanted) in [
        (None, "2", Some((Act::Remove, "2"))),
        (Some("3"), "2", Some((Act::Remove, "2"))),
        (Some("1"), "2", Some((Act::Apply, "1"))),
        (Some("2"), "2", Some((Act::Apply, "2"))),
        // Its note can't be read.
        (Some("4"), "2", None),
        (None, "3", None),
    ] {
        assert_eq!(site.undo(&plan(from, to)), wanted, "{from:?} {to}");
    }
}
