//! The supervisor: child agents that are kept running, limited and reported.
//!
//! Never here: a server's protocol. Jobs come in by [`Supervisor::accept`], from whichever side;
//! what becomes of them and of the children waits in queues on disk for whoever delivers it.

mod child;
pub mod definition;
pub mod definitions;
mod entries;
mod escape;
#[cfg(fuzzing)]
pub mod fuzz;
mod health;
pub mod inbox;
pub mod install;
#[cfg(feature = "ssm")]
pub mod inventory;
pub mod jobs;
mod launch;
mod ledger;
pub mod limits;
mod notes;
mod output;
pub mod policy;
mod queue;
pub mod record;
mod run;
pub mod status;
mod unknown;

pub use crate::config::Supervise as Settings;
pub use escape::leave_child;
pub use ledger::Accepted;
pub use queue::Queue;
pub use run::run;

use crate::bell::Bell;
use crate::reactor::after;
use crate::sys::{FileError, clock, durable, host};
use child::Unit;
use definition::Definition;
use definitions::{BY_FILE, BY_JOB, Found, Problem};
use inbox::Inbox;
use jobs::Failure;
use ledger::Ledger;
use limits::{Groups, Kind};
use notes::Notes;
use policy::Rules;
use record::Record;
use std::cell::{Cell, OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::bootagent::{Child, Event, Job, JobResult};

/// The folder below the state folder that has a folder for each child.
const CHILDREN: &str = "children";

/// The supervisor's own folder below the state folder.
const OWN: &str = "supervise";

/// Between two looks at a child that a job waits for.
const LOOK: Duration = Duration::from_millis(50);

/// Before a child is tried to be taken on again.
const LATER: Duration = Duration::from_secs(10);

/// A process that lives for so long after it was killed is stuck in the kernel.
const DYING: Duration = Duration::from_secs(60);

/// How long children that end with the agent may take to, whatever their definitions grant them.
/// All inits kill an agent 25 s after they told it to stop, and what it hadn't ended by then would
/// run on without anybody.
pub const LEAVE: Duration = Duration::from_secs(12);

/// How long those take to die that are killed then.
pub const LAST: Duration = Duration::from_secs(2);

/// What does a job that is for the agent's own settings: the uplink.
type SettingsJob = Box<dyn Fn(Job) -> SettingsDone>;

/// What comes of it, in words.
pub type SettingsDone = Pin<Box<dyn Future<Output = Result<String, String>>>>;

/// The children and their jobs. Lives on the loop.
pub struct Supervisor {
    settings: Settings,
    state: PathBuf,
    boot: String,
    /// Found out about when it is first needed: an agent without children makes no groups.
    groups: OnceCell<Groups>,
    notes: Notes,
    ledger: Ledger,
    inbox: Inbox,
    units: RefCell<Vec<Unit>>,
    /// Children that a job is at: its name, and whether the job is a slow one.
    busy: RefCell<Vec<(String, bool)>>,
    /// Children that a slow job has for itself.
    held: RefCell<Vec<String>>,
    settings_job: RefCell<Option<SettingsJob>>,
    /// Children whose way back to the version before an earlier agent had begun.
    going_back: RefCell<Vec<String>>,
    /// Something has happened that [`run`] has to look at.
    wake: Rc<Bell>,
    /// A process ended whose parent this one is.
    ended: Bell,
    /// The children have been looked at.
    looked: Bell,
    /// The agent is about to end: nothing is started any more.
    ending: Cell<bool>,
    /// A child couldn't be taken on, most often because the disk is full: this is tried again.
    is_incomplete: Cell<bool>,
    /// When it is.
    complete_at: Cell<Duration>,
}

/// A child that nobody else touches while this lives.
pub struct Held {
    supervisor: Rc<Supervisor>,
    name: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.supervisor.held.borrow_mut().retain(|name| *name != self.name);
        self.supervisor.wake.ring();
    }
}

impl Supervisor {
    /// Opens what is kept in the folder `state`, reads the definitions, and takes on what an
    /// earlier agent has left running.
    ///
    /// # Errors
    /// A folder can't be made or read.
    pub fn open(state: &Path, settings: Settings) -> Result<Supervisor, FileError> {
        let own = state.join(OWN);
        durable::make_folder(&state.join(CHILDREN))?;
        let supervisor = Supervisor {
            state: state.to_owned(),
            boot: host::boot_id(),
            groups: OnceCell::new(),
            notes: Notes::open(&own)?,
            ledger: Ledger::open(&own)?,
            inbox: Inbox::of(state),
            units: RefCell::default(),
            busy: RefCell::default(),
            held: RefCell::default(),
            settings_job: RefCell::default(),
            going_back: RefCell::default(),
            wake: Rc::new(Bell::new()),
            ended: Bell::new(),
            looked: Bell::new(),
            ending: Cell::new(false),
            is_incomplete: Cell::new(false),
            complete_at: Cell::new(clock::since_boot() + LATER),
            settings,
        };
        supervisor.ledger.settle(&supervisor.notes, &supervisor.inbox)?;
        supervisor.read_definitions(true)?;
        Ok(supervisor)
    }

    /// Takes a job in; durable when it returns. A known pair of id and action is not done again.
    ///
    /// # Errors
    /// It can't be written down, and is not taken.
    pub fn accept(&self, job: Job) -> Result<Accepted, FileError> {
        let accepted = self.ledger.accept(job, None, &self.notes)?;
        self.wake.ring();
        Ok(accepted)
    }

    /// The children as a status report shows them, by name.
    pub fn children(&self) -> Vec<Child> {
        let now = clock::since_boot();
        let mut children: Vec<Child> =
            self.units.borrow_mut().iter_mut().map(|unit| unit.child(now)).collect();
        children.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        children
    }

    /// What happened and hasn't been delivered.
    pub fn events(&self) -> &Queue<Event> {
        &self.notes.events
    }

    /// Results of jobs that haven't been delivered.
    pub fn results(&self) -> &Queue<JobResult> {
        &self.notes.results
    }

    /// Puts the result of a job into the queue that whoever calls this has done by itself.
    ///
    /// # Errors
    /// It can't be written.
    pub fn answer(&self, result: JobResult) -> Result<(), FileError> {
        let message = notes::bounded(result.message);
        self.notes.result(&JobResult { message, ..result })
    }

    /// Who does a job that is for the agent's own settings. Without anybody such a job fails.
    pub fn on_settings(&self, does: impl Fn(Job) -> SettingsDone + 'static) {
        self.settings_job.replace(Some(Box::new(does)));
    }

    /// What this device can do: bit 0: limits by control groups.
    pub fn feature_bits(&self) -> u32 {
        u32::from(self.groups().kind() != Kind::None)
    }

    /// Rings when there is a new result or event. One task may listen.
    pub fn changed(&self) -> &Bell {
        &self.notes.changed
    }

    /// Rings when the children have been looked at, so that their states may be others. One task may
    /// listen.
    pub fn looked(&self) -> &Bell {
        &self.looked
    }

    /// Something has happened that the supervisor's task has to look at.
    pub fn wake(&self) {
        self.wake.ring();
    }

    /// Events and results, for those who make them.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder of a child.
    pub fn folder(&self, name: &str) -> PathBuf {
        child::folder(&self.state, name)
    }

    /// Does something with a child.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn with<T>(&self, name: &str, act: impl FnOnce(&mut Unit) -> T) -> Result<T, Failure> {
        let mut units = self.units.borrow_mut();
        let unit = units.iter_mut().find(|unit| unit.name() == name && !unit.leaving);
        unit.map(act).ok_or_else(|| Failure::no_such_child(name))
    }

    /// Waits until nothing of a child that is being stopped is left. When the agent is about to end that is never:
    /// what was to follow, a start say, is for the next agent, which does the job again.
    ///
    /// # Errors
    /// There is none of that name, or one of its processes is stuck in the kernel.
    pub async fn until_clear(&self, name: &str) -> Result<(), Failure> {
        let stop_time = self.with(name, |unit| unit.definition.stop_time)?;
        let end = clock::since_boot() + stop_time + DYING;
        while self.ending.get() || !self.with(name, Unit::is_clear)? {
            if clock::since_boot() > end {
                return Err(Failure::stuck(name));
            }
            after(LOOK).await;
        }
        Ok(())
    }

    /// Takes a child for a slow job alone: quick ones wait until the result is dropped.
    pub async fn hold(self: &Rc<Self>, name: &str) -> Held {
        let quick = (name.to_owned(), false);
        while self.busy.borrow().contains(&quick) {
            after(LOOK).await;
        }
        self.held.borrow_mut().push(name.to_owned());
        Held { supervisor: self.clone(), name: name.to_owned() }
    }

    /// Starts a child that is clear, out of every state.
    ///
    /// # Errors
    /// There is none of that name, or its program can't be started.
    pub fn begin(&self, name: &str) -> Result<(), Failure> {
        let now = clock::since_boot();
        let failure = self.with(name, |unit| {
            unit.record.streak = 0;
            unit.begin(now, &self.boot, &self.notes);
            (!unit.is_up()).then(|| unit.record.reason.clone())
        })?;
        self.wake.ring();
        failure.map_or(Ok(()), |reason| Err(Failure::new(reason)))
    }

    /// Begins to stop a child on purpose.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn halt(&self, name: &str) -> Result<(), Failure> {
        self.with(name, |unit| unit.stop(clock::since_boot()))?;
        self.wake.ring();
        Ok(())
    }

    /// Prepares for the agent's end: the children that are to end with it are told all at once, the
    /// last started first, and are killed after [`LEAVE`]; the others go on.
    pub async fn leave(&self) {
        self.ending.set(true);
        let now = clock::since_boot();
        let kill_at = now + LEAVE;
        for unit in self.units.borrow_mut().iter_mut().rev() {
            if unit.definition.stop_with_agent && unit.is_up() {
                unit.stop_with_agent(now, kill_at);
            }
        }
        while self.waits_for_ends() && clock::since_boot() < kill_at + LAST {
            // Nobody listens for SIGCHLD any more.
            self.wake.ring();
            after(LOOK).await;
        }
        self.hand_over();
    }

    /// Whether something is left of a child that is to end with the agent.
    fn waits_for_ends(&self) -> bool {
        let is_left = |unit: &mut Unit| unit.definition.stop_with_agent && !unit.is_clear();
        self.units.borrow_mut().iter_mut().any(is_left)
    }

    /// Nobody holds a child back any more until the next agent does.
    pub fn hand_over(&self) {
        self.ending.set(true);
        for unit in self.units.borrow_mut().iter_mut() {
            unit.group.resume();
        }
    }

    /// Adds a child, or changes what it is.
    ///
    /// # Errors
    /// Its folder can't be made or its record not be read or written.
    pub fn define(&self, definition: Definition, file: Option<&Path>) -> Result<(), FileError> {
        let name = definition.name.clone();
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        let rules = self.rules();
        let mut units = self.units.borrow_mut();
        if let Some(unit) = units.iter_mut().find(|unit| unit.name() == name) {
            if std::mem::take(&mut unit.leaving) && definition.autostart {
                // Its file is there again before the child has gone.
                unit.start_again(clock::since_boot());
            }
            unit.record.file = if file.is_empty() { unit.record.file.clone() } else { file };
            unit.redefine(definition, rules);
            return unit.try_save();
        }
        let folder = self.folder(&name);
        durable::make_folder(&folder)?;
        durable::sweep(&folder)?;
        let mut record = Record::load(&folder)?.unwrap_or_default();
        if !file.is_empty() {
            record.file = file;
        }
        let group = self.groups().group(&name).marked(&folder.display().to_string());
        let mut unit = Unit::new(definition, record, folder, group, rules);
        unit.resume(&self.boot, clock::since_boot(), &self.notes);
        units.push(unit);
        units.sort_by(|one, other| {
            (one.definition.order, one.name()).cmp(&(other.definition.order, other.name()))
        });
        Ok(())
    }

    /// Removes all that is kept of a child of which nothing runs.
    ///
    /// # Errors
    /// Its folder can't be removed. It is forgotten all the same, until the next start.
    pub fn forget(&self, name: &str) -> Result<(), FileError> {
        let mut units = self.units.borrow_mut();
        if let Some(unit) = units.iter_mut().find(|unit| unit.name() == name) {
            unit.group.remove();
        }
        units.retain(|unit| unit.name() != name);
        let folder = self.folder(name);
        // First what would bring it back.
        for file in [BY_JOB, BY_FILE] {
            durable::remove(&folder.join(file))?;
        }
        fs::remove_dir_all(&folder).map_err(FileError::new("remove", &folder))
    }

    fn groups(&self) -> &Groups {
        self.groups.get_or_init(|| Groups::probe(&self.settings.cgroup))
    }

    fn rules(&self) -> Rules {
        let Settings { fast, check, cooldown, window, retries, .. } = self.settings;
        Rules { fast, check, cooldown, window, retries }
    }

    async fn settings_job(&self, job: &Job) -> Result<String, Failure> {
        let doing = self.settings_job.borrow().as_ref().map(|does| does(job.clone()));
        match doing {
            Some(doing) => doing.await.map_err(Failure::new),
            None => {
                Err(Failure::new("this agent has no BootAgent server whose settings these are"))
            }
        }
    }

    /// Reads the operator's definitions again.
    #[cfg(not(feature = "update"))]
    pub fn reload(&self) {
        log::info!("definitions of child agents are read again");
        if let Err(error) = self.read_definitions(true) {
            log::error!("definitions can't be read: {error}");
            self.is_incomplete.set(true);
        }
        self.wake.ring();
    }

    /// Reads all definitions, and takes on the children. Files that are no more take their
    /// children along. Only the `first` time is told of.
    fn read_definitions(&self, first: bool) -> Result<(), FileError> {
        let (found, problems) = definitions::read_folder(&self.settings.definitions);
        for Problem { path, what } in problems.iter().filter(|_| first) {
            self.notes.event(
                "definition",
                "",
                "",
                format!("{} is ignored: {what}", path.display()),
            );
        }
        let known = durable::list(&self.state.join(CHILDREN))?;
        let is_new = |found: &&Found| !known.contains(&found.definition.name);
        let new = found.iter().filter(is_new).map(|found| found.definition.name.clone());
        let names: Vec<String> = known.iter().cloned().chain(new).collect();
        for name in names {
            if self.held.borrow().contains(&name) {
                // A package is being installed, say. It is come back to.
                self.is_incomplete.set(true);
                continue;
            }
            let file = found.iter().find(|found| found.definition.name == name);
            if let Err(error) = self.take_on(&name, file, &problems) {
                // The others go on.
                self.is_incomplete.set(true);
                let message = format!("it can't be looked after now: {error}");
                match first {
                    true => self.notes.event("definition", &name, "", message),
                    false => log::warn!("{name}: {message}"),
                }
            }
        }
        let units = self.units.borrow();
        if !units.is_empty() {
            let names: Vec<&str> = units.iter().map(Unit::name).collect();
            self.groups().sweep(&names);
        }
        Ok(())
    }

    fn take_on(
        &self,
        name: &str,
        found: Option<&Found>,
        problems: &[Problem],
    ) -> Result<(), FileError> {
        let folder = self.folder(name);
        let file = found.and_then(|found| found.file.as_deref());
        match definitions::read_kept(&folder.join(BY_JOB)) {
            Ok(Some(definition)) => return self.define(definition, file),
            Ok(None) => {}
            Err(error) if found.is_some() => log::error!("{name}: {error}"),
            Err(error) => return Err(error),
        }
        if let Some(found) = found {
            durable::make_folder(&folder)?;
            let before = fs::read_to_string(folder.join(BY_FILE));
            self.define(found.definition.clone(), file)?;
            if before.is_ok_and(|before| before != found.definition.text) {
                // Before the copy is made: whoever is killed here sees the change once more.
                let _ = self.with(name, |unit| unit.renew(clock::since_boot()));
            }
            // Without the copy the child is as good, as long as its file is.
            if let Some(file) = file
                && let Err(error) = definitions::keep(file, &folder)
            {
                log::warn!("{name}: {error}");
            }
            return Ok(());
        }
        let Some(definition) = definitions::read_kept(&folder.join(BY_FILE))? else {
            // A folder without a definition: an installation that was cut short, or the rest of
            // a removal.
            return Ok(());
        };
        self.define(definition, None)?;
        // So is a folder that isn't there, or can't be read: its disk may not be mounted yet.
        let folder = &self.settings.definitions;
        let is_bad = self.with(name, |unit| {
            let file = Path::new(&unit.record.file);
            let is_bad = |problem: &Problem| problem.path == file || problem.path == *folder;
            !folder.is_dir() || problems.iter().any(is_bad)
        });
        // While its file is being mended, what it last said holds.
        if is_bad != Ok(true) {
            log::warn!("{name} is no longer defined by any file; it is stopped and forgotten");
            let _ = self.halt(name);
            let _ = self.with(name, |unit| unit.leaving = true);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
