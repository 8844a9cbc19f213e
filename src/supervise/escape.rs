//! An agent that was started from inside one of its own children leaves it.
//!
//! Where no service manager starts the agent, an init script does, and a child may be what calls
//! that: to restart an agent that has died, say. The new agent is then a process of the child, in
//! its groups, its session and with its marks, and would be limited, stopped and killed with it.

use super::launch;
use super::limits::{LEAF, MARK};
use crate::sys::command::{Command, Stdio};
use crate::sys::{cgroup, process, start, tree};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Leaves the child in which this process is, if it is one of the agent with the folder `state`
/// and the groups `groups`. To be called before there is a second thread or process.
///
/// What the kernel shows of a process's environment is what its program began with. So the
/// program begins once more, and this returns only if that isn't needed, or isn't possible.
pub fn leave_child(state: &Path, groups: &str) {
    let child = env::var_os(MARK).map(PathBuf::from);
    let is_ours = |child: &PathBuf| {
        let real = |path: Option<&Path>| path.and_then(|path| fs::canonicalize(path).ok());
        real(child.ancestors().nth(2)).is_some_and(|found| Some(found) == real(Some(state)))
    };
    if child.as_ref().is_some_and(|child| !is_ours(child)) {
        // Another agent looks after this one, and that is as it should be.
        return;
    }
    for own in cgroup::own_groups() {
        if let Some((above, name)) = above(&own, groups)
            && (child.is_some() || state.join("children").join(name).is_dir())
            && let Err(error) = enter(above)
        {
            log::error!("this agent can't leave the group {}: {error}", own.display());
        }
    }
    let Some(child) = child else { return };
    log::warn!("this agent was started from inside the child {}, and leaves it", child.display());
    process::new_session();
    if let Err(error) = tree::limit_data(0, None) {
        log::warn!("this agent keeps the limit of the child's memory: {error}");
    }
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    let error = begin_again(&child.join(launch::OUTPUT));
    log::error!("this agent can't be told from the child that started it: {error}");
}

/// The group above that of all children, if `group` is a child's or below one; and the child's name.
fn above<'p>(group: &'p Path, groups: &str) -> Option<(&'p Path, &'p OsStr)> {
    group.ancestors().find_map(|child| {
        let all = child.parent().filter(|all| all.file_name() == Some(OsStr::new(groups)))?;
        Some((all.parent()?, child.file_name()?))
    })
}

/// Moves this process into a group, or into the leaf of it that is the agent's.
fn enter(group: &Path) -> io::Result<()> {
    let leaf = group.join(LEAF);
    if !leaf.is_dir() && cgroup::write(group, "cgroup.procs", "0").is_ok() {
        return Ok(());
    }
    // One with controllers takes no processes.
    cgroup::make(&leaf).and_then(|()| cgroup::write(&leaf, "cgroup.procs", "0"))
}

/// Executes the same program with the same words once more, without the marks of the child with
/// this output. Returns only an error.
fn begin_again(output: &Path) -> io::Error {
    // By its path, so that the process keeps its name.
    let program = env::current_exe().ok().filter(|path| path.exists());
    let mut command = Command::new(program.as_deref().unwrap_or(Path::new("/proc/self/exe")));
    let mut words = start::words().into_iter();
    if let Some(word) = words.next() {
        command.arg0(word);
    }
    command.args(words).env_remove(MARK).env_remove(launch::MARK).env_remove("BOOTSOCK");
    let writes =
        |number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|to| to == output);
    // This agent will be who reads that.
    if writes(1) {
        command.stdout(Stdio::null());
    }
    if writes(2) {
        command.stderr(Stdio::null());
    }
    command.exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_above_all_children_is_found_from_inside_of_one() {
        let found = |group: &'static str| above(Path::new(group), "stint");
        let of = |above: &'static str| Some((Path::new(above), OsStr::new("app")));
        assert_eq!(found("/cg/stint/app"), of("/cg"));
        assert_eq!(found("/cg/unit/stint/app/below/it"), of("/cg/unit"));
        for elsewhere in ["/cg", "/cg/stint", "/cg/stint.service/agent", "/cg/other/app"] {
            assert_eq!(found(elsewhere), None, "{elsewhere}");
        }
    }
}
