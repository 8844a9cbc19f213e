//! Which groups the agent may use on this machine.
//!
//! The rule: a controller is switched on only in groups that are the agent's own. Those are the
//! groups it makes, what a service manager has given away to it, the root of a namespace of its
//! own (a container), and the root of a unified hierarchy in which nobody else has made groups.

use super::group::Group;
use crate::sys::cgroup::{self, Mount};
use std::path::{Path, PathBuf};

/// In a bitmap: the controllers of interest.
pub(super) const CPU: u8 = 1;
pub(super) const MEMORY: u8 = 2;
pub(super) const PIDS: u8 = 4;
pub(super) const FREEZER: u8 = 8;
pub(super) const CPU_TIME: u8 = 16;

/// What each is called by the kernel.
const NAMES: [(&str, u8); 5] =
    [("cpu", CPU), ("memory", MEMORY), ("pids", PIDS), ("freezer", FREEZER), ("cpuacct", CPU_TIME)];

/// Those that are switched on for children where that is ours to do.
const WANTED: [(&str, u8); 3] = [("cpu", CPU), ("memory", MEMORY), ("pids", PIDS)];

/// The leaf to which the agent moves itself, because a group with controllers may not hold
/// processes as well. The unit file names it, too (`DelegateSubgroup=`).
pub const LEAF: &str = "agent";

/// Which mechanism keeps the limits of CPU and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The unified hierarchy.
    V2,
    /// An elder hierarchy for at least one of them.
    V1,
    /// None: what can be done is done by looking.
    None,
}

#[cfg(test)]
impl Kind {
    /// For people: `cgroup v2`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::V2 => "cgroup v2",
            Kind::V1 => "cgroup v1",
            Kind::None => "no cgroups",
        }
    }
}

/// A group of the agent's own in one hierarchy, below which each child gets one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The group; it is there while a child has a group in it.
    pub folder: PathBuf,
    /// Of cgroup v2.
    pub unified: bool,
    /// The group above it is ours as well, so that controllers may be switched on there.
    pub above_is_ours: bool,
    /// The controllers that children's groups will have.
    pub controllers: u8,
}

impl Place {
    /// Makes the group and sees to its controllers; says which there are.
    pub fn prepare(&self) -> std::io::Result<u8> {
        if let Some(above) = self.folder.parent().filter(|_| self.unified && self.above_is_ours) {
            switch_on(above);
        }
        cgroup::make(&self.folder)?;
        if !self.unified {
            if self.controllers & MEMORY != 0 {
                // Groups below count towards this one, as in version 2. Kernels since 5.11 know
                // no other way.
                let _ = cgroup::write(&self.folder, "memory.use_hierarchy", "1");
            }
            return Ok(self.controllers);
        }
        switch_on(&self.folder);
        Ok(controllers(&self.folder, "cgroup.subtree_control") & self.controllers)
    }
}

/// Switches on what there is, one by one: one that is refused doesn't spoil the others.
fn switch_on(folder: &Path) {
    let there = controllers(folder, "cgroup.controllers");
    let on = controllers(folder, "cgroup.subtree_control");
    for (name, bit) in WANTED {
        if there & bit != 0 && on & bit == 0 {
            let _ = cgroup::write(folder, "cgroup.subtree_control", &format!("+{name}"));
        }
    }
}

/// The controllers that a file of the unified hierarchy names.
fn controllers(folder: &Path, file: &str) -> u8 {
    let text = cgroup::read(folder, file).unwrap_or_default();
    let known = |name| NAMES.iter().find(|(known, _)| *known == name).map_or(0, |(_, bit)| *bit);
    text.split_ascii_whitespace().map(known).fold(0, |all, bit| all | bit)
}

/// The groups of the agent on this machine.
#[derive(Clone, Debug)]
pub struct Groups {
    places: Vec<Place>,
}

impl Groups {
    /// Finds out what there is. Children will have their groups below one called `name`, which is
    /// made when it is needed and goes with the last of them.
    ///
    /// Where the agent's own group is the root of its namespace, the agent moves into a leaf.
    pub fn probe(name: &str) -> Groups {
        let mounts = cgroup::mounts();
        let mut places = Vec::new();
        if let Some(mount) = mounts.iter().find(|mount| mount.unified) {
            let own = cgroup::own_unified_group();
            places.extend(unified_place(mount, own.as_deref().unwrap_or("/"), name));
        }
        let mut found = places.iter().fold(0, |all, place| all | place.controllers);
        for mount in mounts.iter().filter(|mount| !mount.unified) {
            // A controller is in one hierarchy only; the same one mounted twice counts once.
            let has = NAMES.iter().filter(|(name, _)| mount.has(name));
            let controllers = has.fold(0, |all, (_, bit)| all | bit) & !found;
            let folder = mount.point.join(name);
            let place = Place { folder, unified: false, above_is_ours: false, controllers };
            if controllers != 0 && place.prepare().is_ok() {
                let _ = cgroup::remove(&place.folder);
                found |= controllers;
                places.push(place);
            }
        }
        Groups { places }
    }

    /// As if the machine had none.
    #[cfg(test)]
    #[allow(dead_code)] // in builds without the tests that need it
    pub fn none() -> Groups {
        Groups { places: Vec::new() }
    }

    /// The controllers of one kind of hierarchies.
    #[cfg(test)]
    #[allow(dead_code)] // as above
    pub(super) fn controllers(&self, unified: bool) -> u8 {
        let of_kind = self.places.iter().filter(|place| place.unified == unified);
        of_kind.fold(0, |all, place| all | place.controllers)
    }

    /// As if the machine hadn't these controllers.
    #[cfg(test)]
    #[allow(dead_code)] // as above
    pub(super) fn without(mut self, controllers: u8) -> Groups {
        self.places.iter_mut().for_each(|place| place.controllers &= !controllers);
        self
    }

    /// Which mechanism is at work. The best one where CPU and memory differ.
    pub fn kind(&self) -> Kind {
        let limits = |unified| {
            let has =
                |place: &Place| place.unified == unified && place.controllers & (CPU | MEMORY) != 0;
            self.places.iter().any(has)
        };
        match (limits(true), limits(false)) {
            (true, _) => Kind::V2,
            (false, true) => Kind::V1,
            (false, false) => Kind::None,
        }
    }

    /// The group of a child. It is made when limits are applied.
    pub fn group(&self, child: &str) -> Group {
        Group::new(self.places.clone(), child)
    }

    /// Removes the groups of children that are no more, unless processes are left in them.
    pub fn sweep(&self, children: &[&str]) {
        for place in &self.places {
            for folder in cgroup::subgroups(&place.folder) {
                let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if !children.contains(&name) {
                    let _ = cgroup::remove(&folder);
                }
            }
            // Only if it is empty: the kernel removes none that has groups below it.
            let _ = std::fs::remove_dir(&place.folder);
        }
    }
}

/// Where in the unified hierarchy the children's groups may be; `None` if nothing may be made.
fn unified_place(mount: &Mount, own: &str, name: &str) -> Option<Place> {
    let own = own.strip_prefix(mount.root.trim_end_matches('/'));
    let own = mount.point.join(own.unwrap_or_default().trim_start_matches('/'));
    let (base, above_is_ours) = base(&mount.point, &own, name);
    let mut place =
        Place { folder: base.join(name), unified: true, above_is_ours, controllers: u8::MAX };
    place.controllers = place.prepare().ok()?;
    let _ = cgroup::remove(&place.folder);
    Some(place)
}

/// The group below which ours is made, and whether it is ours itself.
fn base(root: &Path, own: &Path, name: &str) -> (PathBuf, bool) {
    // A unit with `DelegateSubgroup=agent`: the leaf's parent has been given to us. Without the
    // leaf (systemd before 254) it is left alone: once it had controllers, systemd couldn't put
    // the next daemon into it while children live, and that daemon would never start.
    if let Some(above) = own.parent().filter(|above| cgroup::is_delegated(above)) {
        return (above.to_owned(), true);
    }
    // Only groups that aren't the root of the whole hierarchy have a type.
    let is_namespace = cgroup::read(root, "cgroup.type").is_ok();
    if is_namespace {
        if own == root {
            let leaf = root.join(LEAF);
            let _ = cgroup::make(&leaf).and_then(|()| cgroup::write(&leaf, "cgroup.procs", "0"));
        }
        return (root.to_owned(), true);
    }
    let ours = |folder: &PathBuf| folder.file_name().is_some_and(|found| found == name);
    (root.to_owned(), cgroup::subgroups(root).iter().all(ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs;

    /// A folder with these folders in it, for a hierarchy.
    fn hierarchy(folders: &[&str]) -> Folder {
        let root = Folder::new();
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        root
    }

    #[test]
    fn the_root_is_ours_only_while_nobody_else_has_groups_there() {
        let root = hierarchy(&["stint/child"]);
        let at = root.path();
        assert_eq!(base(at, at, "stint"), (at.to_owned(), true));
        fs::create_dir(at.join("system.slice")).unwrap();
        assert_eq!(base(at, at, "stint"), (at.to_owned(), false));
    }

    #[test]
    fn the_root_of_a_namespace_is_ours_and_the_agent_leaves_it_for_a_leaf() {
        let root = hierarchy(&["of_somebody"]);
        let at = root.path();
        fs::write(at.join("cgroup.type"), "domain\n").unwrap();
        fs::create_dir(at.join(LEAF)).unwrap();
        fs::write(at.join(LEAF).join("cgroup.procs"), "").unwrap();
        assert_eq!(base(at, at, "stint"), (at.to_owned(), true));
        assert_eq!(fs::read(at.join(LEAF).join("cgroup.procs")).unwrap(), b"0");
    }

    #[test]
    fn what_the_service_manager_gave_away_is_used_when_the_agent_is_in_a_leaf_of_it() {
        let root = hierarchy(&["system.slice/stint.service/agent"]);
        let unit = root.path().join("system.slice/stint.service");
        let leaf = unit.join("agent");
        assert_eq!(base(root.path(), &leaf, "stint"), (root.path().to_owned(), false));
        if !crate::sys::cgroup::delegate(&unit) {
            eprintln!("skipped: no permission for attributes of files");
            return;
        }
        assert_eq!(base(root.path(), &leaf, "stint"), (unit.clone(), true));
        // Without the leaf, the next daemon couldn't be put where the controllers are.
        assert_eq!(base(root.path(), &unit, "stint"), (root.path().to_owned(), false));
    }

    #[test]
    fn in_a_real_hierarchy_children_go_where_the_service_manager_gave_a_group_away() {
        let mounts = cgroup::mounts();
        let Some(mount) = mounts.iter().find(|mount| mount.unified) else {
            return eprintln!("skipped: there is no cgroup v2");
        };
        let name = format!("stint-test-unit-{}", std::process::id());
        let unit = mount.point.join(&name);
        if cgroup::make(&unit).is_err() || !cgroup::delegate(&unit) {
            return eprintln!("skipped: needs root and a writable cgroup v2");
        }
        cgroup::make(&unit.join(LEAF)).unwrap();
        let own = format!("{}/{name}/{LEAF}", mount.root.trim_end_matches('/'));
        let place = unified_place(mount, &own, "stint").unwrap();
        assert_eq!((place.folder.clone(), place.above_is_ours), (unit.join("stint"), true));
        assert!(!place.folder.exists(), "made when it is needed");
        // All that is handed out to the unit is handed on to the children.
        let handed_out = controllers(&unit, "cgroup.controllers") & (CPU | MEMORY | PIDS);
        assert_eq!(place.prepare().unwrap() & (CPU | MEMORY | PIDS), handed_out);
        cgroup::remove(&unit).unwrap();
    }
}
