//! Which package a node gets for the name in a job.

use super::store::Package;
use super::{ANY, arch, version};
use crate::app::App;
use crate::error::ApiResult;

/// The parameter `Package`: `NAME` or `NAME=VERSION`.
fn parts(wanted: &str) -> (&str, Option<&str>) {
    match wanted.split_once('=') {
        Some((name, version)) => (name, Some(version)),
        None => (wanted, None),
    }
}

/// What there is for a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Package(Package),
    /// None, for a reason that the operator reads.
    Nothing(String),
}

/// The package for a node of an architecture; empty if nobody knows that. Without a version in
/// `wanted` it is the newest that the node can run.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn choose(app: &App, wanted: &str, node_arch: &str) -> ApiResult<Choice> {
    Ok(pick(wanted, node_arch, candidates(app, wanted).await?))
}

/// Whether the store has the package for any architecture.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn exists(app: &App, wanted: &str) -> ApiResult<bool> {
    let (_, version) = parts(wanted);
    let found = candidates(app, wanted).await?;
    Ok(found.iter().any(|package| version.is_none_or(|version| package.version == version)))
}

async fn candidates(app: &App, wanted: &str) -> ApiResult<Vec<Package>> {
    Ok(sqlx::query_as(
        "SELECT name, version, arch, file_name, hash, size FROM package WHERE name = $1",
    )
    .bind(parts(wanted).0)
    .fetch_all(&app.store.read)
    .await?)
}

fn pick(wanted: &str, node_arch: &str, packages: Vec<Package>) -> Choice {
    let (name, version) = parts(wanted);
    let of_version: Vec<Package> = packages
        .into_iter()
        .filter(|package| version.is_none_or(|version| package.version == version))
        .collect();
    if of_version.is_empty() {
        return Choice::Nothing(format!(
            "The hub has no package {wanted}; `stint-hub package list` shows those it has."
        ));
    }
    if node_arch.is_empty() {
        return without_arch(name, of_version);
    }
    let node_arch = arch(node_arch);
    let best = of_version
        .into_iter()
        .filter(|package| package.arch == node_arch || package.arch == ANY)
        // Of the same version, the one that was made for the node.
        .max_by(|one, other| {
            version::compare(&one.version, &other.version)
                .then_with(|| (one.arch != ANY).cmp(&(other.arch != ANY)))
        });
    match best {
        Some(package) => Choice::Package(package),
        None => Choice::Nothing(format!(
            "The hub has the package {wanted}, and not for the node's architecture, {node_arch}."
        )),
    }
}

/// The newest, if there is no doubt which of its files it is.
fn without_arch(name: &str, mut packages: Vec<Package>) -> Choice {
    packages.sort_by(|one, other| version::compare(&other.version, &one.version));
    let newest = packages.first().map(|package| package.version.clone()).unwrap_or_default();
    packages.retain(|package| package.version == newest);
    if let Some(at) = packages.iter().position(|package| package.arch == ANY) {
        return Choice::Package(packages.swap_remove(at));
    }
    match (packages.len(), packages.pop()) {
        (1, Some(package)) => Choice::Package(package),
        _ => Choice::Nothing(format!(
            "The package {name} {newest} is there for several architectures, and the node has not \
             said which one is its own; give the node a tag `arch`, or use Url and Checksum."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str, arch: &str) -> Package {
        Package {
            name: "sensor".into(),
            version: version.into(),
            arch: arch.into(),
            file_name: "f".into(),
            hash: "h".into(),
            size: 1,
        }
    }

    #[test]
    fn a_node_gets_the_newest_that_it_can_run() {
        let all = || {
            vec![
                package("1.9", "x86_64"),
                package("1.10", "any"),
                package("1.10", "x86_64"),
                package("2.0", "armv7"),
            ]
        };
        for (wanted, node, expected) in [
            ("sensor", "x86_64", Ok(("1.10", "x86_64"))),
            ("sensor", "amd64", Ok(("1.10", "x86_64"))),
            ("sensor", "aarch64", Ok(("1.10", "any"))),
            ("sensor", "armv7l", Ok(("2.0", "armv7"))),
            ("sensor=1.9", "x86_64", Ok(("1.9", "x86_64"))),
            ("sensor=1.9", "armv7", Err("not for the node's architecture, armv7")),
            ("sensor=3", "x86_64", Err("has no package sensor=3")),
            ("sensor", "", Ok(("2.0", "armv7"))),
            ("sensor=1.10", "", Ok(("1.10", "any"))),
        ] {
            match (pick(wanted, node, all()), expected) {
                (Choice::Package(got), Ok((version, arch))) => {
                    assert_eq!((got.version.as_str(), got.arch.as_str()), (version, arch));
                }
                (Choice::Nothing(reason), Err(part)) => {
                    assert!(reason.contains(part), "{wanted} {node}: {reason}");
                }
                (other, _) => panic!("{wanted} {node}: {other:?}"),
            }
        }
        let doubtful = vec![package("1", "armv7"), package("1", "x86_64")];
        assert!(matches!(pick("sensor", "", doubtful), Choice::Nothing(_)));
    }
}
