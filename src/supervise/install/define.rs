//! Which definition a child has after an installation.

use super::super::definition::Definition;
use super::super::definitions;
use super::super::jobs::Failure;
use super::job::Site;
use super::kind::Kind;
use super::plan::Plan;
use super::prepare;
use super::system;
use super::tool::is_program;
use super::versions::Versions;
use std::path::{Path, PathBuf};
use stint_wire::bootagent::Job;
use stint_wire::json::ObjectWriter;

/// Where packages of the system put programs.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// A definition and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A job, or the package: its text is kept in the child's folder.
    Text(String, Box<Definition>),
    /// A file of the operator's.
    File(Box<Definition>, PathBuf),
    /// A file of the operator's that isn't there any more, or is being mended: what was, holds.
    Kept,
    /// The package is the system's, and may bring a program or a file once it is installed.
    Later,
}

/// Finds the definition of the child of `job` for the version that is planned: the job's; else
/// what an earlier job gave; else the operator's file; else the package's; else one that merely starts the
/// program that bears the child's name.
///
/// # Errors
/// There is none, or it makes no sense.
pub fn choose(job: &Job, site: &Site<'_>, plan: &Plan) -> Result<Source, Failure> {
    let (name, versions, kept) = (&job.name, &site.versions, plan.definition.as_ref());
    if let Some(text) = &job.definition {
        return read(name, text, "the definition of the job");
    }
    let of_package = plan.from.as_ref().and_then(|from| packaged(name, versions, from));
    if let Some(text) = kept.filter(|kept| Some(*kept) != of_package.as_ref()) {
        return read(name, text, "the definition of an earlier job");
    }
    if let Some(found) = site.of_operator()
        && let Some(file) = found.file
    {
        return Ok(Source::File(Box::new(found.definition), file));
    }
    if let Some(text) = packaged(name, versions, &plan.to) {
        return read(name, &text, "the definition in the package");
    }
    if site.folder.join(definitions::BY_FILE).exists() {
        return Ok(Source::Kept);
    }
    if versions.note(&plan.to).is_some_and(|note| system::is_for(note.kind)) {
        return Ok(Source::Later);
    }
    Err(Failure::new(format!(
        "nothing says how {name} is started: neither the job nor a file {} in the package has a \
         definition, and there is no program {name} in it",
        prepare::DEFINITION
    )))
}

/// What a definition has to be before anything is touched for it.
///
/// # Errors
/// It isn't.
pub fn check(source: &Source, versions: &Versions, to: &str) -> Result<(), Failure> {
    let definition = match source {
        Source::Text(_, definition) | Source::File(definition, _) => definition,
        Source::Kept | Source::Later => return Ok(()),
    };
    let program = versions.path(to).join(&definition.exec);
    if definition.exec.is_absolute() || is_program(&program) {
        return Ok(());
    }
    let exec = definition.exec.display();
    Err(Failure::new(format!("the package has no program {exec}, which its definition starts")))
}

fn read(name: &str, text: &str, what: &str) -> Result<Source, Failure> {
    let definition = Definition::parse(text)
        .map_err(|error| Failure::new(format!("{what} makes no sense: {error}")))?;
    if definition.name != *name {
        let other = &definition.name;
        return Err(Failure::new(format!("the job is for {name}, {what} for {other}")));
    }
    Ok(Source::Text(text.to_owned(), Box::new(definition)))
}

/// The definition that a version brings or suggests.
fn packaged(name: &str, versions: &Versions, version: &str) -> Option<String> {
    let folder = versions.path(version);
    if let Some(text) = prepare::definition(&folder) {
        return Some(text);
    }
    let exec = match versions.note(version)?.kind {
        Kind::Program | Kind::TarGz | Kind::TarXz => {
            let places = [name.to_owned(), format!("bin/{name}"), format!("sbin/{name}")];
            places.into_iter().find(|place| is_program(&folder.join(place)))
        }
        _ => {
            let places = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
            places.into_iter().find(|place| is_program(Path::new(place)))
        }
    };
    Some(ObjectWriter::new().string("name", name).string("exec", &exec?).finish())
}
