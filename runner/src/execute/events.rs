//! Makes the scenario's events happen, to processes and to the files of disk tiers, and puts right afterwards what they broke.

use std::{fs, io, path::Path};

use rand::RngCore as _;
use schemas::{
    plan::{ArrivalPlan, EventAction, EventPlan, EventTarget, Experiment, Happened, Trigger},
    row::Row,
    scenario::Phase,
};

use super::{Dispatcher, Stop, order::Slot};
use crate::load::ArrivalItem;

/// Bytes that are written over a file at once.
const PIECE_BYTES: usize = 1 << 20;

/// What events have done to the turn under way.
#[derive(Debug, Default)]
pub(super) struct Disturbance {
    /// When the first event of the turn happened, ns since the run started.
    first_ns: Option<u64>,
    /// Processes that were stopped to be started again, with the time of their stop.
    to_start: Vec<(EventTarget, u64)>,
}

/// How a turn is cut: after so many arrivals these events happen, and only then the rest is released.
pub(super) type Cuts<'a> = Vec<(usize, Vec<&'a EventPlan>)>;

/// Splits a turn's events into those that happen between two requests, and those that happen while requests run. The former are exact about who came
/// before: all of a closed schedule that count requests, and all that hold the schedule.
pub(super) fn cuts<'a>(
    events: &'a [EventPlan],
    experiment: &Experiment,
    arrivals: &[ArrivalItem],
) -> (Cuts<'a>, Vec<&'a EventPlan>) {
    let closed = matches!(experiment.arrival, ArrivalPlan::Closed { .. });
    let mut cuts = Cuts::new();
    let mut beside = Vec::new();
    for event in events {
        let after = match (event.trigger, &experiment.arrival) {
            (Trigger::AfterRequest(requests), _) if closed || event.hold => {
                Some(arrivals_of(arrivals, requests))
            }
            (Trigger::AtNs(at_ns), ArrivalPlan::Open { offsets_ns, .. }) if event.hold => {
                let offsets = offsets_ns.first().map_or(&[][..], Vec::as_slice);
                Some(offsets.partition_point(|offset| *offset < at_ns))
            }
            _ => None,
        };
        match after {
            None => beside.push(event),
            Some(after) => match cuts.iter_mut().find(|(cut, _)| *cut == after) {
                Some((_, together)) => together.push(event),
                None => cuts.push((after, vec![event])),
            },
        }
    }
    cuts.sort_by_key(|(after, _)| *after);
    (cuts, beside)
}

/// How many arrivals hold at least so many requests.
fn arrivals_of(arrivals: &[ArrivalItem], requests: u32) -> usize {
    let mut counted = 0;
    let enough = |item: &ArrivalItem| {
        counted += item.requests();
        counted >= requests as usize
    };
    arrivals
        .iter()
        .position(enough)
        .map_or(arrivals.len(), |index| index + 1)
}

impl Dispatcher<'_> {
    /// Before or after the first event of the turn; null in a scenario without events.
    pub(super) fn phase(&self, row: &Row) -> Option<Phase> {
        if self.plan.events.is_empty() {
            return None;
        }
        Some(match self.disturbance.first_ns {
            Some(first_ns) if row.intended_ns >= first_ns => Phase::AfterEvent,
            _ => Phase::BeforeEvent,
        })
    }

    /// A new turn: what events did to the last one is put right, where it would be felt.
    pub(super) async fn begin_turn(&mut self, slot: Slot) -> Result<(), Stop> {
        self.disturbance = Disturbance::default();
        if !self.disturbed.remove(&slot.engine) {
            return Ok(());
        }
        self.stop_engine(slot.engine).await?;
        self.forget_data(slot.engine)?;
        self.start(&[slot.engine]).await?;
        self.prepare(&[slot.engine]).await
    }

    /// Does what an event says to the targets that belong to the slot's engine; what has to be started again waits for [`Self::start_again`].
    pub(super) async fn strike(&mut self, slot: Slot, event: &EventPlan) -> Result<(), Stop> {
        let at_ns = self.clock.now_ns();
        self.disturbance.first_ns.get_or_insert(at_ns);
        let targets: Vec<EventTarget> = event
            .targets
            .iter()
            .filter(|target| target.engine as usize == slot.engine)
            .cloned()
            .collect();
        for target in targets {
            let failed = |error: io::Error| {
                Stop::Failed(format!(
                    "the event could not {} {}: {error}",
                    word(event.action),
                    target.name
                ))
            };
            match event.action {
                EventAction::Restart | EventAction::Kill => {
                    let Some(process) = self.live.take(slot.engine, &target.name) else {
                        return Err(failed(io::ErrorKind::NotFound.into()));
                    };
                    let record = if event.action == EventAction::Kill {
                        process.kill().await
                    } else {
                        process.stop().await
                    };
                    self.ended(record)?;
                    if event.action == EventAction::Restart {
                        self.disturbance.to_start.push((target, at_ns));
                        continue;
                    }
                    self.disturbed.insert(slot.engine);
                }
                EventAction::Pause => {
                    self.live
                        .freeze(slot.engine, &target.name, true)
                        .map_err(failed)?;
                    self.disturbed.insert(slot.engine);
                }
                EventAction::Resume => self
                    .live
                    .freeze(slot.engine, &target.name, false)
                    .map_err(failed)?,
                EventAction::Corrupt => {
                    let files = self.corrupt(slot.engine, &target.name).map_err(failed)?;
                    if files == 0 {
                        self.warn(format!("{} had no files to corrupt", target.name))?;
                    }
                    self.disturbed.insert(slot.engine);
                }
            }
            self.happened(slot, event.action, target, at_ns)?;
        }
        Ok(())
    }

    /// Starts what was stopped to be started again, and waits until it answers.
    pub(super) async fn start_again(&mut self, slot: Slot) -> Result<(), Stop> {
        let plan = self.plan;
        for (target, at_ns) in std::mem::take(&mut self.disturbance.to_start) {
            let launches = &plan.engines[slot.engine].launches;
            if let Some(launch) = launches.iter().find(|launch| launch.name == target.name) {
                self.start_one(slot.engine, launch).await?;
            }
            self.happened(slot, EventAction::Restart, target, at_ns)?;
        }
        Ok(())
    }

    /// Something of a disturbed turn's engine ended by itself. That is what the scenario asks about, and not the end of the run.
    pub(super) fn is_disturbed(&self) -> bool {
        self.disturbance.first_ns.is_some()
    }

    fn happened(
        &mut self,
        slot: Slot,
        action: EventAction,
        target: EventTarget,
        at_ns: u64,
    ) -> Result<(), Stop> {
        let happened = Happened {
            at_ns,
            done_ns: self.clock.now_ns(),
            experiment: slot.experiment as u32,
            trial: slot.trial,
            engine: slot.engine as u32,
            action,
            target: target.name,
        };
        Ok(self.emit(crate::event::EventKind::Happened(happened))?)
    }

    /// Writes random bytes over all files of a disk tier; how many there were.
    fn corrupt(&self, engine: usize, name: &str) -> io::Result<usize> {
        let engine = &self.plan.engines[engine];
        let tier = engine
            .tiers
            .iter()
            .find(|tier| name.strip_prefix(&engine.name) == Some(&format!(".{}", tier.name)));
        let path = tier
            .and_then(|tier| tier.path.as_deref())
            .and_then(|path| self.live.path(path))
            .ok_or(io::ErrorKind::NotFound)?;
        overwrite(&path)
    }

    /// Removes what an engine and its sidecars keep in the run folder: a new trial begins with empty tiers.
    fn forget_data(&mut self, engine: usize) -> Result<(), Stop> {
        let engine = &self.plan.engines[engine];
        let names = engine.launches.iter().map(|launch| &launch.name);
        for name in names {
            let Some(path) = self.live.path(&format!("{{run}}/data/{name}")) else {
                continue;
            };
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Stop::Failed(format!(
                        "{} cannot be removed: {error}",
                        path.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn word(action: EventAction) -> &'static str {
    match action {
        EventAction::Restart => "restart",
        EventAction::Kill => "kill",
        EventAction::Pause => "pause",
        EventAction::Resume => "resume",
        EventAction::Corrupt => "corrupt",
    }
}

/// Random bytes over every file below a folder, sizes kept.
fn overwrite(folder: &Path) -> io::Result<usize> {
    let mut files = 0;
    let mut piece = vec![0; PIECE_BYTES];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files += overwrite(&entry.path())?;
        } else if kind.is_file() {
            let mut left = entry.metadata()?.len();
            let mut file = fs::OpenOptions::new().write(true).open(entry.path())?;
            while left > 0 {
                let length = left.min(PIECE_BYTES as u64) as usize;
                rand::rng().fill_bytes(&mut piece[..length]);
                io::Write::write_all(&mut file, &piece[..length])?;
                left -= length as u64;
            }
            file.sync_all()?;
            files += 1;
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_gets_other_bytes_of_the_same_size() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("a")).expect("a folder");
        let paths = [folder.path().join("x"), folder.path().join("a/y")];
        for (path, size) in paths.iter().zip([3_000_000, 64]) {
            fs::write(path, vec![7; size]).expect("a file");
        }
        assert_eq!(overwrite(folder.path()).expect("it is ours"), 2);
        for (path, size) in paths.iter().zip([3_000_000, 64]) {
            let bytes = fs::read(path).expect("a file");
            assert_eq!(bytes.len(), size);
            assert!(bytes.iter().filter(|byte| **byte == 7).count() < size / 10);
        }
    }
}
